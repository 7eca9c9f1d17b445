"""Kills training at random moments, goes on with it, and compares with a run never killed.

Examples, from the checkout's folder:

  Thirty kills, about a third of an hour on two cores:
    python -m experiments.chaos --rounds=30 --seed=0

  Other moments, and all files kept:
    python -m experiments.chaos --rounds=5 --seed=7 --output_dir=chaos

Each round starts `experiments.train` as a user does, on a small folder of made pictures, kills it
(SIGKILL), makes sure that every checkpoint it left can be read, and gives the same command again.
The first of every three rounds kills while a checkpoint is being written, the others at a moment
drawn from the time that a run takes, whatever phase that meets, which is printed. What is
compared is a hash of the parameters in all checkpoints (the best, the last, those before it) and of
metrics.jsonl but for its `time/*` fields. Exits with 1 unless every round ends as the run that was
never killed.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import numpy as np
from absl import flags

from data_pipelines import make_benchmark
from experiments.command import app
from experiments.reporting.pictures import save_image
from hsnet_jax.checkpoints import load_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.models import digest
from hsnet_jax.whole_files import writable_folder

_ROUNDS = flags.DEFINE_integer('rounds', 30, 'How often a run is killed.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the moments.', lower_bound=0)
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', None, 'Where all runs stay. Default: a temporary folder.'
)
_EPOCHS = flags.DEFINE_integer('epochs', 4, 'Of each run.', lower_bound=1)

# Of each of four classes; two classes train, or three: 12 pictures, six steps an epoch.
_PICTURES = 4
_SAVING = 3  # One of so many rounds kills while a checkpoint is being written.
_TRIES = 5  # A run may have ended before its moment came.


@dataclasses.dataclass(frozen=True)
class Killed:
  """How a run ended.

  Attributes:
    phase: 'starting', 'training', 'validating' or 'saving'.
    code: the return code.
  """

  phase: str
  code: int


def main() -> int:
  """Kills and compares as the flags say; returns the exit code."""
  rng = random.Random(_SEED.value)
  with _folder() as folder:
    command = _command(folder)
    print('$', *command, '--run_dir=RUN', flush=True)
    seconds = _finish(command, folder / 'unbroken')
    expected = fingerprint(folder / 'unbroken')
    print(f'never killed: {expected}, {seconds:.1f} s', flush=True)
    if _ROUNDS.value > 1:
      # With compiled programs at hand, as all that come; the second round needs to know how long.
      seconds = _finish(command, folder / 'again')
      if fingerprint(folder / 'again') != expected:
        raise InputError('two unbroken runs differ on this machine, so killed ones prove nothing')
      print(f'the same again: {seconds:.1f} s', flush=True)
    equal, phases = 0, []
    for number in range(1, _ROUNDS.value + 1):
      run = folder / f'round{number}'
      killed = _kill_once(command, run, rng, seconds, saving=number % _SAVING == 1)
      result, is_equal = _go_on(command, run, expected)
      equal, phases = equal + is_equal, [*phases, killed.phase]
      print(
        f'round {number}: killed while {killed.phase}, return code {killed.code}, {result}',
        flush=True,
      )
      if not _OUTPUT_DIR.value and is_equal:
        shutil.rmtree(run)
  counts = ', '.join(f'{phases.count(p)} {p}' for p in dict.fromkeys(phases))
  print(f'{equal} of {_ROUNDS.value} rounds bit-equal ({counts})')
  return 0 if equal == _ROUNDS.value else 1


@contextlib.contextmanager
def _folder() -> Iterator[pathlib.Path]:
  if _OUTPUT_DIR.value:
    folder = writable_folder(_OUTPUT_DIR.value, argument='output_dir')
    if any(folder.iterdir()):
      raise InputError(f'{folder}: holds files already; name an empty folder with --output_dir')
    yield folder
  else:
    with tempfile.TemporaryDirectory(prefix='chaos') as name:
      yield pathlib.Path(name)


def _command(folder: pathlib.Path) -> list[str]:
  """The command that trains, but for --run_dir; its pictures are made.

  They are cut to their objects, of which then so much is found that the best epoch changes.
  """
  shapes = make_benchmark('shapes')
  for class_id in range(0, 20, 5):
    names = [name for name, c in shapes.split(class_id // 5, 'val').items if c == class_id]
    for number, name in enumerate(names[:_PICTURES]):
      image, label = shapes.load(name)
      mask = np.where(label == class_id + 1, np.uint8(255), np.uint8(0))
      rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
      cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
      own = folder / 'pictures' / shapes.class_names[class_id]
      save_image(own / f'{number}.jpg', image[cut])
      save_image(own / f'{number}.png', mask[cut])
  options = {
    'benchmark': 'folder',
    'data_dir': folder / 'pictures',
    'backbone': 'tiny',
    'image_size': 64,
    'batch_size': 2,
    'epochs': _EPOCHS.value,
    'learning_rate': 3e-4,
    'save_every': 2,
    'keep': 3,
    'augment': 'all',
    'ema': 0.9,
  }
  return [
    *(sys.executable, '-m', 'experiments.train'),
    *(f'--{name}={value}' for name, value in options.items()),
  ]


def _start(command: list[str], run: pathlib.Path) -> subprocess.Popen:
  root = pathlib.Path(__file__).resolve().parents[1]
  # Compiled once for all runs: a killed one spends its time on what may go wrong.
  cache = os.environ.get('JAX_COMPILATION_CACHE_DIR') or str(run.parent / 'compiled')
  environment = {
    **os.environ,
    'JAX_COMPILATION_CACHE_DIR': cache,
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.2',
  }
  with open(_log(run), 'ab') as log:
    return subprocess.Popen(
      [*command, f'--run_dir={run}'], cwd=root, env=environment, stdout=log, stderr=log
    )


def _log(run: pathlib.Path) -> pathlib.Path:
  """What a run says."""
  return run.parent / f'{run.name}.log'


def _finish(command: list[str], run: pathlib.Path) -> float:
  """Runs to the end; returns the seconds that it took."""
  start = time.monotonic()
  code = _start(command, run).wait()
  if code:
    tail = _log(run).read_text(errors='replace').splitlines()[-1:]
    raise InputError(f'{run}: experiments.train ended with {code}: {" ".join(tail)}')
  return time.monotonic() - start


def _go_on(command: list[str], run: pathlib.Path, expected: str) -> tuple[str, bool]:
  """Goes on with a killed run to its end: what there is to say of it, and whether all is equal."""
  try:
    found = _read_all(run)
    _finish(command, run)
    got = fingerprint(run)
  except InputError as error:
    return f'FAILED: {error}', False
  return f'left {found}; {expected} {"==" if got == expected else "!="} {got}', got == expected


def _kill_once(
  command: list[str], run: pathlib.Path, rng: random.Random, seconds: float, *, saving: bool
) -> Killed:
  """Starts a run and kills it, anew where it has ended before its moment came."""
  for _ in range(_TRIES):
    shutil.rmtree(run, ignore_errors=True)
    _log(run).unlink(missing_ok=True)
    process = _start(command, run)
    moment = time.monotonic() + rng.uniform(0.2, 0.95) * seconds
    writes, seen, before = rng.randint(1, 8), 0, False
    while process.poll() is None:
      now = _is_saving(run)
      seen, before = seen + (now and not before), now
      if saving and seen >= writes:
        time.sleep(rng.uniform(0, 0.02))
        if _is_saving(run):
          break
      if not saving and time.monotonic() >= moment:
        break
      time.sleep(0.0005)
    phase = _phase(run)
    process.send_signal(signal.SIGKILL)
    code = process.wait()
    if code == -signal.SIGKILL and (phase == 'saving' or not saving):
      return Killed(phase, code)
  raise InputError(f'{run}: ended {_TRIES} times before it could be killed; give more --epochs')


def _is_saving(run: pathlib.Path) -> bool:
  """Whether a checkpoint is under way: it is written beside its place, under a name with a dot."""
  return any(name.startswith('.') for name in _names(run))


def _names(run: pathlib.Path) -> list[str]:
  """What is in a run's folder of checkpoints; nothing before it is there."""
  try:
    return os.listdir(run / 'checkpoints')
  except FileNotFoundError:
    return []


