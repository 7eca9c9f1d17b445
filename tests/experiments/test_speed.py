"""The command experiments.speed and its old name; what it measures is tested in timing/."""

import subprocess
import sys


def test_the_old_name_forwards_with_a_warning(environment, tmp_path):
  command = [sys.executable, '-m', 'experiments.benchmark', '--what=loader']
  done = subprocess.run(
    command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
  )
  assert done.returncode == 2 and 'experiments.speed' in done.stderr
  assert done.stderr.splitlines()[-1].startswith('error: benchmark pascal needs --data_dir')


def test_numbers_of_a_list_are_checked(served, failure, tmp_path):
  for flags, words in (
    (['--what=throughput', '--batch_sizes=1,x,0'], '--batch_sizes: x, 0'),
    (['--what=loader', '--workers=-1'], '--workers: -1'),
    (['--what=nothing'], '--what'),
    (['--what=kshot', '--by_part'], '--by_part'),
    (['--what=step', '--json=.'], '--json'),
  ):
    assert words in failure(served('speed', *flags, cwd=tmp_path))
