"""Runs the trials of a sweep that are left with Ray Tune.

Of Ray's own state nothing is kept: a sweep resumes from the records of its trials. Those that are
done are told to the search and to ASHA; the others are run, and where a run was cut off,
`experiments.train` resumes from its last checkpoint.
"""

import contextlib
import logging
import os
import pathlib
import shutil
import signal
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
import ray
from ray import tune

from experiments.storage.checkout import child_environment
from experiments.sweeps.config import SweepConfig
from experiments.sweeps.folder import (
  RAY_FOLDER,
  STOP_FILE,
  Trial,
  begin_sweep,
  read_trials,
  write_trial,
)
from experiments.sweeps.search import TrialSearch, make_scheduler
from experiments.sweeps.space import Space, short_text
from experiments.sweeps.trials import TrainProcess
from hsnet_jax.errors import InputError

# Quiet, and without what Ray does unasked. Read when it starts.
_SETTINGS = {
  'RAY_USAGE_STATS_ENABLED': '0',
  'RAY_AIR_NEW_OUTPUT': '0',
  'RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO': '0',
  'RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS': '0',
  'TUNE_DISABLE_AUTO_CALLBACK_LOGGERS': '1',
  'TUNE_DISABLE_SIGINT_HANDLER': '1',
  'TUNE_PRINT_ALL_TRIAL_ERRORS': '0',
  # A trial that is interrupted before its first validation has no score.
  'TUNE_DISABLE_STRICT_METRIC_CHECKING': '1',
}
# Ray would set a third of the memory aside, for what trials do not send.
_OBJECT_STORE = 80 * 2**20
_CONNECT_SECONDS = 10


def run_trials(
  folder: pathlib.Path,
  space: Space,
  config: SweepConfig,
  *,
  new: Mapping[str, Any] | None = None,
  stopping: contextlib.AbstractContextManager[list[signal.Signals]],
) -> signal.Signals | None:
  """Runs what is left of a sweep.

  Args:
    folder: of the sweep, with its records.
    space: what is searched.
    config: how.
    new: description of a sweep that takes the place of what is in the folder; None: resumes.
    stopping: holds the signal that has the trials save and stop.

  Returns:
    The signal that stopped it; None where nothing is left but what failed.

  Raises:
    InputError: there is no such cluster, or no machine of it has a trial's share.
  """
  folder = folder.resolve()
  trials = read_trials(folder, metric=config.metric) if new is None else {}
  left = [n for n in range(1, config.trials + 1) if n not in trials or not trials[n].done]
  if not left:
    return None
  left.sort(key=lambda number: (number not in trials, number))
  _remove_left_behind(folder)
  with _quiet(), _started_ray(config), stopping as received:
    if new is not None:
      begin_sweep(folder, new)
    tune.Tuner(
      tune.with_resources(
        TrainProcess, {'cpu': config.cpus_per_trial, 'gpu': config.gpus_per_trial}
      ),
      param_space={
        'sweep_dir': str(folder),
        'cwd': os.getcwd(),
        'metric': config.metric,
        'cpus': config.cpus_per_trial,
        'gpus': config.gpus_per_trial,
      },
      tune_config=tune.TuneConfig(
        num_samples=len(left),
        search_alg=TrialSearch(folder, space, config, trials=trials, left=left),
        scheduler=make_scheduler(config, trials),
        trial_dirname_creator=lambda trial: f'{trial.config["number"]:03d}',
      ),
      run_config=tune.RunConfig(
        name=RAY_FOLDER,
        storage_path=str(folder),
        callbacks=[Teller(folder, config.metric, trials)],
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        verbose=0,
      ),
    ).fit()
  _remove_left_behind(folder)
  return received[0] if received else None


def check_address(address: str) -> None:
  """Makes sure that something listens at the address of a cluster: Ray would try for very long.

  Args:
    address: host:port, or auto.

  Raises:
    InputError: it is no such address, or nothing listens.
  """
  if address == 'auto':
    return
  host, _, port = address.rpartition(':')
  if not host or '/' in host or not port.isdecimal():
    raise InputError(f'`address`={address}: write host:port of the head, such as 10.0.0.1:6379')
  try:
    socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
  except (OSError, OverflowError) as error:
    raise InputError(
      f'`address`={address}: no Ray cluster answers ({error}); `ray start --head` starts one'
    ) from error


