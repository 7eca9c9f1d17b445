"""What holds of every published method and floor alike, on a backbone of averages."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.baselines.floors import mean_foreground_logits
from hsnet_jax.baselines.panet import panet_logits, panet_transductive_logits
from hsnet_jax.baselines.pfenet_prior import (
  fit_pfenet_prior,
  pfenet_prior_logits,
  pfenet_prior_scores,
)
from hsnet_jax.baselines.pmm import fit_pmm, pmm_logits, pmm_scores
from hsnet_jax.baselines.repri import repri_logits
from hsnet_jax.model import HSNet
from tests.made import averages

pytestmark = pytest.mark.heavy

BACKBONE = averages((1, 2, 1), name='each')
SIDE, ROWS = 16, 3
FITS = {
  'pmm': (fit_pmm, pmm_logits),
  'pfenet_prior': (fit_pfenet_prior, pfenet_prior_logits),
}
METHODS = {name: functools.partial(logits, threshold=0.1) for name, (_, logits) in FITS.items()} | {
  'panet': panet_logits,
  'panet_transductive': panet_transductive_logits,
  'repri': repri_logits,
  'mean_foreground': mean_foreground_logits,
}


@functools.cache
def variables():
  return {'params': {}, 'backbone': BACKBONE.init(jax.random.key(0))}


@functools.cache
def compiled(name, dtype=None):
  return jax.jit(functools.partial(METHODS[name], HSNet(BACKBONE, dtype=dtype)))


def episodes(shots, seed=0):
  rng = np.random.default_rng(seed)
  masks = np.zeros((ROWS, shots, SIDE, SIDE), np.uint8)
  masks[:, :, 4:12, 3:9] = 1
  masks[:, 0, 2:, 10:] = 1
  return {
    'query_image': rng.integers(0, 256, (ROWS, SIDE, SIDE, 3)).astype(np.uint8),
    'query_mask': (rng.random((ROWS, SIDE, SIDE)) < 0.4).astype(np.uint8),
    'query_ignore': np.zeros((ROWS, SIDE, SIDE), np.uint8),
    'support_images': rng.integers(0, 256, (ROWS, shots, SIDE, SIDE, 3)).astype(np.uint8),
    'support_masks': masks,
    'class_id': np.arange(ROWS, dtype=np.int32),
    'valid': np.ones(ROWS, bool),
  }


def margin_of(logits):
  assert logits.shape == (1, ROWS, SIDE, SIDE, 2)
  logits = np.asarray(logits, np.float32)[0]
  return logits[..., 1] - logits[..., 0]


@pytest.mark.parametrize('name', METHODS)
def test_compiled_it_is_the_same(name):
  batch = episodes(shots=3)
  found = margin_of(METHODS[name](HSNet(BACKBONE), variables(), batch))
  np.testing.assert_allclose(margin_of(compiled(name)(variables(), batch)), found, atol=1e-3)
  assert np.isfinite(found).all()


@pytest.mark.parametrize('name', METHODS)
def test_the_order_of_shots_does_not_matter(name):
  batch = episodes(shots=3)
  turned = {key: np.roll(batch[key], 1, axis=1) for key in ('support_images', 'support_masks')}
  found = [margin_of(compiled(name)(variables(), x)) for x in (batch, {**batch, **turned})]
  np.testing.assert_allclose(*found, atol=1e-3)


@pytest.mark.parametrize('name', METHODS)
@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize('value', [0, 1])
def test_masks_of_nothing_and_of_everything(name, shots, value):
  batch = episodes(shots)
  batch['support_masks'] = np.full_like(batch['support_masks'], value)
  assert np.isfinite(margin_of(compiled(name)(variables(), batch))).all()


@pytest.mark.parametrize('name', METHODS)
def test_one_pixel(name):
  batch = episodes(shots=1)
  batch['support_masks'] = np.zeros_like(batch['support_masks'])
  batch['support_masks'][:, :, 5, 5] = 1
  assert np.isfinite(margin_of(compiled(name)(variables(), batch))).all()


@pytest.mark.parametrize('name', METHODS)
def test_rows_that_fill_up_change_no_other(name):
  batch = episodes(shots=3)
  filled = {key: np.copy(value) for key, value in batch.items()}
  for key in ('query_image', 'query_mask', 'support_images', 'support_masks'):
    filled[key][-1] = 0
  filled['valid'][-1] = False
  found = [margin_of(compiled(name)(variables(), x)) for x in (batch, filled)]
  np.testing.assert_allclose(found[1][:-1], found[0][:-1], atol=1e-4)
  assert np.isfinite(found[1]).all()


@pytest.mark.parametrize('name', METHODS)
def test_in_bfloat16_it_is_nearly_the_same(name):
  batch = episodes(shots=1)
  exact = margin_of(compiled(name)(variables(), batch))
  found = margin_of(compiled(name, jnp.bfloat16)(variables(), batch))
  assert np.isfinite(found).all()
  assert np.mean((found > 0) == (exact > 0)) > 0.9


@pytest.mark.parametrize('name', METHODS)
def test_at_the_photographs_own_size(name):
  batch = episodes(shots=1)
  sizes = np.array([[SIDE, SIDE], [9, 12], [16, 5]], np.int32)
  found = margin_of(compiled(name)(variables(), {**batch, 'query_size': sizes}))
  np.testing.assert_allclose(found[0], margin_of(compiled(name)(variables(), batch))[0], atol=2e-2)
  assert np.isfinite(found).all()


@pytest.mark.parametrize('name', FITS)
def test_a_threshold_is_found_and_used(name):
  fit, logits = FITS[name]
  batch = jax.tree.map(jnp.asarray, episodes(shots=1))
  found = fit(HSNet(BACKBONE), variables(), [batch], episodes=ROWS, num_classes=ROWS)
  assert 0 < found['miou'] <= 100
  marked = margin_of(logits(HSNet(BACKBONE), variables(), batch, threshold=found['threshold'])) > 0
  truth = np.asarray(batch['query_mask']) == 1
  iou = [np.sum(m & t) / np.sum(m | t) for m, t in zip(marked, truth, strict=True)]
  assert 100 * np.mean(iou) == pytest.approx(found['miou'], abs=0.5)


@pytest.mark.parametrize('scores', [pmm_scores, pfenet_prior_scores])
def test_scores_are_where_thresholds_are_searched(scores):
  found = np.asarray(scores(HSNet(BACKBONE), variables(), episodes(shots=3)))
  assert found.min() >= -1 - 1e-6 and found.max() <= 1 + 1e-6 and found.std() > 0


def test_an_object_that_shows_is_found():
  """Of another color than its surroundings, in the query as in the supports."""
  batch = episodes(shots=3)
  rng = np.random.default_rng(4)
  masks = batch['support_masks'] = np.zeros_like(batch['support_masks'])
  masks[:, :, :, 0:8] = 1
  batch['query_mask'] = np.roll(masks[:, 0], 8, axis=2)
  for image, mask in (('support_images', masks), ('query_image', batch['query_mask'])):
    colors = np.where(mask[..., None] == 1, [230, 40, 30], [40, 60, 220])
    batch[image] = (colors + rng.integers(0, 20, colors.shape)).astype(np.uint8)
  truth = batch['query_mask'] == 1
  for name in METHODS.keys() - {'mean_foreground'}:
    margin = margin_of(compiled(name)(variables(), batch))
    assert margin[truth].mean() > margin[~truth].mean(), name
  for name in ('panet', 'panet_transductive', 'repri'):
    marked = margin_of(compiled(name)(variables(), batch)) > 0
    assert np.sum(marked & truth) / np.sum(marked | truth) > 0.5, name
