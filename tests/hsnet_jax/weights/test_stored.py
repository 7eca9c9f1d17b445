import jax
import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import Head
from hsnet_jax.training.state import init_params
from hsnet_jax.weights.files import read_header, write_tensors
from hsnet_jax.weights.stored import read_model, write_model
from tests import made

HEAD = Head(prior=True, hybrid_masking=True)
CONFIG = {'backbone': 'tiny', 'prior': True, 'hybrid_masking': True, 'figures': {'miou': 40.5}}


@pytest.fixture(scope='module')
def variables():
  model = hs.HSNet('tiny', head=HEAD)
  params = init_params(jax.random.key(0), model)
  return jax.device_get({'params': params, 'backbone': made.variables('tiny')['backbone']})


def same(a, b):
  return jax.tree.all(jax.tree.map(np.array_equal, a, jax.device_get(b)))


def test_a_network_comes_back_bit_for_bit_with_its_record(variables, tmp_path):
  path = tmp_path / 'm.safetensors'
  count = write_model(path, variables, config=CONFIG)
  assert count == len(jax.tree.leaves(variables))
  found, config = read_model(path)
  assert same(variables, found) and config == CONFIG
  model = hs.load_model(path)
  assert model.module == hs.HSNet('tiny', head=HEAD) and model.path == path
  assert same(variables, model.variables) and model.config['figures'] == {'miou': 40.5}
  with pytest.raises(InputError, match='tiny, not vgg16'):
    hs.load_model(path, backbone='vgg16')


def test_half_rounds_the_backbones_kernels_alone(variables, tmp_path):
  sizes = []
  for half in (False, True):
    path = tmp_path / f'{half}.safetensors'
    write_model(path, variables, config=CONFIG, half=half)
    sizes.append(path.stat().st_size)
  found = jax.device_get(read_model(path)[0])
  assert same(variables['params'], found['params'])
  rounded = jax.tree.map(
    lambda x: x.astype(np.float16).astype(np.float32) if x.ndim == 4 else x,
    variables['backbone'],
  )
  assert same(rounded, found['backbone']) and not same(variables['backbone'], rounded)
  kernels = sum(x.size for x in jax.tree.leaves(rounded) if x.ndim == 4)
  assert abs(sizes[0] - sizes[1] - 2 * kernels) < 1000


def test_what_half_cannot_hold_is_named(variables, tmp_path):
  large = jax.tree.map(lambda x: x * 1e6 if x.ndim == 4 else x, variables['backbone'])
  path = tmp_path / 'm.safetensors'
  with pytest.raises(InputError, match=r'm\.safetensors, rounded to float16: .*backbone\.'):
    write_model(path, {**variables, 'backbone': large}, config=CONFIG, half=True)
  assert not path.exists()


@pytest.mark.parametrize(
  'record, words',
  [
    ('[]', 'record'),
    ('{"backbone": ["x"]}', 'backbone'),
    ('{"backbone": "tiny", "correlated_levels": "2"}', 'correlated_levels'),
    ('{"backbone": "tiny", "hybrid_masking": 1}', 'hybrid_masking'),
    ('{"backbone": "tiny", "format_version": 99}', 'format 99'),
    ('{"backbone": "none"}', 'none'),
  ],
)
def test_a_record_that_cannot_be_is_named(tmp_path, record, words):
  path = tmp_path / 'm.safetensors'
  write_tensors(path, {'a': np.zeros(3, np.float32)}, metadata={'hsnet_jax': record})
  with pytest.raises(InputError, match=rf'm\.safetensors.*{words}'):
    read_model(path)


def test_a_file_without_a_record_is_no_model(tmp_path):
  path = tmp_path / 'm.safetensors'
  write_tensors(path, {'a': np.zeros(3, np.float32)})
  assert read_header(path) == {}
  with pytest.raises(InputError, match=r'm\.safetensors.*experiments\.convert'):
    read_model(path)
  write_tensors(path, {'a': np.zeros(3, np.float32)}, metadata={'hsnet_jax': '{"backbone"'})
  with pytest.raises(InputError, match=r'm\.safetensors'):
    read_model(path)
  with pytest.raises(InputError, match=r'none\.safetensors: there is no such file'):
    hs.load_model(tmp_path / 'none.safetensors')
