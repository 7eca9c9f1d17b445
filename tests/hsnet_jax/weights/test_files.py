"""Backbones from files of every kind: every name, and nothing that runs code."""

import errno
import io
import pathlib
import pickle
import sys
import tracemalloc
import types
import zipfile

import jax
import numpy as np
import pytest
import safetensors.numpy

from hsnet_jax.backbones import get_backbone
from hsnet_jax.errors import InputError
from hsnet_jax.weights import files
from hsnet_jax.weights.convert import from_torch, load_backbone, save_backbone, to_torch
from hsnet_jax.weights.names import is_unused, keras_tensors, leaves
from tests.facts import refused
from tests.golden_recipe import weight
from tests.made import tensors as tensors_of


def torchvision(backbone, classifier):
  """A backbone's state dict as torchvision or timm has it, a small classifier included."""
  tensors = {
    name.removeprefix('backbone.'): value
    for name, value in tensors_of(backbone).items()
    if name.startswith('backbone.')
  }
  return {**tensors, **{name: np.zeros((2, 2), np.float32) for name in classifier}}


def assert_is_backbone(tree, backbone):
  expected = from_torch(tensors_of(backbone), backbone=backbone)['backbone']
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  assert jax.tree.all(jax.tree.map(np.array_equal, tree, expected))


@pytest.mark.parametrize(
  ('backbone', 'classifier'),
  [
    ('resnet50', ('fc.weight', 'fc.bias')),
    ('vgg16', ('pre_logits.fc1.weight', 'head.fc.weight')),
    ('efficientnet_lite0', ('_conv_head.weight', '_bn1.running_var', '_fc.bias')),
  ],
)
def test_safetensors_of_timm(tmp_path, backbone, classifier):
  safetensors.numpy.save_file(torchvision(backbone, classifier), tmp_path / 'model.safetensors')
  assert_is_backbone(load_backbone(backbone, path=tmp_path / 'model.safetensors'), backbone)
  # The folder that the file is in does as well.
  assert_is_backbone(load_backbone(backbone, path=tmp_path), backbone)


def test_the_hub_is_asked_for_the_right_file(tmp_path, monkeypatch):
  import huggingface_hub

  asked = []

  def download(*args):
    asked.append(args)
    file = tmp_path / 'model.safetensors'
    safetensors.numpy.save_file(torchvision('resnet50', ['fc.weight']), file)
    return str(file)

  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', download)
  assert_is_backbone(load_backbone('resnet50'), 'resnet50')
  assert asked == [('timm/resnet50.tv_in1k', 'model.safetensors')]


def test_a_failed_download_says_what_to_put_where(monkeypatch):
  import huggingface_hub

  def fail(*args):
    raise huggingface_hub.errors.LocalEntryNotFoundError('no connection\nand more')

  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', fail)
  with pytest.raises(
    InputError,
    match=r'resnet101.*no connection.*model.safetensors of '
    r'https://huggingface.co/timm/resnet101.tv_in1k.*`backbone_weights`=FILE',
  ):
    load_backbone('resnet101')


def test_some_have_no_download():
  with pytest.raises(InputError, match='`backbone_weights`=.*experiments.convert.*Keras'):
    load_backbone('mobilenet_v1_075')
  with pytest.raises(InputError, match='lite1.safetensors.*experiments.convert.*lite1-pytorch'):
    load_backbone('efficientnet_lite1')


def test_tiny_comes_with_the_package():
  tree = load_backbone('tiny')
  expected = jax.eval_shape(get_backbone('tiny').init, jax.random.key(0))
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def test_a_saved_backbone_loads(tmp_path):
  tree = from_torch(tensors_of('tiny'), backbone='tiny')['backbone']
  save_backbone(tmp_path / 'tiny.safetensors', tree, name='tiny')
  loaded = load_backbone('tiny', path=tmp_path)
  assert jax.tree.all(jax.tree.map(np.array_equal, tree, loaded))
  with pytest.raises(InputError, match='missing'):
    save_backbone(tmp_path / 'x.safetensors', tree, name='vgg16')
  assert not (tmp_path / 'x.safetensors').exists()


def keras_arrays():
  shapes = {name: tensor.shape for name, tensor in keras_tensors('mobilenet_v1_075').items()}
  arrays = {name: weight(name, shape) for name, shape in shapes.items()}
  return {**arrays, 'conv_preds/kernel': np.zeros((1, 1, 4, 2), np.float32)}


