import functools

import jax
import numpy as np
import optax
import pytest
from scipy.special import log_softmax

from hsnet_jax.training.losses import cross_entropy


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
