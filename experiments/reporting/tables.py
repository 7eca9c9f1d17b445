"""Lays out results, for a reader (text, Markdown) and for a program (JSON, CSV).

A column of a table is what one model reaches on some episodes: a dict of the figures that
`hsnet_jax.metrics.ABSENT_METRICS` names, in percent, such as `miou`; `class_iou` {class name: IoU};
`class_episodes` {class name: how many} and `figure_episodes` {figure: how many}; and where they are
known `miou_interval` and so on, the lower and the upper end of a figure, and `class_iou_interval`
{class name: its ends}.
`experiments.evaluation.tally` makes it.
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
from hsnet_jax.metrics import ABSENT_METRICS, boundary_f
from hsnet_jax.whole_files import write_text

FIGURES = tuple(figure for metric in ABSENT_METRICS.values() for figure in metric.figures)

# What episodes.csv has of each episode: what it is of, and its pixels by prediction and truth.
EPISODE = ('episode', 'class', 'query', 'supports')
PIXELS = ('true_positive', 'false_positive', 'false_negative', 'true_negative')

Figures = Mapping[str, Any]


def table_rows(columns: Mapping[str, Figures], *, short: bool = False) -> list[list[str]]:
  """Lays figures side by side, one line per figure and class, each interval below its figure.

  Args:
    columns: {head: figures}.
    short: whether mIoU alone has its interval, as a terminal has room for.

  Returns:
    Rows of text, the first one the heads. A class, or a figure that is not of all episodes, is
    followed by its number of episodes where all columns agree on it.
  """
  rows, all_columns = [['percent', *columns]], list(columns.values())
  for figure in FIGURES:
    intervals = not short or figure.name == 'miou'
    if any(figure.name in c for c in all_columns):
      label = _counted(figure.heading, figure.name, [c.get('figure_episodes') for c in all_columns])
      rows.append(_row(label, [c.get(figure.name) for c in all_columns]))
      if intervals:
        rows += _interval_rows([c.get(f'{figure.name}_interval') for c in all_columns])
    if figure.by_class:
      rows += _class_rows(columns, figure.by_class, intervals=not short)
  return rows


def _class_rows(columns: Mapping[str, Figures], key: str, *, intervals: bool) -> list[list[str]]:
  rows = []
  for name in dict.fromkeys(name for c in columns.values() for name in c.get(key, ())):
    label = _counted(f'  {name}', name, [c.get('class_episodes') for c in columns.values()])
    rows.append(_row(label, [c.get(key, {}).get(name) for c in columns.values()]))
    if intervals:
      ends = [c.get(f'{key}_interval', {}).get(name) for c in columns.values()]
      rows += _interval_rows(ends, indent='    ')
  return rows


def _counted(label: str, name: str, columns: Sequence[Mapping[str, int] | None]) -> str:
  """Adds how many episodes a line is of, where all columns agree on it."""
  counts = {(episodes or {}).get(name) for episodes in columns}
  return f'{label} ({counts.pop()})' if len(counts) == 1 and None not in counts else label


def _interval_rows(
  intervals: Sequence[Sequence[float] | None], *, indent: str = '  '
) -> list[list[str]]:
  return [[f'{indent}95% interval', *map(_interval, intervals)]] if any(intervals) else []


def csv_table(columns: Mapping[str, Figures]) -> str:
  """Returns lines of CSV with every digit: column, figure, class, value."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow(['column', 'figure', 'class', 'value'])
  for head, figures in columns.items():
    for figure in FIGURES:
      if figure.name in figures:
        ends = figures.get(f'{figure.name}_interval')
        writer.writerows(_values(head, figure.name, '', figures[figure.name], ends))
    for key in (figure.by_class for figure in FIGURES if figure.by_class):
      of_class = key.removeprefix('class_')
      for name, value in figures.get(key, {}).items():
        ends = figures.get(f'{key}_interval', {}).get(name)
        writer.writerows(_values(head, of_class, name, value, ends))
  return out.getvalue()


def _values(
  head: str, figure: str, name: str, value: float, ends: Sequence[float] | None
) -> list[list[Any]]:
  """Returns the lines of a figure, and of the two ends of its interval."""
  rows = [[head, figure, name, value]]
  for end, at in zip(('low', 'high'), ends or (), strict=False):
    rows.append([head, f'{figure}_{end}', name, at])
  return rows


def episodes_csv(
  rows: Mapping[str, np.ndarray], episodes: Sequence[Episode], names: Sequence[str]
) -> str:
  """Returns lines of CSV, one an episode, from which all figures of masks can be made again.

  Args:
    rows: of every episode `index` and `class_id` `[N]` and `counts` `[N, 4]`; what else is there
      of `Evaluation.rows` has columns of its own.
    episodes: those that `index` numbers.
    names: of the classes.

  Returns:
    episode, class, query, supports in JSON, true and false positives, false and true negatives,
    the IoU of the object, empty where it is neither there nor found, and the object's share of the
    picture, both in percent; then, where that is known, intersection and union of the boundaries,
    their IoU, empty likewise, and the F-score of the contours in percent, the mean and the highest
    foreground probability in [0, 1], and the presence score, a cosine or a margin of logits.
  """
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  further = _further(rows)
  writer.writerow([*EPISODE, *PIXELS, 'iou', 'object_share', *further])
  for number, (index, class_id, counts) in enumerate(
    zip(*(rows[key].tolist() for key in ('index', 'class_id', 'counts')), strict=True)
  ):
    tp, fp, fn, tn = counts
    of = episodes[index]
    share = f'{100 * (tp + fn) / max(tp + fp + fn + tn, 1):.4f}'
    line = [index, names[class_id], of.query, json.dumps(of.supports), *counts]
    line += [_iou(tp, tp + fp + fn), share]
    writer.writerow([*line, *(texts[number] for texts in further.values())])
  return out.getvalue()


def _iou(inside: int, union: int) -> str:
  """Writes an IoU; of nothing and nothing there is none."""
  return f'{100 * inside / union:.4f}' if union else ''


def _further(rows: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
  """Returns the columns that not every evaluation has, in their order."""
  columns = {}
  if 'boundary' in rows:
    edges = rows['boundary']
    inside, union = edges[:, 0], edges[:, 1]
    columns = {
      'boundary_intersection': inside.astype(str).tolist(),
      'boundary_union': union.astype(str).tolist(),
      'boundary_iou': [_iou(*of) for of in zip(inside.tolist(), union.tolist(), strict=True)],
      'boundary_f': [f'{x:.4f}' for x in boundary_f(edges)],
    }
  for name in ('mean_probability', 'max_probability', 'presence_score'):
    if name in rows:
      # As many digits as float32 has. Of a picture that is left out altogether there is none.
      columns[name] = [f'{x:.9g}' if math.isfinite(x) else '' for x in rows[name].tolist()]
  return columns


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
    folder / 'results.json': json_text(record),
    folder / 'results.md': '\n'.join(f'- {f}' for f in facts) + f'\n\n{table}\n',
    folder / 'results.csv': csv_table(columns),
    folder / 'episodes.csv': episodes,
  }
  for path, text in files.items():
    write_text(path, text)
  return list(files)


def json_text(record: Mapping[str, Any]) -> str:
  """Writes a record as JSON.

  NaN is no JSON: a figure that does not exist, such as the AUC without foreground, is null.
  """
  return json.dumps(_no_nan(record), indent=2) + '\n'


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
