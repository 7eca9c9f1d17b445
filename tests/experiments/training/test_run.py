"""`train(TrainConfig(...))`, in this process."""

import contextlib
import dataclasses
import functools
import itertools
import json
import shutil
import tarfile

import jax
import numpy as np
import optax
import pytest

from experiments.storage.locks import alone, of_this_machine
from experiments.training import Outcome, train
from experiments.training import run as running
from experiments.training.config import AUGMENT, PARALLEL, RunConfig, TrainConfig
from experiments.training.loop import NonFiniteLoss
from experiments.training.session import PARALLEL as STEPS
from hsnet_jax.backbones import BACKBONES
from hsnet_jax.checkpoints import load_checkpoint, read_config, save_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.training.augment import AUGMENTATIONS
from hsnet_jax.training.sharding import data_mesh
from hsnet_jax.weights import save_backbone
from tests.facts import lets_orbax_fail
from tests.made import SMALL


def without_times(folder):
  """The lines of a run's log, but for what the clock says."""
  lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  return [{k: v for k, v in line.items() if not k.startswith('time/')} for line in lines]


@pytest.fixture(scope='module')
def train_small(train_small):
  """The same with a network that compiles quickly; `backbone='tiny'` is the usual one."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(BACKBONES, 'small', SMALL)
    yield functools.partial(train_small, backbone='small')


@pytest.fixture(scope='module')
def run(train_small, tmp_path_factory):
  """What came of a run of three steps; it is only read."""
  return train_small(tmp_path_factory.mktemp('run'), max_steps=3)


@pytest.fixture
def copied(run, tmp_path):
  """The folder of the same run, for tests that change it."""
  return shutil.copytree(run.folder, tmp_path / 'copied')


def test_what_comes_out_is_returned_and_left_in_the_folder(run):
  assert isinstance(run, Outcome)
  assert (run.progress.step, run.progress.best_step, run.stopped) == (3, 3, None)
  assert run.best == run.folder / 'checkpoints' / 'best'
  assert set(run.progress.figures) == {'miou', 'fb_iou', 'auc'}
  config = read_config(run.best)
  assert config['step'] == 3 and config['figures'] == run.progress.figures
  # What 0.1.0 recorded, and what has come since: neither more nor less.
  recorded = {field.name for field in dataclasses.fields(RunConfig)}
  assert recorded == {
    *('benchmark', 'fold', 'shots', 'backbone', 'mask_support', 'image_size', 'batch_size'),
    *('learning_rate', 'schedule', 'warmup_steps', 'weight_decay', 'clip', 'accumulate', 'ema'),
    *('augment', 'precision', 'protocol', 'seed', 'validation', 'val_every', 'val_episodes'),
    *('lists', 'schedule_steps', 'backbone_weights'),
    *('prior', 'skip', 'correlated_levels', 'absent', 'support_margin'),
    *('foreground_weight', 'combine', 'presence_threshold'),
    *('exchange', 'hybrid_masking', 'background_correlation', 'boundary_weight', 'dice'),
    'test_classes',
  }
  own = {'figures', 'epoch', 'step', 'versions', 'format_version'}
  assert recorded <= set(config) <= recorded | own


@pytest.mark.parametrize(
  'changes',
  [
    {'seed': 1},
    {'augment': 'flip'},
    {'absent': 0.5},
    {'support_margin': 0.1},
    {'foreground_weight': 2.0},
    {'exchange': 0.5},
    {'boundary_weight': 3.0},
    {'dice': 1.0},
    {'test_classes': 'ignored'},
    {'hybrid_masking': True},
    {'background_correlation': True},
    {'combine': 'mean'},
    {'ema': 0.9},
    {'clip': 1.0},
    {'random_backbone': False},
    {'val_episodes': 3},
  ],
  ids=str,
)
def test_a_run_is_resumed_with_the_same_settings_alone(run, train_small, tmp_path, changes):
  ((name, value),) = changes.items()
  if name == 'random_backbone':
    name, path = 'backbone_weights', tmp_path / 'small.safetensors'
    save_backbone(path, SMALL.init(jax.random.key(0)), name=SMALL)
    changes = {**changes, name: str(path)}
  value = '' if name == 'backbone_weights' else f'.*not {value}'
  with pytest.raises(InputError, match=f'{run.folder}.*`{name}`{value}'):
    train_small(run.folder, max_steps=4, **changes)


def test_a_run_that_is_done_is_left_alone(run, train_small, capsys):
  before = (run.folder / 'metrics.jsonl').read_bytes()
  outcome = train_small(run.folder, max_steps=3)
  assert outcome.progress.step == 3 and outcome.best == run.best
  said = capsys.readouterr().out
  assert 'step 3' in said and f'{run.progress.miou[3]:.2f}' in said
  assert (run.folder / 'metrics.jsonl').read_bytes() == before


def test_a_run_is_not_replaced_unasked(run, train_small):
  with pytest.raises(InputError, match=f'{run.folder}.*`resume`'):
    train_small(run.folder, max_steps=3, resume=False)


def test_a_stopped_run_resumes_and_ends_as_an_unbroken_one(run, train_small, tmp_path, capsys):
  @contextlib.contextmanager
  def after_one_step():
    asked = itertools.count(1)
    yield lambda: next(asked) == 1

  config = read_config(run.best)
  given = TrainConfig(
    **{
      k: config[k]
      for k in ('backbone', 'fold', 'image_size', 'batch_size', 'val_episodes', 'schedule')
    },
    random_backbone=True,
    max_steps=3,
    run_dir=str(tmp_path / 'run'),
  )
  stopped = train(given, stopping=after_one_step, mesh=data_mesh(devices=jax.devices()[:1]))
  assert stopped.stopped and 'step 1' in str(stopped.stopped) and stopped.best is None
  assert train_small(tmp_path / 'run', max_steps=3).best
  assert 'from step 1' in capsys.readouterr().out
  assert without_times(tmp_path / 'run') == without_times(run.folder)
  for name in ('best', 'last'):
    unbroken, resumed = (
      load_checkpoint(folder / 'checkpoints' / name).variables
      for folder in (run.folder, tmp_path / 'run')
    )
    jax.tree.map(np.testing.assert_array_equal, unbroken, resumed)


def test_a_folder_is_of_one_run_at_a_time(copied, train_small):
  before = (copied / 'metrics.jsonl').read_bytes()
  with alone(copied, does='trains there', name=of_this_machine()):
    with pytest.raises(InputError, match=f'{copied}: another process'):
      train_small(copied, max_steps=4)
  assert (copied / 'metrics.jsonl').read_bytes() == before


def test_a_run_that_came_meanwhile_is_not_lost(run, train_small, tmp_path, monkeypatch):
  """Another one comes and goes between what this one has found in the folder and its lock."""

  def after_another_run(folder, **options):
    shutil.copytree(run.folder / 'checkpoints', folder / 'checkpoints')
    return alone(folder, **options)

  monkeypatch.setattr(running, 'alone', after_another_run)
  with pytest.raises(InputError, match=f'{tmp_path / "run"}.*meanwhile'):
    train_small(tmp_path / 'run', max_steps=3)
  assert load_checkpoint(tmp_path / 'run' / 'checkpoints' / 'last').step == 3


@pytest.mark.heavy
def test_another_way_to_the_same_step(run, train_small, tmp_path):
  train_small(tmp_path, max_steps=3, parallel='pmap', accumulate=2, num_workers=1)
  losses = [
    next(line['train/loss'] for line in without_times(folder) if 'train/loss' in line)
    for folder in (tmp_path, run.folder)
  ]
  assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(
  'changes, words',
  [
    ({'fold': 4}, 'fold 4'),
    ({'resume': True}, 'checkpoints/last'),
    ({'random_backbone': False, 'backbone_weights': 'none.npz'}, 'none.npz'),
    pytest.param({'backbone': 'vgg16', 'image_size': 264}, '264 x 264', marks=pytest.mark.heavy),
    ({'accumulate': 3}, 'a multiple of 3'),
    ({'validation': 'heldout', 'benchmark': 'folder', 'data_dir': '/nowhere'}, '/nowhere'),
  ],
)
def test_bad_input_is_named_and_nothing_is_written(train_small, tmp_path, changes, words):
  with pytest.raises(InputError, match=words):
    train_small(tmp_path / 'run', **changes)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  'values, name',
  [
    ({'batch_size': 0}, 'batch_size'),
    ({'ema': 1.0}, 'ema'),
    ({'schedule': 'linear'}, 'schedule'),
    ({'epochs': 1.5}, 'epochs'),
    ({'resume': True, 'overwrite': True}, 'overwrite'),
    ({'random_backbone': True, 'backbone_weights': 'a.npz'}, 'backbone_weights'),
  ],
)
def test_a_configuration_is_checked_as_it_is_made(values, name):
  with pytest.raises(InputError, match=f'`{name}`'):
    TrainConfig(**values)


def test_choices_are_those_of_the_tables():
  assert PARALLEL == tuple(STEPS) and AUGMENT == tuple(AUGMENTATIONS)


def test_what_is_no_run_is_not_replaced(train_small, tmp_path):
  (tmp_path / 'pictures').mkdir()
  (tmp_path / 'pictures' / 'validation.png').write_text('precious')
  with pytest.raises(InputError, match=f'{tmp_path}: not a run'):
    train_small(tmp_path, overwrite=True)
  assert (tmp_path / 'pictures' / 'validation.png').read_text() == 'precious'


def adam_state(variables):
  """The state of an optimizer with a schedule that has seen nothing yet, of the host."""
  state = jax.eval_shape(optax.adam(optax.constant_schedule(1.0)).init, variables['params'])
  return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)


def test_a_schedule_is_resumed_at_its_own_length(run, train_small, tmp_path):
  checkpoint = load_checkpoint(run.folder / 'checkpoints' / 'last')
  state = adam_state(checkpoint.variables)
  config = {**checkpoint.config, 'schedule': 'cosine', 'schedule_steps': 3}
  path = tmp_path / 'checkpoints' / 'last'
  save_checkpoint(path, checkpoint.variables, config=config, opt_state=state, step=3)
  with pytest.raises(InputError, match='step 3, not 4'):
    train_small(tmp_path, schedule='cosine', resume=True, max_steps=4)


def test_a_loss_that_is_no_number_stops_the_run(copied, train_small):
  """The step is that of the other tests, and compiled already."""
  path = copied / 'checkpoints' / 'last'
  _save_filled(path, 3e38)
  with pytest.raises(NonFiniteLoss, match='nan at step 4.*`learning_rate`'):
    train_small(copied, max_steps=9)
  assert read_config(path)['step'] == 3
  _save_filled(path, np.nan)
  with pytest.raises(InputError, match='checkpoints/last.*NaN.*decoder/conv0/kernel'):
    train_small(copied, max_steps=9)


def _save_filled(path, value):
  """Fills a kernel of a checkpoint with a value."""
  checkpoint = load_checkpoint(path)
  variables = jax.device_get(checkpoint.variables)
  kernel = variables['params']['decoder']['conv0']['kernel']
  variables['params']['decoder']['conv0']['kernel'] = np.full_like(kernel, value)
  state = adam_state(variables)
  save_checkpoint(path, variables, config=checkpoint.config, opt_state=state, step=3)


@pytest.mark.wide  # Compiles a step for that rate; test_loop.py has all cases of a made-up step.
def test_a_rate_that_is_too_large_stops_the_run(train_small, tmp_path):
  with pytest.raises(NonFiniteLoss, match='step [12].*`learning_rate`'):
    train_small(tmp_path / 'run', max_steps=9, learning_rate=1e30)
  assert not (tmp_path / 'run' / 'checkpoints').exists()


@pytest.fixture
def stored(golden, tmp_path):
  """A run's folder as format 1 has it: tensor i of a tree is (i + 1) / 1000 throughout."""
  with tarfile.open(golden / 'checkpoint_format1.tar.gz') as archive:
    archive.extractall(tmp_path / 'run', filter='data')
  return tmp_path / 'run'