def _remove_left_behind(folder: pathlib.Path) -> None:
  shutil.rmtree(folder / RAY_FOLDER, ignore_errors=True)
  (folder / STOP_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps Ray and Optuna from talking, and gives the process back as it was."""
  before = {name: os.environ.get(name) for name in _SETTINGS}
  log, optuna_level = logging.getLogger('ray'), optuna.logging.get_verbosity()
  ray_level = log.level
  os.environ.update(_SETTINGS)
  optuna.logging.set_verbosity(optuna.logging.ERROR)
  try:
    yield
  finally:
    log.setLevel(ray_level)
    optuna.logging.set_verbosity(optuna_level)
    for name, value in before.items():
      if value is None:
        os.environ.pop(name, None)
      else:
        os.environ[name] = value


@contextlib.contextmanager
def _started_ray(config: SweepConfig) -> Iterator[None]:
  """Has Ray, on this machine or as a cluster that is there."""
  alone = config.address is None
  path = child_environment(os.environ).get('PYTHONPATH', '')
  try:
    ray.init(
      address='local' if alone else config.address,
      include_dashboard=False if alone else None,
      object_store_memory=_OBJECT_STORE if alone else None,
      runtime_env={'env_vars': {'PYTHONPATH': path}} if path else None,
      logging_level=logging.CRITICAL,
      log_to_driver=False,
    )
  except (ConnectionError, RuntimeError, ValueError) as error:
    if config.address is None:
      raise
    raise InputError(
      f'`address`={config.address}: no Ray cluster answers ({error}); `ray start --head` starts one'
    ) from error
  try:
    logging.getLogger('ray').setLevel(logging.CRITICAL)  # Its start has set another.
    check_share(config, [node['Resources'] for node in ray.nodes() if node['Alive']])
    yield
  finally:
    ray.shutdown()


def check_share(config: SweepConfig, machines: Sequence[Mapping[str, float]]) -> None:
  """Makes sure that a trial's share is to be had: Ray would wait for a larger machine, for ever.

  Args:
    config: of the sweep.
    machines: of each machine, how much there is of 'CPU' and 'GPU'.

  Raises:
    InputError: no machine has as much.
  """
  shares = [(machine.get('GPU', 0), machine.get('CPU', 0)) for machine in machines]
  cpus, gpus = config.cpus_per_trial, config.gpus_per_trial
  if not any(has_gpus >= gpus and has_cpus >= cpus for has_gpus, has_cpus in shares):
    has_gpus, has_cpus = max(shares)
    raise InputError(
      f'`cpus_per_trial`={cpus:g} and `gpus_per_trial`={gpus:g}: no machine has as much; the'
      f' largest has {has_cpus:g} CPUs and {has_gpus:g} GPUs'
    )
  if not gpus and any(has_gpus for has_gpus, _ in shares):
    warnings.warn('no GPU is used; `gpus_per_trial`=1 gives each trial one', stacklevel=2)


class Teller(tune.Callback):
  """Prints what happens, and records how trials end."""

  def __init__(self, folder: pathlib.Path, metric: str, trials: Mapping[int, Trial]):
    """Takes the sweep's folder, its metric, and the trials that had begun before."""
    self._folder, self._metric = folder, metric
    self._seen = {number: max(t.values, default=-1) for number, t in trials.items()}
    self._begun: set[int] = set()

  def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
    """Says what the trial tries, unless it is to stop at once."""
    number, params = trial.config['number'], trial.config['params']
    if (self._folder / STOP_FILE).exists():
      return
    self._begun.add(number)
    values = '  '.join(f'{name} {short_text(value)}' for name, value in params.items())
    step = self._seen.get(number, -1)
    again = f'  (resumes; validated up to step {step})' if step >= 0 else ''
    self._say(trial, values + again)

  def on_trial_result(
    self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
  ) -> None:
    """Says what a validation gave, unless it was said before the sweep was cut off."""
    if 'outcome' not in result and result['at_step'] > self._seen.get(trial.config['number'], -1):
      self._say(
        trial,
        f'step {result["at_step"]}  {self._metric} {result["value"]:.2f}'
        f'  best {result["score"]:.2f}',
      )

  def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
    """Records how the trial ended, unless it was interrupted."""
    outcome = trial.last_result.get('outcome', 'stopped')
    reason = trial.last_result.get('reason', '')
    if outcome != 'interrupted':
      self._record(trial, status=outcome, reason=reason)
    if trial.config['number'] in self._begun:
      text = 'stopped early by ASHA' if outcome == 'stopped' else outcome
      self._say(trial, f'{text}: {reason}' if reason else text)

  def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
    """Records that Ray lost the trial."""
    reason = 'Ray lost the process that watched it; was the memory full?'
    self._record(trial, status='failed', reason=reason)
    self._say(trial, f'failed: {reason}')

  def _record(self, trial: Any, *, status: str, reason: str) -> None:
    number, params = trial.config['number'], trial.config['params']
    write_trial(self._folder, Trial(number, params, status=status, reason=reason))

  def _say(self, trial: Any, text: str) -> None:
    print(f'trial {trial.config["number"]:03d}  {text}', flush=True)
