"""Files of weights that training scripts saved, that hold no numbers, or that cannot be read."""

import errno
import sys
import types
from unittest.mock import Mock

import numpy as np
import pytest

from hsnet_jax.errors import InputError
from hsnet_jax.weights import files
from hsnet_jax.weights.convert import load_backbone
from tests.made import tensors as tensors_of


class StandIn(np.ndarray):
  """A tensor of a torch that is not installed: what is asked of one, and no more."""

  def detach(self):
    return self

  def cpu(self):
    return self

  def is_floating_point(self):
    return False

  def numpy(self):
    return np.asarray(self)


@pytest.fixture
def torch_file(tmp_path, monkeypatch):
  """Makes a .pt of which torch would load a value: `torch_file({'x': array})`."""

  def make(value):
    def load(path, **options):
      assert options['weights_only']
      return value

    stand_in = types.SimpleNamespace(__version__='2.6.0', Tensor=StandIn, load=load)
    monkeypatch.setitem(sys.modules, 'torch', stand_in)
    (tmp_path / 'a.pt').touch()
    return tmp_path / 'a.pt'

  return make


@pytest.mark.parametrize('name', ['state_dict', 'model_state_dict', 'model'])
def test_a_state_dict_is_found_in_what_a_training_script_saved(torch_file, name):
  weights = {'x': np.arange(3.0).view(StandIn)}
  beside = {'epoch': 3, 'optimizer': {'state': {}, 'param_groups': [{'lr': 0.1}]}, 'args': None}
  path = torch_file({**beside, name: weights})
  assert {k: v.tolist() for k, v in files.read_tensors(path).items()} == {'x': [0, 1, 2]}


def test_a_tensor_called_model_is_a_tensor(torch_file):
  path = torch_file({'model': np.arange(2.0).view(StandIn)})
  assert list(files.read_tensors(path)) == ['model']
  with pytest.raises(InputError, match=r'a\.pt: .*not epoch, args'):
    files.read_tensors(torch_file({'epoch': 3, 'args': {}}))


@pytest.mark.parametrize('error', [MemoryError(), OSError(errno.EIO, 'Input/output error')])
def test_what_the_machine_refuses_is_no_damage_of_a_file(torch_file, monkeypatch, error):
  path = torch_file({})
  monkeypatch.setattr(sys.modules['torch'], 'load', Mock(side_effect=error))
  with pytest.raises(type(error)):
    files.read_tensors(path)
  np.savez(path.with_suffix('.npz'), x=np.zeros(2))
  monkeypatch.setattr(np, 'load', Mock(side_effect=error))
  with pytest.raises(type(error)):
    files.read_tensors(path.with_suffix('.npz'))


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
  path = tmp_path / 'x.safetensors'
  files.write_tensors(path, {'a': np.zeros(2, np.float32)})
  refusal = PermissionError(errno.EACCES, 'Permission denied', str(path))
  monkeypatch.setattr(files, 'open', Mock(side_effect=refusal), raising=False)
  with pytest.raises(PermissionError):
    files.read_tensors(path)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_named(tmp_path, value):
  tensors = {
    name.removeprefix('backbone.'): x.copy()
    for name, x in tensors_of('tiny').items()
    if name.startswith('backbone.')
  }
  tensors['layer1.0.bn1.running_var'][0] = value
  files.write_tensors(tmp_path / 'tiny.safetensors', tensors)
  with pytest.raises(InputError, match=r'tiny\.safetensors: .*layer1\.0\.bn1\.running_var'):
    load_backbone('tiny', path=tmp_path)
