import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from hsnet_jax import metrics


@pytest.fixture(params=['plain', 'jit', 'vmap'])
def variant(request):
  """How a device function runs: `variant(f)(*arrays)`."""
  return {'plain': lambda f: f, 'jit': jax.jit, 'vmap': jax.vmap}[request.param]


@pytest.fixture(autouse=True)
def no_warnings():
  """Undefined figures are a defined result, not a warning of a division."""
  with warnings.catch_warnings():
    warnings.simplefilter('error', RuntimeWarning)
    yield


def masks(seed, shape=(5, 7, 9), dtype=np.uint8):
  return (np.random.default_rng(seed).random(shape) < 0.4).astype(dtype)


def counts_oracle(prediction, target, ignore):
  rows = []
  for p, t, i in zip(prediction, target, ignore, strict=True):
    p, t = p[i == 0], t[i == 0]
    rows.append([np.sum((p == a) & (t == b)) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))])
  return np.array(rows)


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, bool])
def test_counts(variant, dtype):
  prediction, target, ignore = (masks(seed, dtype=dtype) for seed in range(3))
  counts = variant(metrics.confusion_counts)(prediction, target, ignore)
  assert counts.dtype == jnp.int32
  np.testing.assert_array_equal(counts, counts_oracle(prediction, target, ignore))
  whole = variant(metrics.confusion_counts)(prediction, target)
  np.testing.assert_array_equal(whole, counts_oracle(prediction, target, np.zeros_like(ignore)))


def test_counts_in_a_pmap():
  devices = min(2, jax.local_device_count())
  prediction, target = (masks(seed, (devices, 3, 4, 5)) for seed in range(2))
  counts = jax.pmap(metrics.confusion_counts)(prediction, target)
  class_id = np.arange(devices * 3).reshape(devices, 3)
  pooled = metrics.Confusion.empty(devices * 3).update(counts, class_id)
  expected = metrics.confusion_counts(prediction.reshape(-1, 4, 5), target.reshape(-1, 4, 5))
  np.testing.assert_array_equal(pooled.counts, expected)


@pytest.mark.parametrize('name', ['pascal', 'coco'])
def test_golden(golden, name):
  with np.load(golden / 'metrics.npz') as data:
    data = {key.split('/')[1]: data[key] for key in data if key.startswith(name)}
  counts = metrics.confusion_counts(data['pred'], data['gt'], data.get('ignore'))
  pooled = metrics.Confusion.empty(80).update(counts, data['class_id'])
  result = pooled.result(data['classes'].tolist())
  assert result['miou'] == pytest.approx(float(data['miou']), rel=1e-6)
  assert result['fb_iou'] == pytest.approx(float(data['fb_iou']), rel=1e-6)
  # Classes without an episode count as IoU 0 in the published figure: `coco` has some.
  absent = set(data['classes']) - set(data['class_id'])
  assert bool(absent) == (name == 'coco')
  assert all(result['class_iou'][c] == 0 for c in absent)


def test_golden_batches_and_padding(golden):
  """Batches with padding, merged from two accumulators, give the figures of one pass."""
  with np.load(golden / 'metrics.npz') as data:
    arrays = [data[f'pascal/{key}'] for key in ('pred', 'gt', 'ignore', 'class_id')]
    miou = float(data['pascal/miou'])
  halves = [metrics.Confusion.empty(20), metrics.Confusion.empty(20)]
  for start in range(0, 48, 7):
    batch = [x[start : start + 7] for x in arrays]
    missing = 7 - len(batch[0])
    # Padding repeats rows, with a class id that would be refused if it counted.
    batch = [np.concatenate([x, x[:1].repeat(missing, 0)]) for x in batch]
    valid = np.arange(7) < 7 - missing
    batch[3] = np.where(valid, batch[3], -1)
    counts = metrics.confusion_counts(*batch[:3])
    halves[start % 2] = halves[start % 2].update(counts, batch[3], valid)
  merged = halves[0].merge(halves[1])
  assert merged.episodes.sum() == 48
  assert merged.result(range(5, 10))['miou'] == pytest.approx(miou, rel=1e-6)


