"""Sweeps as a user starts them, one of them killed."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from experiments.sweeps.folder import begin_sweep
from experiments.sweeps.space import read_space

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
def test_a_killed_sweep_runs_what_was_left(space_file, script, root, environment, tmp_path):
  folder = tmp_path / 'sweep'
  options = [f'--space={space_file}', '--trials=2', f'--output_dir={folder}']
  # One after the other, so that one has ended when the next begins.
  command = [sys.executable, str(root / 'experiments' / 'sweep.py'), *options]
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
  before = {p: p.stat().st_mtime_ns for p in (first / 'log.txt', first / 'metrics.jsonl')}

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


@pytest.mark.parametrize(
  ('args', 'message'),
  [
    ([], '--space is missing'),
    (['--space=none.toml'], 'none.toml: cannot be read'),
    (['--space=bad.toml'], 'bad.toml: space.clip: the lower bound 2 is not below the upper 1'),
    (['--space=space.toml', '--gpus_per_trial=1.5'], 'a part of one GPU, or a whole number'),
    (['--space=space.toml', '--output_dir=taken'], 'taken: holds files and no sweep'),
    (['--space=space.toml', '--output_dir=other'], 'other settings (seed: 5 there, 0 here)'),
    (['--space=space.toml', '--address=nothing', '--output_dir=same'], 'write host:port'),
    (
      ['--space=space.toml', '--address=127.0.0.1:1', '--output_dir=same'],
      'no Ray cluster answers',
    ),
  ],
)
def test_what_is_wrong_is_said_in_a_line(args, message, served, failure, space_file, tmp_path):
  """And nothing is written; Ray is not started."""
  (tmp_path / 'bad.toml').write_text('[space]\nclip = {uniform = [2, 1]}')
  (tmp_path / 'taken').mkdir()
  (tmp_path / 'taken' / 'notes.txt').touch()
  for name, seed in (('same', 0), ('other', 5)):
    description = {'search': 'random', 'seed': seed, 'metric': 'val/miou', 'asha': None}
    begin_sweep(tmp_path / name, {**description, **read_space(space_file).record()})
  before = sorted(tmp_path.rglob('*'))
  assert message in failure(served('sweep', *args, cwd=tmp_path))
  assert sorted(tmp_path.rglob('*')) == before


def test_without_the_optional_packages_it_says_how_to_get_them(
  space_file, root, environment, failure, tmp_path
):
  (tmp_path / 'absent').mkdir()
  (tmp_path / 'absent' / 'matplotlib.py').write_text("raise ImportError('not there')")
  path = os.pathsep.join((str(tmp_path / 'absent'), str(root)))
  done = subprocess.run(
    [sys.executable, str(root / 'experiments' / 'sweep.py'), f'--space={space_file}'],
    env={**environment, 'PYTHONPATH': path},
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert "pip install '.[sweep]' (not there)" in failure(done)
