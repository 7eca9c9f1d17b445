"""A segmenter in one file: the same again, or one clear error."""

import json

import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.models import describe_network, network
from hsnet_jax.weights import read_model, write_model
from hsnet_jax.weights.files import read_header, read_tensors, write_tensors
from hsnet_jax.weights.stored import read_beside
from tests import made
from tests.hsnet_jax.segmenter.test_segmenter import MASKS, PHOTOS, QUERY, SMALL, fitted, same


@pytest.fixture(scope='module')
def segmenter():
  return fitted(['dog', 'cat', 'dog'], combine='mean', support_margin=0.2)


@pytest.fixture
def path(segmenter, tmp_path):
  path = tmp_path / 'dogs.safetensors'
  segmenter.save(path)
  return path


def test_what_was_saved_predicts_the_same(segmenter, path, tmp_path):
  loaded = hs.Segmenter.load(path, backbone=SMALL)
  assert repr(loaded) == repr(segmenter) and loaded.classes == segmenter.classes
  assert same(loaded.predict(QUERY), segmenter.predict(QUERY))
  loaded.save(tmp_path / 'again.safetensors')
  again = tmp_path / 'again.safetensors'
  assert read_header(again) == read_header(path)
  first, second = read_tensors(path), read_tensors(again)
  assert first.keys() == second.keys()
  assert all(np.array_equal(first[name], second[name]) for name in first)
  fresh = loaded.fit(PHOTOS[:1], MASKS[:1])
  assert same(
    fresh.predict(QUERY),
    fitted(combine='mean', support_margin=0.2).fit(PHOTOS[:1], MASKS[:1]).predict(QUERY),
  )


def test_the_file_is_a_networks_too(segmenter, path):
  variables, config = read_model(path, backbone=SMALL)
  np.testing.assert_array_equal(
    variables['params']['decoder']['conv0']['kernel'],
    segmenter.model.variables['params']['decoder']['conv0']['kernel'],
  )
  assert (config['image_size'], config['support_margin'], config['combine']) == (32, 0.2, 'mean')
  unfitted = hs.Segmenter.from_pretrained(path, backbone=SMALL)
  assert unfitted.fitted is None and repr(unfitted) == repr(segmenter)


@pytest.mark.parametrize(
  'module',
  [
    hs.HSNet('tiny'),
    hs.HSNet('tiny', mask_support=False, head=hs.Head(prior=True, correlated_levels=2, skip=True)),
    hs.HSNet('tiny', dtype='bfloat16'),
  ],
)
def test_a_network_is_made_again_of_what_describes_it(module):
  again = network(json.loads(json.dumps(describe_network(module))))
  assert (again.backbone, again.mask_support, again.head) == (
    module.backbone,
    module.mask_support,
    module.head,
  )
  assert again.dtype is module.dtype is None or again.dtype == np.dtype(module.dtype)
  with pytest.raises(hs.InputError, match='`precision`'):
    describe_network(hs.HSNet('tiny', dtype='float16'))


def test_nothing_is_written_by_half(segmenter, path):
  before = path.read_bytes()
  with pytest.raises(hs.InputError, match=r'dogs\.npy'):
    segmenter.save(path.with_suffix('.npy'))
  blocked = path / 'dogs.safetensors'  # below a file
  with pytest.raises(hs.InputError, match='cannot be written'):
    segmenter.save(blocked)
  assert [p.name for p in path.parent.iterdir()] == [path.name] and path.read_bytes() == before


def damaged(path, change, **record):
  """Writes the file again with other supports or another record."""
  header = read_header(path)
  header['hsnet_jax'] = json.dumps(json.loads(header['hsnet_jax']) | record)
  tensors = read_tensors(path)
  change(tensors)
  write_tensors(path, tensors, metadata=header)


def replaced(name, function):
  def change(tensors):
    tensors[f'beside.{name}'] = function(tensors[f'beside.{name}'])

  return change


@pytest.mark.parametrize(
  'change, record',
  [
    (lambda tensors: tensors.pop('beside.masks'), {}),
    (replaced('masks', lambda x: x * 2), {}),
    (replaced('masks', lambda x: x * 0), {}),
    (replaced('masks', lambda x: x[:-1]), {}),
    (replaced('images', lambda x: x.astype(np.float32)), {}),
    (replaced('images', lambda x: x[..., 0]), {}),
    (replaced('class_ids', lambda x: x + 1), {}),
    (replaced('class_ids', lambda x: x[0]), {}),
    (replaced('class_ids', lambda x: x.astype(np.float64)), {}),
    (lambda tensors: None, {'support_classes': ['cat']}),
    (lambda tensors: None, {'support_classes': [1, 2]}),
    (lambda tensors: None, {'support_classes': 'ab'}),
    (lambda tensors: None, {'image_size': 64}),
    (lambda tensors: None, {'image_size': None}),
    (lambda tensors: None, {'combine': 'median'}),
    (lambda tensors: None, {'combine': 3}),
    (lambda tensors: tensors.pop(next(iter(tensors))), {}),
  ],
)
def test_a_damaged_file_is_one_clear_error(path, change, record):
  damaged(path, change, **record)
  with pytest.raises(hs.InputError):
    hs.Segmenter.load(path, backbone=SMALL)


def test_files_of_other_kinds_are_named(path, tmp_path):
  short = tmp_path / 'short.safetensors'
  short.write_bytes(path.read_bytes()[:-100])
  text = tmp_path / 'text.safetensors'
  text.write_text('no tensors')
  for one in (short, text):
    with pytest.raises(hs.InputError, match=rf'{one.stem}\.safetensors: no intact'):
      hs.Segmenter.load(one)
  with pytest.raises(hs.InputError, match=r'none\.safetensors: there is no such file'):
    hs.Segmenter.load(tmp_path / 'none.safetensors')
  with pytest.raises(hs.InputError, match='photos'):
    hs.Segmenter.load('photos')
  write_model(text, made.variables(SMALL), config={'backbone': 'small'}, backbone=SMALL)
  assert read_beside(text) == {}
  with pytest.raises(hs.InputError, match='a network without supports'):
    hs.Segmenter.load(text, backbone=SMALL)
