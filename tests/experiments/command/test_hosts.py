"""Several real processes that train one model, and what becomes of them when one is lost."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments.command.hosts import HostConfig
from hsnet_jax.checkpoints import load_checkpoint, read_config
from hsnet_jax.errors import InputError
from tests.experiments.training.test_processes import free_port

LOST = 'error: another process died or stopped answering, or this one was killed'

# A script that adds over all processes until one is lost, or fails by itself.
ADDING = """
import os, sys, time
import jax, numpy as np
from jax.experimental import multihost_utils
from experiments.command import hosts
from experiments.command.flags import define_flags
from experiments.training.processes import agree
from hsnet_jax.errors import InputError

define_flags(hosts.HostConfig)

def main():
  multihost_utils.process_allgather(np.ones(1, np.float32))
  if os.environ['FAILS'] == 'to agree':
    agree('the same', jax.process_index())
  agree('the same', 1)
  print('begun', file=sys.stderr, flush=True)
  while True:
    multihost_utils.process_allgather(np.ones(1, np.float32))
    if os.environ['FAILS'] == str(jax.process_index()):
      raise InputError('a reason of its own')
    time.sleep(0.05)

hosts.run(main)
"""


@contextlib.contextmanager
def started(command, *, env, count=2):
  """So many processes of a command, each with its stderr in a pipe; none is left behind."""
  address = f'--coordinator=127.0.0.1:{free_port()}'
  pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
  processes = [
    subprocess.Popen(
      [sys.executable, *command, address, f'--num_processes={count}', f'--process_id={i}'],
      env=env,
      **pipes,
    )
    for i in range(count)
  ]
  try:
    yield processes
  finally:
    for process in processes:
      process.kill()
      process.communicate()


@pytest.fixture(scope='module')
def steps(request):
  """Of a run; so many with --wide that it can be ended in between."""
  return 16 if request.config.getoption('wide') else 3


@pytest.fixture(scope='module')
def train(small, steps):
  """The command of a run whose steps are all saved."""
  flags = *small, f'--max_steps={steps}', '--save_every=1'
  return lambda folder: ['-m', 'experiments.train', *flags, f'--run_dir={folder}']


@pytest.fixture(scope='module')
def unbroken(train, environment, tmp_path_factory):
  """The folder of a run of two processes, and what they said."""
  folder = tmp_path_factory.mktemp('together') / 'run'
  return folder, finished(train(folder), environment)


def finished(command, environment):
  """What two processes said that came to their end."""
  with started(command, env=environment) as processes:
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
  return said


def losses(folder):
  lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  return [line['train/loss'] for line in lines if 'train/loss' in line]


@pytest.fixture(scope='module')
def alone(trained, steps, train_small, tmp_path_factory):
  """The folder of a run of one process."""
  if steps == 3:
    return trained[0]
  return train_small(tmp_path_factory.mktemp('alone') / 'run', max_steps=steps).folder


@pytest.mark.heavy  # Each compiles the step anew.
def test_two_processes_train_as_one_does(unbroken, alone):
  run, said = unbroken
  assert 'best validation mIoU' in said[0][0] and 'validation' not in said[1][0]
  assert not any('error' in stderr for _, stderr in said)
  np.testing.assert_allclose(losses(run), losses(alone), rtol=1e-3)
  one, two = (read_config(f / 'checkpoints' / 'last')['figures'] for f in (alone, run))
  assert one == pytest.approx(two, abs=0.5)


def begun(run, process):
  """Waits until one more checkpoint of a run is written."""
  path, before = run / 'checkpoints' / 'last' / 'config' / 'metadata', None
  while True:
    assert process.poll() is None, process.communicate()
    with contextlib.suppress(FileNotFoundError):
      now = path.stat().st_mtime_ns, path.stat().st_ino
      before = before or now
      if now != before:
        return
    time.sleep(0.01)


@pytest.mark.wide
@pytest.mark.parametrize('ended_by', ['SIGTERM', 'SIGKILL'])
def test_a_run_of_two_whose_worker_is_ended_resumes(
  unbroken, train, steps, environment, tmp_path, ended_by
):
  run = tmp_path / 'run'
  with started(train(run), env=environment) as (writer, worker):
    begun(run, writer)
    worker.send_signal(signal.Signals[ended_by])  # As a scheduler may tell one of them first.
    _, stderr = writer.communicate(timeout=200)
    step = read_config(run / 'checkpoints' / 'last')['step']
    assert 0 < step < steps
    if ended_by == 'SIGTERM':
      assert f'stopped at step {step}, which is saved' in stderr
      assert [process.wait(timeout=200) for process in (writer, worker)] == [143, 143]
    else:
      assert writer.returncode not in (0, 2) and stderr.count(LOST) == 1, stderr
  assert f'from step {step}' in finished(train(run), environment)[0][0]
  assert losses(run) == losses(unbroken[0])
  once, again = (load_checkpoint(f / 'checkpoints' / 'last') for f in (unbroken[0], run))
  jax.tree.map(np.testing.assert_array_equal, once.variables, again.variables)


@pytest.mark.heavy
def test_processes_that_are_to_do_different_things_are_refused(environment):
  env = {**environment, 'FAILS': 'to agree'}
  with started(['-c', ADDING], env=env) as processes:
    said = [process.communicate(timeout=200)[1] for process in processes]
  assert [process.returncode for process in processes] == [2, 2], said
  assert all('the processes have different flags' in stderr for stderr in said)


# A silent one is waited for.
@pytest.mark.parametrize(
  'how', ['killed', pytest.param('silent', marks=pytest.mark.heavy), 'failed']
)
def test_where_one_is_lost_the_others_say_so(environment, how):
  lost = 0 if how == 'killed' else 1
  env = {**environment, 'FAILS': '1' if how == 'failed' else ''}
  with started(['-c', ADDING, '--heartbeat_seconds=5'], env=env) as processes:
    for process in processes:
      while process.stderr.readline() != 'begun\n':
        assert process.poll() is None
    if how != 'failed':
      processes[lost].send_signal(signal.SIGKILL if how == 'killed' else signal.SIGSTOP)
    other = processes[1 - lost]
    _, stderr = other.communicate(timeout=200)
    assert other.returncode not in (0, 2) and stderr.count(LOST) == 1, stderr
    assert [line for line in stderr.splitlines() if line][-1].startswith(LOST)
    if how == 'failed':
      _, stderr = processes[lost].communicate(timeout=200)
      assert processes[lost].returncode == 2
      assert 'error: a reason of its own\n' in stderr and LOST not in stderr


@pytest.mark.heavy
def test_processes_that_do_not_meet_are_named(environment, script, failure, tmp_path):
  def said(*flags, port):
    command = [sys.executable, '-c', ADDING, f'--coordinator=127.0.0.1:{port}', *flags]
    return failure(subprocess.run(command, env=environment, capture_output=True, text=True))

  both = '--num_processes=2', '--connect_seconds=2'
  for index in (0, 1):
    line = said(*both, f'--process_id={index}', port=(port := free_port()))
    assert f'--coordinator=127.0.0.1:{port}' in line and '2 s' in line
  with socket.create_server(('127.0.0.1', 0)) as taken:
    line = said(*both, '--process_id=0', port=(port := taken.getsockname()[1]))
    assert f'port {port}' in line
  assert '--coordinator=auto' in failure(script('train', '--coordinator=auto', cwd=tmp_path))
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  'values, words',
  [
    ({'coordinator': '10.0.0.1:9'}, '`num_processes` and `process_id`'),
    ({'coordinator': '10.0.0.1:9', 'num_processes': 2, 'process_id': 2}, '`process_id`=2.*1'),
    ({'coordinator': '10.0.0.1', 'num_processes': 2, 'process_id': 0}, 'host:port'),
    ({'coordinator': 'auto', 'process_id': 0}, '`coordinator`=auto'),
    ({'num_processes': 2}, '`coordinator`'),
    ({'heartbeat_seconds': 1}, '`heartbeat_seconds`'),
  ],
)
def test_what_does_not_fit_is_named(values, words):
  with pytest.raises(InputError, match=words):
    HostConfig(**values)


def test_what_fits_is_taken():
  assert HostConfig().coordinator is None and HostConfig(coordinator='auto').process_id is None
  assert HostConfig(coordinator='10.0.0.1:9', num_processes=2, process_id=1).process_id == 1
