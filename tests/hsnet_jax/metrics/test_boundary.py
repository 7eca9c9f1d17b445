"""Boundary IoU and the F-score of contours against SciPy and plain loops."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hsnet_jax.metrics import Boundary, boundary_counts, boundary_f

SIZE = (40, 53)


@pytest.fixture(params=['plain', 'jit', pytest.param('vmap', marks=pytest.mark.heavy)])
def variant(request):
  return {'plain': lambda f: f, 'jit': jax.jit, 'vmap': jax.vmap}[request.param]


def blobs(seed, count=4, size=SIZE):
  rng = np.random.default_rng(seed)
  smooth = ndimage.gaussian_filter(rng.normal(size=(count, *size)), (0, 3, 3))
  return (smooth > np.quantile(smooth, rng.uniform(0.2, 0.9))).astype(np.uint8)


def edge_oracle(mask, width):
  depth = max(1, int(width * np.hypot(*mask.shape) + 0.5))
  # Distance of chessboard moves to the background, which lies beyond the border as well.
  far = ndimage.distance_transform_cdt(np.pad(mask, 1), metric='chessboard')[1:-1, 1:-1]
  return (mask > 0) & (far <= depth)


def contour_oracle(mask):
  found = np.zeros(mask.shape, bool)
  for y, x in np.ndindex(mask.shape):
    for to in ((y, x + 1), (y + 1, x), (y + 1, x + 1)):
      inside = to[0] < mask.shape[0] and to[1] < mask.shape[1]
      found[y, x] |= inside and mask[to] != mask[y, x]
  return found


def matched_oracle(contour, other, tolerance):
  reach = np.ceil(round(tolerance * np.hypot(*contour.shape), 9))
  if not other.any():
    return 0
  return int((contour & (ndimage.distance_transform_edt(~other) <= reach)).sum())


def oracle(prediction, target, ignore, width=0.02, tolerance=0.008):
  masks = [(x * (1 - ignore)).astype(np.uint8) for x in (prediction, target)]
  predicted, true = (edge_oracle(mask, width) for mask in masks)
  found, sought = map(contour_oracle, masks)
  return [
    (predicted & true).sum(),
    (predicted | true).sum(),
    found.sum(),
    matched_oracle(found, sought, tolerance),
    sought.sum(),
    matched_oracle(sought, found, tolerance),
  ]


def f_oracle(row):
  _, _, predicted, matched, true, found = map(int, row)
  if not predicted and not true:
    return 100.0
  if not predicted or not true or not matched or not found:
    return 0.0
  precision, recall = matched / predicted, found / true
  return 200 * precision * recall / (precision + recall)


@pytest.mark.parametrize('shares', [{}, {'width': 0.1, 'tolerance': 0.05}])
def test_counts_are_those_of_scipy(variant, shares):
  prediction, target = blobs(0), blobs(1)
  target[0], prediction[1] = prediction[0], 0
  ignore = (np.random.default_rng(2).random(target.shape) < 0.05).astype(np.uint8)
  ignore[:, -1], ignore[:, :, -1] = 0, 0  # Pictures are as large as the arrays.
  count = variant(lambda *masks: boundary_counts(*masks, **shares))
  found = np.asarray(count(prediction, target, ignore))
  expected = [oracle(*x, **shares) for x in zip(prediction, target, ignore, strict=True)]
  assert found.dtype == np.int32
  np.testing.assert_array_equal(found, expected)
  whole = [oracle(*x, 0 * ignore[0], **shares) for x in zip(prediction, target, strict=True)]
  np.testing.assert_array_equal(np.asarray(count(prediction, target)), whole)
  np.testing.assert_allclose(boundary_f(found), list(map(f_oracle, found)))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), high=st.integers(1, 40), wide=st.integers(1, 53))
def test_pictures_of_sizes_of_their_own_are_as_by_themselves(seed, high, wide):
  prediction, target = blobs(seed), blobs(seed + 1)
  ignore = np.ones_like(target)
  ignore[:, :high, :wide] = 0
  ignore[0] = 0
  found = np.asarray(jax.jit(boundary_counts)(prediction, target, ignore))
  parts = np.s_[:high, :wide]
  alone = [oracle(p[parts], t[parts], 0) for p, t in zip(prediction, target, strict=True)]
  np.testing.assert_array_equal(found[1:], alone[1:])
  np.testing.assert_array_equal(found[0], oracle(prediction[0], target[0], 0))


def test_what_is_marked_where_it_is_left_out_changes_nothing():
  prediction, target = blobs(3), blobs(4)
  ignore = blobs(5)
  ignore[:, -1, -1] = 0
  found = [boundary_counts(p, target, ignore) for p in (prediction, prediction | ignore)]
  np.testing.assert_array_equal(*found)


@pytest.mark.heavy
def test_a_ring_that_is_left_out_cuts_both_masks_alike():
  """Which makes both figures too high, as docs/evaluation.md says."""
  far = np.hypot(*(np.mgrid[:320, :320] - 160))[None]
  target, prediction = far <= 60, far <= 64
  ring = (far > 60) & (far <= 65)
  whole, cut = (np.asarray(boundary_counts(prediction, target, x))[0] for x in (0 * ring, ring))
  assert 100 * whole[0] / whole[1] == pytest.approx(48.6, abs=0.05)
  assert boundary_f(whole) == pytest.approx(79.6, abs=0.05)
  assert cut[0] == cut[1] > 0 and boundary_f(cut) == 100


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (16, 12)])
def test_masks_that_are_empty_full_or_left_out(variant, size):
  none, full = np.zeros((1, *size), np.uint8), np.ones((1, *size), np.uint8)
  count = variant(boundary_counts)
  for prediction, target in itertools.product((none, full), repeat=2):
    row = np.asarray(count(prediction, target))[0]
    np.testing.assert_array_equal(row, oracle(prediction[0], target[0], none[0]))
    assert boundary_f(row) == 100  # The border is no contour.
    left_out = np.asarray(count(prediction, target, full))[0]
    assert not left_out.any() and boundary_f(left_out) == 100


@pytest.mark.heavy
def test_a_pixel_beside_another():
  one = np.zeros((3, 30, 40), np.uint8)  # A diagonal of 50: a pixel, and one pixel's tolerance.
  one[:, 10, 10] = 1
  other = np.roll(one, (0, 1, 9), axis=(0, 1, 2))
  for k, shift in enumerate((0, 1, 9)):
    other[k] = np.roll(one[k], shift, axis=1)
  rows = np.asarray(boundary_counts(other, one))
  np.testing.assert_array_equal(rows[:, :2], [[1, 1], [0, 2], [0, 2]])
  np.testing.assert_allclose(boundary_f(rows), [100, 100, 0])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 12))
def test_figures_are_those_of_a_loop_in_any_parts(seed, cut):
  rng = np.random.default_rng(seed)
  union, contours = rng.integers(0, 9, 12), rng.integers(0, 5, (2, 12))
  matched = rng.binomial(contours, 0.6)
  rows = np.stack(
    [rng.binomial(union, 0.5), union, contours[0], matched[0], contours[1], matched[1]]
  )
  rows, classes, valid = rows.T.astype(np.int32), rng.integers(0, 3, 12), rng.random(12) < 0.8
  empty = Boundary.empty(4)
  first, rest = (
    empty.update(rows[p], classes[p], valid[p]) for p in (slice(cut), slice(cut, None))
  )
  for chosen in (None, [0, 1, 2, 3]):
    kept = sorted({*classes[valid].tolist()}) if chosen is None else chosen
    iou, score = [], []
    for c in kept:
      own = rows[valid & (classes == c)]
      iou.append(100 * own[:, 0].sum() / max(own[:, 1].sum(), 1))
      score.append(np.mean(list(map(f_oracle, own))) if len(own) else 0)
    expected = [np.mean(x) if kept else np.nan for x in (iou, score)]
    for pooled in (first.merge(rest), rest.merge(first)):
      found = pooled.result(chosen)
      np.testing.assert_allclose([found['boundary_iou'], found['boundary_f']], expected)
