import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.baselines.pmm import KAPPA, fit_mixture, mixture_scores

WRAPS = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])


def units(*shape, seed=0):
  x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
  return jnp.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def unit(x):
  return x / (np.linalg.norm(x) + 1e-5)


def mixture_oracle(features, weights, count, steps):
  """Loops over positions and prototypes of one episode; float64."""
  features, weights = np.float64(features), np.float64(weights)
  prototypes = [unit(sum(w * s for w, s in zip(weights, features, strict=True)))]
  while len(prototypes) < count:
    unlike = [
      w * (1 - max(s @ p for p in prototypes)) for w, s in zip(weights, features, strict=True)
    ]
    prototypes.append(features[int(np.argmax(unlike))])
  for _ in range(steps):
    sums = [np.zeros(features.shape[1]) for _ in range(count)]
    for w, s in zip(weights, features, strict=True):
      likely = [np.exp(KAPPA * (s @ p)) for p in prototypes]
      for k in range(count):
        sums[k] += w * likely[k] / sum(likely) * s
    prototypes = [unit(x) for x in sums]
  return np.array(prototypes)


@WRAPS
@pytest.mark.parametrize('count, steps', [(1, 1), (3, 0), (3, 4)])
def test_a_mixture_against_loops(wrap, count, steps):
  features = units(2, 12, 5)
  weights = np.random.default_rng(1).random((2, 12)).astype(np.float32)
  weights[1, :7] = 0
  weights = jnp.asarray(weights)
  found = wrap(functools.partial(fit_mixture, count=count, steps=steps))(features, weights)
  for i in range(2):
    expected = mixture_oracle(features[i], weights[i], count, steps)
    np.testing.assert_allclose(found[i], expected, atol=1e-4)


def test_each_part_gets_a_prototype():
  parts = np.eye(3, dtype=np.float32)
  features = jnp.asarray(parts[np.array([[0] * 20 + [1] * 3 + [2] * 2])])
  found = np.asarray(fit_mixture(features, jnp.ones((1, 25))))[0]
  assert set((found @ parts.T).argmax(axis=1).tolist()) == {0, 1, 2}
  np.testing.assert_allclose((found @ parts.T).max(axis=1), 1, atol=1e-4)


def test_what_has_no_weight_has_no_say():
  features, nothing = units(1, 6, 4), jnp.zeros((1, 6))
  assert not np.asarray(fit_mixture(features, nothing)).any()
  weights = jnp.array([[1.0, 1, 1, 1, 0, 0]])
  other = features.at[:, 4:].set(units(1, 2, 4, seed=5))
  found = [fit_mixture(x, weights) for x in (features, other)]
  np.testing.assert_allclose(*found, atol=1e-6)


@WRAPS
def test_scores_against_loops(wrap):
  query, foreground, background = units(2, 2, 3, 5), units(2, 3, 5, seed=1), units(2, 3, 5, seed=2)
  found = np.asarray(wrap(mixture_scores)(query, foreground, background))
  for i, y, x in np.ndindex(2, 2, 3):
    object_, rest = (
      sum(np.exp(KAPPA * np.float64(query[i, y, x]) @ p) for p in prototypes[i])
      for prototypes in (foreground, background)
    )
    expected = (object_ - rest) / (object_ + rest)
    np.testing.assert_allclose(found[i, y, x], expected, atol=1e-5)
  assert np.abs(found).max() <= 1 + 1e-6
