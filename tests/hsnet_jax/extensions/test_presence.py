import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.extensions.head import PUBLISHED
from hsnet_jax.extensions.presence import SCALE, presence_margin, weigh_by_presence
from hsnet_jax.inference import encode_support, match_shots, predict_episodes
from hsnet_jax.models import network
from tests.hsnet_jax.extensions.test_head import TWO, WHOLE, episodes, made
from tests.made import assert_close, bilinear_oracle, normal

THRESHOLD = 0.25


def oracle(feature, prototype, margin):
  """Loops over positions, in float64."""
  probability = 1 / (1 + np.exp(-np.asarray(margin, np.float64)))
  weight = bilinear_oracle(probability, feature.shape[:2], axes=(0, 1))
  found = np.zeros(feature.shape[-1])
  for row, column in np.ndindex(*weight.shape):
    found += weight[row, column] * np.asarray(feature[row, column], np.float64)
  found /= weight.sum()
  cosine = found @ np.asarray(prototype, np.float64) / np.linalg.norm(found)
  return SCALE * (cosine - THRESHOLD)


@pytest.mark.parametrize('jitted', [False, True])
def test_scores_against_loops(jitted):
  feature, prototype, margin = normal((3, 4, 5, 6), (3, 6), (3, 9, 7), seed=3)
  prototype = prototype / np.linalg.norm(prototype, axis=-1, keepdims=True)

  def score(*given):
    return presence_margin(*given, threshold=THRESHOLD)

  found = (jax.jit(score) if jitted else score)(feature, prototype, margin)
  expected = [oracle(*one) for one in zip(feature, prototype, margin, strict=True)]
  np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize('margin', [-200.0, 200.0])
def test_nothing_and_everything_found_give_a_number(margin):
  feature, prototype = normal((2, 4, 4, 6), (2, 6), seed=1)
  score = presence_margin(feature, prototype, jnp.full((2, 8, 8), margin), threshold=THRESHOLD)
  assert np.isfinite(score).all()


def probability(margin):
  return 1 / (1 + np.exp(-np.asarray(margin, np.float64)))


def margins(logits):
  return np.asarray(logits[..., 1] - logits[..., 0], np.float64)


@pytest.mark.parametrize('jitted', [False, True])
def test_weighs_probabilities(jitted):
  (logits,) = normal((4, 5, 4, 2), seed=2)
  logits = logits.at[3, ..., 1].set(logits[3, ..., 0] - 1)  # Nothing is found there.
  presence = np.array([30.0, 0.4, -0.1, 2.0], np.float32)
  weigh = jax.jit(weigh_by_presence) if jitted else weigh_by_presence
  weighed = weigh(logits, jnp.array(presence))
  given = probability(margins(logits))
  for row, there in enumerate(probability(presence)):
    most = given[row].max()
    for at, p in np.ndenumerate(given[row]):
      stretched = p if p <= 0.5 else 0.5 + 0.5 * (p - 0.5) / (most - 0.5)
      found = probability(margins(weighed)[row][at])
      np.testing.assert_allclose(found, stretched * there, atol=1e-6)
  marked, before = margins(weighed) > 0, margins(logits) > 0
  np.testing.assert_array_equal(marked[0], before[0])
  assert before[1:3].any((1, 2)).all() and marked[1].any() and not marked[2].any()
  assert not (marked & ~before).any()
  np.testing.assert_allclose(margins(weighed)[1:3].max((1, 2)), presence[1:3], atol=1e-5)


def test_certainty_stays_a_number():
  logits = jnp.zeros((1, 1, 4, 2)).at[..., 1].set(jnp.array([-300.0, -20.0, 20.0, 300.0]))
  weighed = weigh_by_presence(logits, jnp.array([25.0]))
  np.testing.assert_allclose(weighed[0, 0, :2, 1], [-300, -20], rtol=1e-4)
  assert np.isfinite(weighed).all() and (weighed[0, 0, 2:, 1] > 10).all()


@pytest.mark.parametrize('head', [PUBLISHED, WHOLE], ids=str)
def test_a_network_limits_every_shot_by_its_own_support(head):
  model, variables = made(head)
  query, supports, masks = episodes(shots=2)
  logits = {}
  for threshold in (None, -1.0, 1.0):
    one = dataclasses.replace(model, presence_threshold=threshold)
    support_set = encode_support(one, variables, supports[0], masks[0])
    features = one.apply(variables, query[:1], method='encode')
    logits[threshold] = match_shots(one, variables, features, support_set)
    size = logits[threshold].shape[2:4]
    found = predict_episodes(one, variables, query, supports, masks, output_size=size)
    assert_close(found[:, 0], logits[threshold][:, 0])
  marked = {threshold: x[..., 1] > x[..., 0] for threshold, x in logits.items()}
  np.testing.assert_array_equal(marked[-1.0], marked[None])
  assert not marked[1.0].any()


def test_a_record_says_the_threshold():
  config = {'backbone': 'two', 'presence_threshold': 0.5}
  assert network(config, backbone=TWO).presence_threshold == 0.5
  assert network({'backbone': 'two'}, backbone=TWO).presence_threshold is None
