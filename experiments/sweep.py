"""Searches for flags of experiments.train: many trials, several at a time, with Ray Tune.

Needs `pip install '.[sweep]'`. Examples, from the checkout's folder:

  Eight trials on the embedded benchmark, one a core (docs/sweep.toml is the space to copy):
    python -m experiments.sweep --space=docs/sweep.toml

  TPE in place of random draws, and ASHA, which ends what falls behind:
    python -m experiments.sweep --space=docs/sweep.toml --search=tpe --asha --trials=20 \\
      --output_dir=sweeps/tpe

  Two trials on each GPU of a cluster that `ray start` has made, on a disk that all machines share:
    python -m experiments.sweep --space=space.toml --address=auto --gpus_per_trial=0.5 \\
      --cpus_per_trial=4 --output_dir=shared/sweep

A trial is a run of experiments.train with its own folder, OUTPUT_DIR/trials/001 and so on. Beside
them come results.csv, results.md and two plots, curves.png and parameters.png. The same command
goes on with a sweep that was stopped, killed or had failures: trials that are done are not run
again, those that were cut off go on from their last checkpoint. Ctrl-C and SIGTERM let each trial
save its step; the exit code is then 130 or 143, and 1 where trials failed.
"""

import importlib
import pathlib
import sys
from typing import Any

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from absl import flags

from experiments.command import app
from experiments.storage.locks import alone
from experiments.sweeps.folder import check_sweep_folder, read_trials
from experiments.sweeps.report import best_run, write_results
from experiments.sweeps.space import Space, check_flags, read_space
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import writable_folder

_SPACE = flags.DEFINE_string(
  'space', None, 'TOML file: [train] with fixed flags of experiments.train, [space] with searched.'
)
_TRIALS = flags.DEFINE_integer(
  'trials', 8, 'How many trials; more may be asked for later.', lower_bound=1
)
_SEARCH = flags.DEFINE_enum(
  'search',
  'random',
  ['random', 'tpe'],
  'random: the same seed gives the same trials; tpe: draws where trials before did well (Optuna).',
)
_ASHA = flags.DEFINE_bool(
  'asha', False, 'Stop trials early that at the same number of validations are behind others.'
)
_ASHA_GRACE = flags.DEFINE_integer(
  'asha_grace', 2, 'Validations that every trial has before it may be stopped.', lower_bound=1
)
_ASHA_FACTOR = flags.DEFINE_integer(
  'asha_factor',
  3,
  'One in so many goes on, compared after --asha_grace validations and so many times as many,'
  ' again and again.',
  lower_bound=2,
)
_METRIC = flags.DEFINE_enum(
  'metric',
  'val/miou',
  ['val/miou', 'val/fb_iou'],
  'What is to be large, at its best validation. checkpoints/best is by val/miou in any case.',
)
_CPUS = flags.DEFINE_float('cpus_per_trial', 1, 'Share of the CPUs.', lower_bound=0.1)
_GPUS = flags.DEFINE_float(
  'gpus_per_trial', 0, 'Share of the GPUs; 0.5 puts two trials on one.', lower_bound=0.0
)
_ADDRESS = flags.DEFINE_string(
  'address',
  None,
  'A Ray cluster, host:port or auto for the one that this machine is in. Default: a Ray of its own,'
  ' on this machine.',
)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the search.', lower_bound=0)
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', None, "The sweep's folder. Default: sweeps/ and the name of the space file."
)
_OVERWRITE = flags.DEFINE_bool('overwrite', False, 'Replace the sweep that --output_dir holds.')


def main() -> int:
  """Sweeps as the flags say; returns the exit code."""
  if _SPACE.value is None:
    raise InputError('--space is missing: name a TOML file, such as docs/sweep.toml')
  if _GPUS.value > 1 and _GPUS.value != int(_GPUS.value):
    raise InputError(f'--gpus_per_trial={_GPUS.value}: a part of one GPU, or a whole number')
  space = read_space(_SPACE.value)
  engine = _import_engine()
  folder = pathlib.Path(_OUTPUT_DIR.value or f'sweeps/{space.path.stem}').expanduser()
  description = _description(space)
  resume = check_sweep_folder(folder, description, overwrite=_OVERWRITE.value)
  if not resume:
    check_flags(space)
  if _ADDRESS.value is not None:
    engine.check_address(_ADDRESS.value)
  writable_folder(folder, argument='output_dir')
  with alone(folder, does='runs this sweep'):
    print(f'{_TRIALS.value} trials, outputs: {folder}', flush=True)
    received = engine.run_trials(
      folder, space, _options(engine), new=None if resume else description
    )
    code = _conclude(folder, space)
  if received is not None:
    print('stopped; the same command goes on from there', file=sys.stderr)
    return 128 + received
  return code


def _import_engine() -> Any:
  """The room that needs Ray and Optuna, which are optional, as is what draws the plots."""
  try:
    importlib.import_module('matplotlib.figure')
    return importlib.import_module('experiments.sweeps.engine')
  except ImportError as error:
    # Of Ray alone, without its part for sweeps, the message names nothing.
    raise InputError(f"a sweep needs more packages: pip install '.[sweep]' ({error})") from error


def _asha() -> list[int] | None:
  return [_ASHA_GRACE.value, _ASHA_FACTOR.value] if _ASHA.value else None


def _description(space: Space) -> dict[str, Any]:
  """What the sweep is, as opposed to how far it goes and where it runs."""
  return {
    'search': _SEARCH.value,
    'seed': _SEED.value,
    'metric': _METRIC.value,
    'asha': _asha(),
    **space.record(),
  }


def _options(engine: Any) -> Any:
  return engine.Options(
    trials=_TRIALS.value,
    search=_SEARCH.value,
    seed=_SEED.value,
    metric=_METRIC.value,
    asha=_asha(),
    cpus=_CPUS.value,
    gpus=_GPUS.value,
    address=_ADDRESS.value,
  )


def _conclude(folder: pathlib.Path, space: Space) -> int:
  """Writes and prints the results; returns the exit code."""
  trials = read_trials(folder, metric=_METRIC.value)
  print(write_results(folder, trials, metric=_METRIC.value, domains=space.domains))
  best = best_run(folder, trials)
  if best is not None:
    print(f'next: python -m experiments.evaluate --checkpoint={best}/checkpoints/best')
  failed = [trial.name for trial in trials.values() if trial.status == 'failed']
  if failed:
    print(
      f'{len(failed)} of {len(trials)} trials failed: {", ".join(failed)}; see log.txt in their'
      ' folders; the same command tries them again',
      file=sys.stderr,
    )
  return 1 if failed else 0


if __name__ == '__main__':
  app.run(main)
