"""A trial's process, and what is reported of it; Ray is not started."""

import json
import os
import signal
import subprocess
import sys
from unittest.mock import Mock

import pytest

from experiments.storage.locks import alone, of_this_machine
from experiments.sweeps.trials import WITH_PARENT, TrialRun, trial_environment

METRIC = 'val/miou'


class Process:
  """Stands for a process that has ended with `code`, or still runs."""

  def __init__(self, code=None):
    self.code, self.ended = code, False

  def poll(self):
    return self.code

  def terminate(self):
    self.ended = True

  def wait(self, timeout=None):
    return 143

  def kill(self):
    pass


class Trial:
  """A trial whose process is a stand-in, and whose log is written here."""

  def __init__(self, folder):
    self.process, self.folder = Process(), folder / '001'
    self.folder.mkdir()
    self.run = TrialRun(
      self.folder,
      sweep_dir=folder,
      metric=METRIC,
      start=lambda: self.process,
      lock_seconds=0,
    )

  def step(self):
    return self.run.next_result()

  def write(self, *values):
    lines = [json.dumps({'step': step, METRIC: value}) + '\n' for step, value in values]
    (self.folder / 'metrics.jsonl').write_text(''.join(lines))


@pytest.fixture
def trial(tmp_path):
  return Trial(tmp_path)


def told(result):
  return [result.get(k) for k in ('at_step', 'value', 'score', 'training_iteration', 'done')]


def test_each_validation_is_told_once(trial):
  trial.write((10, 3.0), (20, 2.0))
  assert told(trial.step()) == [10, 3.0, 3.0, 1, False]
  assert told(trial.step()) == [20, 2.0, 3.0, 2, False]
  # A run that is resumed writes its last validations once more.
  trial.write((10, 3.0))
  trial.write((10, 3.0), (20, 2.0), (30, 4.0))
  assert told(trial.step()) == [30, 4.0, 4.0, 3, False]
  trial.process.code = 0
  result = trial.step()
  assert told(result) == [30, 4.0, 4.0, 3, True] and result['outcome'] == 'ended'


def test_a_failure_gives_its_reason(trial, tmp_path):
  trial.write((10, 3.0))
  (tmp_path / '001' / 'output.txt').write_text('device: cpu\nerror: the loss is nan\n')
  trial.process.code = 2
  assert not trial.step()['done']  # What was validated before is told first.
  result = trial.step()
  assert result['outcome'] == 'failed' and result['done']
  assert result['reason'] == 'exit code 2: error: the loss is nan'


def test_a_run_without_a_validation_has_failed(trial):
  trial.process.code = 0
  assert trial.step()['outcome'] == 'failed'


def test_the_stop_file_ends_it(trial, tmp_path):
  trial.write((10, 3.0))
  trial.step()
  (tmp_path / '.stop').touch()
  result = trial.step()
  assert trial.process.ended and result['outcome'] == 'interrupted' and result['done']


def test_a_trial_that_is_to_stop_at_once_starts_no_process(trial, tmp_path):
  (tmp_path / '.stop').touch()
  assert trial.step()['outcome'] == 'interrupted' and not trial.process.ended


def test_a_trial_waits_for_the_process_before_it(trial, tmp_path):
  with alone(tmp_path / '001', does='trains there', name=of_this_machine()):
    result = trial.step()
  assert result['outcome'] == 'failed' and result['done']
  assert result['reason'] == f'{tmp_path / "001"}: another process trains there'


def test_a_process_that_does_not_end_is_killed(trial):
  trial.process = Mock(poll=lambda: None)
  trial.process.wait.side_effect = [subprocess.TimeoutExpired('train', 1), -9]
  trial.write((10, 3.0))
  trial.step()
  trial.run.end()
  assert [call[0] for call in trial.process.method_calls] == ['terminate', 'wait', 'kill', 'wait']


def test_a_share_of_the_machine():
  half = trial_environment({'A': '1'}, cpus=0.5, gpus=0.5)
  assert half['A'] == half['NPROC'] == half['OMP_NUM_THREADS'] == '1'
  assert half['XLA_PYTHON_CLIENT_MEM_FRACTION'] == '0.450'
  assert 'CUDA_VISIBLE_DEVICES' not in half
  none = trial_environment({'CUDA_VISIBLE_DEVICES': '0'}, cpus=4, gpus=0)
  assert none['CUDA_VISIBLE_DEVICES'] == '' and none['NPROC'] == '4'
  whole = trial_environment({'CUDA_VISIBLE_DEVICES': '1'}, cpus=4, gpus=1)
  assert whole['CUDA_VISIBLE_DEVICES'] == '1' and 'XLA_PYTHON_CLIENT_MEM_FRACTION' not in whole


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='the kernel of Linux does it')
def test_a_process_ends_with_its_parent():
  # The child says that it is there, and then waits for what never comes.
  child = 'print("here", flush=True); input()'
  parent = (
    'import os, subprocess, sys; subprocess.run([sys.executable, "-c", sys.argv[1],'
    ' str(os.getpid()), "-c", sys.argv[2]])'
  )
  read, write = os.pipe()
  process = subprocess.Popen(
    [sys.executable, '-c', parent, WITH_PARENT, child],
    stdin=read,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b'here\n'
  process.send_signal(signal.SIGKILL)
  try:
    process.communicate(timeout=60)  # The pipe ends with the last process that has it.
  finally:
    os.close(write)  # Lets a child go that outlived its parent.
    os.close(read)
