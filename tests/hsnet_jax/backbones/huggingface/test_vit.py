"""Vision transformers: attention, positions, sizes, pyramids, and a network over them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.backbones import get_backbone
from hsnet_jax.backbones.huggingface.dinov2 import bicubic_matrix, positions
from hsnet_jax.backbones.huggingface.dinov3 import angles, rotate_patches
from hsnet_jax.backbones.huggingface.vit import (
  attend,
  average_pool,
  pooled_pyramid,
  pyramid_depths,
  whole_patches,
)
from hsnet_jax.errors import InputError
from tests.made import assert_close, normal
from tests.small_backbones import small_vit

pytestmark = pytest.mark.heavy

VITS = ('dinov2_small', 'dinov2_base', 'dinov3_small', 'dinov3_base')


@pytest.mark.parametrize('name', VITS)
@pytest.mark.parametrize('size', [(400, 400), (97, 120), (9, 30)], ids=str)
def test_geometry(name, size):
  """400 pixels are 28 patches of 14; of a picture below a patch there is one."""
  spec, width = get_backbone(name), 384 if 'small' in name else 768
  assert (spec.levels, spec.stride) == ((12,), 14 if 'dinov2' in name else 16)
  images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  weights = jax.eval_shape(spec.init, jax.random.key(0))
  height, width_ = (max(1, n // spec.stride) for n in size)
  features = jax.eval_shape(spec.apply, weights, images)
  assert [f.shape for f in features] == [(2, height, width_, width)] * 12
  coarser = get_backbone(f'{name}_pyramid')
  assert (coarser.levels, coarser.stride, coarser.hub) == ((4, 4, 4), spec.stride, spec.hub)
  assert jax.eval_shape(coarser.init, jax.random.key(0)) == weights
  expected = [(2, -(-height // s), -(-width_ // s), width) for s in (1, 2, 4) for _ in range(4)]
  assert [f.shape for f in jax.eval_shape(coarser.apply, weights, images)] == expected


def test_images_are_resized_to_whole_patches_and_those_that_are_stay():
  (whole,) = normal((1, 28, 42, 3))
  assert (whole_patches(whole, 14) == whole).all()
  (odd,) = normal((1, 41, 17, 3))
  resized = whole_patches(odd, 14)
  assert resized.shape == (1, 28, 14, 3)
  # All of it is there: the corners are the picture's own.
  np.testing.assert_allclose(resized[:, ::27, ::13], odd[:, ::40, ::16], atol=1e-5)
  assert whole_patches(odd[:, :1, :1], 14).shape == (1, 14, 14, 3)
  spec = small_vit('dinov2')
  weights, apply = jax.jit(spec.init)(jax.random.key(0)), jax.jit(spec.apply)
  assert_close(apply(weights, odd), apply(weights, resized))


@pytest.mark.parametrize('compiled', [False, True])
def test_attention_against_its_definition(compiled):
  query, key, value = normal((2, 5, 6), (2, 5, 6), (2, 5, 6))
  run = functools.partial(attend, heads=2)
  y = (jax.jit(run) if compiled else run)(query, key, 3 * value)
  expected = np.zeros(y.shape)
  for b, head in np.ndindex(2, 2):
    q, k, v = (
      np.asarray(x, np.float64)[b, :, 3 * head : 3 * head + 3] for x in (query, key, value)
    )
    weights = np.exp(q @ k.T / np.sqrt(3))
    expected[b, :, 3 * head : 3 * head + 3] = weights / weights.sum(1, keepdims=True) @ (3 * v)
  assert_close(y, expected)


def test_attention_of_one_token_is_its_value():
  query, key, value = normal((1, 1, 4), (1, 1, 4), (1, 1, 4))
  assert_close(attend(100 * query, key, value, heads=4), value)


def cubic(x):
  """Keys' kernel with PyTorch's parameter, by its two cases."""
  x, a = abs(x), -0.75
  if x < 1:
    return (a + 2) * x**3 - (a + 3) * x**2 + 1
  return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


@pytest.mark.parametrize(('n_in', 'n_out'), [(5, 8), (37, 28), (6, 1), (1, 4), (7, 7)])
def test_bicubic_weights(n_in, n_out):
  matrix = bicubic_matrix(n_in, n_out)
  expected = np.zeros((n_out, n_in))
  for i in range(n_out):
    at = (i + 0.5) * n_in / n_out - 0.5
    for j in range(-3, n_in + 3):
      expected[i, min(max(j, 0), n_in - 1)] += cubic(at - j)
  np.testing.assert_allclose(matrix, expected, atol=1e-6)
  np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
  if n_in == n_out:
    np.testing.assert_array_equal(matrix, np.eye(n_in))


def test_positions_of_the_learned_grid_stay_and_rows_are_no_columns():
  (learned,) = normal((1, 1 + 9, 4))
  assert_close(positions(learned, (3, 3)), learned)
  found = positions(learned, (2, 5))
  assert_close(found[:, :1], learned[:, :1])
  square = np.asarray(learned)[0, 1:].reshape(3, 3, 4)
  expected = np.einsum('ih,jw,hwc->ijc', bicubic_matrix(3, 2), bicubic_matrix(3, 5), square)
  assert_close(found[0, 1:], expected.reshape(10, 4))


def test_rotations_tell_how_far_patches_are_apart():
  """Products of rotated queries and keys are the same for all pairs with the same offset."""
  size, channels = (3, 4), 8
  turned = angles(size, channels)
  assert turned.shape == (12, channels // 2) and turned.dtype == np.float32
  # The first patch's center is at (-2 / 3, -3 / 4); waves are 1 and 10 times as long.
  expected = 2 * np.pi * np.array([-2 / 3, -2 / 30, -3 / 4, -3 / 40])
  np.testing.assert_allclose(turned[0], expected, rtol=1e-6)
  query, key = normal((1, 1, 2, channels), (1, 1, 2, channels))
  first = jnp.ones((1, 2, 2, channels))
  rotate = jax.jit(functools.partial(rotate_patches, turned=turned))
  tokens = [jnp.concatenate([first, jnp.repeat(x, 12, 1)], axis=1) for x in (query, key)]
  q, k = map(rotate, tokens)
  assert (q[:, :2] == 1).all(), 'tokens of no patch stay'
  assert_close(jnp.square(q[:, 2:]).sum(-1), jnp.square(tokens[0][:, 2:]).sum(-1))
  products = np.einsum('qhc,khc->hqk', q[0, 2:], k[0, 2:]).reshape(2, *size, *size)
  np.testing.assert_allclose(products[:, 0, 1, 1, 3], products[:, 1, 0, 2, 2], rtol=1e-4)
  assert np.abs(products[:, 0, 1, 1, 3] - products[:, 0, 1, 1, 2]).max() > 1e-3


@pytest.mark.parametrize(('side', 'size'), [(2, (4, 6)), (4, (5, 9)), (4, (1, 1)), (1, (3, 2))])
def test_averages_are_of_what_is_there(side, size):
  (x,) = normal((2, *size, 3))
  y = jax.jit(average_pool, static_argnums=1)(x, side)
  assert y.shape == (2, -(-size[0] // side), -(-size[1] // side), 3)
  for i, j in np.ndindex(y.shape[1:3]):
    square = np.asarray(x)[:, i * side : (i + 1) * side, j * side : (j + 1) * side]
    np.testing.assert_allclose(y[:, i, j], square.mean((1, 2)), atol=1e-6)


def test_a_pyramid_is_of_the_same_maps():
  assert pyramid_depths(12) == (4, 4, 4) and pyramid_depths(5) == (1, 2, 2)
  spec, coarser = small_vit('dinov3'), small_vit('dinov3', pyramid=True)
  weights = jax.jit(spec.init)(jax.random.key(0))
  (images,) = normal((1, 48, 80, 3))
  maps = jax.jit(spec.apply)(weights, images)
  assert_close(jax.jit(coarser.apply)(weights, images), pooled_pyramid(maps))


def episodes(size):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (2, size, size, 3), np.uint8)
  mask = np.zeros((2, size, size), np.uint8)
  mask[:, : size // 2] = 1
  return {
    'query_image': image,
    'query_mask': mask,
    'query_ignore': 0 * mask,
    'support_images': image[:, None, ::-1],
    'support_masks': mask[:, None, ::-1],
    'class_id': np.arange(2),
    'valid': np.ones(2, bool),
  }


# Other than those of the table these compile in seconds.
NETWORKS = {
  'one level': (small_vit('dinov2'), hs.Head(prior=True, correlated_levels=1)),
  'pyramid': (
    small_vit('dinov3', pyramid=True),
    hs.Head(prior=True, skip=True, correlated_levels=2),
  ),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_networks_over_them_have_their_shapes(name):
  """Of logits, of parameters after a step, and under published names: nothing is computed."""
  backbone, head = NETWORKS[name]
  model, batch = hs.HSNet(backbone, head=head), episodes(60)

  def run(key):
    state = hs.create_train_state(key, model=model, backbone=backbone.init(key))
    after, _ = hs.train_step(state, batch)
    named = hs.to_torch(after.variables, backbone=backbone, head=head)
    logits = hs.episode_logits(model, state.variables, batch)
    return logits, state.variables, hs.from_torch(named, backbone=backbone, head=head)

  logits, before, after = jax.eval_shape(run, jax.random.key(0))
  assert logits.shape == (1, 2, 60, 60, 2)
  assert after == dict(before)


@pytest.mark.heavy  # Compiles the gradients of two networks.
@pytest.mark.parametrize('name', NETWORKS)
def test_networks_over_them_train(name):
  backbone, head = NETWORKS[name]
  model = hs.HSNet(backbone, head=head)
  frozen = jax.jit(backbone.init)(jax.random.key(1))
  state = hs.create_train_state(jax.random.key(0), model=model, backbone=frozen)
  before = jax.device_get(state.params)
  step = jax.jit(hs.train_step)
  for _ in range(2):  # A head with a prior begins with a last convolution of zeros.
    state, metrics = step(state, episodes(60))
    assert np.isfinite(metrics['loss'])
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, before)
  assert np.mean(jax.tree.leaves(moved)) > 0.9


def test_one_level_has_none_that_is_finer():
  with pytest.raises(InputError, match='`skip`.*one level'):
    hs.Head(skip=True).first((12,))
  with pytest.raises(InputError, match='`correlated_levels` is 2.* 1'):
    hs.Head(correlated_levels=2).first((12,))


@pytest.mark.parametrize('name', ['dinov2', 'dinov3'])
def test_short_types_are_near_float32(name):
  """A few of bfloat16's steps of 2**-8 over three blocks."""
  backbone = small_vit(name)
  weights = jax.jit(backbone.init)(jax.random.key(0))
  (images,) = normal((1, 32, 48, 3))
  run = jax.jit(backbone.apply)
  wide, short = run(weights, images), run(weights, images.astype(jnp.bfloat16))
  assert {f.dtype for f in short} == {jnp.dtype(jnp.bfloat16)}
  assert_close([f.astype(np.float32) for f in short], list(wide), 0.05)
