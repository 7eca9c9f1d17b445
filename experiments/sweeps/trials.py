"""Runs a trial of a sweep: `experiments.train` as a process of its own, inside an actor of Ray."""

import contextlib
import math
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ray import tune

from experiments.storage.checkout import child_environment
from experiments.storage.locks import is_free, of_this_machine
from experiments.sweeps.folder import LOG, STOP_FILE, last_line
from experiments.training.folder import read_validations

_POLL_SECONDS = 0.2
# A step, a batch of validation and one checkpoint end sooner, or the run is killed.
_SAVE_SECONDS = 120

# Ends with its parent, even one that is killed: on Linux the kernel sees to it. It has to be asked
# from within the process, before the program that is meant takes its place.
WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == 'linux':
  PR_SET_PDEATHSIG = 1
  ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
  os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Process(Protocol):
  """Does what a trial asks of its process, as `subprocess.Popen` has it."""

  def poll(self) -> int | None:
    """Returns the exit code, None while it runs."""

  def wait(self, timeout: float | None = None) -> int:
    """Waits for the end; returns the exit code."""
    ...

  def terminate(self) -> None:
    """Asks it to end."""

  def kill(self) -> None:
    """Ends it."""


class TrialRun:
  """Follows a run of `experiments.train` by its log, one validation after the other.

  A result has `score`, the best value of the metric so far, `value`, `at_step`, and
  `training_iteration`, the number of validations. The last one is `done`, repeats them, and has an
  `outcome`: the run 'ended', was 'interrupted', or 'failed', for a `reason`.

  What a run that is resumed had validated before is handed on as well, so that Ray sees all of it.
  """

  def __init__(
    self,
    run_dir: pathlib.Path,
    *,
    sweep_dir: pathlib.Path,
    metric: str,
    start: Callable[[], Process],
    lock_seconds: float = 60,
  ):
    """Starts nothing yet.

    Args:
      run_dir: the run's folder.
      sweep_dir: the sweep's, where a file says that all trials are to stop.
      metric: which figure of the validations.
      start: starts the process, when the first result is asked for.
      lock_seconds: how long a process may outlive the sweep that was killed.
    """
    self._run_dir, self._sweep_dir, self._metric = run_dir, sweep_dir, metric
    self._start, self._lock_seconds = start, lock_seconds
    self._process: Process | None = None
    self._reported: dict[str, Any] = {'at_step': -1, 'training_iteration': 0}

  def next_result(self) -> dict[str, Any]:
    """Waits for the next validation, or the end; returns the result."""
    while True:
      if (self._sweep_dir / STOP_FILE).exists():
        self.end()
        return self._last('interrupted')
      if self._process is None:
        if not self._is_alone():
          return self._last('failed', reason=f'{self._run_dir}: another process trains there')
        self._process = self._start()
      # Asked before the log is read, so that no last line is missed.
      code = self._process.poll()
      values = read_validations(self._run_dir, metric=self._metric)
      # Of a run that is resumed a line may come again; its step tells.
      new = [step for step in sorted(values) if step > self._reported['at_step']]
      if new:
        return self._report(new[0], values[new[0]])
      if code == 0 and 'score' in self._reported:
        return self._last('ended')
      if code is not None:
        return self._last('failed', reason=f'exit code {code}: {last_line(self._run_dir / LOG)}')
      time.sleep(_POLL_SECONDS)

  def end(self) -> None:
    """Ends the process: it saves the step under way, or is killed if that takes too long."""
    if self._process is None:
      return
    self._process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(_SAVE_SECONDS)
    self._process.kill()
    self._process.wait()

  def _is_alone(self) -> bool:
    """Waits until no process before is left; returns whether that came about."""
    deadline = time.monotonic() + self._lock_seconds
    while not is_free(self._run_dir, name=of_this_machine()):  # The process takes it by itself.
      if time.monotonic() > deadline:
        return False
      time.sleep(_POLL_SECONDS)
    return True

  def _report(self, step: int, value: float) -> dict[str, Any]:
    self._reported = {
      'at_step': step,
      'value': value,
      'score': max(value, self._reported.get('score', -math.inf)),
      'training_iteration': self._reported['training_iteration'] + 1,
    }
    return {**self._reported, 'done': False}

  def _last(self, outcome: str, *, reason: str = '') -> dict[str, Any]:
    return {**self._reported, 'outcome': outcome, 'reason': reason, 'done': True}


class TrainProcess(tune.Trainable):
  """Runs a `TrialRun` as Ray asks for it.

  The configuration has `number` (of the trial), `arguments` (of train), `run_dir`, `sweep_dir` and
  `cwd` (absolute), `metric`, `cpus` and `gpus`.
  """

  def setup(self, config: dict[str, Any]) -> None:
    """Takes the configuration; the process starts with the first step."""
    run_dir = pathlib.Path(config['run_dir'])

    def start() -> subprocess.Popen[bytes]:
      return start_training(
        [*config['arguments'], f'--run_dir={run_dir}'],
        cwd=config['cwd'],
        environment=trial_environment(os.environ, cpus=config['cpus'], gpus=config['gpus']),
        log=run_dir / LOG,
      )

    self._run = TrialRun(
      run_dir,
      sweep_dir=pathlib.Path(config['sweep_dir']),
      metric=config['metric'],
      start=start,
    )

  def step(self) -> dict[str, Any]:
    """Waits for the next validation, or the end; returns the result."""
    return self._run.next_result()

  def cleanup(self) -> None:
    """Ends the process; see `TrialRun.end`."""
    self._run.end()


def start_training(
  arguments: Sequence[str], *, cwd: str, environment: Mapping[str, str], log: pathlib.Path
) -> subprocess.Popen[bytes]:
  """Starts `experiments.train` as a process that does not outlive this one.

  Args:
    arguments: of the command.
    cwd: the folder that relative paths count from.
    environment: its environment variables.
    log: the file that what it prints is added to.

  Returns:
    The process.
  """
  command = [sys.executable, '-c', WITH_PARENT, str(os.getpid()), '-m', 'experiments.train']
  with open(log, 'ab') as output:
    return subprocess.Popen(
      [*command, *arguments],
      cwd=cwd,
      env=dict(environment),
      stdin=subprocess.DEVNULL,
      stdout=output,
      stderr=subprocess.STDOUT,
    )


def trial_environment(
  environment: Mapping[str, str], *, cpus: float, gpus: float
) -> dict[str, str]:
  """Returns the environment variables of a trial that has a share of a machine.

  Args:
    environment: that of the actor, where Ray has named the GPUs of the share.
    cpus: the share of CPUs; so many threads XLA and OpenMP compute with.
    gpus: the share of GPUs; of a part of one, a trial reserves that part of the memory.

  Returns:
    The variables.
  """
  threads = str(max(1, math.ceil(cpus)))
  result = {**child_environment(environment), 'OMP_NUM_THREADS': threads}
  # The number of threads of XLA's CPU client.
  result.setdefault('NPROC', threads)
  if not gpus:
    result['CUDA_VISIBLE_DEVICES'] = ''
  elif gpus < 1:
    result.setdefault('XLA_PYTHON_CLIENT_MEM_FRACTION', f'{0.9 * gpus:.3f}')
  return result
