"""EfficientNet-Lite against its definition, and against the network that has its weights."""

import functools

import jax
import numpy as np
import pytest

from hsnet_jax.backbones import efficientnet, get_backbone
from hsnet_jax.model import HSNet, fold_backbone
from hsnet_jax.training import create_train_state, train_step
from hsnet_jax.weights.convert import load_backbone
from hsnet_jax.weights.files import write_tensors
from tests import made
from tests.golden_recipe import weight
from tests.made import assert_close, conv_oracle, normal, relative_error

LITE0 = 'efficientnet_lite0'


def layer_oracle(x, conv, norm, stride=1):
  """TensorFlow's 'SAME' convolution and the norm, in float64; depthwise a channel at a time."""
  kernel = np.asarray(conv['kernel'], np.float64)
  norm = {name: np.asarray(value, np.float64) for name, value in norm.items()}
  total = [max((-(-n // stride) - 1) * stride + len(kernel) - n, 0) for n in x.shape[1:3]]
  pads = [(n // 2, n - n // 2) for n in total]
  each = [(x, kernel)]
  if kernel.shape[3] == 1:
    each = [(x[..., c : c + 1], kernel[:, :, c : c + 1]) for c in range(kernel.shape[2])]
  y = np.concatenate([conv_oracle(part, k, stride, padding=pads) for part, k in each], axis=-1)
  return (y - norm['mean']) / np.sqrt(norm['var'] + 1e-3) * norm['scale'] + norm['bias']


def oracle(weights, images, count):
  """The first blocks, by their strides and residual sums as the paper's table has them."""
  relu6 = lambda x: np.clip(x, 0, 6)  # noqa: E731
  x, features = relu6(layer_oracle(images, weights['_conv_stem'], weights['_bn0'], 2)), []
  for i in range(count):
    block, y = weights['_blocks'][str(i)], x
    if '_expand_conv' in block:
      y = relu6(layer_oracle(y, block['_expand_conv'], block['_bn0']))
    stride = 2 if i in (1, 3, 5, 11) else 1
    y = relu6(layer_oracle(y, block['_depthwise_conv'], block['_bn1'], stride))
    y = layer_oracle(y, block['_project_conv'], block['_bn2'])
    x = x + y if i in (2, 4, 6, 7, 9, 10, 12, 13, 14) else y
    if i >= 3:
      features.append(x)
  return features


@pytest.mark.heavy
def test_lite_against_its_definition():
  """Whole, folded and plain: sides of kernels, odd and even sizes, residual sums, no last ReLU."""
  count = 7  # Of 16 blocks: to the second at stride 16.
  weights = made.variables(LITE0)['backbone']
  (images,) = normal((1, 37, 32, 3))
  blocks = efficientnet.lay_out(1.0, 1.0)[:count]
  run = jax.jit(
    functools.partial(efficientnet.apply, blocks=blocks), static_argnames='implementation'
  )
  features = run(weights, images)
  assert_close(list(features), oracle(jax.device_get(weights), np.asarray(images), count))
  assert all((np.asarray(f) < 0).any() for f in features), 'blocks end linear'
  assert_close(run(weights, images, implementation='plain'), features)
  folded = fold_backbone({'backbone': weights}, backbone=LITE0)['backbone']
  assert {path[-1].key for path, _ in jax.tree.leaves_with_path(folded)} == {'kernel', 'bias'}
  assert_close(run(folded, images), features)
  again = fold_backbone({'backbone': folded}, backbone=LITE0)['backbone']
  assert jax.tree.all(jax.tree.map(np.array_equal, again, folded))


@pytest.mark.heavy  # Compiles the gradient of the whole network.
def test_a_network_over_it_trains():
  spec = get_backbone(LITE0)
  weights = jax.jit(spec.init)(jax.random.key(0))
  state = create_train_state(jax.random.key(1), model=HSNet(LITE0), backbone=weights)
  rng = np.random.default_rng(0)
  mask = np.zeros((2, 64, 64), np.uint8)
  mask[:, 16:48, 8:40] = 1
  batch = {
    'query_image': rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8),
    'query_mask': mask,
    'query_ignore': 0 * mask,
    'support_images': rng.integers(0, 256, (2, 1, 64, 64, 3), dtype=np.uint8),
    'support_masks': mask[:, None],
    'class_id': np.zeros(2, np.int32),
    'valid': np.ones(2, bool),
  }
  before = jax.device_get(state.params)
  after, _ = jax.jit(train_step)(state, batch)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))
  assert not jax.tree.all(jax.tree.map(np.array_equal, before, after.params))


@pytest.mark.parametrize(
  ('variant', 'size'), [(0, (200, 200)), (0, (165, 131)), (1, (165, 131)), (2, (165, 131))]
)
def test_lite_is_the_published_network(tmp_path, variant, size):
  """On made weights, of which the file holds the head and the step counts, too."""
  torch = pytest.importorskip('torch')
  reference = pytest.importorskip('efficientnet_lite_pytorch')
  # Without a size of its own it pads for the images that come.
  network = reference.EfficientNet.from_name(f'efficientnet-lite{variant}', image_size=None)
  arrays = {name: weight(name, tuple(x.shape)) for name, x in network.state_dict().items()}
  network.load_state_dict({name: torch.from_numpy(x) for name, x in arrays.items()})
  expected = []
  for block in network.eval().get_submodule('_blocks'):
    block.register_forward_hook(lambda module, inputs, output: expected.append(output))
  (images,) = normal((1, *size, 3))
  with torch.no_grad():
    network(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2))

  name = f'efficientnet_lite{variant}'
  write_tensors(tmp_path / f'{name}.safetensors', arrays)
  weights = load_backbone(name, path=tmp_path)
  features = jax.jit(get_backbone(name).apply)(weights, images)
  for ours, theirs in zip(features, expected[-len(features) :], strict=True):
    assert relative_error(ours, theirs.permute(0, 2, 3, 1).numpy()) <= 1e-4
