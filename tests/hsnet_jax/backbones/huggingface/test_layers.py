"""Layers, and whole small networks, against their definitions in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from hsnet_jax import HSNet
from hsnet_jax.backbones.huggingface.layers import layer_norm, linear, project_patches
from tests.made import assert_close, conv_oracle, normal
from tests.small_backbones import small_convnext, small_vit

pytestmark = pytest.mark.heavy


def disturbed(weights):
  """Weights of which no two are the same: a forgotten bias or scale is seen."""
  leaves, tree = jax.tree.flatten(weights)
  rng = np.random.default_rng(0)
  return tree.unflatten([x + 0.3 * rng.normal(size=x.shape).astype(np.float32) for x in leaves])


def norm_oracle(x, layer, epsilon=1e-6):
  mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
  return (x - mean) / np.sqrt(variance + epsilon) * layer['scale'] + layer['bias']


def mlp_oracle(x, up, down):
  hidden = x @ up['weight'].T + up['bias']
  return hidden * (1 + erf(hidden / np.sqrt(2))) / 2 @ down['weight'].T + down['bias']


def patches_oracle(x, conv):
  side = len(conv['kernel'])
  height, width = (n // side * side for n in x.shape[1:3])
  y = conv_oracle(x[:, :height, :width], conv['kernel'], side, padding=[(0, 0)] * 2)
  return y + conv['bias']


def convnext_oracle(weights, images):
  """A block at a time, a channel of its depthwise kernels at a time, in float64."""
  x = patches_oracle(images, weights['embeddings']['patch_embeddings'])
  x, features = norm_oracle(x, weights['embeddings']['layernorm']), []
  for stage in weights['encoder']['stages'].values():
    down = stage.get('downsampling_layer')
    if down:
      x = patches_oracle(norm_oracle(x, down['0']), down['1'])
    for block in stage['layers'].values():
      kernel = block['dwconv']['kernel']
      each = [conv_oracle(x[..., [c]], kernel[:, :, [c]]) for c in range(x.shape[-1])]
      y = norm_oracle(np.concatenate(each, -1) + block['dwconv']['bias'], block['layernorm'])
      y = mlp_oracle(y, block['pwconv1'], block['pwconv2'])
      x = x + block['layer_scale_parameter'] * y
      if down:
        features.append(x)
  return features


@pytest.mark.parametrize('form', ['auto', 'plain'])
def test_convnext_against_its_definition(form):
  backbone = small_convnext()
  weights = disturbed(jax.jit(backbone.init)(jax.random.key(0)))
  (images,) = normal((2, 37, 70, 3))
  features = jax.jit(functools.partial(backbone.apply, implementation=form))(weights, images)
  assert_close(list(features), convnext_oracle(jax.device_get(weights), np.asarray(images)))


@pytest.mark.parametrize('compiled', [False, True])
@pytest.mark.parametrize('shape', [(5,), (2, 3, 5), (1, 2, 2, 5)], ids=str)
def test_layers_of_any_number_of_axes(shape, compiled):
  wrap = jax.jit if compiled else lambda f: f
  x, weight, bias, scale = map(np.asarray, normal(shape, (4, 5), (4,), (5,)))
  layer = {'weight': jnp.asarray(weight), 'bias': jnp.asarray(bias)}
  assert_close(wrap(linear)(jnp.asarray(x), layer), x @ weight.T + bias)
  del layer['bias']
  assert_close(wrap(linear)(jnp.asarray(x), layer), x @ weight.T)
  layer = {'scale': scale, 'bias': scale - 1}
  norm = wrap(functools.partial(layer_norm, layer=jax.tree.map(jnp.asarray, layer), epsilon=1e-6))
  assert_close(norm(jnp.asarray(x)), norm_oracle(x, layer))
  assert_close(norm(jnp.asarray(3 * x + 1e3)), norm_oracle(3 * x.astype(float) + 1e3, layer), 1e-3)
  # Of channels that are all the same the bias is left.
  assert_close(norm(jnp.full(shape, 2.0)), np.broadcast_to(layer['bias'], shape))


def test_short_types_are_normalized_in_float32():
  """The variance of numbers about 100 would be none of bfloat16's eight bits."""
  x = 100 + jnp.arange(8.0)[None]
  layer = {'scale': np.ones(8), 'bias': np.zeros(8)}
  short = layer_norm(x.astype(jnp.bfloat16), jax.tree.map(jnp.float32, layer), epsilon=1e-6)
  assert short.dtype == jnp.bfloat16
  expected = norm_oracle(np.asarray(x.astype(jnp.bfloat16), np.float64), layer)
  np.testing.assert_allclose(short.astype(np.float32), expected, atol=0.01)


@pytest.mark.parametrize('size', [(4, 6), (5, 7), (2, 2), (1, 5)], ids=str)
def test_patches_that_are_whole_are_seen(size):
  x, kernel, bias = normal((2, *size, 3), (2, 2, 3, 4), (4,))
  y = jax.jit(project_patches)(x, {'kernel': kernel, 'bias': bias})
  assert y.shape == (2, size[0] // 2, size[1] // 2, 4)
  if y.size:
    assert_close(y, patches_oracle(x, {'kernel': np.asarray(kernel), 'bias': np.asarray(bias)}))


@pytest.mark.parametrize(
  'backbone', [small_convnext(), small_vit('dinov2'), small_vit('dinov3')], ids=lambda x: x.name
)
def test_a_second_eager_call_traces_and_compiles_nothing(backbone, caplog):
  variables = {'params': {}, 'backbone': jax.jit(backbone.init)(jax.random.key(0))}
  images, model = jnp.zeros((1, 32, 36, 3)), HSNet(backbone)
  said = []
  with jax.log_compiles(), caplog.at_level('WARNING'):
    for _ in range(2):
      model.apply(variables, images, method='encode')
      said.append([text for text in caplog.messages if '_block' in text])
      everything = list(caplog.messages)
      caplog.clear()
  assert len(said[0]) > 0 and everything == []
