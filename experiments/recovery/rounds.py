"""Kills real runs at random moments, resumes them, and compares them with one never killed."""

import dataclasses
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np

from data_pipelines import make_benchmark
from experiments.recovery.config import ChaosConfig
from experiments.recovery.fingerprint import checkpoints_of, fingerprint, saved_names
from experiments.reporting.pictures import save_image
from experiments.storage.checkout import child_environment
from experiments.storage.results import empty_folder
from hsnet_jax.checkpoints import load_checkpoint
from hsnet_jax.errors import InputError

# Of each of four classes; two classes train, or three: 12 pictures, six steps an epoch.
_PICTURES = 4
_SAVING = 3  # One of so many rounds kills while a checkpoint is being written.
_TRIES = 5  # A run may have ended before its moment came.


@dataclasses.dataclass(frozen=True)
class Killed:
  """Says how a run ended.

  Attributes:
    phase: 'starting', 'training', 'validating' or 'saving'.
    code: the return code.
  """

  phase: str
  code: int


def kill_and_compare(config: ChaosConfig) -> bool:
  """Kills runs, resumes them, and says of each round what came of it.

  Args:
    config: how often, when, and where to.

  Returns:
    Whether every round ended as the run that was never killed.

  Raises:
    InputError: two unbroken runs differ, a run fails, or the folder holds files already.
  """
  rng = random.Random(config.seed)
  with empty_folder(config.output_dir) as folder:
    _save_pictures(folder / 'pictures')
    command = _command(folder / 'pictures', epochs=config.epochs)
    print('$', *command, '--run_dir=RUN', flush=True)
    seconds = _finish(command, folder / 'unbroken')
    expected = fingerprint(folder / 'unbroken')
    print(f'never killed: {expected}, {seconds:.1f} s', flush=True)
    if config.rounds > 1:
      # With compiled programs at hand, as all that come; the second round needs to know how long.
      seconds = _finish(command, folder / 'again')
      if fingerprint(folder / 'again') != expected:
        raise InputError('two unbroken runs differ on this machine, so killed ones prove nothing')
      print(f'the same again: {seconds:.1f} s', flush=True)
    equal, phases = 0, []
    for number in range(1, config.rounds + 1):
      run = folder / f'round{number}'
      killed = _kill_once(command, run, rng, seconds, saving=number % _SAVING == 1)
      result, is_equal = _resume(command, run, expected)
      equal, phases = equal + is_equal, [*phases, killed.phase]
      print(
        f'round {number}: killed while {killed.phase}, return code {killed.code}, {result}',
        flush=True,
      )
      if not config.output_dir and is_equal:
        shutil.rmtree(run)
  counts = ', '.join(f'{phases.count(p)} {p}' for p in dict.fromkeys(phases))
  print(f'{equal} of {config.rounds} rounds bit-equal ({counts})')
  return equal == config.rounds


def _save_pictures(folder: pathlib.Path) -> None:
  """Makes the pictures, cut to their objects, of which then so much is found that the best changes.

  The best epoch, that is: killed runs must find it again.
  """
  shapes = make_benchmark('shapes')
  for class_id in range(0, 20, 5):
    names = [name for name, c in shapes.split(class_id // 5, 'val').items if c == class_id]
    for number, name in enumerate(names[:_PICTURES]):
      image, label = shapes.load(name)
      mask = np.where(label == class_id + 1, np.uint8(255), np.uint8(0))
      rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
      cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
      own = folder / shapes.class_names[class_id]
      save_image(own / f'{number}.jpg', image[cut])
      save_image(own / f'{number}.png', mask[cut])


def _command(pictures: pathlib.Path, *, epochs: int) -> list[str]:
  """Returns the command that trains, but for --run_dir."""
  return [
    *(sys.executable, '-m', 'experiments.train'),
    *('--benchmark=folder', f'--data_dir={pictures}', '--backbone=tiny', '--image_size=64'),
    *('--batch_size=2', f'--epochs={epochs}', '--learning_rate=0.0003', '--save_every=2'),
    *('--keep=3', '--augment=all', '--ema=0.9'),
  ]


def _start(command: Sequence[str], run: pathlib.Path) -> subprocess.Popen[bytes]:
  # Compiled once for all runs: a killed one spends its time on what may go wrong.
  cache = os.environ.get('JAX_COMPILATION_CACHE_DIR') or str(run.parent / 'compiled')
  environment = {
    **child_environment(os.environ),
    'JAX_COMPILATION_CACHE_DIR': cache,
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.2',
  }
  with open(_log(run), 'ab') as log:
    return subprocess.Popen([*command, f'--run_dir={run}'], env=environment, stdout=log, stderr=log)


def _log(run: pathlib.Path) -> pathlib.Path:
  """Returns the file of what a run says."""
  return run.parent / f'{run.name}.log'


def _finish(command: Sequence[str], run: pathlib.Path) -> float:
  """Runs to the end; returns the seconds that it took."""
  start = time.monotonic()
  code = _start(command, run).wait()
  if code:
    tail = _log(run).read_text(errors='replace').splitlines()[-1:]
    raise InputError(f'{run}: experiments.train ended with {code}: {" ".join(tail)}')
  return time.monotonic() - start


def _resume(command: Sequence[str], run: pathlib.Path, expected: str) -> tuple[str, bool]:
  """Resumes a killed run: returns what there is to say of it, and whether all is equal."""
  try:
    found = _read_all(run)
    _finish(command, run)
    got = fingerprint(run)
  except InputError as error:
    return f'FAILED: {error}', False
  return f'left {found}; {expected} {"==" if got == expected else "!="} {got}', got == expected


def _kill_once(
  command: Sequence[str], run: pathlib.Path, rng: random.Random, seconds: float, *, saving: bool
) -> Killed:
  """Starts a run and kills it, anew where it has ended before its moment came.

  A machine may have become quicker since `seconds` were measured: a run that ended too early says
  how long one takes now.
  """
  for _ in range(_TRIES):
    shutil.rmtree(run, ignore_errors=True)
    _log(run).unlink(missing_ok=True)
    start = time.monotonic()
    process = _start(command, run)
    moment = start + rng.uniform(0.2, 0.95) * seconds
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
    if code != -signal.SIGKILL:
      seconds = min(seconds, time.monotonic() - start)
  raise InputError(f'{run}: ended {_TRIES} times before it could be killed; give more `epochs`')


def _is_saving(run: pathlib.Path) -> bool:
  """Returns whether a checkpoint is under way: it has a name with a dot until it is whole."""
  return any(name.startswith('.') for name in saved_names(run))


def _phase(run: pathlib.Path) -> str:
  """Returns what a run is at, by what it has said."""
  if _is_saving(run):
    return 'saving'
  text = _log(run).read_text(errors='replace')
  if 'epoch 1' not in text:
    return 'starting'
  return 'validating' if text.rfind('validation:') > text.rfind('epoch ') else 'training'


def _read_all(run: pathlib.Path) -> str:
  """Reads every checkpoint that a killed run left, and says which there were."""
  found = [f'{path.name} of step {load_checkpoint(path).step}' for path in checkpoints_of(run)]
  return ', '.join(found) or 'no checkpoint'
