"""Runs the trials of a sweep that are left with Ray Tune.

Of Ray's own state nothing is kept: a sweep goes on from the records of its trials. Those that are
done are told to the search and to ASHA; the others are run, and where a run was cut off,
`experiments.train` goes on from its last checkpoint.
"""

import contextlib
import logging
import os
import pathlib
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
import ray
from ray import tune

from experiments.sweeps.folder import (
  RAY_FOLDER,
  STOP_FILE,
  Trial,
  begin_sweep,
  read_trials,
  write_trial,
)
from experiments.sweeps.search import Options, TrialSearch, make_scheduler
from experiments.sweeps.space import Space, python_path, short_text
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
  options: Options,
  *,
  new: Mapping[str, Any] | None = None,
) -> signal.Signals | None:
  """Runs what is left of a sweep.

  Args:
    folder: of the sweep, with its records.
    space: what is searched.
    options: how.
    new: description of a sweep that takes the place of what is in the folder; None: goes on.

  Returns:
    The signal that stopped it; None where nothing is left but what failed.

  Raises:
    InputError: there is no such cluster, or no machine of it has a trial's share.
  """
  folder = folder.resolve()
  trials = read_trials(folder, metric=options.metric) if new is None else {}
  left = [n for n in range(1, options.trials + 1) if n not in trials or not trials[n].done]
  if not left:
    return None
  left.sort(key=lambda number: (number not in trials, number))
  _remove_left_behind(folder)
  with _started_ray(options), _stopped_by_signals(folder) as received:
    if new is not None:
      begin_sweep(folder, new)
    tune.Tuner(
      tune.with_resources(TrainProcess, {'cpu': options.cpus, 'gpu': options.gpus}),
      param_space={
        'sweep_dir': str(folder),
        'cwd': os.getcwd(),
        'metric': options.metric,
        'cpus': options.cpus,
        'gpus': options.gpus,
      },
      tune_config=tune.TuneConfig(
        num_samples=len(left),
        search_alg=TrialSearch(folder, space, options, trials=trials, left=left),
        scheduler=make_scheduler(options, trials),
        trial_dirname_creator=lambda trial: f'{trial.config["number"]:03d}',
      ),
      run_config=tune.RunConfig(
        name=RAY_FOLDER,
        storage_path=str(folder),
        callbacks=[_Teller(folder, options.metric, trials)],
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
    raise InputError(f'--address={address}: write host:port of the head, such as 10.0.0.1:6379')
  try:
    socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
  except (OSError, OverflowError) as error:
    raise InputError(
      f'--address={address}: no Ray cluster answers ({error}); `ray start --head` starts one'
    ) from error


def _remove_left_behind(folder: pathlib.Path) -> None:
  shutil.rmtree(folder / RAY_FOLDER, ignore_errors=True)
  (folder / STOP_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def _started_ray(options: Options) -> Iterator[None]:
  """Ray, on this machine or as a cluster that is there."""
  os.environ.update(_SETTINGS)
  where: dict[str, Any] = {'address': options.address}
  if options.address is None:
    where = {'address': 'local', 'include_dashboard': False, 'object_store_memory': _OBJECT_STORE}
  try:
    ray.init(
      **where,
      runtime_env={'env_vars': {'PYTHONPATH': python_path()}},
      logging_level=logging.CRITICAL,
      log_to_driver=False,
    )
  except (ConnectionError, RuntimeError, ValueError) as error:
    if options.address is None:
      raise
    raise InputError(
      f'--address={options.address}: no Ray cluster answers ({error}); `ray start --head` starts'
      ' one'
    ) from error
  try:
    logging.getLogger('ray').setLevel(logging.CRITICAL)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _check_share(options)
    yield
  finally:
    ray.shutdown()


def _check_share(options: Options) -> None:
  """Raises InputError where Ray would wait for a larger machine, for ever."""
  machines = [node['Resources'] for node in ray.nodes() if node['Alive']]
  shares = [(machine.get('GPU', 0), machine.get('CPU', 0)) for machine in machines]
  if not any(gpus >= options.gpus and cpus >= options.cpus for gpus, cpus in shares):
    gpus, cpus = max(shares)
    raise InputError(
      f'--cpus_per_trial={options.cpus:g} and --gpus_per_trial={options.gpus:g}: no machine has as'
      f' much; the largest has {cpus:g} CPUs and {gpus:g} GPUs'
    )
  if not options.gpus and any(gpus for gpus, _ in shares):
    print('note: no GPU is used; --gpus_per_trial=1 gives each trial one', flush=True)


@contextlib.contextmanager
def _stopped_by_signals(folder: pathlib.Path) -> Iterator[list[signal.Signals]]:
  """Has SIGINT and SIGTERM ask all trials to save and stop; a second one ends the sweep at once.

  Yields:
    A list that the signal is put into.
  """
  received = []
  # Not what is there before: Ray has put its own in place of the latter.
  ending = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}

  def ask(number: int, _) -> None:
    received.append(signal.Signals(number))
    (folder / STOP_FILE).touch()
    _set_handlers(ending)
    print('stopping: each trial that runs saves its step', flush=True)

  _set_handlers(dict.fromkeys(ending, ask))
  try:
    yield received
  finally:
    _set_handlers(ending)


def _set_handlers(handlers: dict[signal.Signals, Any]) -> None:
  for number, handler in handlers.items():
    signal.signal(number, handler)


class _Teller(tune.Callback):
  """Prints what happens, and records how trials end."""

  def __init__(self, folder: pathlib.Path, metric: str, trials: dict[int, Trial]):
    self._folder, self._metric = folder, metric
    self._seen = {number: max(t.values, default=-1) for number, t in trials.items()}
    self._begun = set()

  def on_trial_start(self, iteration, trials, trial, **info) -> None:
    """Says what the trial tries, unless it is to stop at once."""
    number, params = trial.config['number'], trial.config['params']
    if (self._folder / STOP_FILE).exists():
      return
    self._begun.add(number)
    values = '  '.join(f'{name} {short_text(value)}' for name, value in params.items())
    step = self._seen.get(number, -1)
    again = f'  (goes on; validated up to step {step})' if step >= 0 else ''
    self._say(trial, values + again)

  def on_trial_result(self, iteration, trials, trial, result, **info) -> None:
    """Says what a validation gave, unless it was said before the sweep was cut off."""
    if 'outcome' not in result and result['at_step'] > self._seen.get(trial.config['number'], -1):
      self._say(
        trial,
        f'step {result["at_step"]}  {self._metric} {result["value"]:.2f}'
        f'  best {result["score"]:.2f}',
      )

  def on_trial_complete(self, iteration, trials, trial, **info) -> None:
    """Records how the trial ended, unless it was interrupted."""
    outcome = trial.last_result.get('outcome', 'stopped')
    reason = trial.last_result.get('reason', '')
    if outcome != 'interrupted':
      self._record(trial, status=outcome, reason=reason)
    if trial.config['number'] in self._begun:
      text = 'stopped early by ASHA' if outcome == 'stopped' else outcome
      self._say(trial, f'{text}: {reason}' if reason else text)

  def on_trial_error(self, iteration, trials, trial, **info) -> None:
    """Records that Ray lost the trial."""
    reason = 'Ray lost the process that watched it; was the memory full?'
    self._record(trial, status='failed', reason=reason)
    self._say(trial, f'failed: {reason}')

  def _record(self, trial, **end) -> None:
    write_trial(self._folder, Trial(trial.config['number'], trial.config['params'], **end))

  def _say(self, trial, text: str) -> None:
    print(f'trial {trial.config["number"]:03d}  {text}', flush=True)
