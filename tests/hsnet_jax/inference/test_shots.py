"""K shots become one mask: the published vote, and means of probabilities against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from hsnet_jax import inference
from hsnet_jax.errors import InputError
from hsnet_jax.inference import COMBINATIONS, combination
from hsnet_jax.training.sharding import batch_sharding, data_mesh

wrapped = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])
by_each = pytest.mark.parametrize('by', sorted(COMBINATIONS))


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])
@pytest.mark.parametrize('shots', [1, 2, 3, 5, 10])
def test_vote_golden(golden, shots, wrap):
  with np.load(golden / 'kshot.npz') as data:
    logits, expected = data[f'logits{shots}'], data[f'pred{shots}']
  masks = np.moveaxis(logits.argmax(axis=2), 1, 0).astype(np.uint8)
  voted = wrap(inference.vote)(masks)
  assert voted.dtype == jnp.uint8
  np.testing.assert_array_equal(voted, expected)
  by_image = jax.vmap(inference.vote, in_axes=1)(masks)
  np.testing.assert_array_equal(by_image, expected)
  combined = wrap(inference.combine_shots)(np.moveaxis(logits, (1, 2), (0, -1)))
  np.testing.assert_array_equal(combined.mask, expected)


@given(st.integers(1, 11), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.5, 0.9]))
@settings(max_examples=40, deadline=None)
def test_vote_as_the_protocol_writes_it(shots, seed, density):
  masks = (np.random.default_rng(seed).random((shots, 4, 3, 5)) < density).astype(np.int32)
  expected = np.zeros((4, 3, 5), np.int32)
  for image in range(4):
    total = masks[:, image].sum(axis=0)
    expected[image] = total / max(total.max(), 1) >= 0.5
  np.testing.assert_array_equal(inference.vote(masks), expected)
  np.testing.assert_array_equal(inference.vote(masks.astype(bool)), expected.astype(bool))


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])
@pytest.mark.parametrize('shots', [1, 3])
def test_mean_margin(shots, wrap):
  rng = np.random.default_rng(0)
  logits = 4 * rng.normal(size=(shots, 2, 5, 4, 2)).astype(np.float32)
  margin = wrap(inference.mean_margin)(logits)
  mean = expit(logits[..., 1].astype(float) - logits[..., 0]).mean(axis=0)
  np.testing.assert_allclose(expit(np.asarray(margin, float)), mean, rtol=1e-5)
  combined = wrap(inference.combine_shots)(logits)
  np.testing.assert_allclose(combined.probability, mean, rtol=1e-5)


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
def test_the_mean_of_shots_is_as_one_shot(wrap):
  logits = np.random.default_rng(0).normal(size=(3, 2, 15, 14, 2)).astype(np.float32)
  mean = expit(logits[..., 1].astype(float) - logits[..., 0]).mean(axis=0)
  merged = wrap(inference.mean_shots)(logits)
  assert merged.shape == (1, 2, 15, 14, 2)
  combined = inference.combine_shots(merged)
  np.testing.assert_array_equal(combined.mask, mean > 0.5)
  np.testing.assert_allclose(combined.probability, mean, rtol=1e-5)
  assert (combined.mask != inference.combine_shots(logits).mask).any(), 'no other than the vote'
  np.testing.assert_array_equal(wrap(inference.mean_shots)(logits[:1]), logits[:1])


def test_mean_margin_keeps_order_where_probability_is_one():
  margins = np.array([[20.0, 30.0, 40.0], [22.0, 33.0, 44.0]], np.float32)
  logits = np.stack([np.zeros_like(margins), margins], axis=-1)
  merged = inference.mean_margin(logits)
  assert (np.diff(merged) > 5).all()
  np.testing.assert_allclose(inference.mean_margin(-logits), -merged, rtol=1e-6)


def test_equal_logits_are_background():
  combined = inference.combine_shots(np.zeros((3, 1, 2, 2, 2), np.float32))
  assert not combined.mask.any()
  np.testing.assert_array_equal(combined.probability, np.full((1, 2, 2), 0.5))


def agreement_of(probability):
  """The agreement of each shot of one image `[K, h, w]`, pixel by pixel in float64."""
  found = []
  for k, own in enumerate(probability):
    others = np.mean(np.delete(probability, k, axis=0), axis=0)
    either = np.maximum(own, others).sum()
    found.append(np.minimum(own, others).sum() / either if either else 1.0)
  return np.array(found)


def merged(logits, by, keep=None):
  """The probability that one set of logits of K stands for, image by image in float64."""
  probability = expit(logits[..., 1].astype(float) - logits[..., 0])
  means = []
  for image in np.moveaxis(probability, 1, 0):
    weights = np.ones(len(image))
    if by != 'mean' and len(image) > 1:
      agreement = agreement_of(image)
      last = np.sort(agreement)[::-1][(keep or int(np.ceil(len(image) / 2))) - 1]
      weights = agreement if by == 'agreement' else agreement >= last - 1e-5
    means.append(np.average(image, axis=0, weights=weights))
  return np.stack(means)


def drawn(shots, seed, *, batch=2, size=(7, 6)):
  """Logits of shots that agree on an object, each a little, and some not at all."""
  rng = np.random.default_rng(seed)
  apart = rng.uniform(0.5, 6, (shots, batch, 1, 1))
  margin = rng.normal(scale=3, size=(batch, *size)) + apart * rng.normal(size=(shots, batch, *size))
  base = rng.normal(size=margin.shape)
  return np.stack([base, base + margin], axis=-1).astype(np.float32)


@wrapped
@pytest.mark.parametrize('shots', [2, 3, 5])
@pytest.mark.parametrize('by', ['mean', 'agreement', 'best'])
def test_probabilities_are_merged_as_a_loop_does_it(by, shots, wrap):
  logits = drawn(shots, shots)
  found = wrap(combination(by))(logits)
  assert found.shape == (1, *logits.shape[1:]) and not found[..., 0].any()
  expected = merged(logits, by)
  combined = wrap(inference.combine_shots)(found)
  np.testing.assert_allclose(combined.probability, expected, rtol=1e-4)
  clear = np.abs(expected - 0.5) > 1e-5
  assert 0 < expected[clear].mean() < 1
  np.testing.assert_array_equal(combined.mask[clear], expected[clear] > 0.5)


@wrapped
@pytest.mark.parametrize('shots', [2, 3, 5])
def test_agreement_is_a_soft_iou_with_the_mean_of_the_others(shots, wrap):
  logits = drawn(shots, 7)
  found = wrap(inference.shot_agreement)(logits)
  probability = expit(logits[..., 1].astype(float) - logits[..., 0])
  expected = np.stack([agreement_of(image) for image in np.moveaxis(probability, 1, 0)], axis=1)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert ((found > 0) & (found < 1)).all()


def as_logits(masks):
  """Logits of shots that are sure of their masks `[K, h, w]`."""
  margin = np.where(masks, 300.0, -300.0).astype(np.float32)[:, None]
  return np.stack([np.zeros_like(margin), margin], axis=-1)


def test_of_masks_the_agreement_of_two_is_their_iou():
  masks = np.zeros((2, 4, 5), bool)
  masks[0, :2], masks[1, 1:] = True, True
  np.testing.assert_allclose(inference.shot_agreement(as_logits(masks)), 5 / 20)


@by_each
@pytest.mark.parametrize('value', [0, 1])
def test_shots_that_all_say_nothing_or_everything_are_taken_at_their_word(by, value):
  logits = as_logits(np.full((3, 4, 5), value))
  np.testing.assert_array_equal(inference.shot_agreement(logits), np.ones((3, 1)))
  found = combination(by)(logits)
  assert np.isfinite(found).all()
  np.testing.assert_array_equal(inference.combine_shots(found).mask, np.full((1, 4, 5), value))


def test_shots_without_a_pixel_in_common_weigh_alike():
  logits = as_logits(np.eye(3, dtype=bool).reshape(3, 1, 3))
  np.testing.assert_array_equal(inference.shot_agreement(logits), np.zeros((3, 1)))
  expected = inference.mean_shots(logits)
  np.testing.assert_allclose(inference.agreement_shots(logits), expected, rtol=1e-5)
  np.testing.assert_allclose(inference.best_shots(logits), expected, rtol=1e-5)


@by_each
@wrapped
@pytest.mark.parametrize('size', [(1, 1), (5, 4)])
def test_one_shot_is_left_as_it_is(by, wrap, size):
  logits = drawn(1, 3, size=size)
  np.testing.assert_array_equal(wrap(combination(by))(logits), logits)


@by_each
@given(st.sampled_from([2, 3, 5]), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=15, deadline=None)
def test_the_order_of_the_shots_does_not_matter(by, shots, seed, repeated):
  rng = np.random.default_rng(seed)
  logits = drawn(shots, seed)
  if repeated:  # As published episodes may; then two agree alike.
    logits[-1] = logits[0]
  one, other = (
    inference.combine_shots(combination(by)(x)) for x in (logits, logits[rng.permutation(shots)])
  )
  np.testing.assert_allclose(one.probability, other.probability, rtol=1e-4, atol=1e-6)
  clear = np.abs(one.probability - 0.5) > 1e-4
  if by == 'vote':
    clear = np.ones_like(clear)
  np.testing.assert_array_equal(one.mask[clear], other.mask[clear])


@pytest.mark.parametrize('by', ['mean', 'agreement', 'best'])
def test_the_score_says_what_the_mask_says(by):
  logits = combination(by)(drawn(4, 11))
  margin = inference.mean_margin(logits)
  np.testing.assert_array_equal(inference.combine_shots(logits).mask, margin > 0)
  assert 0 < (margin > 0).mean() < 1


@pytest.mark.heavy
def test_one_that_disagrees_counts_less_or_not_at_all():
  masks = np.zeros((3, 6, 6), bool)
  masks[:2, :3], masks[2, 3:] = True, True
  logits = as_logits(masks) / 100  # So sure that the mean can be told from the others.
  means = [
    np.asarray(inference.combine_shots(combination(by)(logits)).probability)[0, 4, 0]
    for by in ('mean', 'agreement', 'best')
  ]
  assert means[0] > means[1] + 0.05 > means[2] + 0.1


@pytest.mark.parametrize('keep', [1, 2, 3, 4])
def test_so_many_are_kept_as_are_asked_for(keep):
  logits = drawn(4, 5)
  found = jax.jit(inference.best_shots, static_argnames='keep')(logits, keep=keep)
  margin = inference.mean_margin(found)
  np.testing.assert_allclose(expit(margin), merged(logits, 'best', keep), rtol=1e-4)


@pytest.mark.parametrize('keep', [0, 5])
def test_more_than_there_are_cannot_be_kept(keep):
  with pytest.raises(InputError, match=f'`keep` is {keep}.* 4'):
    inference.best_shots(drawn(4, 5), keep=keep)


@pytest.mark.heavy
def test_what_lies_beyond_a_photograph_counts_nowhere():
  """As where logits of several sizes lie on one canvas, which their last pixels fill up."""
  logits = drawn(3, 2, size=(8, 9))
  sizes = np.array([[5, 9], [8, 4]], np.int32)
  for way in (inference.agreement_shots, inference.best_shots):
    whole = jax.jit(way)(logits, sizes=sizes)
    for i, (height, width) in enumerate(sizes):
      alone = jax.jit(way)(logits[:, i : i + 1, :height, :width])
      np.testing.assert_allclose(whole[:, i, :height, :width], alone[:, 0], rtol=1e-4, atol=1e-5)
  every = np.array([[8, 9]] * 2, np.int32)
  found = inference.shot_agreement(logits, sizes=every)
  np.testing.assert_array_equal(found, inference.shot_agreement(logits))
  assert (inference.shot_agreement(logits, sizes=sizes) != found).any()


@pytest.mark.heavy
@by_each
def test_over_several_devices_it_is_as_on_one(by):
  logits = drawn(3, 4, batch=8)
  mesh = data_mesh(devices=jax.devices()[:4])
  rows = jax.device_put(np.moveaxis(logits, 1, 0), batch_sharding(mesh))
  found = jax.jit(lambda x: combination(by)(jnp.moveaxis(x, 1, 0)))(rows)
  assert len(found.sharding.device_set) == 4
  np.testing.assert_allclose(found, combination(by)(logits), rtol=1e-4, atol=1e-5)


def test_a_way_that_is_not_there_is_named():
  with pytest.raises(InputError, match="`combine` is 'most'.*vote, mean, agreement, best"):
    combination('most')
  assert combination('vote') is inference.vote_shots
