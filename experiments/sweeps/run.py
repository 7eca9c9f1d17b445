"""Runs a sweep from beginning to end: `sweep(SweepConfig(...))`."""

import contextlib
import dataclasses
import importlib
import pathlib
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING

from experiments.storage.locks import alone
from experiments.sweeps.config import SweepConfig
from experiments.sweeps.folder import Trial, check_sweep_folder, read_trials
from experiments.sweeps.report import best_run, write_results
from experiments.sweeps.signals import Stopping
from experiments.sweeps.space import check_space, read_space
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import writable_folder

if TYPE_CHECKING:
  from types import ModuleType


@dataclasses.dataclass(frozen=True)
class SweepOutcome:
  """Says what came of a sweep.

  Attributes:
    folder: the sweep's.
    trials: {number: trial}, as they are recorded.
    stopped: the signal that ended it before its end; None where there was none.
  """

  folder: pathlib.Path
  trials: Mapping[int, Trial]
  stopped: signal.Signals | None = None

  @property
  def best(self) -> pathlib.Path | None:
    """Returns the best checkpoint of the best trial; None where nothing was validated."""
    run = best_run(self.folder, self.trials)
    return None if run is None else run / 'checkpoints' / 'best'

  @property
  def failed(self) -> list[str]:
    """Returns the names of the trials that failed."""
    return [trial.name for trial in self.trials.values() if trial.status == 'failed']


def sweep(config: SweepConfig, *, stopping: Stopping | None = None) -> SweepOutcome:
  """Runs what is left of a sweep, writes its tables and plots, and prints the table.

  Args:
    config: what to search, how, where, and where to.
    stopping: what has the trials save and stop: a command's `stopped_by_signals`; None: nothing.

  Returns:
    What came of it. The same call resumes a sweep that was stopped, and tries failed trials again.

  Raises:
    InputError: packages are missing, the space is not good, the folder holds another sweep, or no
      machine has a trial's share.
  """
  if config.space is None:
    raise InputError('`space` is missing: name a TOML file, such as docs/sweep.toml')
  space = read_space(config.space)
  engine = _import_engine()
  folder = pathlib.Path(config.output_dir or f'sweeps/{space.path.stem}').expanduser()
  description = {**config.description(), **space.record()}
  resume = check_sweep_folder(folder, description, overwrite=config.overwrite)
  if not resume:
    check_space(space)
  if config.address is not None:
    engine.check_address(config.address)
  writable_folder(folder, argument='output_dir')
  with alone(folder, does='runs this sweep'):
    print(f'{config.trials} trials, outputs: {folder}', flush=True)
    stopped = engine.run_trials(
      folder,
      space,
      config,
      new=None if resume else description,
      stopping=stopping(folder.resolve()) if stopping else contextlib.nullcontext([]),
    )
    trials = read_trials(folder, metric=config.metric)
    print(write_results(folder, trials, metric=config.metric, domains=space.domains))
  return SweepOutcome(folder, trials, stopped)


def _import_engine() -> 'ModuleType':
  """Imports what needs Ray and Optuna, which are optional, as is what draws the plots."""
  try:
    importlib.import_module('matplotlib.figure')
    return importlib.import_module('experiments.sweeps.engine')
  except ImportError as error:
    # Of Ray alone, without its part for sweeps, the message names nothing.
    raise InputError(f"a sweep needs more packages: pip install '.[sweep]' ({error})") from error
