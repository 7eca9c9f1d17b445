"""experiments/train.py from end to end."""

import json
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from experiments.storage.locks import alone, of_this_machine
from hsnet_jax.checkpoints import load_checkpoint, read_config, save_checkpoint


def test_a_run_leaves_checkpoints_curves_and_pictures(trained):
  folder, said = trained
  # Evaluations of this run, by other tests, may have added their own folder.
  assert {p.name for p in folder.iterdir()} - {'evaluation', of_this_machine()} == {
    'checkpoints',
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
  for words in ('device:', 'learnable', f'outputs: {folder}', 'best validation mIoU', 'next: '):
    assert words in said


def test_a_run_is_not_replaced_unasked(script, failure, small, trained):
  folder, _ = trained
  before = (folder / 'metrics.jsonl').read_bytes()
  done = script('train', *small, '--max_steps=3', f'--run_dir={folder}', '--noresume')
  assert '--resume' in failure(done) and str(folder) in failure(done)
  assert (folder / 'metrics.jsonl').read_bytes() == before


def test_a_folder_is_of_one_run_at_a_time(served, failure, small, trained):
  folder, _ = trained
  before = (folder / 'metrics.jsonl').read_bytes()
  with alone(folder, does='trains there', name=of_this_machine()):
    done = served('train', *small, '--max_steps=4', f'--run_dir={folder}')
  assert f'{folder}: another process trains there; wait for its end' in failure(done)
  assert (folder / 'metrics.jsonl').read_bytes() == before


# Another run comes and goes between what this one has found in the folder and its lock.
MEANWHILE = """
import os, shutil
from experiments import train
from experiments.command import hosts
alone = train.alone
def after_another_run(folder, **options):
  shutil.copytree(os.environ['OTHER'], folder / 'checkpoints')
  return alone(folder, **options)
train.alone = after_another_run
hosts.run(train.main)
"""


def test_a_run_that_came_meanwhile_is_not_lost(environment, failure, small, trained, tmp_path):
  command = [sys.executable, '-c', MEANWHILE, *small, f'--run_dir={tmp_path / "run"}']
  env = {**environment, 'OTHER': str(trained[0] / 'checkpoints')}
  done = subprocess.run(command, env=env, capture_output=True, text=True)
  assert 'another process has trained there meanwhile' in failure(done)
  assert load_checkpoint(tmp_path / 'run' / 'checkpoints' / 'last').step == 3


def without_times(folder):
  """The lines of a run's log, but for what the clock says."""
  lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  return [{k: v for k, v in line.items() if not k.startswith('time/')} for line in lines]


def test_a_run_that_is_stopped_ends_as_an_unbroken_one_does(
  root, environment, served, failure, small, trained, tmp_path
):
  args = [*small, f'--run_dir={tmp_path / "run"}', '--max_steps=3']
  command = [sys.executable, str(root / 'experiments' / 'train.py'), *args]
  pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
  with subprocess.Popen(command, env=environment, **pipes) as process:
    said = ''
    while 'epoch 1' not in said:  # A line of the progress bar has no end yet.
      said += process.stderr.read(1)
      assert process.poll() is None
    process.terminate()  # While the step is compiled: it is taken, saved, and no other.
    said = process.stderr.read()
    assert process.wait() == 143 and 'stopped at step 1, which is saved' in said
  assert '--seed=0, not 1' in failure(served('train', *args, '--seed=1'))
  for flag, words in (
    ('augment=flip', '--augment=none, not flip'),
    ('ema=0.9', '--ema=0.0, not 0.9'),
    ('clip=1', '--clip=0.0, not 1.0'),
    ('backbone=vgg16', '--backbone=tiny, not vgg16'),
    ('norandom_backbone', 'other backbone weights'),
  ):
    assert words in failure(served('train', *args, f'--{flag}'))
  done = served('train', *args)
  assert done.returncode == 0, done.stderr
  assert 'going on from step 1' in done.stdout and 'last 1 validations' in done.stdout
  assert without_times(tmp_path / 'run') == without_times(trained[0])
  for name in ('best', 'last'):
    unbroken, resumed = (
      load_checkpoint(folder / 'checkpoints' / name).variables
      for folder in (trained[0], tmp_path / 'run')
    )
    jax.tree.map(np.testing.assert_array_equal, unbroken, resumed)
  done = served('train', *args, '--resume')
  assert 'nothing to do' in done.stdout and 'last 1 validations' in done.stdout


def test_another_way_to_the_same_step(served, small, trained, tmp_path):
  flags = '--parallel=pmap', '--accumulate=2', '--num_workers=1'
  done = served('train', *small, '--max_steps=3', f'--run_dir={tmp_path}', *flags)
  assert done.returncode == 0, done.stderr
  losses = [
    next(line['train/loss'] for line in without_times(folder) if 'train/loss' in line)
    for folder in (tmp_path, trained[0])
  ]
  assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(
  'args, words',
  [
    (['--fold=4'], 'fold 4 is out of range'),
    (['--resume'], 'there is no such checkpoint'),
    (['--backbone_weights=weights.pth'], 'exclude each other'),
    (['--backbone=vgg16', '--image_size=264'], '264 x 264'),
  ],
)
def test_bad_input_is_named_and_nothing_is_written(served, failure, small, tmp_path, args, words):
  done = served('train', *small, '--run_dir=run', *args, cwd=tmp_path)
  assert words in failure(done)
  assert list(tmp_path.iterdir()) == []


def test_a_bad_flag_is_named_and_nothing_is_written(script, failure, tmp_path):
  assert '--batch_size' in failure(script('train', '--batch_size=0', cwd=tmp_path))
  assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_is_not_replaced(served, failure, small, tmp_path):
  (tmp_path / 'pictures').mkdir()
  (tmp_path / 'pictures' / 'validation.png').write_text('precious')
  done = served('train', *small, f'--run_dir={tmp_path}', '--overwrite')
  assert f'{tmp_path}: not a run' in failure(done)
  assert (tmp_path / 'pictures' / 'validation.png').read_text() == 'precious'


def test_a_schedule_is_gone_on_with_at_its_own_length(served, failure, small, trained, tmp_path):
  checkpoint = load_checkpoint(trained[0] / 'checkpoints' / 'last')
  state = jax.eval_shape(
    optax.adam(optax.constant_schedule(1.0)).init, checkpoint.variables['params']
  )
  state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)
  config = {**checkpoint.config, 'schedule': 'cosine', 'schedule_steps': 3}
  path = tmp_path / 'checkpoints' / 'last'
  save_checkpoint(path, checkpoint.variables, config=config, opt_state=state, step=3)
  args = [*small, '--schedule=cosine', f'--run_dir={tmp_path}', '--resume', '--max_steps=4']
  assert 'ends at step 3, not 4' in failure(served('train', *args))


def test_a_loss_that_is_no_number_stops_the_run(served, failure, small, tmp_path):
  run = tmp_path / 'run'
  bad = ('--learning_rate=1e30', '--max_steps=9')
  done = served('train', *small, *bad, f'--run_dir={run}')
  line = failure(done)
  assert 'nan at step 2' in line or 'not finite' in line or 'inf at step 2' in line
  assert 'no checkpoint was written' in line and not (run / 'checkpoints').exists()


def test_a_full_disk_while_saving_leaves_no_half_checkpoint(script, failure, small, tmp_path):
  run = tmp_path / 'run'
  # A limit on the size of files stands in for the disk: pictures fit, parameters do not.
  done = script('train', *small, '--max_steps=1', f'--run_dir={run}', max_file=2**20)
  assert 'disk full' in failure(done)
  assert not [p for p in (run / 'checkpoints').iterdir() if not p.name.startswith('.')]