def test_keras_names(tmp_path):
  arrays = keras_arrays()
  np.savez(tmp_path / 'mobilenet_v1_075.npz', **arrays)
  for path in (tmp_path, tmp_path / 'mobilenet_v1_075.npz'):
    tree = load_backbone('mobilenet_v1_075', path=path)
    depthwise = tree['conv_dw_7']['kernel']
    np.testing.assert_array_equal(depthwise, arrays['conv_dw_7/depthwise_kernel'])
    np.testing.assert_array_equal(tree['conv_pw_2']['kernel'], arrays['conv_pw_2/kernel'])
    for ours, keras in (
      ('scale', 'gamma'),
      ('bias', 'beta'),
      ('mean', 'moving_mean'),
      ('var', 'moving_variance'),
    ):
      np.testing.assert_array_equal(tree['conv1_bn'][ours], arrays[f'conv1_bn/{keras}'])
  arrays.pop('conv_dw_7/depthwise_kernel')
  np.savez(tmp_path / 'cut.npz', **arrays)
  with pytest.raises(InputError, match='cut.npz.*missing: conv_dw_7/depthwise_kernel'):
    load_backbone('mobilenet_v1_075', path=tmp_path / 'cut.npz')


def test_published_mobilenet_weights(shared):
  tree = load_backbone('mobilenet_v1_075', path=shared / 'weights')
  with np.load(shared / 'weights' / 'mobilenet_v1_075.npz') as file:
    used = [name for name in file.files if not is_unused(name)]
    assert len(used) == len(list(leaves(tree))) == 135
    np.testing.assert_array_equal(tree['conv_dw_13']['kernel'], file['conv_dw_13/depthwise_kernel'])


def test_folders_without_or_with_several_weights(tmp_path):
  with pytest.raises(InputError, match='vgg16'):
    load_backbone('vgg16', path=tmp_path)
  for name in ('vgg16.npz', 'vgg16-397923af.pth', 'vgg16_bn-6c64b313.pth'):
    (tmp_path / name).touch()
  with pytest.raises(InputError, match=r'vgg16-397923af\.pth.*vgg16\.npz'):
    load_backbone('vgg16', path=tmp_path)
  with refused(tmp_path / 'none.pth'):
    load_backbone('vgg16', path=tmp_path / 'none.pth')


