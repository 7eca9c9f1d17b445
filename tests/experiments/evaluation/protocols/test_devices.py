"""The same rows to the last bit, over any number of devices and of processes."""

import subprocess
import sys

import pytest

from tests.experiments.training.test_processes import free_port

# 13 episodes are no multiple of anything; two shots are not counted alike by chance.
FLAGS = ('--episodes=13', '--batch_size=3', '--shots=2', '--pictures=2')


@pytest.fixture
def evaluated(environment, run, tmp_path):
  """Evaluates by real processes, and returns what episodes.csv holds."""

  def start(devices, *flags):
    command = [sys.executable, '-m', 'experiments.evaluate', f'--checkpoint={run}', *FLAGS, *flags]
    forced = f'--xla_force_host_platform_device_count={devices}'
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True}
    return subprocess.Popen(command, env={**environment, 'XLA_FLAGS': forced}, **pipes)

  def finish(devices, *flags, processes=1):
    out = tmp_path / f'{processes}x{devices}{"".join(flags)}'
    own = [f'--output_dir={out}', *flags]
    if processes > 1:
      own += [f'--coordinator=127.0.0.1:{free_port()}', f'--num_processes={processes}']
    begun = [
      start(devices, *own, *([f'--process_id={i}'] if processes > 1 else []))
      for i in range(processes)
    ]
    try:
      said = [process.communicate(timeout=300)[0] for process in begun]
    finally:
      for process in begun:
        process.kill()
    assert [process.returncode for process in begun] == [0] * processes, said
    # One process says and writes what came out.
    assert ['written:' in words for words in said] == [True] + [False] * (processes - 1)
    return (out / 'episodes.csv').read_bytes()

  return finish


@pytest.mark.heavy  # Six processes that each import and compile.
def test_rows_are_the_same_over_devices_and_processes(evaluated):
  one = evaluated(1)
  assert one.count(b'\n') == 14
  for devices in (2, 4, 8):
    assert evaluated(devices) == one
  assert evaluated(2, processes=2) == one


@pytest.mark.heavy
def test_a_method_that_is_fitted_is_of_one_process(environment, run, tmp_path):
  address = f'--coordinator=127.0.0.1:{free_port()}'
  command = [sys.executable, '-m', 'experiments.evaluate', f'--checkpoint={run}', *FLAGS]
  command += ['--model=prototype', f'--output_dir={tmp_path}', address, '--num_processes=2']
  pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
  begun = [
    subprocess.Popen([*command, f'--process_id={i}'], env=environment, **pipes) for i in range(2)
  ]
  try:
    said = [process.communicate(timeout=300)[1] for process in begun]
  finally:
    for process in begun:
      process.kill()
  assert [process.returncode for process in begun] == [2, 2]
  assert all('--model=prototype is for one process' in words for words in said)
