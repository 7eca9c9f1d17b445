import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsnet_jax.backbones import get_backbone
from hsnet_jax.baselines import prototype
from hsnet_jax.model import HSNet
from tests.made import bilinear_oracle

LEVELS = (2, 1)


class FakeModel:
  """Encodes to two fine maps and a coarse one; says how many images it saw."""

  def __init__(self):
    self.encoded = []

  def apply(self, variables, images, *, method):
    assert method == 'encode'
    self.encoded.append(images.shape[0])
    fine = images[:, ::2, ::2] @ variables['kernel']
    return fine, jnp.sin(3 * fine), images[:, ::5, ::4] @ variables['kernel']


VARIABLES = {'kernel': np.random.default_rng(9).normal(size=(3, 6)).astype(np.float32)}


def scores_oracle(query, supports, masks, levels, size):
  """Loops over episodes, maps and positions; float64. Features without the batch axis."""
  by_level, first = [], 0
  for count in levels:
    maps = []
    for q, s in zip(query[first : first + count], supports[first : first + count], strict=True):
      vectors = []
      for support, mask in zip(s, masks, strict=True):
        weight = bilinear_oracle(mask, support.shape[:2], axes=(0, 1))
        area = weight.sum() or 1.0
        vectors.append((support * weight[..., None]).sum(axis=(0, 1)) / area)
      mean = np.mean(vectors, axis=0)
      norms = (np.linalg.norm(q, axis=-1) + 1e-5) * (np.linalg.norm(mean) + 1e-5)
      maps.append((q @ mean) / norms)
    by_level.append(bilinear_oracle(np.mean(maps, axis=0), size, axes=(0, 1)))
    first += count
  return np.mean(by_level, axis=0)


def episodes(batch=2, shots=3, size=(11, 9), seed=0):
  rng = np.random.default_rng(seed)
  query = rng.normal(size=(batch, *size, 3)).astype(np.float32)
  supports = rng.normal(size=(batch, shots, *size, 3)).astype(np.float32)
  masks = (rng.random((batch, shots, *size)) < 0.5).astype(np.uint8)
  return query, supports, masks


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])
@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize('output_size', [None, (7, 16)])
def test_scores_against_loops(wrap, shots, output_size):
  query, supports, masks = episodes(shots=shots)
  masks[0, 0] = 0  # An empty support mask is an episode like any other.
  model = FakeModel()
  options = {'levels': LEVELS, 'output_size': output_size}
  run = wrap(functools.partial(prototype.score_episodes, model, **options))
  scores = run(VARIABLES, query, supports, masks)
  assert model.encoded == [2 + 2 * shots], 'the backbone ran more than once'
  for i, score in enumerate(scores):
    q = [np.asarray(x[0], float) for x in model.apply(VARIABLES, query[i][None], method='encode')]
    s = [np.asarray(x, float) for x in model.apply(VARIABLES, supports[i], method='encode')]
    expected = scores_oracle(q, s, masks[i], LEVELS, output_size or query.shape[1:3])
    np.testing.assert_allclose(score, expected, atol=2e-6)
  if shots == 1:
    assert not scores[0].any()
  assert float(jnp.abs(scores).max()) <= 1.0 + 1e-6


def test_a_feature_found_under_the_mask_alone_is_found_again():
  rng = np.random.default_rng(0)
  mask = np.zeros((1, 8, 8), np.uint8)
  mask[0, 2:6, 3:7] = 1
  feature = np.where(mask[..., None] == 1, np.float32([1, 0, 2]), np.float32([-1, 1, 0]))
  feature = jnp.asarray(feature * rng.uniform(0.5, 2, (1, 8, 8, 1)).astype(np.float32))
  pooled = prototype.prototypes((feature,), mask)
  scores = prototype.prototype_scores((feature,), pooled, levels=(1,), output_size=(8, 8))
  np.testing.assert_array_equal(scores > 0.9, mask == 1)


def test_levels_that_do_not_add_up():
  query, supports, masks = episodes()
  with pytest.raises(ValueError, match=r'3 .*3 .*\(2, 2\)'):
    prototype.score_episodes(FakeModel(), VARIABLES, query, supports, masks, levels=(2, 2))


def test_sizes_that_differ_are_named():
  query, supports, masks = episodes()
  with pytest.raises(ValueError, match='6 x 9.*11 x 9'):
    prototype.score_episodes(FakeModel(), VARIABLES, query[:, :6], supports, masks, levels=LEVELS)


def pooled_histogram(scores, target, ignore, class_id, valid=None, bins=2048):
  rows = prototype.score_histogram(scores, target, ignore, bins=bins)
  return prototype.ScoreHistogram.empty(3, bins=bins).update(rows, class_id, valid)


def miou_at(threshold, scores, target, ignore, class_id):
  iou = []
  for c in np.unique(class_id):
    keep = (class_id == c)[:, None, None] & (ignore == 0)
    above, truth = scores[keep] > threshold, target[keep] == 1
    iou.append(100 * np.sum(above & truth) / max(np.sum(above | truth), 1))
  return np.mean(iou)