class Harm:
  """Unpickling it makes a file."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return pathlib.Path.touch, (self.path,)


def harmful(kind, path, victim):
  """Writes a file of some kind that holds a pickle."""
  if kind == 'pickle':
    path.write_bytes(pickle.dumps(Harm(victim)))
  elif kind == 'npz':
    np.savez(path, x=np.array([Harm(victim)], dtype=object))
  else:
    torch = pytest.importorskip('torch')
    with open(path, 'wb') as file:
      torch.save({'x': Harm(victim)}, file, _use_new_zipfile_serialization=kind == 'zip')


@pytest.mark.parametrize(
  ('kind', 'ending'),
  [
    ('pickle', 'npz'),
    ('npz', 'npz'),
    ('pickle', 'safetensors'),
    ('pickle', 'pkl'),
    ('pickle', 'pth'),
    ('zip', 'pt'),
    ('legacy', 'pth'),
  ],
)
def test_a_pickle_is_never_executed(tmp_path, kind, ending):
  if ending in ('pth', 'pt'):
    pytest.importorskip('torch')
  path, victim = tmp_path / f'file.{ending}', tmp_path / 'victim'
  harmful(kind, path, victim)
  with pytest.raises(InputError, match=f'file.{ending}'):
    files.read_tensors(path)
  assert not victim.exists()
  # It is a working trap: unpickling would have sprung it.
  if kind == 'pickle':
    pickle.loads(path.read_bytes())
    assert victim.exists()


def test_what_a_file_needs_is_named_where_it_is_missing(tmp_path, monkeypatch):
  """As where the core alone is installed."""
  path = tmp_path / 'x.safetensors'
  files.write_tensors(path, {'a': np.zeros(2, np.float32)})
  monkeypatch.setitem(sys.modules, 'safetensors', None)
  with pytest.raises(InputError, match=r'x\.safetensors: .*hsnet-jax\[weights\]'):
    files.read_tensors(path)


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path):
  """300 MB of zeros in 300 KB; as much that is no zeros, or little, is read."""
  path = tmp_path / 'bomb.npz'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    with archive.open('a.npy', 'w') as file:
      np.lib.format.write_array_header_1_0(
        file, {'descr': '<f4', 'fortran_order': False, 'shape': (75_000_000,)}
      )
      for _ in range(30):
        file.write(bytes(10_000_000))
  tracemalloc.start()
  with pytest.raises(InputError, match=r'bomb\.npz.*300,000,128'):
    files.read_tensors(path)
  assert tracemalloc.get_traced_memory()[1] < 1e6
  tracemalloc.stop()
  np.savez_compressed(path, a=np.zeros(1_000_000, np.float32))
  assert files.read_tensors(path)['a'].shape == (1_000_000,)


@pytest.mark.parametrize('shape', ['(1000000000000,)', '(4294967296, 4294967296)', '(3,)'])
def test_an_array_that_promises_more_than_it_holds_is_damage(tmp_path, shape):
  """Of which NumPy would say that the memory is short."""
  path, whole = tmp_path / 'head.npz', io.BytesIO()
  np.save(whole, np.ones(2, np.float32))
  head = whole.getvalue().replace(b'(2,)', shape.encode())
  length = int.from_bytes(head[8:10], 'little') + len(shape) - 4
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('a.npy', head[:8] + length.to_bytes(2, 'little') + head[10:])
  with pytest.raises(InputError, match=r'head\.npz: no intact'):
    files.read_tensors(path)


@pytest.mark.parametrize('ending', ['safetensors', 'npz', 'pth'])
@pytest.mark.parametrize('length', [0, 7, 200, 3000])
def test_files_cut_short(tmp_path, ending, length):
  path = tmp_path / f'tiny.{ending}'
  tensors = torchvision('tiny', [])
  if ending == 'safetensors':
    safetensors.numpy.save_file(tensors, path)
  elif ending == 'npz':
    np.savez(path, **tensors)
  else:
    torch = pytest.importorskip('torch')
    torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, path)
  path.write_bytes(path.read_bytes()[:length])
  with pytest.raises(InputError) as error:
    load_backbone('tiny', path=path)
  assert str(path) in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('zipped', [True, False])
def test_torchvision_files(tmp_path, zipped):
  """In the format of today and that from before zip files, which torchvision still serves."""
  torch = pytest.importorskip('torch')
  tensors = {n: torch.from_numpy(v) for n, v in torchvision('resnet50', ['fc.weight']).items()}
  tensors['bn1.num_batches_tracked'] = torch.tensor(3)
  file = tmp_path / 'resnet50-0676ba61.pth'
  torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
  assert_is_backbone(load_backbone('resnet50', path=tmp_path), 'resnet50')


def test_torch_tensors_are_copied():
  torch = pytest.importorskip('torch')
  tensors = {
    name: torch.nn.Parameter(torch.from_numpy(value.copy()))
    for name, value in tensors_of('tiny').items()
  }
  variables = from_torch(tensors, backbone='tiny')
  with torch.no_grad():
    for value in tensors.values():
      value.zero_()
  back = to_torch(variables, backbone='tiny')
  assert all(back[name].tobytes() == value.tobytes() for name, value in tensors_of('tiny').items())


def test_a_torch_file_of_something_else(tmp_path):
  torch = pytest.importorskip('torch')
  torch.save(torch.zeros(3), tmp_path / 'a.pth')
  torch.save({'epoch': 3, 'x': torch.zeros(1)}, tmp_path / 'b.pth')
  with pytest.raises(InputError, match='Tensor'):
    files.read_tensors(tmp_path / 'a.pth')
  with pytest.raises(InputError, match='tensors alone, not epoch'):
    files.read_tensors(tmp_path / 'b.pth')


def test_torch_missing_or_unsafe(tmp_path, monkeypatch):
  path = tmp_path / 'vgg16.pth'
  path.touch()
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(InputError, match='pip install torch.*safetensors'):
    load_backbone('vgg16', path=path)
  monkeypatch.setitem(sys.modules, 'torch', types.SimpleNamespace(__version__='2.5.1+cu124'))
  with pytest.raises(InputError, match='2.5.1.*2.6 or newer'):
    load_backbone('vgg16', path=path)


def test_writing_is_whole_or_nothing(tmp_path, monkeypatch):
  path = tmp_path / 'x.safetensors'
  tensors = {'a': np.arange(6, dtype=np.float32).reshape(2, 3).T}
  files.write_tensors(path, tensors)
  np.testing.assert_array_equal(files.read_tensors(path)['a'], tensors['a'])
  before = path.read_bytes()

  class Full(io.FileIO):
    def write(self, data):
      super().write(bytes(data)[:5])
      raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(files, 'open', Full, raising=False)
  for name in ('x.safetensors', 'y.npz'):
    with pytest.raises(InputError, match=f'{name}: .*disk'):
      files.write_tensors(tmp_path / name, tensors)
  assert path.read_bytes() == before
  assert [file.name for file in tmp_path.iterdir()] == ['x.safetensors']
  with pytest.raises(InputError, match='.safetensors and .npz'):
    files.write_tensors(tmp_path / 'x.pth', tensors)


def test_no_more_than_classifiers_may_be_ignored():
  for name in ('backbone.layer1.0.conv1.weight', 'hpn_learner.head.weight', 'headless.weight'):
    assert not is_unused(name)
