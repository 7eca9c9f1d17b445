"""The conversions as a user runs them, on files as the world has them."""

import functools
import subprocess
import sys

import numpy as np
import pytest

from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint
from hsnet_jax.weights.convert import from_torch, load_backbone
from hsnet_jax.weights.files import read_tensors, write_tensors
from hsnet_jax.weights.names import hsnet_tensors, keras_tensors
from tests.golden_recipe import weight


@pytest.fixture(scope='module')
def tensors():
  return {name: weight(name, tensor.shape) for name, tensor in hsnet_tensors('tiny').items()}


@pytest.fixture
def convert(served):
  return functools.partial(served, 'convert')


def test_a_real_process(root, tmp_path):
  command = [sys.executable, '-m', 'experiments.convert', f'--input={tmp_path}/none.pt']
  done = subprocess.run(
    [*command, f'--output={tmp_path}/c'], cwd=root, capture_output=True, text=True
  )
  assert_error(done, f'{tmp_path}/none.pt: there is no such file')


def assert_error(done, *words):
  assert done.returncode == 2, done.stderr
  lines = done.stderr.strip().splitlines()
  assert len(lines) == 1 and lines[0].startswith('error: '), done.stderr
  for word in words:
    assert word in lines[0]


def test_published_to_checkpoint_and_back(tmp_path, convert, tensors):
  """A file as the published ones are: wrapped, with a classifier, from before zip files."""
  torch = pytest.importorskip('torch')
  published = {f'module.{name}': torch.from_numpy(value) for name, value in tensors.items()}
  published['module.backbone.fc.weight'] = torch.zeros(4, 4)
  published['module.backbone.bn1.num_batches_tracked'] = torch.tensor(0)
  torch.save(published, tmp_path / 'best_model.pt', _use_new_zipfile_serialization=False)
  done = convert(
    f'--input={tmp_path}/best_model.pt',
    f'--output={tmp_path}/made/checkpoint',
    '--benchmark=pascal',
    '--fold=3',
    '--shots=5',
  )
  assert (done.returncode, done.stderr) == (0, '')
  assert 'tiny' in done.stdout and f'{tmp_path}/made/checkpoint' in done.stdout
  checkpoint = load_checkpoint(tmp_path / 'made' / 'checkpoint', backbone='tiny')
  recorded = {name: checkpoint.config[name] for name in ('benchmark', 'fold', 'shots')}
  assert recorded == {'benchmark': 'pascal', 'fold': 3, 'shots': 5}
  assert checkpoint.config['mask_support'] is True and checkpoint.config['image_size'] == 400

  exported = tmp_path / 'hsnet.safetensors'
  done = convert(f'--input={tmp_path}/made/checkpoint', f'--export={exported}')
  assert (done.returncode, done.stderr) == (0, '')
  back = read_tensors(exported)
  assert set(back) == set(tensors)
  assert all(back[name].tobytes() == tensors[name].tobytes() for name in tensors)
  from safetensors.torch import load_file

  assert load_file(exported)['hpn_learner.decoder2.2.weight'].shape == (2, 64, 3, 3)


def test_what_an_export_holds_comes_in_again(tmp_path, convert, tensors):
  write_tensors(tmp_path / 'hsnet.safetensors', tensors)
  done = convert(f'--input={tmp_path}/hsnet.safetensors', f'--output={tmp_path}/c')
  assert (done.returncode, done.stderr) == (0, '')
  config = load_checkpoint(tmp_path / 'c').config
  assert config['backbone'] == 'tiny' and 'benchmark' not in config and 'fold' not in config


def test_names_that_do_not_fit_are_listed(tmp_path, convert, tensors):
  tensors = dict(tensors)
  tensors.pop('hpn_learner.decoder1.2.bias')
  write_tensors(tmp_path / 'cut.safetensors', tensors)
  paths = (f'--input={tmp_path}/cut.safetensors', f'--output={tmp_path}/c')
  assert_error(convert(*paths), 'cut.safetensors', 'known backbone', '--backbone=NAME')
  assert_error(convert(*paths, '--backbone=tiny'), 'missing: hpn_learner.decoder1.2.bias')
  assert not (tmp_path / 'c').exists()


def test_keras_to_npz(tmp_path, convert):
  h5py = pytest.importorskip('h5py')
  table = keras_tensors('mobilenet_v1_075')
  arrays = {name: weight(name, tensor.shape) for name, tensor in table.items()}
  with h5py.File(tmp_path / 'mobilenet.h5', 'w') as file:
    for name, value in arrays.items():
      file[f'{name.split("/")[0]}/{name}:0'] = value
  output = tmp_path / 'mobilenet_v1_075.npz'
  done = convert(f'--input={tmp_path}/mobilenet.h5', f'--output={output}')
  assert (done.returncode, done.stderr) == (0, '')
  tree = load_backbone('mobilenet_v1_075', path=output)
  np.testing.assert_array_equal(tree['conv_dw_5']['kernel'], arrays['conv_dw_5/depthwise_kernel'])
  assert {name: value.tobytes() for name, value in read_tensors(output).items()} == {
    name: value.tobytes() for name, value in arrays.items()
  }


def test_nothing_is_replaced_and_nothing_guessed(tmp_path, convert, tensors):
  variables = from_torch(tensors, backbone='tiny')
  save_checkpoint(tmp_path / 'c', variables, config={'backbone': 'tiny'})
  (tmp_path / 'there.safetensors').write_text('precious')
  folder = f'--input={tmp_path}/c'
  assert_error(convert(folder, f'--export={tmp_path}/there.safetensors'), 'exists already')
  assert (tmp_path / 'there.safetensors').read_text() == 'precious'
  assert_error(convert(folder, f'--output={tmp_path}/d'), '--export=FILE.safetensors')
  assert_error(convert(folder), '--output', '--export')
  new = (folder, f'--output={tmp_path}/d')
  assert_error(convert(*new, '--benchmark=pascal'), '--benchmark without --fold')
  assert_error(convert(*new, '--fold=0'), '--fold without --benchmark')
  assert_error(
    convert(folder, f'--export={tmp_path}/x.safetensors', '--backbone=vgg16'), 'of tiny, not'
  )
