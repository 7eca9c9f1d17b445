import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import ndimage
from scipy.special import expit, log_softmax

from hsnet_jax.training.losses import (
  BOUNDARY_WIDTH,
  cross_entropy,
  near_boundary,
  prediction_loss,
  soft_dice,
)


@pytest.fixture(params=['plain', 'jit', 'vmap'])
def loss(request):
  return {'plain': lambda f: f, 'jit': jax.jit, 'vmap': jax.vmap}[request.param](cross_entropy)


def example(scale=3.0):
  rng = np.random.default_rng(0)
  logits = scale * rng.normal(size=(3, 17, 11, 2)).astype(np.float32)
  return logits, (rng.random((3, 17, 11)) < 0.3).astype(np.uint8)


@pytest.mark.parametrize('scale', [1e-3, 3.0, 300.0])
def test_against_float64(loss, scale):
  logits, target = example(scale)
  picked = np.take_along_axis(
    log_softmax(logits.astype(np.float64), axis=-1), target[..., None].astype(int), axis=-1
  )
  np.testing.assert_allclose(loss(logits, target), -picked.mean(axis=(1, 2, 3)), rtol=1e-6)
  np.testing.assert_array_equal(loss(logits, target), loss(logits, target.astype(bool)))


def test_gradient_against_optax():
  logits, target = example()

  def reference(x):
    return optax.softmax_cross_entropy_with_integer_labels(x, target.astype(np.int32)).mean()

  grad = jax.grad(lambda x: cross_entropy(x, target).mean())(logits)
  np.testing.assert_allclose(grad, jax.grad(reference)(logits), rtol=1e-4, atol=1e-9)


def test_extremes():
  logits = np.array([[[[1e4, -1e4]]], [[[-1e4, 1e4]]]], np.float32)
  target = np.zeros((2, 1, 1), np.uint8)
  np.testing.assert_array_equal(cross_entropy(logits, target), [0, 2e4])
  assert np.isfinite(jax.grad(lambda x: cross_entropy(x, target).sum())(logits)).all()


def test_short_floats_are_summed_in_float32():
  logits = np.zeros((1, 400, 400, 2), np.float16)
  loss = cross_entropy(logits, np.zeros((1, 400, 400), np.uint8))
  assert loss.dtype == np.float32
  # A float32 sum of 160,000 is up to 1.1e-6 off; a float16 one would be 3e-4.
  np.testing.assert_allclose(loss, np.log(2), rtol=1e-5)


def test_the_foreground_may_weigh_more():
  logits, target = example()
  weighted = functools.partial(cross_entropy, foreground_weight=3.0)
  chosen = log_softmax(logits.astype(np.float64), axis=-1)
  expected = -np.where(target, 3 * chosen[..., 1], chosen[..., 0]).mean(axis=(1, 2))
  np.testing.assert_allclose(jax.jit(weighted)(logits, target), expected, rtol=1e-6)


def test_a_weighted_loss_is_least_where_logits_are_level_at_a_lower_probability():
  # A quarter is foreground: with a weight of 3, 1 / (1 + 3), level logits cannot be bettered.
  target, level = np.array([[[1, 0, 0, 0]]]), np.zeros((1, 1, 4, 2), np.float32)

  @jax.grad
  def slope(z, weight):
    return cross_entropy(z, target, foreground_weight=weight).sum()

  np.testing.assert_allclose(np.sum(slope(level, 3.0), (0, 1, 2)), 0, atol=1e-7)
  np.testing.assert_allclose(np.sum(slope(level, 1.0), (0, 1, 2)), [-0.25, 0.25], rtol=1e-6)


@pytest.fixture(params=['plain', 'jit'])
def wrap(request):
  return {'plain': lambda f: f, 'jit': jax.jit}[request.param]


def masks():
  """Empty, full, one pixel, one in a corner, a thin line, a disc, noise."""
  made = np.zeros((7, 17, 23), np.uint8)
  made[1] = 1
  made[2, 8, 9] = made[3, 0, 22] = made[4, :, 11] = 1
  y, x = np.indices((17, 23))
  made[5] = (y - 8) ** 2 + (x - 11) ** 2 < 40
  made[6] = np.random.default_rng(3).random((17, 23)) < 0.1
  return made


def boundary_oracle(mask, width):
  """By SciPy's morphology; the edge of the picture is no boundary."""
  square = np.ones((2 * width + 1,) * 2)
  wide = ndimage.binary_dilation(mask, square)
  return wide & ~ndimage.binary_erosion(mask, square, border_value=1)


