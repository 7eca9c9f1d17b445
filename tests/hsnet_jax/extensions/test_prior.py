import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.extensions.prior import (
  both_prototypes,
  prior_margin,
  prototype_cosines,
  prototypes,
)
from tests.made import bilinear_oracle, normal

LEVELS = (2, 1)


def maps(count=2, seed=0):
  return normal((count, 6, 5, 4), (count, 6, 5, 4), (count, 3, 3, 7), seed=seed)


def masks(count=2):
  mask = np.zeros((count, 12, 10), np.uint8)
  mask[:, 2:9, 3:8] = 1
  return mask


def pooled_oracle(feature, mask):
  """Loops over positions, in float64."""
  weight = bilinear_oracle(mask.astype(np.float64), feature.shape[:2], axes=(0, 1))
  total, area = np.zeros(feature.shape[-1]), 0.0
  for row, column in np.ndindex(*weight.shape):
    total += weight[row, column] * np.asarray(feature[row, column], np.float64)
    area += weight[row, column]
  return total / area if area else total


def unit(x):
  return x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-5)


def margin_oracle(query, support, mask, size):
  by_level, first = [], 0
  for count in LEVELS:
    level = 0
    for q, s in zip(query[first : first + count], support[first : first + count], strict=True):
      near, far = (unit(pooled_oracle(s, m)) for m in (mask, 1 - mask))
      level = level + (unit(np.asarray(q, np.float64)) @ (near - far)) / count
    by_level.append(bilinear_oracle(level, size, axes=(0, 1)))
    first += count
  return np.mean(by_level, axis=0)


def margins(query, support, mask, size=(12, 10)):
  cosines = prototype_cosines(query, both_prototypes(support, mask))
  return prior_margin(cosines, levels=LEVELS, size=size)


def test_margins_against_loops():
  query, support, mask = maps(seed=1), maps(seed=2), masks()
  found = jax.jit(margins)(query, support, mask)
  assert found.shape == (2, 12, 10)
  for i in range(2):
    expected = margin_oracle([q[i] for q in query], [s[i] for s in support], mask[i], (12, 10))
    np.testing.assert_allclose(found[i], expected, atol=2e-6)


@pytest.mark.heavy
@pytest.mark.parametrize('value', [0, 1])
def test_a_mask_of_one_value_leaves_one_prototype(value):
  support, mask = maps(seed=3), np.full((2, 12, 10), value, np.uint8)
  for pooled in both_prototypes(support, mask):
    assert not pooled[:, value].any(), 'of what is nowhere'
    assert pooled[:, 1 - value].any() and np.isfinite(pooled).all()
  assert np.isfinite(margins(maps(seed=4), support, mask)).all()


def test_a_prototype_is_the_mean_under_the_mask():
  feature = jnp.arange(24.0).reshape(1, 3, 4, 2)
  mask = np.zeros((1, 3, 4), bool)
  mask[0, 1, 2] = mask[0, 2, 0] = True
  np.testing.assert_allclose(prototypes([feature], mask)[0], [[14.0, 15.0]])


def test_short_numbers_are_pooled_in_float32():
  support = [f.astype(jnp.bfloat16) for f in maps(seed=5)]
  assert {p.dtype for p in both_prototypes(support, masks())} == {jnp.dtype('float32')}


@pytest.mark.heavy
def test_the_object_is_nearer_to_itself():
  """Where the query is the support, the margin is above 0 inside and below outside, on average."""
  mask = masks(1)
  inside = jnp.asarray(mask[:, ::2, ::2], jnp.float32)[..., None]
  (noise,) = normal((1, 6, 5, 4), seed=6)
  feature = noise + 3 * inside * jnp.asarray([1.0, 1.0, 0, 0]).reshape(1, 1, 1, 4)
  cosines = prototype_cosines([feature], both_prototypes([feature], mask))
  margin = prior_margin(cosines, levels=(1,), size=(6, 5))
  under = inside[..., 0] > 0
  assert margin[under].mean() > 0.2 > -0.2 > margin[~under].mean()
