"""The conversions, on files as the world has them."""

import jax
import numpy as np
import pytest

from experiments.storage.conversion import (
  export_checkpoint,
  import_backbone,
  import_keras,
  import_published,
)
from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import Head
from hsnet_jax.model import HSNet
from hsnet_jax.models import load_model
from hsnet_jax.training.state import init_params
from hsnet_jax.weights.convert import from_torch, load_backbone
from hsnet_jax.weights.files import read_tensors, write_tensors
from hsnet_jax.weights.names import backbone_tensors, hsnet_tensors, keras_tensors
from tests.golden_recipe import weight


@pytest.fixture(scope='module')
def tensors():
  return {name: weight(name, tensor.shape) for name, tensor in hsnet_tensors('tiny').items()}


def test_published_to_checkpoint_and_back(tmp_path, tensors):
  """A file as the published ones are: wrapped, with a classifier, from before zip files."""
  torch = pytest.importorskip('torch')
  published = {f'module.{name}': torch.from_numpy(value) for name, value in tensors.items()}
  published['module.backbone.fc.weight'] = torch.zeros(4, 4)
  published['module.backbone.bn1.num_batches_tracked'] = torch.tensor(0)
  torch.save(published, tmp_path / 'best_model.pt', _use_new_zipfile_serialization=False)
  config = {'benchmark': 'pascal', 'fold': 3, 'shots': 5, 'image_size': 400, 'mask_support': True}
  said = import_published(
    tmp_path / 'best_model.pt', tmp_path / 'made' / 'checkpoint', config=config
  )
  assert 'tiny' in said and f'{tmp_path}/made/checkpoint' in said
  checkpoint = load_checkpoint(tmp_path / 'made' / 'checkpoint', backbone='tiny')
  assert checkpoint.config | config == checkpoint.config
  assert checkpoint.config['converted_from'] == 'best_model.pt'

  exported = tmp_path / 'hsnet.safetensors'
  assert f'{exported}: {len(tensors)} tensors' in export_checkpoint(
    tmp_path / 'made' / 'checkpoint', exported
  )
  back = read_tensors(exported)
  assert set(back) == set(tensors)
  assert all(back[name].tobytes() == tensors[name].tobytes() for name in tensors)
  from safetensors.torch import load_file

  assert load_file(exported)['hpn_learner.decoder2.2.weight'].shape == (2, 64, 3, 3)


def test_what_an_export_holds_comes_in_again(tmp_path, tensors):
  write_tensors(tmp_path / 'hsnet.safetensors', tensors)
  import_published(
    tmp_path / 'hsnet.safetensors', tmp_path / 'c', config={'benchmark': None, 'fold': None}
  )
  config = load_checkpoint(tmp_path / 'c').config
  assert config['backbone'] == 'tiny' and 'benchmark' not in config and 'fold' not in config


def test_a_head_and_what_is_recorded_go_there_and_back(tmp_path, tensors):
  model = HSNet('tiny', head=Head(prior=True))
  variables = from_torch(tensors, backbone='tiny')
  variables['params'] = init_params(jax.random.key(0), model)
  config = {'backbone': 'tiny', 'prior': True, 'image_size': 64}
  more = {'figures': {'miou': 1.5}, 'epoch': {'steps': 2}}
  save_checkpoint(tmp_path / 'c', variables, config=config | more, step=7)
  export_checkpoint(tmp_path / 'c', tmp_path / 'm.safetensors')
  export_checkpoint(tmp_path / 'm.safetensors', tmp_path / 'n.safetensors')  # Of a file as well.
  import_published(tmp_path / 'n.safetensors', tmp_path / 'd', config={'image_size': 400})
  found = load_checkpoint(tmp_path / 'd')
  assert {name: found.config[name] for name in config} == config and found.step == 7
  assert not set(more) & set(found.config)
  assert jax.tree.all(jax.tree.map(np.array_equal, found.variables, variables))
  assert load_model(tmp_path / 'd').module == model


def test_names_that_do_not_fit_are_listed(tmp_path, tensors):
  tensors = dict(tensors)
  tensors.pop('hpn_learner.decoder1.2.bias')
  write_tensors(tmp_path / 'cut.safetensors', tensors)
  paths = (tmp_path / 'cut.safetensors', tmp_path / 'c')
  with pytest.raises(InputError, match='cut.safetensors: .*`backbone`'):
    import_published(*paths)
  with pytest.raises(InputError, match='hpn_learner.decoder1.2.bias'):
    import_published(*paths, backbone='tiny')
  assert not (tmp_path / 'c').exists()


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('backbone', [None, 'tiny'])
@pytest.mark.parametrize('part, words', [('hpn_learner', 'backbone'), ('backbone', 'learned')])
def test_a_missing_part_is_said_in_place_of_its_names(
  tmp_path, tensors, prefix, backbone, part, words
):
  held = {prefix + name: x for name, x in tensors.items() if name.startswith(part)}
  write_tensors(tmp_path / 'half.safetensors', held)
  with pytest.raises(InputError) as error:
    import_published(tmp_path / 'half.safetensors', tmp_path / 'c', backbone=backbone)
  said = str(error.value)
  assert 'half.safetensors' in said and f'the {words}' in said and 'missing' in said
  assert len(said) < 300 + len(str(tmp_path)) and not (tmp_path / 'c').exists()


