import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.baselines.repri import (
  RATE,
  TAU,
  UPDATE,
  Classifier,
  adapt_classifier,
  classify,
  foreground_share,
  objective,
  start_classifier,
)

WRAPS = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])


def units(rng, *shape):
  x = rng.normal(size=shape).astype(np.float32)
  return jnp.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def episodes(shots, *, batch=2, positions=6, channels=4, seed=0):
  rng = np.random.default_rng(seed)
  query, supports = (units(rng, batch, n, channels) for n in (positions, shots * positions))
  return query, supports, jnp.asarray(rng.random((batch, shots * positions)), jnp.float32)


def logits_oracle(w, b, features):
  return [TAU * f @ w / (np.linalg.norm(w) + 1e-5) - b for f in features]


def probability(z):
  return 1 / (1 + np.exp(-z))


def share_oracle(w, b, query):
  marked = np.mean([probability(z) for z in logits_oracle(w, b, query)])
  return np.array([1 - marked, marked])


def objective_oracle(w, b, query, supports, targets, share, entropy_weight, kl_weight):
  """Of one episode, by loops over positions; float64."""
  cross_entropy = entropy = 0.0
  for z, y in zip(logits_oracle(w, b, supports), targets, strict=True):
    p = probability(z)
    cross_entropy -= (y * np.log(p) + (1 - y) * np.log(1 - p)) / len(supports)
  for z in logits_oracle(w, b, query):
    p = probability(z)
    entropy -= (p * np.log(p) + (1 - p) * np.log(1 - p)) / len(query)
  found = share_oracle(w, b, query)
  kl = sum(p * np.log(p / q) for p, q in zip(found, share, strict=True))
  return cross_entropy + entropy_weight * entropy + kl_weight * kl


def start_oracle(query, supports, targets):
  w = sum(y * s for y, s in zip(targets, supports, strict=True)) / targets.sum()
  return w, np.mean(logits_oracle(w, 0.0, query))


def gradient_oracle(function, x, step=1e-6):
  """Central differences."""
  found = np.zeros_like(x)
  for i in range(len(x)):
    by = np.zeros_like(x)
    by[i] = step
    found[i] = (function(x + by) - function(x - by)) / (2 * step)
  return found


def adapted_oracle(query, supports, targets, shots, steps):
  w, b = start_oracle(query, supports, targets)
  share, x = share_oracle(w, b, query), np.array([*w, b])
  for t in range(steps):
    if t == UPDATE:
      share = share_oracle(x[:-1], x[-1], query)
    weights = 1 / shots, 1 / shots + (t >= UPDATE)

    def loss(x, share=share, weights=weights):
      return objective_oracle(x[:-1], x[-1], query, supports, targets, share, *weights)

    x = x - RATE * gradient_oracle(loss, x)
  return x[:-1], x[-1]


def wide(*arrays):
  return [np.float64(x) for x in arrays]


@WRAPS
def test_the_objective_against_loops(wrap):
  query, supports, targets = episodes(shots=2)
  rng = np.random.default_rng(3)
  classifier = Classifier(units(rng, 2, 4) / 2, jnp.array([0.3, -4]))
  share = jnp.array([[0.8, 0.2], [0.4, 0.6]])
  run = wrap(functools.partial(objective, entropy_weight=0.5, kl_weight=1.5))
  found = run(classifier, query, supports, targets, share)
  for i in range(2):
    each = wide(*(x[i] for x in (*classifier, query, supports, targets, share)))
    np.testing.assert_allclose(found[i], objective_oracle(*each, 0.5, 1.5), rtol=1e-4)


@WRAPS
def test_the_start_against_loops(wrap):
  query, supports, targets = episodes(shots=3)
  found = wrap(start_classifier)(query, supports, targets)
  share = wrap(foreground_share)(found, query)
  for i in range(2):
    w, b = start_oracle(*wide(query[i], supports[i], targets[i]))
    np.testing.assert_allclose(found.weights[i], w, atol=1e-5)
    np.testing.assert_allclose(found.bias[i], b, atol=1e-3)
    np.testing.assert_allclose(share[i], share_oracle(w, b, query[i]), atol=1e-4)


@pytest.mark.heavy
@WRAPS
@pytest.mark.parametrize('shots, steps', [(1, 2), (1, UPDATE + 3), (3, UPDATE + 3)])
def test_descent_against_differences(wrap, shots, steps):
  query, supports, targets = episodes(shots)
  run = wrap(functools.partial(adapt_classifier, shots=shots, steps=steps))
  found = run(query, supports, targets)
  logits = classify(found, query)
  for i in range(2):
    each = wide(query[i], supports[i], targets[i])
    w, b = adapted_oracle(*each, shots, steps)
    np.testing.assert_allclose(found.weights[i], w, atol=2e-3)
    np.testing.assert_allclose(logits[i], logits_oracle(w, b, each[0]), atol=2e-2)


@pytest.mark.heavy
def test_an_episode_is_alone_in_its_batch():
  query, supports, targets = episodes(shots=1)
  together = adapt_classifier(query, supports, targets, shots=1)
  alone = adapt_classifier(query[1:], supports[1:], targets[1:], shots=1)
  np.testing.assert_allclose(together.weights[1:], alone.weights, atol=1e-5)


@pytest.mark.heavy
def test_the_supports_are_learned():
  """Where the mean of the object alone does not part it from its surroundings, descent does."""
  near, far = jnp.array([1.0, 0, 0]), jnp.array([0.8, 0.6, 0])
  features = jnp.stack([near, near, far, far])[None]
  targets = jnp.array([[1.0, 1, 0, 0]])
  start = start_classifier(features, features, targets)
  found = adapt_classifier(features, features, targets, shots=1)
  options = {'entropy_weight': 1.0, 'kl_weight': 1.0}
  share = foreground_share(start, features)
  loss = [objective(x, *[features] * 2, targets, share, **options)[0] for x in (start, found)]
  assert loss[1] < loss[0]
  np.testing.assert_array_equal(classify(found, features)[0] > 0, targets[0] == 1)
