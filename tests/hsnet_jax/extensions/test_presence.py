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


def test_weighs_probabilities():
  (logits,) = normal((3, 5, 4, 2), seed=2)
  presence = np.array([30.0, 0.1, -0.1], np.float32)
  weighed = weigh_by_presence(logits, jnp.array(presence))

  def probability(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))

  def margins(x):
    return np.asarray(x[..., 1] - x[..., 0], np.float64)

  expected = probability(margins(logits)) * probability(presence)[:, None, None]
  np.testing.assert_allclose(probability(margins(weighed)), expected, atol=1e-6)
  assert (margins(logits)[2] > 0).any() and not (margins(weighed)[2] > 0).any()
  np.testing.assert_allclose(weighed[0], logits[0], atol=1e-5)


def test_certainty_stays_a_number():
  logits = jnp.zeros((1, 1, 4, 2)).at[..., 1].set(jnp.array([-300.0, -20.0, 20.0, 300.0]))
  weighed = weigh_by_presence(logits, jnp.array([25.0]))
  margins = weighed[0, 0, :, 1]
  np.testing.assert_allclose(margins, [-300, -20, 20 - np.log1p(np.exp(-5)), 25], rtol=1e-4)


@pytest.mark.parametrize('head', [PUBLISHED, WHOLE], ids=str)
def test_a_network_limits_every_shot_by_its_own_support(head):
  model, variables = made(head)
  query, supports, masks = episodes(shots=2)
  logits = {}
  for threshold in (None, -5.0, 1.0):
    one = dataclasses.replace(model, presence_threshold=threshold)
    support_set = encode_support(one, variables, supports[0], masks[0])
    features = one.apply(variables, query[:1], method='encode')
    logits[threshold] = match_shots(one, variables, features, support_set)
    size = logits[threshold].shape[2:4]
    found = predict_episodes(one, variables, query, supports, masks, output_size=size)
    assert_close(found[:, 0], logits[threshold][:, 0])
  marked = {threshold: x[..., 1] > x[..., 0] for threshold, x in logits.items()}
  np.testing.assert_array_equal(marked[-5.0], marked[None])
  assert not marked[1.0].any()


def test_a_record_says_the_threshold():
  config = {'backbone': 'two', 'presence_threshold': 0.5}
  assert network(config, backbone=TWO).presence_threshold == 0.5
  assert network({'backbone': 'two'}, backbone=TWO).presence_threshold is None