@pytest.mark.parametrize('width', [0, 1, 4, 30])
def test_what_is_near_a_boundary(wrap, width):
  find = wrap(functools.partial(near_boundary, width=width))
  expected = np.stack([boundary_oracle(mask, width) for mask in masks()])
  for mask in (masks(), masks().astype(bool)):
    found = find(mask)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, expected)
  assert not expected[:2].any() and (width == 0 or expected[2:].any((1, 2)).all())
  # As many axes of a batch as there are, and none.
  np.testing.assert_array_equal(find(masks()[None]), expected[None])
  np.testing.assert_array_equal(find(masks()[5]), expected[5])


def test_a_boundary_may_weigh_more():
  logits, target = example()
  weighted = functools.partial(cross_entropy, foreground_weight=3.0, boundary_weight=5.0)
  chosen = log_softmax(logits.astype(np.float64), axis=-1)
  losses = -np.where(target, 3 * chosen[..., 1], chosen[..., 0])
  near = np.stack([boundary_oracle(mask, BOUNDARY_WIDTH) for mask in target])
  expected = np.where(near, 5 * losses, losses).mean((1, 2))
  np.testing.assert_allclose(jax.jit(weighted)(logits, target), expected, rtol=1e-6)
  one = cross_entropy(logits, target, boundary_weight=1.0)
  np.testing.assert_array_equal(one, cross_entropy(logits, target))


def test_dice_is_that_of_the_definition(wrap):
  target = masks()
  logits = 3 * np.random.default_rng(0).normal(size=(*target.shape, 2)).astype(np.float32)
  p = expit(np.diff(logits.astype(np.float64), axis=-1)[..., 0])
  expected = 1 - (2 * (p * target).sum((1, 2)) + 1) / (p.sum((1, 2)) + target.sum((1, 2)) + 1)
  for mask in (target, target.astype(bool)):
    np.testing.assert_allclose(wrap(soft_dice)(logits, mask), expected, rtol=1e-5)
  assert soft_dice(logits.astype(jnp.bfloat16), target).dtype == np.float32


def test_dice_of_certain_answers():
  """Right ones, empty as well, cost nothing; wrong ones nearly 1; all have gradients."""
  target = masks()

  def loss(margin):
    return soft_dice(jnp.stack([-margin, margin], -1), target)

  right = 1e4 * (2.0 * target - 1)
  np.testing.assert_allclose(loss(right), 0, atol=1e-6)
  assert (loss(-right)[np.array([0, 1, 5])] > 0.9).all()
  for margin in (right, -right, 0 * right):
    assert np.isfinite(jax.grad(lambda x: loss(x).sum())(margin)).all()


def test_a_prediction_is_judged_as_published_and_by_what_is_added():
  logits, target = example()
  published = jax.jit(cross_entropy)(logits, target)
  np.testing.assert_array_equal(jax.jit(prediction_loss)(logits, target), published)
  options = {'foreground_weight': 2.0, 'boundary_weight': 3.0}
  found = prediction_loss(logits, target, dice=0.5, **options)
  expected = cross_entropy(logits, target, **options) + 0.5 * soft_dice(logits, target)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])
def test_ignored_pixels_count_nowhere(wrap):
  logits, target = example()
  ignore = np.random.default_rng(1).random(target.shape) < 0.4
  ignore[1] = False
  options = {'foreground_weight': 2.0, 'boundary_weight': 3.0, 'dice': 0.5}
  found = wrap(functools.partial(prediction_loss, **options))(logits, target, ignore)
  # By hand: the mean and the sums over what is left.
  rows = log_softmax(logits.astype(np.float64), axis=-1)
  losses = -np.take_along_axis(rows, target[..., None].astype(int), axis=-1)[..., 0]
  weights = np.where(target == 1, 2.0, 1.0) * np.where(near_boundary(target, width=4), 3.0, 1.0)
  p = expit(np.diff(logits.astype(np.float64), axis=-1)[..., 0])
  for i, left in enumerate(~ignore):
    t, q = target[i][left], p[i][left]
    dice = 1 - (2 * (q * t).sum() + 1) / (q.sum() + t.sum() + 1)
    expected = (weights[i] * losses[i])[left].mean() + 0.5 * dice
    np.testing.assert_allclose(found[i], expected, rtol=1e-5)
  # What is ignored has no gradient, and of an image of which nothing is left there is no loss.
  gradient = jax.grad(lambda x: prediction_loss(x, target, ignore, **options).sum())(logits)
  assert not np.asarray(gradient)[ignore].any() and np.asarray(gradient)[~ignore].any()
  for alone in (cross_entropy, prediction_loss):
    np.testing.assert_array_equal(alone(logits, target, np.ones_like(ignore)), 0)
  np.testing.assert_array_equal(soft_dice(logits, target, np.ones_like(ignore)), 0)
  none = wrap(prediction_loss)(logits, target, np.zeros_like(ignore))
  np.testing.assert_allclose(none, cross_entropy(logits, target), rtol=1e-6)