@pytest.mark.heavy
def test_a_run_of_format_1_is_read(train_small, stored, capsys):
  outcome = train_small(stored, backbone='tiny', max_steps=10)
  assert outcome.progress.step == 10 and 'step 10' in capsys.readouterr().out


@pytest.mark.heavy  # Compiles the usual network's step; above it is read, all of it.
def test_a_run_of_format_1_is_resumed(train_small, stored, capsys):
  assert train_small(stored, backbone='tiny', max_steps=11).progress.step == 11
  assert 'from step 10' in capsys.readouterr().out
  assert load_checkpoint(stored / 'checkpoints' / 'last').step == 11


@lets_orbax_fail
def test_an_older_checkpoint_is_named_where_the_last_is_damaged(train_small, stored):
  folder = stored / 'checkpoints'
  shutil.copytree(folder / 'last', folder / 'step_00000010')
  (folder / 'last' / 'variables' / 'manifest.ocdbt').unlink()
  with pytest.raises(InputError, match=f'{folder / "last"}.*{folder / "step_00000010"}'):
    train_small(stored, backbone='tiny', max_steps=11)
  shutil.rmtree(folder / 'step_00000010')
  with pytest.raises(InputError, match=str(folder / 'last')) as caught:
    train_small(stored, backbone='tiny', max_steps=11)
  assert 'step_' not in str(caught.value)
