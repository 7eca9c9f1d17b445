"""The project's checkpoints: what goes in comes out, and a failed save harms nothing."""

import copy
import errno
import json
import logging
import os
import shutil
import sys
import threading
import warnings
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from orbax.checkpoint import Checkpointer

from hsnet_jax.checkpoints import (
  FORMAT_VERSION,
  Checkpoint,
  DamagedCheckpoint,
  load_checkpoint,
  read_config,
  save_checkpoint,
)
from hsnet_jax.errors import InputError
from tests.facts import lets_orbax_fail, refused

CONFIG = {'backbone': 'tiny', 'benchmark': 'shapes', 'fold': 2, 'shots': 1}


def made_variables(value=1.0):
  return {
    'params': {
      'decoder': {'conv0': {'kernel': jnp.full((3, 3, 2, 4), value), 'bias': jnp.arange(4.0)}}
    },
    'backbone': {'layer1': {'0': {'w': np.ones((5,), np.float32)}, '10': {'w': jnp.zeros((1,))}}},
  }


def assert_equal_trees(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
    assert np.asarray(x).dtype == np.asarray(y).dtype


def folder_names(folder):
  return sorted(entry.name for entry in folder.iterdir())


def visible_names(folder):  # Writers that were under way may leave others after an error.
  return [name for name in folder_names(folder) if not name.startswith('.')]


def test_round_trip_without_a_template(tmp_path):
  scores = {'miou': np.float32(41.5), 'class_iou': {'3': jnp.float32(12.5)}, 'seeds': np.arange(2)}
  config = {**CONFIG, 'scores': scores, 'image_size': np.int64(64), 'mask_support': True}
  save_checkpoint(tmp_path / 'a' / 'best', made_variables(), config=config, step=7)
  loaded = load_checkpoint(tmp_path / 'a' / 'best')
  assert_equal_trees(loaded.variables, made_variables())
  assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded.variables))
  assert isinstance(loaded, Checkpoint) and loaded.step == 7 and loaded.opt_state is None
  assert loaded.config['format_version'] == FORMAT_VERSION
  assert loaded.config['scores'] == {'miou': 41.5, 'class_iou': {'3': 12.5}, 'seeds': [0, 1]}
  assert loaded.config['image_size'] == 64 and loaded.config['fold'] == 2
  assert loaded.config['versions']['jax'] == jax.__version__
  assert set(loaded.config['versions']) >= {'hsnet-jax', 'flax', 'orbax-checkpoint'}
  assert read_config(tmp_path / 'a' / 'best') == loaded.config
  assert folder_names(tmp_path / 'a') == ['best']


@pytest.mark.parametrize('shapes_alone', [False, True])
def test_optimizer_state_comes_back_in_its_structure(tmp_path, shapes_alone):
  variables = made_variables()
  tx = optax.chain(optax.zero_nans(), optax.adam(1e-3))
  gradients = jax.tree.map(lambda x: x + 0.5, variables['params'])
  _, state = tx.update(gradients, tx.init(variables['params']))
  save_checkpoint(tmp_path / 'c', variables, config=CONFIG, opt_state=state, step=1)
  template = tx.init(variables['params'])
  if shapes_alone:
    template = jax.eval_shape(tx.init, variables['params'])
  assert_equal_trees(load_checkpoint(tmp_path / 'c', opt_state=template).opt_state, state)
  assert load_checkpoint(tmp_path / 'c').opt_state is None


def test_optimizer_state_that_does_not_fit(tmp_path):
  params = made_variables()['params']
  adam = optax.adam(1e-3)
  save_checkpoint(tmp_path / 'c', made_variables(), config=CONFIG, opt_state=adam.init(params))
  save_checkpoint(tmp_path / 'none', made_variables(), config=CONFIG)
  other = jax.tree.map(lambda x: jnp.zeros((2, *x.shape)), params)
  with refused(tmp_path / 'c', 'network'):
    load_checkpoint(tmp_path / 'c', opt_state=adam.init(other))
  with refused(tmp_path / 'c', 'optimizer'):
    load_checkpoint(tmp_path / 'c', opt_state=optax.sgd(0.1, momentum=0.9).init(params))
  with refused(tmp_path / 'none', 'optimizer'):
    load_checkpoint(tmp_path / 'none', opt_state=adam.init(params))


def test_replicated_arrays_come_back_on_one_device(tmp_path):
  mesh = jax.make_mesh((len(jax.devices()),), ('d',))
  spread = jax.NamedSharding(mesh, jax.sharding.PartitionSpec())
  save_checkpoint(tmp_path / 'c', jax.device_put(made_variables(), spread), config=CONFIG)
  loaded = load_checkpoint(tmp_path / 'c').variables
  assert_equal_trees(loaded, made_variables())
  assert all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(loaded))


