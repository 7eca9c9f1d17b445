"""Two and four real processes that meet over the loopback, against one."""

import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.training import stopped_by_sigterm
from hsnet_jax.training.sharding import data_mesh
from tests import one_of_several
from tests.hsnet_jax.training.test_sharding import relative

# Adam divides by the size of a gradient, however small: as for the published network's steps.
ADAM_LOSSES = (1e-4, 1e-4, 1e-3, 2e-2, 2e-2)


def free_port():
  """A port that nothing listens on."""
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    return listener.getsockname()[1]


@pytest.fixture
def together(environment, tmp_path):
  """Runs parts of `tests.one_of_several` with so many processes: what process 0 wrote."""

  def run(count, *parts):
    address, path = f'127.0.0.1:{free_port()}', tmp_path / 'found.npz'
    command = [sys.executable, '-m', 'tests.one_of_several', address, str(count)]
    pipes = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.PIPE, 'text': True}
    processes = [
      subprocess.Popen([*command, str(i), str(path), *parts], env=environment, **pipes)
      for i in range(count)
    ]
    try:
      said = [process.communicate(timeout=300)[1] for process in processes]
    finally:
      for process in processes:
        process.kill()
    assert [process.returncode for process in processes] == [0] * count, said
    return np.load(path)

  return run


@pytest.fixture(scope='module')
def alone():
  """What one process and one device find."""
  return one_of_several.trained(data_mesh(devices=jax.devices()[:1]))


def pytest_generate_tests(metafunc):
  """Two processes and four."""
  if 'count' in metafunc.fixturenames:
    metafunc.parametrize('count', [2, 4])


@pytest.mark.wide  # test_hosts.py has two that run the command, and compares what they end with.
def test_several_processes_train_as_one_does(together, alone, count):
  found = together(count, 'train')
  for name in ('sgd', 'adam'):
    gradients = [one_of_several.apart(x[f'{name} gradients']) for x in (found, alone)]
    assert relative(*gradients) <= 1e-5
  np.testing.assert_allclose(found['sgd losses'], alone['sgd losses'], rtol=1e-5)
  assert relative(*(one_of_several.apart(x['sgd params']) for x in (found, alone))) <= 1e-5
  errors = np.abs(np.divide(found['adam losses'], alone['adam losses']) - 1)
  assert (errors <= ADAM_LOSSES).all(), errors


def test_sigterm_is_asked_for_and_no_longer_ends_the_process():
  before = signal.getsignal(signal.SIGTERM)
  with stopped_by_sigterm() as stopping:
    assert not stopping()
    signal.raise_signal(signal.SIGTERM)
    assert stopping()
  assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.wide
def test_two_processes_validate_as_one_does(together):
  found = together(2, 'validate')
  # On as many devices: rounding depends on how many rows one of them has.
  expected = one_of_several.validated(data_mesh(devices=jax.devices()[:2]))
  assert found['counted'] == expected['counted']
  # Process 0 has half the pictures, each with its own prediction.
  pictures = found['pictures'].tolist()
  assert pictures and set(pictures) < set(expected['pictures'])
