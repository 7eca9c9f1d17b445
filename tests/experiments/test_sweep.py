"""Sweeps as a user starts them, one of them killed."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

SPACE = """
[train]
{fixed}

[space]
learning_rate = {{log_uniform = [1e-4, 1e-2]}}
augment = {{choice = ['none', 'flip']}}
"""


@pytest.fixture
def space_file(small, tmp_path):
  """The space of a small sweep."""

  def toml(value):
    return value if value.isdecimal() else json.dumps(value)

  flags = [flag.removeprefix('--').partition('=')[::2] for flag in (*small, '--max_steps=2')]
  path = tmp_path / 'space.toml'
  fixed = '\n'.join(f'{name} = {toml(value) if value else "true"}' for name, value in flags)
  path.write_text(SPACE.format(fixed=fixed))
  return path


def processes_of(folder):
  """Command lines of the training processes whose runs lie in a folder."""
  found = []
  for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    try:
      words = path.read_bytes().decode(errors='replace').split('\0')
    except OSError:  # It has ended meanwhile.
      continue
    if any(word.startswith(f'--run_dir={folder}') for word in words):
      found.append(words)
  return found


@pytest.mark.wide
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks into /proc')
def test_a_killed_sweep_runs_what_was_left(space_file, script, environment, tmp_path):
  folder = tmp_path / 'sweep'
  options = [f'--space={space_file}', '--trials=2', f'--output_dir={folder}']
  # One after the other, so that one has ended when the next begins.
  command = [sys.executable, '-m', 'experiments.sweep', *options]
  command += [f'--cpus_per_trial={os.cpu_count()}']
  errors = tmp_path / 'errors'
  with open(errors, 'w') as err:
    sweep = subprocess.Popen(
      command, env=environment, stdout=subprocess.PIPE, stderr=err, text=True
    )
  said = []
  for line in sweep.stdout:
    said.append(line)
    if line.startswith('trial 002'):
      break
  sweep.send_signal(signal.SIGKILL)
  sweep.communicate()
  assert sweep.returncode == -signal.SIGKILL, (said, errors.read_text())
  assert 'trial 001  ended\n' in said
  first = folder / 'trials' / '001'
  before = {p: p.stat().st_mtime_ns for p in (first / 'output.txt', first / 'metrics.jsonl')}

  done = script('sweep', *options)
  assert done.returncode == 0, (done.stdout, done.stderr)
  assert done.stderr == ''
  assert {p: p.stat().st_mtime_ns for p in before} == before
  started = [line.split()[1] for line in done.stdout.splitlines() if 'learning_rate 0' in line]
  assert started == ['002']
  with open(folder / 'results.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert sorted(row['trial'] for row in rows) == ['1', '2']
  assert {row['status'] for row in rows} == {'ended'} and {row['step'] for row in rows} == {'2'}
  for row in rows:
    config = json.loads((folder / 'trials' / f'00{row["trial"]}' / 'trial.json').read_text())
    assert float(row['learning_rate']) == config['params']['learning_rate']
  best = folder / 'trials' / f'00{rows[0]["trial"]}' / 'checkpoints' / 'best'
  assert f'next: python -m experiments.evaluate --checkpoint={best}\n' in done.stdout
  assert best.is_dir()
  names = {path.name for path in folder.iterdir()}
  assert names == {
    *('.lock', 'curves.png', 'parameters.png', 'results.csv', 'results.md', 'sweep.json', 'trials')
  }
  assert processes_of(folder) == []


@pytest.mark.parametrize('args, flag', [([], '--space'), (['--trials=0'], '--trials')])
def test_what_is_wrong_is_said_in_a_line(args, flag, script, failure, tmp_path):
  assert flag in failure(script('sweep', *args, cwd=tmp_path))
  assert list(tmp_path.iterdir()) == []