def test_a_weight_that_is_no_number_is_named_there_and_back(tmp_path, tensors):
  name = 'hpn_learner.decoder2.2.bias'
  tensors = {**tensors, name: np.array([0, np.nan], np.float32)}
  write_tensors(tmp_path / 'a.safetensors', tensors)
  with pytest.raises(InputError, match=f'a.safetensors: .*{name}'):
    import_published(tmp_path / 'a.safetensors', tmp_path / 'c')
  assert not (tmp_path / 'c').exists()
  save_checkpoint(tmp_path / 'c', from_torch(tensors, backbone='tiny'), config={'backbone': 'tiny'})
  for read in (load_model, lambda path: export_checkpoint(path, tmp_path / 'b.safetensors')):
    with pytest.raises(InputError, match='c: .*params/decoder/conv3/bias'):
      read(tmp_path / 'c')
  assert not (tmp_path / 'b.safetensors').exists()


def test_what_lies_beside_the_weights_may_be_anything(tmp_path, tensors):
  unused = {'backbone.fc.weight': np.full((2, 2), np.nan, np.float32)}
  write_tensors(tmp_path / 'a.safetensors', {**tensors, **unused})
  import_published(tmp_path / 'a.safetensors', tmp_path / 'c', backbone='tiny')
  assert load_model(tmp_path / 'c').backbone.name == 'tiny'


def test_keras_to_npz(tmp_path):
  h5py = pytest.importorskip('h5py')
  table = keras_tensors('mobilenet_v1_075')
  arrays = {name: weight(name, tensor.shape) for name, tensor in table.items()}
  with h5py.File(tmp_path / 'mobilenet.h5', 'w') as file:
    for name, value in arrays.items():
      file[f'{name.split("/")[0]}/{name}:0'] = value
  output = tmp_path / 'mobilenet_v1_075.npz'
  import_keras(tmp_path / 'mobilenet.h5', output)
  tree = load_backbone('mobilenet_v1_075', path=output)
  np.testing.assert_array_equal(tree['conv_dw_5']['kernel'], arrays['conv_dw_5/depthwise_kernel'])
  assert {name: value.tobytes() for name, value in read_tensors(output).items()} == {
    name: value.tobytes() for name, value in arrays.items()
  }


def test_backbone_to_safetensors(tmp_path):
  """A .pth as a package has it: with a head, its step counts, and a name with dashes."""
  torch = pytest.importorskip('torch')
  name = 'efficientnet_lite0'
  table = backbone_tensors(name)
  arrays = {key: weight(key, tensor.shape) for key, tensor in table.items()}
  state = {key: torch.from_numpy(value) for key, value in arrays.items()}
  state |= {'_conv_head.weight': torch.zeros(8, 320, 1, 1), '_fc.bias': torch.zeros(4)}
  state |= {'_bn1.weight': torch.ones(8), '_bn0.num_batches_tracked': torch.tensor(0)}
  torch.save(state, tmp_path / 'efficientnet-lite0-0123abcd.pth')
  output = tmp_path / f'{name}.safetensors'
  said = import_backbone(tmp_path / 'efficientnet-lite0-0123abcd.pth', output)
  assert said == f'{output}: {len(table)} tensors of {name}'
  assert {key: value.tobytes() for key, value in read_tensors(output).items()} == {
    key: value.tobytes() for key, value in arrays.items()
  }
  output.unlink()
  assert load_backbone(name, path=tmp_path)['_blocks']['3']['_depthwise_conv']


def test_weights_of_no_backbone_are_named(tmp_path, tensors):
  prefix = 'backbone.'
  held = {k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)}
  paths = tmp_path / 'a.safetensors', tmp_path / 'b.safetensors'
  write_tensors(paths[0], held)
  assert 'tensors of tiny' in import_backbone(*paths)
  assert load_backbone('tiny', path=paths[1])['conv1']['kernel'].shape == (7, 7, 3, 32)
  paths[1].unlink()
  write_tensors(paths[0], {**held, 'extra': np.zeros(3, np.float32)})
  with pytest.raises(InputError, match='a.safetensors: .*`backbone`'):
    import_backbone(*paths)
  with pytest.raises(InputError, match='unexpected: extra'):
    import_backbone(*paths, backbone='tiny')
  assert not paths[1].exists()


def test_nothing_is_replaced_and_nothing_guessed(tmp_path, tensors):
  variables = from_torch(tensors, backbone='tiny')
  save_checkpoint(tmp_path / 'c', variables, config={'backbone': 'tiny'})
  there = tmp_path / 'there.safetensors'
  there.write_text('precious')
  with pytest.raises(InputError, match='there.safetensors: exists'):
    export_checkpoint(tmp_path / 'c', there)
  assert there.read_text() == 'precious'
  for source, function, target, facts in (
    ('c', import_published, 'd', '`export`=FILE.safetensors'),
    ('c', export_checkpoint, 'd.npz', 'd.npz: .*safetensors'),
    ('c', import_backbone, 'there.safetensors', 'there.safetensors: exists'),
    ('x.h5', import_keras, 'd.safetensors', 'd.safetensors: .*npz'),
    ('none.pt', import_published, 'd', 'none.pt: '),
  ):
    with pytest.raises(InputError, match=facts):
      function(tmp_path / source, tmp_path / target)
  with pytest.raises(InputError, match='tiny, not .*vgg16'):
    export_checkpoint(tmp_path / 'c', tmp_path / 'x.safetensors', backbone='vgg16')
