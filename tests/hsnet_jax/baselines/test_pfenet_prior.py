import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.baselines.pfenet_prior import prior_map

WRAPS = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])


def prior_oracle(query, supports, masks):
  """Loops over supports and positions; float64."""
  maps = []
  for support, mask in zip(supports, masks, strict=True):
    best = np.zeros(query.shape[:2])
    for y, x in np.ndindex(*best.shape):
      for i, j in np.ndindex(*mask.shape):
        q, s = query[y, x], mask[i, j] * support[i, j]
        norms = (np.linalg.norm(q) + 1e-5) * (np.linalg.norm(s) + 1e-5)
        best[y, x] = max(best[y, x], q @ s / norms)
    maps.append((best - best.min()) / (best.max() - best.min() + 1e-7))
  return np.mean(maps, axis=0)


@WRAPS
@pytest.mark.parametrize('shots', [1, 3])
def test_against_loops(wrap, shots):
  rng = np.random.default_rng(shots)
  query = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
  supports = rng.normal(size=(2, shots, 4, 3, 5)).astype(np.float32)
  masks = np.maximum(rng.random((2, shots, 4, 3)) - 0.4, 0).astype(np.float32)
  masks[0, 0], masks[1, 0] = 0, 1
  found = np.asarray(wrap(prior_map)(*map(jnp.asarray, (query, supports, masks))))
  for i in range(2):
    expected = prior_oracle(np.float64(query[i]), np.float64(supports[i]), masks[i])
    np.testing.assert_allclose(found[i], expected, atol=1e-5)
  assert found.min() >= 0 and found.max() <= 1
  if shots == 1:
    assert not found[0].any()


def test_one_position_of_the_object_is_enough():
  """A prototype would average it away."""
  support = np.zeros((1, 1, 3, 3, 4), np.float32)
  support[..., 0] = 1
  support[0, 0, 1, 1] = [0, 1, 0, 0]
  query = np.zeros((1, 2, 2, 4), np.float32)
  query[..., 2] = 1
  query[0, 1, 0] = [0, 1, 0, 0]
  found = prior_map(jnp.asarray(query), jnp.asarray(support), jnp.ones((1, 1, 3, 3)))
  np.testing.assert_allclose(found[0], [[0, 0], [1, 0]], atol=1e-6)


def test_a_query_that_is_alike_everywhere_has_none():
  query = jnp.ones((1, 3, 3, 4))
  assert not np.asarray(prior_map(query, query[:, None], jnp.ones((1, 1, 3, 3)))).any()
