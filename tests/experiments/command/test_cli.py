"""`hsnet COMMAND`, from any folder."""

import os
import subprocess
import sys

import pytest

from experiments.command.cli import commands

HSNET = [sys.executable, '-c', 'from experiments.command.cli import main; main()']


@pytest.fixture
def hsnet(root, tmp_path):
  """Runs it in a folder that has nothing to do with the checkout."""

  def run(*args):
    env = {**os.environ, 'PYTHONPATH': str(root)}
    return subprocess.run([*HSNET, *args], cwd=tmp_path, env=env, capture_output=True, text=True)

  return run


def test_every_command_has_a_line(root):
  found = commands()
  flat = {path.stem for path in (root / 'experiments').glob('*.py')} - {'__init__', 'benchmark'}
  assert set(found) == flat and {'train', 'evaluate', 'predict', 'sweep'} <= flat
  assert all(line.endswith('.') for line in found.values())


@pytest.mark.parametrize('args', [(), ('--help',)])
def test_without_a_command_it_lists_them(hsnet, args):
  done = hsnet(*args)
  assert done.returncode == 0 and all(f'  {name} ' in done.stdout for name in commands())


def test_a_command_explains_itself_with_its_own_flags(hsnet):
  done = hsnet('chaos', '--help')
  assert done.returncode == 0 and '--rounds' in done.stdout and '--epochs' in done.stdout


def test_an_old_name_runs_and_is_not_listed(hsnet):
  assert '\n  benchmark' not in hsnet().stdout
  done = hsnet('benchmark', '--help')
  assert done.returncode == 0 and 'experiments.speed' in done.stdout


def test_a_command_fails_as_it_does_elsewhere(hsnet, failure):
  assert '--space' in failure(hsnet('sweep'))
  assert 'trian' in failure(hsnet('trian'))