def test_figures_by_hand():
  rows = np.array([[6, 2, 2, 10], [1, 0, 3, 16], [0, 0, 0, 20]], np.int32)
  result = metrics.Confusion.empty(4).update(rows, np.array([0, 0, 2])).result()
  assert result['class_iou'] == {0: pytest.approx(50.0), 2: 0.0}
  assert result['miou'] == pytest.approx(25.0)
  assert result['fb_iou'] == pytest.approx(50 * (7 / 14 + 46 / 53))
  assert result['accuracy'] == pytest.approx(100 * 53 / 60)
  assert result['sensitivity'] == pytest.approx(100 * 7 / 12)
  assert result['specificity'] == pytest.approx(100 * 46 / 48)
  assert result['precision'] == pytest.approx(100 * 7 / 9)
  assert result['f1'] == pytest.approx(100 * 14 / 21)
  # A named class without episodes lowers the mean, as in the published evaluation.
  full = metrics.Confusion.empty(4).update(rows, np.array([0, 0, 2])).result(range(4))
  assert full['miou'] == pytest.approx(12.5)


@pytest.mark.parametrize('seed', range(3))
def test_precision_and_f1_are_those_of_scikit_learn(variant, seed):
  prediction, target, ignore = (masks(10 * seed + k) for k in range(3))
  counts = variant(metrics.confusion_counts)(prediction, target, ignore)
  # In any parts, a row of padding among them.
  classes, valid = np.array([0, 1, 1, 2, 0]), np.array([True, True, False, True, True])
  empty = metrics.Confusion.empty(3)
  parts = empty.update(counts[3:], classes[3:], valid[3:])
  result = parts.merge(empty.update(counts[:3], classes[:3], valid[:3])).result()
  kept = (ignore == 0) & valid[:, None, None]
  truth, guess = target[kept], prediction[kept]
  for name, oracle in (
    ('precision', precision_score), ('sensitivity', recall_score), ('f1', f1_score)
  ):  # fmt: skip
    assert result[name] == pytest.approx(100 * oracle(truth, guess))


@pytest.mark.parametrize(
  'predicted, true, precision, f1',
  [(0, 0, np.nan, np.nan), (0, 1, np.nan, 0), (1, 0, 0, 0), (1, 1, 100, 100)],
)
def test_precision_and_f1_of_empty_and_full_masks(predicted, true, precision, f1):
  whole = np.ones((1, 4, 4), np.uint8)
  for ignore in (0 * whole, whole):
    counts = metrics.confusion_counts(predicted * whole, true * whole, ignore)
    result = metrics.Confusion.empty(1).update(counts, np.zeros(1, int)).result()
    expected = (np.nan, np.nan) if ignore.any() else (precision, f1)
    np.testing.assert_equal((result['precision'], result['f1']), expected)


def test_nothing_counted():
  empty = metrics.Confusion.empty(3)
  result = empty.result()
  assert result.pop('class_iou') == {}
  assert all(np.isnan(value) for value in result.values())
  result = empty.result([1, 2])
  assert result['miou'] == 0 and result['class_iou'] == {1: 0.0, 2: 0.0}
  assert all(np.isnan(result[name]) for name in ('fb_iou', 'accuracy', 'precision', 'f1'))


def test_no_foreground_at_all():
  rows = metrics.confusion_counts(np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8))
  result = metrics.Confusion.empty(1).update(rows, np.zeros(2, np.int32)).result()
  assert result['accuracy'] == result['specificity'] == 100
  assert result['miou'] == 0
  assert np.isnan(result['sensitivity']) and np.isnan(result['fb_iou'])


def test_totals_outgrow_32_bits():
  row = np.full((1, 4), 2**31 - 1, np.int32)
  pooled = metrics.Confusion.empty(1)
  for _ in range(3):
    pooled = pooled.update(row, np.zeros(1, np.int32))
  np.testing.assert_array_equal(pooled.counts, np.full((1, 4), 3 * (2**31 - 1)))
  assert pooled.result()['accuracy'] == pytest.approx(50.0)


def test_accumulators_do_not_change():
  empty = metrics.Confusion.empty(2)
  empty.update(np.ones((1, 4), np.int32), np.zeros(1, np.int32))
  assert not empty.counts.any() and not empty.episodes.any()
  with pytest.raises(ValueError, match='read-only'):
    empty.counts[0] = 1
  roc = metrics.RocHistogram.empty(bins=8)
  roc.update(np.ones((3, 2, 8), np.int32))
  assert not roc.histogram.any()


@pytest.mark.parametrize('class_id', [-1, 2])
def test_class_out_of_range(class_id):
  with pytest.raises(ValueError, match=rf'{class_id}\b.*\b0\.\.1'):
    metrics.Confusion.empty(2).update(np.ones((1, 4), np.int32), np.array([class_id]))


