"""Files of the Hub: their names and layouts, what is left out of them, and what is gated."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from hsnet_jax.backbones import get_backbone
from hsnet_jax.errors import InputError
from hsnet_jax.model import HSNet
from hsnet_jax.training import create_train_state
from hsnet_jax.weights.convert import load_backbone, save_backbone
from hsnet_jax.weights.names import backbone_tensors, detect_backbone, is_unused
from hsnet_jax.weights.stored import write_model
from tests.golden_recipe import weight
from tests.small_backbones import small_convnext, small_vit

# Some of each network's names with their shapes in PyTorch's layout, and how many there are.
FILES = {
  'convnext_tiny': (
    178,
    {
      'embeddings.patch_embeddings.weight': (96, 3, 4, 4),
      'embeddings.layernorm.bias': (96,),
      'encoder.stages.0.layers.2.layer_scale_parameter': (96,),
      'encoder.stages.1.downsampling_layer.0.weight': (96,),
      'encoder.stages.1.downsampling_layer.1.weight': (192, 96, 2, 2),
      'encoder.stages.2.layers.8.dwconv.weight': (384, 1, 7, 7),
      'encoder.stages.3.layers.0.pwconv1.weight': (3072, 768),
      'encoder.stages.3.layers.0.layernorm.weight': (768,),
    },
  ),
  'dinov2_small': (
    220,
    {
      'embeddings.cls_token': (1, 1, 384),
      'embeddings.position_embeddings': (1, 1370, 384),
      'embeddings.patch_embeddings.projection.weight': (384, 3, 14, 14),
      'encoder.layer.11.norm1.weight': (384,),
      'encoder.layer.0.attention.attention.query.bias': (384,),
      'encoder.layer.0.attention.output.dense.weight': (384, 384),
      'encoder.layer.0.layer_scale2.lambda1': (384,),
      'encoder.layer.0.mlp.fc1.weight': (1536, 384),
    },
  ),
  'dinov3_base': (
    208,
    {
      'embeddings.cls_token': (1, 1, 768),
      'embeddings.register_tokens': (1, 4, 768),
      'embeddings.patch_embeddings.weight': (768, 3, 16, 16),
      'layer.11.attention.k_proj.weight': (768, 768),
      'layer.11.attention.o_proj.bias': (768,),
      'layer.0.layer_scale1.lambda1': (768,),
      'layer.0.mlp.down_proj.weight': (768, 3072),
    },
  ),
}
HUB = {
  'convnext_base': 'facebook/convnext-base-224',
  'dinov2_base': 'facebook/dinov2-base',
  'dinov3_small': 'facebook/dinov3-vits16-pretrain-lvd1689m',
  'dinov3_base_pyramid': 'facebook/dinov3-vitb16-pretrain-lvd1689m',
}


@pytest.mark.parametrize('name', FILES)
def test_names_and_shapes_are_those_of_the_files(name):
  count, expected = FILES[name]
  table = backbone_tensors(name)
  assert len(table) == count
  assert {key: tensor.shape for key, tensor in table.items() if key in expected} == expected
  assert 'layer.0.attention.k_proj.bias' not in table  # DINOv3's keys have none.
  assert (
    detect_backbone({key: x.shape for key, x in table.items()}, tensors=backbone_tensors) == name
  )


UNUSED = {
  'convnext': ('convnext.layernorm.weight', 'layernorm.bias', 'classifier.weight'),
  'dinov2': ('embeddings.mask_token', 'layernorm.weight'),
  'dinov3': ('embeddings.mask_token', 'norm.bias'),
}


def small(name):
  return small_convnext() if name == 'convnext' else small_vit(name)


@pytest.mark.parametrize('name', UNUSED)
def test_a_file_loads_without_what_is_unused(tmp_path, name):
  backbone = small(name)
  prefix = 'convnext.' * (name == 'convnext')
  arrays = {key: weight(key, x.shape) for key, x in backbone_tensors(backbone).items()}
  held = {prefix + key: x for key, x in arrays.items()}
  more = {key: np.zeros(3, np.float32) for key in UNUSED[name]}
  safetensors.numpy.save_file(held | more, tmp_path / 'model.safetensors')
  loaded = load_backbone(backbone, path=tmp_path)
  assert jax.tree.map(np.shape, loaded) == jax.tree.map(
    np.shape, jax.eval_shape(backbone.init, jax.random.key(0))
  )
  save_backbone(tmp_path / 'again.safetensors', loaded, name=backbone)
  again = safetensors.numpy.load_file(tmp_path / 'again.safetensors')
  assert {key: x.tobytes() for key, x in again.items()} == {
    key: x.tobytes() for key, x in arrays.items()
  }
  safetensors.numpy.save_file(held | {'extra': more[UNUSED[name][-1]]}, tmp_path / 'x.safetensors')
  with pytest.raises(InputError, match='unexpected: extra'):
    load_backbone(backbone, path=tmp_path / 'x.safetensors')


def test_a_tensor_under_two_names_is_an_error(tmp_path):
  backbone = small('convnext')
  arrays = {key: weight(key, x.shape) for key, x in backbone_tensors(backbone).items()}
  twice = arrays | {f'convnext.{key}': x for key, x in arrays.items()}
  safetensors.numpy.save_file(twice, tmp_path / 'model.safetensors')
  with pytest.raises(InputError, match='convnext_tiny twice'):
    load_backbone(backbone, path=tmp_path)


def test_what_one_family_leaves_out_no_other_needs():
  used = [key for name in FILES for key in backbone_tensors(name)]
  assert not [key for key in used if is_unused(key)]


@pytest.mark.parametrize('name', HUB)
def test_a_failed_download_says_where_they_are_and_who_gets_them(monkeypatch, name):
  import huggingface_hub

  asked = []

  def fail(*args):
    asked.append(args)
    raise huggingface_hub.errors.LocalEntryNotFoundError('401 Client Error\nand more')

  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', fail)
  with pytest.raises(InputError, match='401') as error:
    load_backbone(name)
  message, page = str(error.value), f'https://huggingface.co/{HUB[name]}'
  assert asked == [(HUB[name], 'model.safetensors')]
  assert page in message and '`backbone_weights`=FILE' in message and '\n' not in message
  gated = all(word in message for word in ('gated', 'license', 'auth login', 'huggingface-cli'))
  assert gated == get_backbone(name).gated == ('dinov3' in name)


@pytest.mark.heavy
def test_half_of_a_model_is_of_its_matrices_too(tmp_path):
  backbone = small('dinov2')
  model = HSNet(backbone)
  state = create_train_state(
    jax.random.key(0), model=model, backbone=jax.jit(backbone.init)(jax.random.key(1))
  )
  file = tmp_path / 'half.safetensors'
  write_model(file, state.variables, config={'backbone': 'own'}, backbone=backbone, half=True)
  held = safetensors.numpy.load_file(file)
  short = {key for key, x in held.items() if x.dtype == np.float16}
  assert short == {key for key, x in held.items() if key.startswith('backbone.') and x.ndim > 1}
  assert 'backbone.encoder.layer.0.mlp.fc1.weight' in short
