import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.extensions.head import PUBLISHED
from hsnet_jax.extensions.presence import leave_empty, likeness
from hsnet_jax.inference import (
  agreement_shots,
  combine_shots,
  encode_support,
  match_shots,
  predict_episodes,
)
from hsnet_jax.models import network
from hsnet_jax.training.state import create_train_state
from tests.hsnet_jax.extensions.test_head import TWO, WHOLE, episodes, made
from tests.made import assert_close, bilinear_oracle, normal


def oracle(feature, prototype, margin):
  """Loops over positions, in float64."""
  probability = 1 / (1 + np.exp(-np.asarray(margin, np.float64)))
  found = np.maximum(2 * probability - 1, 0)
  weight = found if found.any() else probability
  weight = bilinear_oracle(weight, feature.shape[:2], axes=(0, 1))
  mean = np.zeros(feature.shape[-1])
  for row, column in np.ndindex(*weight.shape):
    mean += weight[row, column] * np.asarray(feature[row, column], np.float64)
  return mean @ np.asarray(prototype, np.float64) / np.linalg.norm(mean)


@pytest.mark.parametrize('jitted', [False, True])
def test_likeness_against_loops(jitted):
  feature, prototype, margin = normal((3, 4, 5, 6), (3, 6), (3, 9, 7), seed=3)
  margin = margin.at[2].set(-1 - jnp.abs(margin[2]))  # Nothing is found there.
  prototype = prototype / np.linalg.norm(prototype, axis=-1, keepdims=True)
  found = (jax.jit(likeness) if jitted else likeness)(feature, prototype, margin)
  expected = [oracle(*one) for one in zip(feature, prototype, margin, strict=True)]
  np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.heavy
def test_a_small_object_is_not_lost_in_its_background():
  """However much is sure not to be of it."""
  feature = jnp.zeros((1, 40, 40, 2)).at[..., 1].set(1.0)
  feature = feature.at[0, 20, 20].set(jnp.array([1.0, 0.0]))
  margin = jnp.full((1, 40, 40), -3.0).at[0, 20, 20].set(3.0)
  np.testing.assert_allclose(likeness(feature, jnp.array([[1.0, 0.0]]), margin), 1, atol=1e-4)


@pytest.mark.parametrize('margin', [-200.0, 200.0])
def test_nothing_and_everything_found_give_a_number(margin):
  feature, prototype = normal((2, 4, 4, 6), (2, 6), seed=1)
  assert np.isfinite(likeness(feature, prototype, jnp.full((2, 8, 8), margin))).all()


@pytest.mark.parametrize('jitted', [False, True])
def test_masks_stay_or_are_empty(jitted):
  (logits,) = normal((2, 3, 5, 4, 2), seed=2)
  logits = logits.at[0, 2, ..., 1].set(logits[0, 2, ..., 0] - 1)
  there = jnp.array([True, False, False])
  left = (jax.jit(leave_empty) if jitted else leave_empty)(logits, there)
  before, after = (np.asarray(x[..., 1] - x[..., 0]) for x in (logits, left))
  assert (before[:, 1] > 0).any()
  np.testing.assert_array_equal(left[:, 0], logits[:, 0])
  assert not (after[:, 1:] > 0).any()
  np.testing.assert_allclose(after[0, 2], before[0, 2], atol=1e-6)
  for shot in range(2):
    np.testing.assert_array_equal(
      np.argsort(after[shot, 1].ravel()), np.argsort(before[shot, 1].ravel())
    )


@pytest.mark.heavy
@pytest.mark.parametrize(
  'head', [pytest.param(PUBLISHED, marks=pytest.mark.heavy), WHOLE], ids=['published', 'whole']
)
def test_a_network_leaves_a_picture_empty_by_all_its_supports(head):
  model, variables = made(head)
  size = (19, 13)
  query, supports, masks = episodes(shots=3)
  plain = predict_episodes(model, variables, query, supports, masks, output_size=size)
  assert (plain[..., 1] > plain[..., 0]).any((0, 2, 3)).all()
  always = dataclasses.replace(model, presence_threshold=-1.0)
  _, alike = predict_episodes(
    always, variables, query, supports, masks, output_size=size, with_likeness=True
  )
  assert alike.shape == (2,) and alike[0] != alike[1]
  between = dataclasses.replace(model, presence_threshold=float(alike.mean()))
  logits, again = predict_episodes(
    between, variables, query, supports, masks, output_size=size, with_likeness=True
  )
  assert_close(again, alike)
  row, other = int(alike.argmax()), int(alike.argmin())
  assert_close(logits[:, row], plain[:, row])
  for combined in (logits, agreement_shots(logits)):
    marked = np.asarray(combine_shots(combined).mask)
    assert marked[row].any() and not marked[other].any()


@pytest.mark.heavy
def test_supports_encoded_once_judge_alike():
  model, variables = made(WHOLE)
  query, supports, masks = episodes(shots=2)
  for threshold in (-1.0, 1.0):
    one = dataclasses.replace(model, presence_threshold=threshold)
    support_set = encode_support(one, variables, supports[0], masks[0])
    features = one.apply(variables, query[:1], method='encode')
    found = match_shots(one, variables, features, support_set, output_size=(8, 8))
    expected = predict_episodes(one, variables, query, supports, masks, output_size=(8, 8))
    assert_close(found[:, 0], expected[:, 0])


def test_a_record_says_the_threshold_and_training_does_not_know_it():
  config = {'backbone': 'two', 'presence_threshold': 0.5}
  model = network(config, backbone=TWO)
  assert model.presence_threshold == 0.5
  assert network({'backbone': 'two'}, backbone=TWO).presence_threshold is None
  state = create_train_state(jax.random.key(0), model=model, backbone=TWO.init(jax.random.key(0)))
  assert state.model.presence_threshold is None