def test_shapes_that_disagree():
  with pytest.raises(ValueError, match=r'\b4\b.*\b5\b'):
    metrics.Confusion.empty(4).merge(metrics.Confusion.empty(5))
  with pytest.raises(ValueError, match=r'\b4\b.*\b5\b'):
    metrics.RocHistogram.empty(bins=4).merge(metrics.RocHistogram.empty(bins=5))
  with pytest.raises(ValueError, match=r'\(3,\).*\(2,\)'):
    metrics.select_rows(np.ones((3, 4), int), np.ones(2, int), row_shape=(4,))
  with pytest.raises(ValueError, match=r'\(4,\).*\(3, 5\)'):
    metrics.select_rows(np.ones((3, 5), int), row_shape=(4,))


def test_episode_iou(variant):
  rows = np.array([[5, 3, 2, 9], [0, 0, 0, 9], [4, 0, 0, 0]], np.int32)
  np.testing.assert_allclose(variant(metrics.episode_iou)(rows), [50, 0, 100], rtol=1e-6)


def roc(margin, target, ignore=None, **options):
  rows = metrics.probability_histogram(margin, target, ignore, **options)
  return metrics.RocHistogram.empty(bins=rows.shape[-1]).update(rows).result()


@pytest.mark.parametrize('scale', [1e-2, 1.0, 8.0])
def test_auc_against_scikit_learn(scale):
  rng = np.random.default_rng(3)
  target, ignore = masks(1, (3, 40, 50)), masks(2, (3, 40, 50))
  margin = (scale * (rng.normal(size=target.shape) + target - 2)).astype(np.float32)
  keep = ignore == 0
  exact = 100 * roc_auc_score(target[keep], margin[keep])
  result = roc(margin, target, ignore)
  assert abs(result['auc'] - exact) <= result['auc_error'] + 1e-6
  assert abs(result['auc'] - exact) < 0.02
  # Few bins see less, and say so.
  coarse = roc(margin, target, ignore, bins=16)
  assert abs(coarse['auc'] - exact) <= coarse['auc_error'] + 1e-6
  assert coarse['auc_error'] > 10 * result['auc_error']


@given(
  st.lists(
    st.tuples(st.sampled_from([-200.0, -30.0, -1.0, 0.0, 0.5, 20.0, 25.0]), st.booleans()),
    min_size=12, max_size=12,
  )
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_auc_of_ties_is_exact(pixels):
  """Values in bins of their own tie as scikit-learn's do, also where float32 p is 1."""
  margin, target = (np.array(x).reshape(1, 3, 4) for x in zip(*pixels, strict=True))
  result = roc(margin.astype(np.float32), target)
  if target.all() or not target.any():
    assert np.isnan(result['auc']) and np.isnan(result['auc_error'])
  else:
    expected = 100 * roc_auc_score(target.ravel(), margin.ravel())
    assert result['auc'] == pytest.approx(expected, abs=1e-9)


def test_histogram_rows(variant):
  margin = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
  target, ignore = masks(1, margin.shape), masks(2, margin.shape)

  def histogram(*arrays):
    return metrics.probability_histogram(*arrays, bins=32)

  rows = variant(histogram)(margin, target, ignore)
  assert rows.shape == (3, 2, 32) and rows.dtype == jnp.int32
  keep = ignore == 0
  expected = [[np.sum((t == c) & k) for c in (0, 1)] for t, k in zip(target, keep, strict=True)]
  np.testing.assert_array_equal(rows.sum(axis=-1), expected)
  # The boundary of the decision is a boundary of bins.
  np.testing.assert_array_equal(
    rows[..., 16:].sum(axis=(1, 2)), ((margin >= 0) & keep).sum(axis=(1, 2))
  )


def test_margins_that_are_not_finite():
  margin = np.array([[[np.nan, -np.inf, np.inf, 1e30]]], np.float32)
  rows = metrics.probability_histogram(margin, np.ones((1, 1, 4), np.uint8), bins=64)
  assert rows[0, 1, 0] == 2 and rows[0, 1, 63] == 2


def test_roc_leaves_out_padding_and_merges():
  rng = np.random.default_rng(5)
  margin = rng.normal(size=(4, 8, 8)).astype(np.float32)
  target = masks(7, margin.shape)
  rows = metrics.probability_histogram(margin, target)
  valid = np.array([True, False, True, True])
  empty = metrics.RocHistogram.empty()
  whole = empty.update(rows, valid)
  parts = empty.update(rows[:2], valid[:2]).merge(empty.update(rows[2:].reshape(2, 1, 2, -1)))
  np.testing.assert_array_equal(whole.histogram, parts.histogram)
  exact = 100 * roc_auc_score(target[valid].ravel(), margin[valid].ravel())
  assert whole.result()['auc'] == pytest.approx(exact, abs=0.05)
  assert np.isnan(empty.result()['auc'])
