"""A run resumed from a checkpoint; nothing traced twice, or moved behind one's back."""

import contextlib
import dataclasses
import tarfile
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines import eval_batches, make_benchmark, to_devices, train_batches
from experiments.storage.configs import to_json
from experiments.training.config import RunConfig
from experiments.training.log import RunLog
from experiments.training.loop import Limits, fit
from experiments.training.session import make_hooks, new_state, resumed_state
from hsnet_jax import inference
from hsnet_jax.backbones import BACKBONES
from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.training import steps
from hsnet_jax.training.sharding import batch_sharding, data_mesh, place, replicated
from tests import made

RUN = RunConfig(
  fold=1,
  backbone='tiny',
  image_size=32,
  batch_size=4,
  schedule='cosine',
  schedule_steps=6,
  warmup_steps=2,
  weight_decay=0.01,
  clip=1.0,
  ema=0.9,
  augment='all',
  exchange=0.5,
)


@pytest.fixture
def stored(golden, tmp_path):
  """A run's folder as format 1 has it: tensor i of a tree is (i + 1) / 1000 throughout."""
  with tarfile.open(golden / 'checkpoint_format1.tar.gz') as archive:
    archive.extractall(tmp_path / 'run', filter='data')
  return tmp_path / 'run'


def test_a_stored_checkpoint_of_format_1_is_read(stored):
  checkpoint = load_checkpoint(stored / 'checkpoints' / 'last')
  assert (checkpoint.step, checkpoint.config['format_version']) == (10, 1)
  assert checkpoint.config['figures'] == {'miou': 12.5, 'fb_iou': 50.0, 'auc': 60.0}
  leaves = jax.tree.leaves(checkpoint.variables)
  for i, leaf in enumerate(leaves):
    np.testing.assert_array_equal(leaf, np.full(leaf.shape, np.float32((i + 1) * 1e-3)))


@pytest.mark.parametrize(
  'now, words',
  [
    ({'lists': {'trn': 'c', 'val': 'b'}}, 'images'),
    ({'lists': {'trn': 'a', 'val': 'c'}, 'val_episodes': 3}, 'images'),
    ({'lists': {'trn': 'c', 'val': 'd'}, 'fold': 2}, '`fold`=1, not 2'),
    ({'backbone_weights': 'random'}, '`backbone_weights`'),
    ({'schedule_steps': 9}, 'step 6, not 9'),
  ],
)
def test_what_a_run_is_not_resumed_with_is_named(tmp_path, now, words):
  lists = {'trn': 'a', 'val': 'b'}
  run = dataclasses.replace(RUN, lists=lists, val_episodes=2, backbone_weights='e')
  path, config = tmp_path / 'checkpoints' / 'last', to_json(run)
  save_checkpoint(path, {'params': {}, 'backbone': {}}, config=config)
  with pytest.raises(InputError, match=f'{path}.*{words}') as caught:
    resumed_state(Mock(), tmp_path, dataclasses.replace(run, **now))
  assert 'None' not in str(caught.value) and 'val_episodes' not in str(caught.value)


def test_a_run_of_before_heads_is_of_the_published_one(tmp_path):
  since = {'prior', 'skip', 'correlated_levels', 'absent', 'support_margin', 'foreground_weight'}
  since |= {'combine', 'exchange', 'hybrid_masking', 'background_correlation'}
  since |= {'boundary_weight', 'dice', 'test_classes'}
  config = {name: value for name, value in to_json(RUN).items() if name not in since}
  save_checkpoint(tmp_path / 'checkpoints' / 'last', {'params': {}, 'backbone': {}}, config=config)
  for now, words in (({'absent': 0.5}, '`absent`=0.0, not 0.5'), ({'prior': True}, '`prior`')):
    with pytest.raises(InputError, match=words):
      resumed_state(Mock(), tmp_path, dataclasses.replace(RUN, **now))


