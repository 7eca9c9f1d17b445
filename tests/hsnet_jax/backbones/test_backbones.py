import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.backbones import BACKBONES, get_backbone, resnet, tiny
from hsnet_jax.backbones.layers import conv_batch_norm, max_pool
from hsnet_jax.errors import InputError
from hsnet_jax.model import HSNet, fold_backbone
from hsnet_jax.weights.convert import load_backbone
from tests import made
from tests.made import assert_close, conv_oracle, normal, relative_error

# Channels of the features, finest level first; a tuple where a level's maps differ.
CHANNELS = {
  'vgg16': (512, 512, 512),
  'resnet50': (512, 1024, 2048),
  'resnet101': (512, 1024, 2048),
  'mobilenet_v1_075': (192, 384, 768),
  'efficientnet_lite0': (40, (80,) * 3 + (112,) * 3, (192,) * 4 + (320,)),
  'efficientnet_lite1': (40, (80,) * 4 + (112,) * 4, (192,) * 5 + (320,)),
  'efficientnet_lite2': (48, (88,) * 4 + (120,) * 4, (208,) * 5 + (352,)),
  'convnext_tiny': (192, 384, 768),
  'convnext_base': (256, 512, 1024),
  'tiny': (64, 96, 128),
}
LEVELS = {
  'vgg16': (3, 3, 1),
  'resnet50': (4, 6, 3),
  'resnet101': (4, 23, 3),
  'mobilenet_v1_075': (2, 6, 2),
  'efficientnet_lite0': (2, 6, 5),
  'efficientnet_lite1': (3, 8, 6),
  'efficientnet_lite2': (3, 8, 6),
  'convnext_tiny': (3, 9, 3),
  'convnext_base': (3, 27, 3),
  'tiny': (2, 2, 2),
}


# Kernels as wide as their stride drop an incomplete window; others keep it.
FLOORED = ('vgg16', 'convnext_tiny', 'convnext_base')