def _phase(run: pathlib.Path) -> str:
  if _is_saving(run):
    return 'saving'
  text = _log(run).read_text(errors='replace')
  if 'epoch 1' not in text:
    return 'starting'
  return 'validating' if text.rfind('validation:') > text.rfind('epoch ') else 'training'


def _read_all(run: pathlib.Path) -> str:
  """Reads every checkpoint that a killed run left, and says which there were."""
  found = [f'{path.name} of step {load_checkpoint(path).step}' for path in _checkpoints(run)]
  return ', '.join(found) or 'no checkpoint'


def _checkpoints(run: pathlib.Path) -> list[pathlib.Path]:
  """Best, last and those before it, each once; one of which only `.last.new` is there counts."""
  names = [name.removeprefix('.').removesuffix('.new') for name in _names(run)]
  return [run / 'checkpoints' / name for name in sorted({*names}) if '.' not in name]


def fingerprint(run: pathlib.Path) -> str:
  """A hash of what a run left: the variables of its checkpoints, and the log but for its times.

  Args:
    run: the run's folder.

  Returns:
    16 hexadecimal digits.
  """
  hashed = hashlib.sha256()
  for path in _checkpoints(run):
    checkpoint = load_checkpoint(path)
    told = [path.name, checkpoint.step, checkpoint.config['figures'], digest(checkpoint.variables)]
    hashed.update(json.dumps(told).encode())
  for line in (run / 'metrics.jsonl').read_text(encoding='utf-8').splitlines():
    hashed.update(json.dumps(_without_times(json.loads(line))).encode())
  return hashed.hexdigest()[:16]


def _without_times(line: Mapping[str, Any]) -> dict[str, Any]:
  return {name: value for name, value in line.items() if not name.startswith('time/')}


if __name__ == '__main__':
  app.run(main)