@pytest.mark.heavy
@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_threshold_is_the_best_of_all(seed, coarse):
  """Against every threshold that could matter: each score itself, and below all of them."""
  rng = np.random.default_rng(seed)
  scores = rng.uniform(-1, 1, (6, 4, 5)).astype(np.float32)
  # Scores on the bins' edges, where above and not above part.
  scores = np.round(scores * 8) / 8 if coarse else scores
  target = (scores + rng.normal(size=scores.shape) > 0.3).astype(np.uint8)
  ignore = (rng.random(scores.shape) < 0.2).astype(np.uint8)
  class_id = np.array([0, 0, 2, 2, 2, 0])
  result = pooled_histogram(scores, target, ignore, class_id).result()
  at = functools.partial(miou_at, scores=scores, target=target, ignore=ignore, class_id=class_id)
  # At the threshold it names the mIoU is the one it promises ...
  assert at(np.float32(result['threshold'])) == pytest.approx(result['miou'], rel=1e-6)
  # ... and no other beats it, but where two scores share one of 2048 bins.
  best = max(at(np.float32(t)) for t in (-2.0, *np.unique(scores)))
  if coarse:
    assert result['miou'] == pytest.approx(best, rel=1e-6)
  else:
    assert best - 2.0 <= result['miou'] <= best + 1e-4


def test_threshold_counts_what_it_should():
  rng = np.random.default_rng(1)
  scores = rng.uniform(-1, 1, (4, 6, 6)).astype(np.float32)
  target = (scores > 0.25).astype(np.uint8)
  ignore = np.zeros_like(target)
  class_id = np.array([0, 1, 1, 2])
  target[3] = 1 - target[3]  # Padding with the opposite truth must not pull the threshold.
  valid = np.array([True, True, True, False])
  whole = pooled_histogram(scores, target, ignore, class_id, valid)
  result = whole.result()
  assert result['miou'] == pytest.approx(100.0)
  assert result['threshold'] == pytest.approx(0.25, abs=0.1)
  assert whole.result(classes=[1])['miou'] == pytest.approx(100.0)
  # A class without episodes has IoU 0, as in `Confusion`.
  assert whole.result(classes=[0, 1, 2])['miou'] == pytest.approx(200 / 3)
  halves = [
    pooled_histogram(scores[i], target[i], ignore[i], class_id[i], valid[i])
    for i in (slice(0, 2), slice(2, 4))
  ]
  np.testing.assert_array_equal(halves[0].merge(halves[1]).histogram, whole.histogram)


def test_threshold_without_episodes():
  empty = prototype.ScoreHistogram.empty(4)
  with pytest.raises(ValueError, match='no episodes'):
    empty.result()
  with pytest.raises(ValueError, match='class id 7 is outside'):
    empty.update(np.ones((1, 2, 2048), np.int32), np.array([7]))
  with pytest.raises(ValueError, match='cannot merge'):
    empty.merge(prototype.ScoreHistogram.empty(5))


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])
def test_logits_decide_as_the_threshold_does(wrap):
  scores = jnp.asarray(np.linspace(-1, 1, 257, dtype=np.float32).reshape(1, 257, 1))
  for threshold in (-1.0, 0.0, 0.125, 0.7):
    logits = wrap(prototype.prototype_logits)(scores, threshold)
    np.testing.assert_array_equal(logits.argmax(axis=-1) == 1, scores > threshold)


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit, jax.vmap], ids=['plain', 'jit', 'vmap'])
def test_score_histogram(wrap):
  scores = np.array([[[-1.0, -0.5, 0.0, 1e-3, 1.0, 1.0000001]]], np.float32)
  target = np.array([[[0, 0, 1, 1, 1, 1]]], np.uint8)
  rows = wrap(functools.partial(prototype.score_histogram, bins=4))(scores, target)
  np.testing.assert_array_equal(rows, [[[2, 0, 0, 0], [0, 1, 1, 2]]])


@pytest.mark.heavy
def test_with_a_real_backbone():
  """An image's own masked feature is nearer to it inside the mask than outside."""
  model, spec = HSNet('tiny'), get_backbone('tiny')
  rng = np.random.default_rng(1)
  weights = jax.tree.map(
    lambda leaf: jnp.asarray(np.abs(rng.normal(0.3, 0.1, leaf.shape)), jnp.float32),
    jax.eval_shape(spec.init, jax.random.key(0)),
  )
  variables = {'backbone': weights}
  query, _, masks = episodes(batch=2, shots=2, size=(64, 48))
  query[:, :, :24] += 4
  masks[:] = np.arange(48) < 24
  supports = query[:, None].repeat(2, axis=1)
  run = jax.jit(functools.partial(prototype.score_episodes, model, levels=spec.levels))
  scores = run(variables, query, supports, masks)
  assert scores.shape == (2, 64, 48)
  assert 0 < float(jnp.abs(scores).max()) <= 1.0 + 1e-6
  assert float(scores[:, :, :16].mean()) > float(scores[:, :, 32:].mean())
