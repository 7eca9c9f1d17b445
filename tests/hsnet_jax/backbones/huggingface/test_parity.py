"""Every block against `transformers`, on made weights that go through a file as it writes them."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from hsnet_jax.backbones import get_backbone
from hsnet_jax.backbones.huggingface import dinov2, dinov3
from hsnet_jax.weights.convert import load_backbone
from tests.made import normal, relative_error
from tests.small_backbones import DEPTHS, GRID, SIZE, WIDTHS, small_convnext, small_vit

# The class, its layers', what its configuration says, and the backbone.
CASES = {
  'convnext': (
    'ConvNextForImageClassification',
    'ConvNextLayer',
    {'hidden_sizes': WIDTHS, 'depths': DEPTHS, 'num_labels': 4},
    small_convnext(),
  ),
  'dinov2': (
    'Dinov2Model',
    'Dinov2Layer',
    {
      'hidden_size': SIZE.width,
      'num_hidden_layers': SIZE.depth,
      'num_attention_heads': SIZE.heads,
      'image_size': GRID * dinov2.PATCH,
    },
    small_vit('dinov2'),
  ),
  'dinov3': (
    'DINOv3ViTModel',
    'DINOv3ViTLayer',
    {
      'hidden_size': SIZE.width,
      'intermediate_size': 4 * SIZE.width,
      'num_hidden_layers': SIZE.depth,
      'num_attention_heads': SIZE.heads,
      'num_register_tokens': dinov3.REGISTERS,
    },
    small_vit('dinov3'),
  ),
}
# The published configurations.
PUBLISHED = {
  'convnext_tiny': ('ConvNextModel', 'ConvNextLayer', {}),
  'dinov2_small': (
    'Dinov2Model',
    'Dinov2Layer',
    {'hidden_size': 384, 'num_attention_heads': 6, 'image_size': 518},
  ),
  'dinov3_small': ('DINOv3ViTModel', 'DINOv3ViTLayer', {'num_register_tokens': 4}),
}


def made(cls, options):
  """A network of `transformers`, every tensor of which tells."""
  torch = pytest.importorskip('torch')
  transformers = pytest.importorskip('transformers')
  network = getattr(transformers, cls)
  config = network.config_class(**options)
  torch.manual_seed(0)
  network = network(config).eval()
  with torch.no_grad():
    for name, x in network.named_parameters():
      if name.endswith(('norm.weight', 'norm1.weight', 'norm2.weight', 'lambda1', 'parameter')):
        x.uniform_(0.3, 0.9)
      elif x.ndim == 1 or name.endswith(('token', 'tokens', 'position_embeddings')):
        x.normal_(std=0.3)
      else:
        x.normal_(std=x[0].numel() ** -0.5)
  return network


def outputs(network, layer, images):
  """What every layer of a class gives, as NHWC maps or as tokens."""
  import torch

  found = []
  hooks = [
    module.register_forward_hook(lambda module, inputs, y: found.append(y))
    for module in network.modules()
    if type(module).__name__ == layer
  ]
  with torch.no_grad():
    network(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2))
  for hook in hooks:
    hook.remove()
  found = [y[0] if isinstance(y, tuple) else y for y in found]
  return [(y.permute(0, 2, 3, 1) if y.ndim == 4 else y).numpy() for y in found]


def assert_agree(features, expected):
  for ours, theirs in zip(features, expected[-len(features) :], strict=True):
    if theirs.ndim == 3:  # Tokens, of which the patches are the last.
      theirs = theirs[:, -ours.shape[1] * ours.shape[2] :].reshape(ours.shape)
    assert relative_error(ours, theirs) <= 1e-4


@pytest.mark.parametrize(
  ('name', 'sizes'),
  [
    ('convnext', [(64, 64), (75, 110)]),  # Whole, and of which some rows are not seen.
    ('dinov2', [(70, 70), (42, 112)]),  # Of the pretraining, and fewer rows and more columns.
    ('dinov3', [(64, 64), (48, 112)]),
  ],
)
def test_small_networks_agree_at_any_size(tmp_path, name, sizes):
  cls, layer, options, backbone = CASES[name]
  network = made(cls, options)
  network.save_pretrained(tmp_path)
  weights = load_backbone(backbone, path=tmp_path)
  apply = jax.jit(backbone.apply)
  for size in sizes:
    (images,) = normal((2, *size, 3))
    assert_agree(apply(weights, images), outputs(network, layer, images))


@pytest.mark.parametrize('name', CASES)
def test_names_of_a_state_dict_do_as_well(tmp_path, name):
  """Which since the library's version 5 are not those of its files."""
  cls, _, options, backbone = CASES[name]
  network = made(cls, options)
  network.save_pretrained(tmp_path)
  state = {key: value.numpy() for key, value in network.state_dict().items()}
  safetensors.numpy.save_file(state, tmp_path / 'state.safetensors')
  by_file = load_backbone(backbone, path=tmp_path / 'model.safetensors')
  by_state = load_backbone(backbone, path=tmp_path / 'state.safetensors')
  assert jax.tree.all(jax.tree.map(np.array_equal, by_file, by_state))


@pytest.mark.parametrize(
  ('name', 'size'), [('convnext_tiny', 64), ('dinov2_small', 84), ('dinov3_small', 80)]
)
def test_the_published_configurations_agree(tmp_path, name, size):
  cls, layer, options = PUBLISHED[name]
  network = made(cls, options)
  network.save_pretrained(tmp_path)
  (images,) = normal((1, size, size, 3))
  features = jax.jit(get_backbone(name).apply)(load_backbone(name, path=tmp_path), images)
  assert_agree(features, outputs(network, layer, images))
