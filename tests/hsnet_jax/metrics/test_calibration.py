"""Calibration against a plain loop and scikit-learn."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from hsnet_jax.metrics import Calibration, calibration_counts, probability_summary

VARIANTS = {'plain': lambda f: f, 'jit': jax.jit}


@pytest.fixture(params=VARIANTS)
def variant(request):
  return VARIANTS[request.param]


def made(seed, count=5, size=(7, 11)):
  rng = np.random.default_rng(seed)
  margin = rng.normal(0, 3, (count, *size)).astype(np.float32)
  target = (rng.random(margin.shape) < 1 / (1 + np.exp(-2 * margin))).astype(np.uint8)
  return margin, target, (rng.random(margin.shape) < 0.2).astype(np.uint8)


def probability(margin):
  return 1 / (1 + np.exp(-margin.astype(np.float64)))


def table(margin, target, ignore):
  """(pixels, foreground, sum of probabilities) of each bin, pixel by pixel."""
  bins = [[0, 0, 0.0] for _ in range(15)]
  for m, t, i in zip(margin.flat, target.flat, ignore.flat, strict=True):
    if not i:
      p = float(probability(m))
      number = next(k for k in range(15) if p <= (k + 1) / 15)
      bins[number] = [a + b for a, b in zip(bins[number], (1, int(t), p), strict=True)]
  return np.array(bins)


def check(result, expected):
  pixels, foreground, total = expected.T
  lines = {key: np.array([row[key] for row in result['reliability']]) for key in ('pixels', 'to')}
  np.testing.assert_array_equal(lines['pixels'], pixels)
  np.testing.assert_allclose(lines['to'], 100 * np.arange(1, 16) / 15)
  for row, n, f, p in zip(result['reliability'], pixels, foreground, total, strict=True):
    expected_row = (100 * f / n, 100 * p / n) if n else (np.nan, np.nan)
    np.testing.assert_allclose((row['foreground'], row['probability']), expected_row, atol=2e-3)
  ece = 100 * np.abs(foreground - total).sum() / pixels.sum() if pixels.sum() else np.nan
  np.testing.assert_allclose(result['ece'], ece, atol=2e-3)


def test_against_a_loop_over_pixels(variant):
  margin, target, ignore = made(0)
  counts = np.asarray(variant(calibration_counts)(margin, target, ignore))
  assert counts.dtype == np.int32
  for i, row in enumerate(counts):
    one = Calibration.empty().update(row[None]).result()
    check(one, table(margin[i], target[i], ignore[i]))
  np.testing.assert_array_equal(jax.vmap(calibration_counts)(margin, target, ignore), counts)
  whole = Calibration.empty().update(np.asarray(variant(calibration_counts)(margin, target)))
  check(whole.result(), table(margin, target, 0 * ignore))


def test_against_scikit_learn():
  margin, target, ignore = made(9, count=20, size=(20, 20))
  kept = ignore == 0
  result = Calibration.empty().update(calibration_counts(margin, target, ignore)).result()
  true, predicted = calibration_curve(target[kept], probability(margin[kept]), n_bins=15)
  rows = [row for row in result['reliability'] if row['pixels']]
  np.testing.assert_allclose([row['foreground'] for row in rows], 100 * true, atol=1e-9)
  np.testing.assert_allclose([row['probability'] for row in rows], 100 * predicted, atol=2e-3)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 5))
def test_parts_in_any_order_with_padding_are_the_whole(seed, cut):
  margin, target, ignore = made(seed)
  counts = np.asarray(calibration_counts(margin, target, ignore))
  valid = np.random.default_rng(seed).random(5) < 0.7
  empty = Calibration.empty()
  parts = [empty.update(counts[part], valid[part]) for part in (slice(cut), slice(cut, None))]
  whole = empty.update(counts[valid]).result()
  for one, other in itertools.permutations(parts):
    np.testing.assert_equal(one.merge(other).result(), whole)


@pytest.mark.parametrize('size', [(1, 1), (6, 5)])
@pytest.mark.parametrize('true', [0, 1])
def test_masks_that_are_empty_full_or_left_out(variant, true, size):
  target, sure = np.full((1, *size), true, np.uint8), np.full((1, *size), 50, np.float32)
  for margin, ece in ((sure, 100 * (1 - true)), (-sure, 100 * true), (0 * sure, 50)):
    result = Calibration.empty().update(variant(calibration_counts)(margin, target)).result()
    assert result['ece'] == pytest.approx(ece)
  counts = variant(calibration_counts)(sure, target, np.ones_like(target))
  result = Calibration.empty().update(counts).result()
  assert not np.any(counts) and np.isnan(result['ece'])


def test_the_ends_of_bins_and_what_is_no_number(variant):
  margin = np.array([[[-np.inf, np.nan, np.inf, -200, 200, 0]]], np.float32)
  counts = np.asarray(variant(calibration_counts)(margin, np.ones((1, 1, 6), np.uint8)))[0]
  assert counts[:, 0].tolist() == [3, *[0] * 6, 1, *[0] * 6, 2]
  assert (counts[14, 2:] == [2, 0]).all() and (counts[7, 2:] == [0, 2**14]).all()


def test_sums_beyond_32_bits_are_right():
  margin = np.full((1, 300, 300), 5, np.float32)
  counts = calibration_counts(margin, np.zeros(margin.shape, np.uint8))
  row = Calibration.empty().update(counts).result()['reliability'][14]
  assert row['pixels'] == 300 * 300
  np.testing.assert_allclose(row['probability'], 100 * probability(margin[0, 0, 0]), atol=2e-3)


def test_a_summary_is_the_mean_and_the_highest(variant):
  margin, _, ignore = made(4)
  ignore[2], margin[0, 0, 0] = 1, np.nan
  p = np.where(np.isnan(margin), 0, probability(np.nan_to_num(margin)))
  found = np.asarray(variant(probability_summary)(margin, ignore))
  for row, q, i in zip(found, p, ignore, strict=True):
    kept = q[i == 0]
    expected = (kept.mean(), kept.max()) if kept.size else (np.nan, np.nan)
    np.testing.assert_allclose(row, expected, rtol=1e-5)
  whole = np.asarray(variant(probability_summary)(margin))
  np.testing.assert_allclose(whole[:, 1], p.max((1, 2)), rtol=1e-5)