@pytest.mark.heavy
def test_a_best_checkpoint_of_another_kind_is_none(tmp_path):
  variables = jax.device_get(made.variables('tiny'))
  config = {'backbone': 'tiny', 'figures': None, 'exchange': RUN.exchange}
  new = new_state(RUN, variables['backbone'])
  folder = tmp_path / 'checkpoints'
  save_checkpoint(folder / 'last', variables, config=config, opt_state=new.opt_state, step=4)
  for further in ({}, {'step': 3}, {'config': config | {'figures': {}}, 'step': 3}):
    save_checkpoint(folder / 'best', variables, **{'config': {'backbone': 'tiny'}} | further)
    state, progress = resumed_state(new, tmp_path, RUN)
    assert state.step == 4 and progress.best_step is None and progress.miou == {}


def pytest_generate_tests(metafunc):
  """With --wide pmap as well."""
  if 'parallel' in metafunc.fixturenames:
    wide = metafunc.config.getoption('wide')
    metafunc.parametrize('parallel', ['jit', 'pmap'] if wide else ['jit'])


@pytest.mark.heavy
def test_nothing_is_traced_twice_or_moved_but_by_name(tmp_path, monkeypatch, parallel):
  """Steps, figures, a checkpoint within the epoch, validation of a batch that is not full.

  All under JAX's strictest guard, which on CPUs says nothing of reads; see `guarded`.
  """
  monkeypatch.setitem(BACKBONES, 'small', made.SMALL)
  settings = dataclasses.replace(RUN, backbone='small')
  traced = [Mock(wraps=step) for step in (steps.train_step, inference.episode_logits)]
  monkeypatch.setattr(steps, 'train_step', traced[0])
  monkeypatch.setattr(inference, 'episode_logits', traced[1])
  benchmark, mesh = make_benchmark('shapes'), data_mesh(devices=jax.devices()[:2])
  given = {'fold': 1, 'shots': 1, 'image_size': 32, 'batch_size': 4, 'num_threads': 0}
  val = eval_batches(benchmark, count=6, **given)
  state = new_state(settings, made.SMALL.init(jax.random.key(0)))
  state = place(state, replicated(mesh))
  run = tmp_path / 'run'
  limits = Limits(epochs=2, steps=None, minutes=None, steps_per_epoch=3, save_every=2)
  hooks = make_hooks(benchmark, settings, val, run, mesh=mesh, parallel=parallel)
  source = train_batches(benchmark, seed=0, **given).from_step(0)
  with (
    contextlib.closing(to_devices(source, sharding=batch_sharding(mesh))) as batches,
    contextlib.closing(RunLog(run)) as log,
    guarded(monkeypatch),
  ):
    with pytest.raises(Exception, match='[Dd]isallow'):
      jnp.sin(np.ones(3))  # The guard is there.
    with pytest.raises(AssertionError):
      float(state.step)
    _, progress = fit(
      state, batches, hooks, limits=limits, log=log, num_classes=benchmark.num_classes
    )
  assert progress.step == 6 and len(progress.miou) == 2
  assert load_checkpoint(run / 'checkpoints' / 'last').step == 6
  assert [step.call_count for step in traced] == [1, 1]  # To train, and to validate.


@contextlib.contextmanager
def guarded(monkeypatch):
  """The guard for all threads: JAX's context manager is of one alone.

  And what the guard does not see where devices share the host's memory: numbers read one by one.
  """

  def refuse(self, *args):
    raise AssertionError('a number is read by something else than jax.device_get')

  with monkeypatch.context() as patch:
    for name in ('__float__', '__int__', '__bool__', '__index__', '__format__', 'item', 'tolist'):
      patch.setattr(type(jnp.zeros(())), name, refuse)
    jax.config.update('jax_transfer_guard', 'disallow')
    try:
      yield
    finally:
      jax.config.update('jax_transfer_guard', 'allow')
