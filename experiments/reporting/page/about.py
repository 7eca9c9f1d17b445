"""Says what results are of: settings, versions, digests, and the command that makes them again."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.reporting.page.forms import Cell, Table, Value
from experiments.reporting.page.reading import Result, Run

# What is the same name in results.json and among the flags of `evaluate`.
_FLAGS = (
  *('model', 'benchmark', 'fold', 'split', 'shots', 'episodes', 'protocol', 'image_size'),
  *('original_size', 'absent', 'presence_threshold', 'support_margin', 'combine', 'precision'),
  *('batch_size', 'also_first', 'threshold_episodes', 'pictures'),
  *('data_dir', 'splits_dir', 'prepared_dir'),
)
# Lines of a log that are shown: what a run is begins it, and how it went ends it.
_FIRST, _LAST = 8, 4


def settings_table(results: Sequence[Result]) -> Table:
  """Lays out what each evaluation is of, a setting a row: weights, lists and versions, too."""
  flat = [_flat(result.about) for result in results]
  names = list(dict.fromkeys(name for one in flat for name in one))
  rows = [[name, *(one.get(name, '-') for one in flat)] for name in names]
  caption = 'What was evaluated: settings, digests of weights and lists, versions'
  head = ['setting', *(result.name for result in results)]
  return Table('settings', caption, head, rows, len(head))


def run_tables(runs: Sequence[Run]) -> list[Table]:
  """Lays out how each run went, and what it was told."""
  rows: list[list[Cell]] = []
  for run in runs:
    scores = run.curves.get('val/miou', {})
    best = max(scores, key=lambda step: (scores[step], -step), default=None)
    last = max(step for curve in run.curves.values() for step in curve)
    losses = run.curves.get('train/loss', {})
    loss = f'{losses[max(losses)]:.4f}' if losses else '-'
    words = [run.name, str(last), loss, '-' if best is None else str(best)]
    rows.append([*words, Value(None if best is None else scores[best])])
  head = ['run', 'steps', 'last loss', 'best at step', 'best validation mIoU']
  tables = [Table('runs', 'How the runs went, mIoU in percent', head, rows, 4)]
  flat = [_flat(run.config) for run in runs]
  names = list(dict.fromkeys(name for one in flat for name in one))
  if names:
    lines = [[name, *(one.get(name, '-') for one in flat)] for name in names]
    head = ['setting', *(run.name for run in runs)]
    caption = 'What was trained, as the last checkpoint records it'
    tables.append(Table('run-settings', caption, head, lines, len(head)))
  return tables


def _flat(values: Mapping[str, Any], before: str = '') -> dict[str, str]:
  """Returns settings as words, those within others under both names."""
  found = {}
  for name, value in values.items():
    if isinstance(value, Mapping):
      found |= _flat(value, f'{before}{name}: ')
    elif value is None:
      found[f'{before}{name}'] = '-'
    else:
      found[f'{before}{name}'] = value if isinstance(value, str) else json.dumps(value)
  return found


def command_of(about: Mapping[str, Any]) -> str:
  """Returns the command that makes an evaluation again, of what results.json has of it."""
  words = []
  checkpoint = about.get('checkpoint')
  values = {'checkpoint': checkpoint} if checkpoint else {'backbone': about.get('backbone')}
  values |= {name: about.get(name) for name in _FLAGS}
  if checkpoint:  # What is not there was none, whatever the checkpoint says.
    told: dict[str, Any] = {'support_margin': -1}
    told |= {'combine': 'vote'} if about['shots'] > 1 else {}
    told |= {'presence_threshold': -1} if about.get('absent') else {}
    values |= {name: value for name, value in told.items() if values[name] is None}
  for name, value in values.items():
    if value is True:
      words.append(f'--{name}')
    elif isinstance(value, list):
      words += [f'--{name}={one}' for one in value]
    elif value not in (None, False):
      words.append(f'--{name}={value}')
  return 'python -m experiments.evaluate ' + ' '.join(map(shlex.quote, words))


def log_of(run: Run) -> list[str]:
  """Returns what a run said as it began and ended, the lines between them left out."""
  said = [line for line in run.said if line.strip()]
  if len(said) <= _FIRST + _LAST:
    return said
  return [*said[:_FIRST], f'... {len(said) - _FIRST - _LAST} lines', *said[-_LAST:]]