def test_a_new_checkpoint_replaces_the_old(tmp_path):
  for step in (1, 2, 3):
    save_checkpoint(tmp_path / 'last', made_variables(step), config=CONFIG, step=step)
    loaded = load_checkpoint(tmp_path / 'last')
    assert loaded.step == step
    assert float(loaded.variables['params']['decoder']['conv0']['kernel'].max()) == step
  assert folder_names(tmp_path) == ['last']


def test_relative_paths_and_links(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'link').symlink_to(tmp_path / 'target')
  for step in (1, 2):
    save_checkpoint('link', made_variables(), config=CONFIG, step=step)
  assert load_checkpoint('target').step == 2
  assert folder_names(tmp_path) == ['link', 'target']


def test_wrong_backbone_and_newer_format(tmp_path):
  save_checkpoint(tmp_path / 'c', made_variables(), config=CONFIG)
  with pytest.raises(InputError, match='c: .*tiny.*vgg16'):
    load_checkpoint(tmp_path / 'c', backbone='vgg16')
  save_checkpoint(tmp_path / 'newer', made_variables(), config=CONFIG)
  record = tmp_path / 'newer' / 'config' / 'metadata'
  newer = {**json.loads(record.read_text()), 'format_version': 2}
  record.write_text(json.dumps(newer))
  for read in (load_checkpoint, read_config):
    with pytest.raises(InputError, match='format 2 is newer'):
      read(tmp_path / 'newer')


@pytest.mark.parametrize(
  'damage',
  [
    {'format_version': '1'},
    {'backbone': ['tiny']},
    {'step': 'x'},
    {'image_size': 2.5},
    {'fold': True},
    {'mask_support': []},
    {'precision': {}},
    {'figures': [1]},
  ],
  ids=lambda damage: next(iter(damage)),
)
def test_a_record_of_other_types_is_damage(tmp_path, damage):
  """A list would be no name of anything, and a text no size, much later and without a file."""
  path = tmp_path / 'c'
  save_checkpoint(path, made_variables(), config=CONFIG)
  record = path / 'config' / 'metadata'
  content = json.loads(record.read_text())
  record.write_text(json.dumps({**content, **damage}))
  with pytest.raises(DamagedCheckpoint, match=f'c: .*{next(iter(damage))}'):
    read_config(path)
  del content['backbone']
  record.write_text(json.dumps(content))
  with pytest.raises(DamagedCheckpoint, match='backbone'):
    load_checkpoint(path)


def test_a_config_must_name_its_backbone(tmp_path):
  with pytest.raises(ValueError, match='backbone'):
    save_checkpoint(tmp_path / 'c', made_variables(), config={'fold': 0})


@pytest.mark.parametrize('made', ['missing', 'empty', 'file', 'other'])
def test_no_checkpoint(tmp_path, made):
  path = tmp_path / 'c'
  if made == 'file':
    path.write_text('x')
  elif made != 'missing':
    path.mkdir()
    if made == 'other':
      (path / 'photo.jpg').write_text('x')
  for read in (load_checkpoint, read_config):
    with refused(path, 'checkpoint'):
      read(path)


def test_other_files_are_never_replaced(tmp_path):
  (tmp_path / 'photos').mkdir()
  (tmp_path / 'photos' / 'a.jpg').write_text('precious')
  (tmp_path / 'file').write_text('precious')
  for name in ('photos', 'file'):
    with refused(tmp_path / name):
      save_checkpoint(tmp_path / name, made_variables(), config=CONFIG)
  assert (tmp_path / 'photos' / 'a.jpg').read_text() == 'precious'
  assert (tmp_path / 'file').read_text() == 'precious'
  assert folder_names(tmp_path) == ['file', 'photos']


