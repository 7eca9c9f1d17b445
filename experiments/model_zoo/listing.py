"""Shows a zoo in a terminal: a line a model, or all that is known of one."""

import json
import pathlib
from collections.abc import Iterable, Sequence

from experiments.model_zoo.entry import Entry, Summary
from experiments.reporting.rows import text_table

_HEADS = ('name', 'backbone', 'trained on', 'mIoU', 'MB', 'added')


def list_text(summaries: Iterable[Summary]) -> str:
  """Lays a line a model out, with mIoU and its interval where they are known."""
  return text_table([_HEADS, *map(_row, summaries)], left=3)


def show_text(entry: Entry, path: pathlib.Path) -> str:
  """Says all that is known of a model.

  Args:
    entry: the model's.
    path: its file.
  """
  lines = {
    'name': entry.name,
    'file': path,
    'size': f'{entry.size:,} bytes',
    'SHA-256': entry.checksum,
    'added': entry.added or 'with the package',
    'backbone': entry.backbone,
    'trained on': _trained_on(entry.benchmark, entry.fold, entry.shots),
    'image size': entry.image_size or 'not stated',
    'from': entry.source,
    'license': entry.license or 'not stated',
    'bad at': entry.limits or 'not stated',
    'recipe': json.dumps(dict(entry.config)),
  }
  text = text_table([(name, str(value)) for name, value in lines.items()], left=2)
  if not entry.evaluations:
    return f'{text}\n\nNothing that it reaches is measured.'
  # Imported where there is something to lay out: the metrics that name the figures take seconds.
  from experiments.model_zoo.figures import heading
  from experiments.reporting.tables import table_rows

  for one in entry.evaluations:
    text += f'\n\n{text_table(table_rows({heading(one): one["figures"]}), left=1)}'
    text += f'\nnote: {one["note"]}' if one.get('note') else ''
  return text


def _row(summary: Summary) -> Sequence[str]:
  return (
    summary.name,
    summary.backbone,
    _trained_on(summary.benchmark, summary.fold, summary.shots),
    _interval(summary.miou, summary.miou_low, summary.miou_high),
    f'{summary.size / 1e6:.1f}',
    (summary.added or 'with the package')[:16],
  )


def _trained_on(benchmark: str | None, fold: int | None, shots: int | None) -> str:
  parts = [str(benchmark)] if benchmark else ['not stated']
  parts += [f'fold {fold}'] if fold is not None else []
  return ' '.join(parts) + (f', {shots}-shot' if shots else '')


def _interval(miou: float | None, low: float | None, high: float | None) -> str:
  if miou is None:
    return '-'
  return f'{miou:.1f}' + ('' if low is None or high is None else f' ({low:.1f} to {high:.1f})')