@pytest.mark.parametrize('name', LEVELS)
@pytest.mark.parametrize('size', [(96, 128), (75, 50)])
def test_three_levels_at_strides_8_16_32(name, size):
  spec = get_backbone(name)
  assert (spec.name, spec.levels) == (name, LEVELS[name])
  weights = jax.eval_shape(spec.init, jax.random.key(0))
  images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  features = jax.eval_shape(spec.apply, weights, images)
  sizes = [tuple(n // s if name in FLOORED else -(-n // s) for n in size) for s in (8, 16, 32)]
  expected = [
    (2, *sizes[level], int(channels))
    for level, count in enumerate(spec.levels)
    for channels in np.broadcast_to(CHANNELS[name][level], count)
  ]
  assert [f.shape for f in features] == expected
  assert {f.dtype for f in features} == {jnp.dtype('float32')}


def test_every_backbone_has_its_geometry_in_a_test():
  assert {name for name in BACKBONES if not name.startswith('dino')} == {*LEVELS} == {*CHANNELS}


def test_unknown_backbone_is_named():
  with pytest.raises(InputError, match="'vgg61'; there are vgg16, resnet50"):
    get_backbone('vgg61')


@pytest.mark.parametrize(
  ('name', 'low', 'high'),
  [('mobilenet_v1_075', -1, 1), ('efficientnet_lite0', -0.9922, 1), ('vgg16', -2.1179, 2.6400)],
)
def test_normalization_is_the_weights_own(name, low, high):
  """Keras' x / 127.5 - 1, Lite's (x - 127) / 128, ImageNet's mean and deviation (at its ends)."""
  spec = get_backbone(name)
  ends = [(pixel - np.array(spec.mean)) / np.array(spec.std) for pixel in (0, 255)]
  np.testing.assert_allclose([ends[0].min(), ends[1].max()], [low, high], atol=1e-4)


def batch_norm_oracle(x, norm, epsilon=1e-5):
  norm = {name: np.asarray(value, np.float64) for name, value in norm.items()}
  return (x - norm['mean']) / np.sqrt(norm['var'] + epsilon) * norm['scale'] + norm['bias']


@pytest.mark.heavy
def test_norms_fold_into_kernels():
  """The same maps come from weights that hold nothing of the norms."""
  stages = (1, 1, 1, 1)
  small = {'init': functools.partial(resnet.init, stages=stages)}
  small['apply'] = functools.partial(resnet.apply, stages=stages)
  backbone = dataclasses.replace(BACKBONES['resnet50'], levels=stages[1:], **small)

  @jax.jit
  def run(key):
    weights = jax.tree.map(lambda x: x + 0.1 * (x.ndim == 1), backbone.init(key))
    folded = fold_backbone({'backbone': weights}, backbone=backbone)['backbone']
    images = jax.random.normal(key, (1, 33, 40, 3))
    return folded, backbone.apply(folded, images), backbone.apply(weights, images)

  folded, found, expected = run(jax.random.key(0))
  assert not [name for name, layer in folded.items() if name.startswith('bn') and layer]
  assert {path[-1].key for path, _ in jax.tree.leaves_with_path(folded)} == {'kernel', 'bias'}
  assert_close(found, expected)
  again = fold_backbone({'backbone': folded}, backbone=backbone)['backbone']
  assert jax.tree.all(jax.tree.map(np.array_equal, again, folded))


@pytest.mark.heavy  # Compiles a backbone twice, of which the test above has the maps.
def test_a_network_encodes_with_folded_weights():
  backbone = dataclasses.replace(
    BACKBONES['resnet50'],
    levels=(1, 1, 1),
    init=functools.partial(resnet.init, stages=(1, 1, 1, 1)),
    apply=functools.partial(resnet.apply, stages=(1, 1, 1, 1)),
  )
  encode = jax.jit(functools.partial(HSNet(backbone).apply, method='encode'))
  (images,) = normal((1, 32, 32, 3))
  variables = {'params': {}, 'backbone': jax.jit(backbone.init)(jax.random.key(0))}
  variables = jax.tree.map(lambda x: x + 0.01 * (x.ndim == 1), variables)
  folded = fold_backbone(variables, backbone=backbone)
  assert not folded['backbone']['bn1']
  assert_close(encode(folded, images), encode(variables, images))


def test_weights_of_a_backbone_without_fold_stay():
  variables = {'params': {}, 'backbone': {'a': np.ones(3)}}
  assert fold_backbone(variables, backbone='tiny') == variables
  assert fold_backbone({'params': {}}, backbone='resnet50') == {'params': {}}


@pytest.mark.parametrize('stride', [1, 2])
def test_folded_batch_norm_is_batch_norm(stride):
  x, kernel, *statistics = normal((2, 6, 5, 3), (3, 3, 3, 8), *[(8,)] * 4)
  norm = dict(zip(('scale', 'bias', 'mean', 'var'), statistics, strict=True))
  norm['var'] = jnp.square(norm['var'])
  y = jax.jit(conv_batch_norm, static_argnames='stride')(x, {'kernel': kernel}, norm, stride=stride)
  assert_close(y, batch_norm_oracle(conv_oracle(x, kernel, stride), norm))


@pytest.mark.parametrize('implementation', ['auto', 'plain', 'portable'])
@pytest.mark.parametrize(('window', 'padding'), [(2, 0), (3, 1)])
def test_max_pool(window, padding, implementation):
  (x,) = normal((1, 7, 6, 2))
  x -= 5  # below 0, where a padding with zeros would be seen
  y = np.asarray(max_pool(x, window, padding=padding, implementation=implementation))
  pads = ((0, 0), *((padding, padding),) * 2, (0, 0))
  padded = np.pad(x, pads, constant_values=-np.inf)
  height, width = ((n + 2 * padding - window) // 2 + 1 for n in (7, 6))
  assert y.shape == (1, height, width, 2)
  for i, j in np.ndindex(height, width):
    cell = padded[:, 2 * i : 2 * i + window, 2 * j : 2 * j + window]
    np.testing.assert_array_equal(y[:, i, j], cell.max((1, 2)))


def tiny_oracle(weights, images):
  """The residual network in float64, a block at a time."""

  def conv_norm(x, block, i, stride=1):
    return batch_norm_oracle(conv_oracle(x, block[f'conv{i}']['kernel'], stride), block[f'bn{i}'])

  x, features = np.maximum(conv_norm(images, weights, 1, 4), 0), []
  for stage in range(1, 5):
    layer = weights[f'layer{stage}']
    for i, block in enumerate(layer.values()):
      stride = 2 if 'downsample' in block else 1
      y = conv_norm(np.maximum(conv_norm(x, block, 1, stride), 0), block, 2)
      if 'downsample' in block:
        down = block['downsample']
        x = batch_norm_oracle(conv_oracle(x, down['0']['kernel'], stride), down['1'])
      if stage > 1 and i >= len(layer) - 2:
        features.append(x + y)
      x = np.maximum(x + y, 0)
  return features


@pytest.mark.parametrize('implementation', ['auto', 'plain'])
def test_tiny_against_its_definition(implementation):
  weights = made.variables('tiny')['backbone']
  (images,) = normal((2, 40, 32, 3))
  run = functools.partial(tiny.apply, implementation=implementation)
  features = jax.jit(run)(weights, images)
  assert_close(list(features), tiny_oracle(jax.device_get(weights), images))
  assert all((np.asarray(f) < 0).any() for f in features), 'features come before the ReLU'


@pytest.mark.heavy
def test_mobilenet_is_one_network_on_every_platform_and_folded():
  weights = made.variables('mobilenet_v1_075')['backbone']
  (images,) = normal((1, 50, 36, 3))
  spec = get_backbone('mobilenet_v1_075')
  run = jax.jit(spec.apply, static_argnames='implementation')
  auto, plain = (run(weights, images, implementation=form) for form in ('auto', 'plain'))
  assert_close(auto, plain)
  folded = fold_backbone({'backbone': weights}, backbone=spec)['backbone']
  assert {path[-1].key for path, _ in jax.tree.leaves_with_path(folded)} == {'kernel', 'bias'}
  assert_close(run(folded, images), auto)


def test_mobilenet_golden(golden, shared):
  with np.load(golden / 'mobilenet_v1_075.npz') as data:
    image = data['image'].astype(np.float32) / 127.5 - 1
    expected = [data[f'feature{i}'].transpose(0, 2, 3, 1) for i in range(10)]
  weights = load_backbone('mobilenet_v1_075', path=shared / 'weights')
  image = jnp.asarray(image.reshape(1, *image.shape[-3:]))
  features = jax.jit(get_backbone('mobilenet_v1_075').apply)(weights, image)
  for ours, published in zip(features, expected, strict=True):
    assert relative_error(ours[..., ::8], published) <= 1e-5


@pytest.mark.parametrize(
  'name',
  [
    'vgg16',
    'resnet50',
    'mobilenet_v1_075',
    'efficientnet_lite0',
    'convnext_tiny',
    'dinov2_small',
    'dinov3_small_pyramid',
    'tiny',
  ],
)
def test_precision_is_the_callers(name):
  """The highest unless another is asked for, of the model too, and then of every product."""
  weights = jax.eval_shape(get_backbone(name).init, jax.random.key(0))
  images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  for options, expected in (({}, True), ({'precision': 'default'}, False)):
    model = HSNet(name, implementation='plain', **options)
    encode = functools.partial(model.apply, method='encode')
    jaxpr = str(jax.make_jaxpr(encode)({'backbone': weights}, images))
    assert ('HIGHEST' in jaxpr, 'DEFAULT' in jaxpr) == (expected, not expected)
