import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.baselines.margin import fit_margin, margin_episode_logits, margin_scores
from hsnet_jax.extensions.prior import both_prototypes, prior_margin, prototype_cosines
from hsnet_jax.model import HSNet
from hsnet_jax.resize import resize_bilinear
from tests.made import averages

BACKBONE = averages((1, 2, 1), name='three')
MODEL = HSNet(BACKBONE)


@functools.cache
def variables():
  return {'params': {}, 'backbone': BACKBONE.init(jax.random.key(0))}


def episodes(shots, seed=0):
  rng = np.random.default_rng(seed)
  mask = (rng.random((3, shots, 16, 16)) < 0.4).astype(np.uint8)
  return {
    'query_image': rng.integers(0, 256, (3, 16, 16, 3)).astype(np.uint8),
    'query_mask': (rng.random((3, 16, 16)) < 0.4).astype(np.uint8),
    'query_ignore': np.zeros((3, 16, 16), np.uint8),
    'support_images': rng.integers(0, 256, (3, shots, 16, 16, 3)).astype(np.uint8),
    'support_masks': mask,
    'class_id': np.arange(3, dtype=np.int32),
    'valid': np.ones(3, bool),
  }


@pytest.mark.heavy
def test_it_is_the_prior_of_the_coarsest_two_levels():
  batch = episodes(shots=2)
  found = margin_scores(MODEL, variables(), batch)
  mean, std = (np.array(x, np.float32) for x in (BACKBONE.mean, BACKBONE.std))
  for i in range(3):
    encode = functools.partial(MODEL.apply, variables(), method='encode')
    query = encode(jnp.asarray((batch['query_image'][i : i + 1] - mean) / std))[1:]
    pooled = [
      both_prototypes(encode(jnp.asarray((image - mean)[None] / std))[1:], mask[None])
      for image, mask in zip(batch['support_images'][i], batch['support_masks'][i], strict=True)
    ]
    pooled = [(a + b) / 2 for a, b in zip(*pooled, strict=True)]
    expected = prior_margin(prototype_cosines(query, pooled), levels=(2, 1), size=(16, 16))
    np.testing.assert_allclose(found[i], expected[0], atol=1e-5)


@pytest.mark.heavy
def test_at_the_photographs_own_size_it_goes_there_in_one_step():
  batch, sizes = episodes(shots=1), [(16, 16), (9, 12), (16, 5)]
  found = margin_scores(MODEL, variables(), {**batch, 'query_size': np.array(sizes, np.int32)})
  # Of the finer level's own size.
  small = margin_scores(MODEL, variables(), {**batch, 'query_mask': batch['query_mask'][:, :4, :4]})
  for row, (height, width) in enumerate(sizes):
    expected = resize_bilinear(small[row, None, :, :, None], (height, width))[0, ..., 0]
    np.testing.assert_allclose(found[row, :height, :width], expected, atol=1e-6)


def test_a_threshold_is_found_and_used():
  batch = jax.tree.map(jnp.asarray, episodes(shots=1))
  found = fit_margin(MODEL, variables(), [batch], episodes=3, num_classes=3)
  logits = margin_episode_logits(MODEL, variables(), batch, threshold=found['threshold'])
  marked = np.asarray(logits[0, ..., 1] > logits[0, ..., 0])
  np.testing.assert_array_equal(
    marked, np.asarray(margin_scores(MODEL, variables(), batch)) > np.float32(found['threshold'])
  )
  assert 0 < found['miou'] <= 100
