"""experiments/train.py as a user runs it; what it trains is tested in training/test_run.py."""

import json
import subprocess
import sys
import types

import jax
import numpy as np
import pytest

import experiments.train
import experiments.training
from experiments.storage.locks import of_this_machine
from hsnet_jax.checkpoints import load_checkpoint, read_config
from tests.experiments.training.test_run import without_times


def test_a_run_leaves_checkpoints_curves_and_pictures(trained):
  folder, said = trained
  # Evaluations of this run, by other tests, may have added their own folder.
  assert {p.name for p in folder.iterdir()} - {'evaluation', of_this_machine()} == {
    'checkpoints',
    'log.txt',
    'metrics.jsonl',
    'tensorboard',
    'pictures',
  }
  for name in ('best', 'last'):
    config = read_config(folder / 'checkpoints' / name)
    known = {key: config[key] for key in ('backbone', 'benchmark', 'fold', 'shots', 'step')}
    assert known == {'backbone': 'tiny', 'benchmark': 'shapes', 'fold': 1, 'shots': 1, 'step': 3}
    assert 'jax' in config['versions'] and 'miou' in config['figures']
  lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  assert [set(line) & {'train/loss', 'val/miou'} for line in lines] == [
    {'train/loss'},
    {'val/miou'},
  ]
  assert list((folder / 'pictures').glob('*.png')) and list((folder / 'tensorboard').iterdir())
  kept = [line.split('  ', 1)[1] for line in (folder / 'log.txt').read_text().splitlines()]
  assert kept == said.splitlines(), 'all that was printed'
  best = folder / 'checkpoints' / 'best'
  for words in ('device:', 'learnable', f'outputs: {folder}', 'best validation mIoU', str(best)):
    assert words in said


@pytest.mark.parametrize(('stopped', 'code'), [('stopped at step 1', 143), (None, 0)])
def test_a_stopped_run_says_how_to_resume(monkeypatch, capsys, stopped, code):
  outcome = types.SimpleNamespace(stopped=stopped, best=None, folder=None)
  given = {}
  monkeypatch.setattr(experiments.train, 'config_from_flags', lambda kind: kind)
  monkeypatch.setattr(
    experiments.training, 'train', lambda config, **kw: given.update(kw) or outcome
  )
  assert experiments.train.main() == code
  assert given == {'stopping': experiments.training.stopped_by_sigterm}
  assert ('stopped at step 1' in capsys.readouterr().err) == bool(stopped)


@pytest.mark.heavy  # Real processes; training/test_run.py resumes a run that a function stops.
def test_a_run_that_is_stopped_ends_as_an_unbroken_one_does(
  environment, script, small, trained, tmp_path
):
  args = [*small, f'--run_dir={tmp_path / "run"}', '--max_steps=3']
  command = [sys.executable, '-m', 'experiments.train', *args]
  pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
  with subprocess.Popen(command, env=environment, **pipes) as process:
    said = ''
    while 'epoch 1' not in said:  # A line of the progress bar has no end yet.
      said += process.stderr.read(1)
      assert process.poll() is None
    process.terminate()  # While the step is compiled: it is taken, saved, and no other.
    said = process.stderr.read()
    assert process.wait() == 143 and 'stopped at step 1' in said
  done = script('train', *args)
  assert done.returncode == 0, done.stderr
  log = (tmp_path / 'run' / 'log.txt').read_text()
  assert log.count('device:') == 2 and log.index('stopped at step 1') < log.index('from step 1')
  assert 'from step 1' in done.stdout and 'last 1 validations' in done.stdout
  assert without_times(tmp_path / 'run') == without_times(trained[0])
  for name in ('best', 'last'):
    unbroken, resumed = (
      load_checkpoint(folder / 'checkpoints' / name).variables
      for folder in (trained[0], tmp_path / 'run')
    )
    jax.tree.map(np.testing.assert_array_equal, unbroken, resumed)


def test_a_bad_flag_is_named_and_nothing_is_written(script, failure, tmp_path):
  assert '--batch_size' in failure(script('train', '--batch_size=0', cwd=tmp_path))
  both = '--random_backbone', '--backbone_weights=weights.pth'
  line = failure(script('train', *both, cwd=tmp_path))
  assert '--random_backbone' in line and '--backbone_weights' in line
  assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy  # Trains; checkpoints/test_crashes.py has full disks in this process.
def test_a_full_disk_while_saving_leaves_no_half_checkpoint(script, failure, small, tmp_path):
  run = tmp_path / 'run'
  # A limit on the size of files stands in for the disk: pictures fit, parameters do not.
  done = script('train', *small, '--max_steps=1', f'--run_dir={run}', max_file=2**20)
  assert 'disk full' in failure(done)
  assert not [p for p in (run / 'checkpoints').iterdir() if not p.name.startswith('.')]