@lets_orbax_fail
def test_damage_is_found_or_harmless(tmp_path):
  """Each file in turn is emptied, cut in half or lost."""
  whole = tmp_path / 'whole'
  save_checkpoint(whole, made_variables(), config=CONFIG, step=3)
  files = [file.relative_to(whole) for file in whole.rglob('*') if file.is_file()]
  refused = set()
  for file in files:
    for damage in ('emptied', 'halved', 'lost'):
      copy = tmp_path / 'copy'
      shutil.rmtree(copy, ignore_errors=True)
      shutil.copytree(whole, copy)
      if damage == 'lost':
        (copy / file).unlink()
      else:
        size = (copy / file).stat().st_size
        os.truncate(copy / file, size // 2 if damage == 'halved' else 0)
      try:
        loaded = load_checkpoint(copy)
      except InputError as error:
        assert '\n' not in str(error) and str(copy) in str(error)
        refused.add(file.parts[:2])
      else:
        assert_equal_trees(loaded.variables, made_variables())
        assert loaded.config == read_config(whole)
  assert {('config', 'metadata'), ('variables', 'd'), ('variables', '_METADATA')} <= refused


@lets_orbax_fail
def test_half_of_a_large_array_is_damage(tmp_path):
  many = {str(i): np.random.RandomState(i).rand(50, 100).astype(np.float32) for i in range(60)}
  save_checkpoint(tmp_path / 'c', {'params': many, 'backbone': {}}, config=CONFIG)
  data = [file for file in (tmp_path / 'c' / 'variables').rglob('d/*')]
  largest = max(data, key=lambda file: file.stat().st_size)
  os.truncate(largest, largest.stat().st_size // 2)
  with pytest.raises(DamagedCheckpoint, match=f'^{tmp_path}/c: .*damaged'):
    load_checkpoint(tmp_path / 'c')


@lets_orbax_fail
def test_the_interpreter_is_as_it_was(tmp_path):
  """Not even after an error: a program's hooks, filters and loggers are its own."""

  def state():
    loggers = [logging.getLogger(name) for name in (None, 'absl', 'asyncio')]
    hooks = [sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning]
    return hooks, [(one.level, one.filters, one.handlers) for one in loggers], warnings.filters

  before = copy.deepcopy(state()[2]), state()[:2]
  save_checkpoint(tmp_path / 'c', made_variables(), config=CONFIG)
  load_checkpoint(tmp_path / 'c')
  (tmp_path / 'c' / 'variables' / '_METADATA').unlink()
  with pytest.raises(DamagedCheckpoint):
    load_checkpoint(tmp_path / 'c')
  assert (state()[2], state()[:2]) == before


@pytest.mark.parametrize(
  'where, error',
  [
    ((jax, 'device_put'), RuntimeError('RESOURCE_EXHAUSTED')),
    ((Checkpointer, 'restore'), RuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 9')),
    ((Checkpointer, 'restore'), ValueError('PERMISSION_DENIED: Permission denied')),
    ((Checkpointer, 'restore'), OSError(errno.ENOSPC, 'No space left on device')),
    ((Checkpointer, 'restore'), MemoryError('Unable to allocate 13 GiB')),
    ((Checkpointer, 'restore'), RuntimeError("can't start new thread")),
    ((Checkpointer, 'restore'), RuntimeError("Unable to initialize backend 'tpu': no")),
  ],
)
def test_what_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch, where, error):
  save_checkpoint(tmp_path / 'c', made_variables(), config=CONFIG)
  monkeypatch.setattr(*where, Mock(side_effect=error))
  with pytest.raises(type(error), match=str(error.args[-1])):
    load_checkpoint(tmp_path / 'c')


def test_a_machine_s_refusal_behind_another_error_is_not_called_damage(tmp_path, monkeypatch):
  save_checkpoint(tmp_path / 'c', made_variables(), config=CONFIG)
  wrapped = ValueError('restoring failed')
  wrapped.__cause__ = MemoryError()
  monkeypatch.setattr(Checkpointer, 'restore', Mock(side_effect=wrapped))
  for read in (load_checkpoint, read_config):
    with pytest.raises(ValueError) as error:
      read(tmp_path / 'c')
    assert error.value is wrapped


def test_a_run_s_folder_stands_for_its_best_checkpoint(tmp_path):
  for name, step in (('best', 3), ('last', 5)):
    save_checkpoint(
      tmp_path / 'run' / 'checkpoints' / name, made_variables(step), config=CONFIG, step=step
    )
  loaded = load_checkpoint(tmp_path / 'run')
  assert loaded.step == read_config(tmp_path / 'run')['step'] == 3
  assert_equal_trees(loaded.variables, made_variables(3))
  assert load_checkpoint(tmp_path / 'run' / 'checkpoints' / 'last').step == 5
  with pytest.raises(InputError, match=f'{tmp_path}/run/.*backbone|tiny.*vgg16'):
    load_checkpoint(tmp_path / 'run', backbone='vgg16')
  shutil.rmtree(tmp_path / 'run' / 'checkpoints' / 'best')
  with pytest.raises(InputError, match='run/checkpoints/best: there is no such checkpoint'):
    load_checkpoint(tmp_path / 'run')


@pytest.mark.parametrize(
  ('step', 'damaged', 'left'),
  [
    (None, False, 'the checkpoint there is intact'),
    (4, False, 'the checkpoint of step 4 there is intact'),
    (4, True, 'what was there is as it was'),
  ],
)
def test_a_full_disk_is_named_whatever_lies_there(tmp_path, monkeypatch, step, damaged, left):
  save_checkpoint(tmp_path / 'c', made_variables(), config=CONFIG, step=step)
  if damaged:
    os.truncate(tmp_path / 'c' / 'config' / 'metadata', 5)
  full = Mock(side_effect=OSError(errno.ENOSPC, 'No space left on device'))
  monkeypatch.setattr(Checkpointer, 'save', full)
  with pytest.raises(InputError, match=f'c: .*disk.*{left}'):
    save_checkpoint(tmp_path / 'c', made_variables(), config=CONFIG, step=5)
