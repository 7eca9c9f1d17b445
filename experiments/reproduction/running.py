"""Runs what a reproduction still needs, and compares what came out with what is published."""

import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from experiments.reporting.page.published import departures
from experiments.reporting.rows import markdown_table, text_table
from experiments.reproduction.config import ReproduceConfig
from experiments.reproduction.plan import Step, folds_of, home_of, missing, plan, results_of
from experiments.reproduction.rows import Row, find_row, rows
from experiments.storage.checkout import child_environment
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import write_text


def reproduce(config: ReproduceConfig) -> int:
  """Runs the commands of a row that are not done, and prints and writes the comparison.

  Args:
    config: which row, and what is there.

  Returns:
    The exit code: of the first command that fails, or 0.

  Raises:
    InputError: there is no such row or fold, or something is missing; all that is, is named.
  """
  if config.row is None:
    print(text_table(_listed(), left=2))
    print('\nOne of them: python -m experiments.reproduce --row=NAME; docs/reproduce.md has more')
    return 0
  row = find_row(config.row)
  steps, lacks = plan(config, row), missing(config, row)
  if config.dry_run:
    for step in steps:
      print(f'{"done: " if step.is_done else ""}python -m {_shown(step)}')
  if lacks:
    raise InputError(f'{row.name} needs what is not there: {"; ".join(lacks)}')
  if config.dry_run:
    return 0
  for number, step in enumerate(steps, 1):
    print(f'\n[{number}/{len(steps)}] $ python -m {_shown(step)}', flush=True)
    if step.is_done:
      print(f'done before: {step.leaves}')
    elif code := _run(step):
      print(f'stopped at step {number}; the same command goes on there', file=sys.stderr)
      return code
  found = {fold: _read(results_of(config, row, fold)) for fold in folds_of(config, row)}
  table = compared(row, found)
  remark = f'Published: {row.published.source}. {_remark(config, row, found)}'
  print(f'\n{text_table(table, left=1)}\n\n{remark}')
  page = home_of(config, row) / f'{row.name}.md'
  write_text(page, f'{markdown_table(table, left=1)}\n\n{remark}\n')
  print(f'written: {page}')
  return 0


def compared(row: Row, found: Mapping[int, Mapping[str, Any]]) -> list[list[str]]:
  """Lays published figures, ours and the difference side by side.

  Args:
    row: what is published.
    found: of each fold, what its evaluation reaches over all episodes, with its interval.

  Returns:
    Rows of text, the first one the heads; the means only where all folds are there.
  """
  published = row.published
  table = [['percent', 'published', 'ours', '95% interval', 'difference']]
  for fold, figures in found.items():
    head = f'mIoU, fold {fold}' if len(published.folds) > 1 else 'mIoU'
    table.append(_line(head, published.folds[fold], figures['miou'], figures.get('miou_interval')))
  if set(found) == set(published.folds):
    means = {key: sum(f[key] for f in found.values()) / len(found) for key in ('miou', 'fb_iou')}
    if len(found) > 1:
      table.append(_line('mIoU, mean', published.miou, means['miou'], None))
    table.append(_line('FB-IoU', published.fb_iou, means['fb_iou'], None))
  return table


def _line(head: str, published: float | None, own: float, interval: Any) -> list[str]:
  ends = '-' if not interval else '{:.1f} to {:.1f}'.format(*interval)
  if published is None:
    return [head, '-', f'{own:.1f}', ends, '-']
  return [head, f'{published:.1f}', f'{own:.1f}', ends, f'{own - published:+.1f}']


def _remark(config: ReproduceConfig, row: Row, found: Mapping[int, Mapping[str, Any]]) -> str:
  """Says what of ours is not as published."""
  abouts, backbone = [figures['about'] for figures in found.values()], row.published.backbone
  others = {about['backbone'] for about in abouts} - {backbone}
  said = [f'backbone {other}, where the paper has {backbone}' for other in sorted(others)]
  said += [words for about in abouts for words in departures(about, row.benchmark)]
  said = list(dict.fromkeys(said))
  if config.max_steps is not None:
    said.append(f'training cut off at {config.max_steps} steps')
  if len(found) < len(row.published.folds):
    said.append(f'{len(found)} of {len(row.published.folds)} folds, without means')
  if not said:
    return 'Ours: as published, by what the evaluations record.'
  return f'Ours: {"; ".join(said)}.'


def _listed() -> list[list[str]]:
  """Lays all rows out, with what is published."""
  table = [['row', 'source', *(f'fold {n}' for n in range(4)), 'mIoU', 'FB-IoU']]
  for row in rows():
    one = row.published
    folds = [one.folds.get(fold) if len(one.folds) > 1 else None for fold in range(4)]
    cells = ['-' if value is None else f'{value:.1f}' for value in (*folds, one.miou, one.fb_iou)]
    table.append([row.name, one.source, *cells])
  return table


def _shown(step: Step) -> str:
  return shlex.join([f'experiments.{step.words[0]}', *step.words[1:]])


def _run(step: Step) -> int:
  name, *flags = step.words
  words = [sys.executable, '-m', f'experiments.{name}', *flags]
  with subprocess.Popen(words, env=child_environment(os.environ)) as child:
    # A training saves its step when it is told to end, which takes a moment.
    before = signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
    try:
      return child.wait()
    finally:
      signal.signal(signal.SIGTERM, before)


def _read(folder: pathlib.Path) -> Mapping[str, Any]:
  """Returns what an evaluation reaches over all of its episodes."""
  path = folder / 'results.json'
  try:
    content = json.loads(path.read_text(encoding='utf-8'))
    figures = list(content.pop('results').values())[-1]
    numbers = {key: float(figures[key]) for key in ('miou', 'fb_iou')}
    return {**figures, **numbers, 'about': content}
  except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
    raise InputError(f'{path}: no results of an evaluation; remove its folder') from error
