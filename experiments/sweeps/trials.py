"""A trial of a sweep: `experiments.train` as a process of its own, inside an actor of Ray."""

import contextlib
import math
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from ray import tune

from experiments.storage.locks import is_free, of_this_machine
from experiments.sweeps.folder import LOG, STOP_FILE, last_line
from experiments.sweeps.space import python_path
from experiments.training.folder import read_validations

_POLL_SECONDS = 0.2
# A step, a batch of validation and one checkpoint end sooner, or the run is killed.
_SAVE_SECONDS = 120
# For so long a process may outlive the sweep that was killed.
_LOCK_SECONDS = 60

# Ends with its parent, even one that is killed: on Linux the kernel sees to it. It has to be asked
# from within the process, before the program that is meant takes its place.
_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == 'linux':
  PR_SET_PDEATHSIG = 1
  ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
  os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class TrainProcess(tune.Trainable):
  """Runs `experiments.train` and hands its validations on, one a step.

  The configuration has `number` (of the trial), `arguments` (of train), `run_dir`, `sweep_dir` and
  `cwd` (absolute), `metric`, `cpus` and `gpus`. A result has `score`, the best value of the metric
  so far, `value`, `at_step`, and `training_iteration`, the number of validations. The last one is
  `done`, repeats them, and has an `outcome`: the run 'ended', was 'interrupted', or 'failed', for a
  `reason`.

  What a run that goes on had validated before is handed on as well, so that Ray sees all of it.
  """

  def setup(self, config: dict[str, Any]) -> None:
    """Takes the configuration; the process starts with the first step."""
    self._run_dir = pathlib.Path(config['run_dir'])
    self._process = None
    self._reported: dict[str, Any] = {'at_step': -1, 'training_iteration': 0}

  def step(self) -> dict[str, Any]:
    """Waits for the next validation, or the end; returns the result."""
    while True:
      if (pathlib.Path(self.config['sweep_dir']) / STOP_FILE).exists():
        self.cleanup()
        return self._last('interrupted')
      if self._process is None and not self._start():
        return self._last('failed', reason=f'{self._run_dir}: another process trains there')
      # Asked before the log is read, so that no last line is missed.
      code = self._process.poll()
      values = read_validations(self._run_dir, metric=self.config['metric'])
      # Of a run that goes on a line may come again; its step tells.
      new = [step for step in sorted(values) if step > self._reported['at_step']]
      if new:
        return self._report(new[0], values[new[0]])
      if code == 0 and 'score' in self._reported:
        return self._last('ended')
      if code is not None:
        return self._last('failed', reason=f'exit code {code}: {last_line(self._run_dir / LOG)}')
      time.sleep(_POLL_SECONDS)

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

  def _start(self) -> bool:
    """Starts the process, once none before it is left; returns whether that came about."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while not is_free(self._run_dir, name=of_this_machine()):  # The process takes it by itself.
      if time.monotonic() > deadline:
        return False
      time.sleep(_POLL_SECONDS)
    command = [sys.executable, '-c', _WITH_PARENT, str(os.getpid()), '-m', 'experiments.train']
    with open(self._run_dir / LOG, 'ab') as log:
      self._process = subprocess.Popen(
        [*command, *self.config['arguments'], f'--run_dir={self._run_dir}'],
        cwd=self.config['cwd'],
        env=trial_environment(os.environ, cpus=self.config['cpus'], gpus=self.config['gpus']),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
      )
    return True

  def cleanup(self) -> None:
    """Ends the process: it saves the step under way, or is killed if that takes too long."""
    if self._process is None:
      return
    self._process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(_SAVE_SECONDS)
    self._process.kill()
    self._process.wait()


def trial_environment(
  environment: Mapping[str, str], *, cpus: float, gpus: float
) -> dict[str, str]:
  """The environment variables of a trial that has a share of a machine.

  Args:
    environment: that of the actor, where Ray has named the GPUs of the share.
    cpus: the share of CPUs; so many threads XLA and OpenMP compute with.
    gpus: the share of GPUs; of a part of one, a trial reserves that part of the memory.

  Returns:
    The variables.
  """
  threads = str(max(1, math.ceil(cpus)))
  result = {**environment, 'PYTHONPATH': python_path(), 'OMP_NUM_THREADS': threads}
  # The number of threads of XLA's CPU client.
  result.setdefault('NPROC', threads)
  if not gpus:
    result['CUDA_VISIBLE_DEVICES'] = ''
  elif gpus < 1:
    result.setdefault('XLA_PYTHON_CLIENT_MEM_FRACTION', f'{0.9 * gpus:.3f}')
  return result
