"""Lays out results, for a reader (text, Markdown) and for a program (JSON, CSV).

A column of a table is what one model reaches on some episodes: a dict of the figures that
`hsnet_jax.metrics.ABSENT_METRICS` names, in percent, such as `miou`; `class_iou` {class name: IoU};
`class_episodes` {class name: how many}; and `miou_interval`, its lower and upper end, where that is
known. `experiments.evaluation.tally` makes it.
"""

import csv
import io
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.episodes import Episode
from experiments.reporting.rows import markdown_table
from hsnet_jax.metrics import ABSENT_METRICS
from hsnet_jax.whole_files import write_text

FIGURES = tuple(figure for metric in ABSENT_METRICS.values() for figure in metric.figures)

# What episodes.csv has of each episode: what it is of, and its pixels by prediction and truth.
EPISODE = ('episode', 'class', 'query', 'supports')
PIXELS = ('true_positive', 'false_positive', 'false_negative', 'true_negative')

Figures = Mapping[str, Any]


def table_rows(columns: Mapping[str, Figures]) -> list[list[str]]:
  """Lays figures side by side, one line per figure and class.

  Args:
    columns: {head: figures}.

  Returns:
    Rows of text, the first one the heads. A class is followed by its number of episodes where
    all columns agree on it.
  """
  rows = [['percent', *columns]]
  for figure in FIGURES:
    if any(figure.name in c for c in columns.values()):
      rows.append(_row(figure.heading, [c.get(figure.name) for c in columns.values()]))
      intervals = [c.get(f'{figure.name}_interval') for c in columns.values()]
      if any(intervals):
        rows.append(['  95% interval', *map(_interval, intervals)])
    if figure.by_class:
      rows += _class_rows(columns, figure.by_class)
  return rows


def _class_rows(columns: Mapping[str, Figures], key: str) -> list[list[str]]:
  rows = []
  for name in dict.fromkeys(name for c in columns.values() for name in c.get(key, ())):
    counts = {c.get('class_episodes', {}).get(name) for c in columns.values()}
    label = f'  {name} ({counts.pop()})' if len(counts) == 1 and None not in counts else f'  {name}'
    rows.append(_row(label, [c.get(key, {}).get(name) for c in columns.values()]))
  return rows


def csv_table(columns: Mapping[str, Figures]) -> str:
  """Returns lines of CSV with every digit: column, figure, class, value."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow(['column', 'figure', 'class', 'value'])
  for head, figures in columns.items():
    whole = [figure.name for figure in FIGURES if figure.name in figures]
    writer.writerows([head, name, '', figures[name]] for name in whole)
    for end, value in zip(('low', 'high'), figures.get('miou_interval', ()), strict=False):
      writer.writerow([head, f'miou_{end}', '', value])
    for key in (figure.by_class for figure in FIGURES if figure.by_class):
      figure = key.removeprefix('class_')
      writer.writerows([head, figure, name, value] for name, value in figures.get(key, {}).items())
  return out.getvalue()


def episodes_csv(
  rows: Mapping[str, np.ndarray], episodes: Sequence[Episode], names: Sequence[str]
) -> str:
  """Returns lines of CSV, one an episode, from which all figures of masks can be made again.

  Args:
    rows: of every episode `index` and `class_id` `[N]` and `counts` `[N, 4]`.
    episodes: those that `index` numbers.
    names: of the classes.

  Returns:
    episode, class, query, supports in JSON, true and false positives, false and true negatives,
    and the IoU of the object in percent, 0 where it is neither there nor found.
  """
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow([*EPISODE, *PIXELS, 'iou'])
  for index, class_id, counts in zip(
    *(rows[key].tolist() for key in ('index', 'class_id', 'counts')), strict=True
  ):
    tp, fp, fn, _ = counts
    of = episodes[index]
    iou = 100 * tp / max(tp + fp + fn, 1)
    writer.writerow(
      [index, names[class_id], of.query, json.dumps(of.supports), *counts, f'{iou:.4f}']
    )
  return out.getvalue()


def write_results(
  folder: str | os.PathLike,
  *,
  columns: Mapping[str, Figures],
  about: Mapping[str, Any],
  episodes: str,
) -> list[pathlib.Path]:
  """Writes results.json, results.md, results.csv and episodes.csv.

  Args:
    folder: where to.
    columns: {head: figures}.
    about: what was evaluated: model, checkpoint, benchmark, fold, shots, protocol.
    episodes: of `episodes_csv`.

  Returns:
    The files written.
  """
  folder = pathlib.Path(folder)
  record = {**about, 'results': dict(columns)}
  facts = [f'{name}: {value}' for name, value in about.items() if not isinstance(value, dict)]
  table = markdown_table(table_rows(columns), left=1)
  files = {
    # NaN is no JSON: a figure that does not exist, such as the AUC without foreground, is null.
    folder / 'results.json': json.dumps(_no_nan(record), indent=2) + '\n',
    folder / 'results.md': '\n'.join(f'- {f}' for f in facts) + f'\n\n{table}\n',
    folder / 'results.csv': csv_table(columns),
    folder / 'episodes.csv': episodes,
  }
  for path, text in files.items():
    write_text(path, text)
  return list(files)


def _row(label: str, values: Sequence[float | None]) -> list[str]:
  return [label, *('-' if v is None or math.isnan(v) else f'{v:.2f}' for v in values)]


def _interval(ends: Sequence[float] | None) -> str:
  if ends is None or any(map(math.isnan, ends)):
    return '-'
  return ' to '.join(f'{end:.1f}' for end in ends)


def _no_nan(value: Any) -> Any:
  if isinstance(value, Mapping):
    return {key: _no_nan(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_no_nan(item) for item in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value
