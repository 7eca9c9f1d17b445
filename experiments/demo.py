"""Shows all of it on the embedded benchmark: trains, evaluates on classes never seen, draws.

  make demo

runs the commands as a user would, prints each command, and ends with one table: the training-free
prototype, then HSNet with one and with five support images. Then it segments photographs from one
outline each, by the model that comes with the package. About three minutes on two CPU cores.
"""

import itertools
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

from absl import flags

from experiments.command import app
from experiments.command.cache import define_cache
from experiments.storage.checkout import child_environment
from experiments.storage.results import find_place, mark, may_write, numbered, write_png
from hsnet_jax.whole_files import write_text

_RUN_DIR = flags.DEFINE_string(
  'run_dir',
  'runs/demo',
  'Where everything goes. The same demo there is replaced; beside anything else it gets a number.',
)
_FOLD = flags.DEFINE_integer('fold', 0, 'Fold whose classes are never seen in training.')
_EPOCHS = flags.DEFINE_integer('epochs', 2, 'Passes over the training list.', lower_bound=1)
_MINUTES = flags.DEFINE_float('minutes', 3, 'Training time at most.', lower_bound=0)
_EPISODES = flags.DEFINE_integer('episodes', 250, 'Test episodes.', lower_bound=1)

define_cache()

# Photographs that come with the package: one that has a mask, those to find the same in, and in how
# many parts along a side these are looked at.
_PHOTOGRAPHS = pathlib.Path(__file__).parent / 'photographs'
_SCENES = (('astronaut', ('camera', 'rocket'), 1), ('coins', ('more_coins',), 3))

# What the file is called that says which demo a folder is of.
_ABOUT = '.demo.json'
# Head of the column, flags of experiments.evaluate, folder of the results.
_EVALUATIONS = (
  ('prototype', ('--model=prototype',), 'prototype-1shot'),
  ('HSNet 1-shot', (), '1shot'),
  ('HSNet 5-shot', ('--shots=5',), '5shot'),
)


def main() -> int:
  """Trains, evaluates, and says where the pictures are."""
  start = time.monotonic()
  run_dir = _place(pathlib.Path(_RUN_DIR.value).expanduser())
  code = _run(
    'train',
    f'--fold={_FOLD.value}',
    f'--epochs={_EPOCHS.value}',
    f'--max_minutes={_MINUTES.value:g}',
    f'--run_dir={run_dir}',
    '--overwrite',
  )
  if code:
    return code
  columns = {}
  for head, options, name in _EVALUATIONS:
    folder = run_dir / 'evaluation' / name
    code = _run(
      'evaluate',
      f'--checkpoint={run_dir}',
      f'--episodes={_EPISODES.value}',
      f'--output_dir={folder}',
      *options,
    )
    if code:
      return code
    # Where a person has changed earlier results, the new ones are beside them.
    found = max(
      (run_dir / 'evaluation').glob(f'{name}*/results.json'), key=lambda path: path.stat().st_mtime
    )
    results = json.loads(found.read_text(encoding='utf-8'))['results']
    columns[head] = list(results.values())[-1]
  print(f'\nClasses never seen in training, {_EPISODES.value} episodes:\n')
  from experiments.reporting.rows import text_table
  from experiments.reporting.tables import table_rows  # It reads the metrics' table: JAX.

  print(text_table(table_rows(columns), left=1))
  pictures = run_dir.resolve() / 'evaluation' / '1shot' / 'episodes.png'
  print(f'\nSupport, prediction, ground truth: {pictures}')
  code = segment_photographs(run_dir / 'photographs')
  if code:
    return code
  print(f'{time.monotonic() - start:.0f} s in all', flush=True)
  return 0


def segment_photographs(folder: pathlib.Path) -> int:
  """Segments the photographs of the package, and draws what was found.

  Args:
    folder: where masks, overlays and photographs.png go.

  Returns:
    The exit code of the first command that fails, or 0.
  """
  print('\nPhotographs, by the model that comes with the package:')
  for support, queries, tiles in _SCENES:
    code = _run(
      'predict',
      f'--support_images={_PHOTOGRAPHS / support}.jpg',
      f'--support_masks={_PHOTOGRAPHS / support}_mask.png',
      f'--query={",".join(f"{_PHOTOGRAPHS / query}.jpg" for query in queries)}',
      f'--tiles={tiles}',
      f'--output_dir={folder}',
    )
    if code:
      return code
  from experiments.reporting.pictures import draw_predictions, read_shown

  def found(query: str) -> list:
    # A person may have changed an earlier mask: the newest is the one that was just written.
    masks = folder.glob(f'{query}_predicted*.png')
    newest = max(masks, key=lambda path: path.stat().st_mtime)
    return read_shown(_PHOTOGRAPHS / f'{query}.jpg', newest)

  rows = []
  for support, queries, _ in _SCENES:
    mask = _PHOTOGRAPHS / f'{support}_mask.png'
    rows.append((read_shown(_PHOTOGRAPHS / f'{support}.jpg', mask), [found(q) for q in queries]))
  page, of = folder / 'photographs.png', {'command': 'demo'}
  page = numbered(page, find_place(lambda number: [numbered(page, number)], of=of))
  write_png(page, draw_predictions(rows, title='One outline each, by photos'), of=of)
  print(f'\nSupport and predictions: {page.resolve()}')
  return 0


def _place(wanted: pathlib.Path) -> pathlib.Path:
  """Returns the folder of this demo: the one asked for, unless other things are in it."""
  of = {'command': 'demo', 'fold': _FOLD.value, 'epochs': _EPOCHS.value}
  of |= {'minutes': _MINUTES.value, 'episodes': _EPISODES.value}

  def is_free(folder: pathlib.Path) -> bool:
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
      return True
    return (folder / _ABOUT).is_file() and may_write(folder / _ABOUT, of=of)

  folder = next(place for n in itertools.count(1) if is_free(place := numbered(wanted, n)))
  there = folder / _ABOUT
  write_text(there, json.dumps(of, indent=2) + '\n')
  mark(there, of=of)
  return folder


def _run(name: str, *options: str) -> int:
  """Runs a command; returns its exit code."""
  words = ['-m', f'experiments.{name}', *options]
  print('\n$ python', shlex.join(words), flush=True)
  environment = child_environment(os.environ)
  return subprocess.run([sys.executable, *words], env=environment, check=False).returncode


if __name__ == '__main__':
  app.run(main)
