"""IoU by the size of the object against a plain loop."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsnet_jax.metrics import METRICS, SizeIou, Tally, count_episodes, object_share

NAMES = ('iou_under_1', 'iou_1_to_5', 'iou_5_to_20', 'iou_over_20')


def oracle(counts):
  """{figure: IoUs of its episodes}."""
  found = {name: [] for name in NAMES}
  for tp, fp, fn, tn in counts.tolist():
    share = (tp + fn) / max(tp + fp + fn + tn, 1)
    if share > 0:
      place = sum(share >= edge for edge in (0.01, 0.05, 0.2))
      found[NAMES[place]].append(100 * tp / (tp + fp + fn))
  return found


def check(result, counts):
  expected = oracle(counts)
  assert result['figure_episodes'] == {name: len(ious) for name, ious in expected.items()}
  for name, ious in expected.items():
    np.testing.assert_allclose(result[name], np.mean(ious) if ious else np.nan, rtol=1e-12)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 20))
def test_means_are_those_of_a_loop_in_any_parts(seed, cut):
  rng = np.random.default_rng(seed)
  truth = rng.integers(0, 301, 20) * rng.integers(0, 2, 20)
  hit, false = rng.binomial(truth, 0.5), rng.integers(0, 300, 20)
  counts = np.stack([hit, false, truth - hit, 1000 - truth - false], axis=1)
  valid = rng.random(20) < 0.8
  empty = SizeIou.empty()
  first, rest = empty.update(counts[:cut], valid[:cut]), empty.update(counts[cut:], valid[cut:])
  for pooled in (first.merge(rest), rest.merge(first)):
    check(pooled.result(), counts[valid])


@pytest.mark.parametrize(
  'pixels, name', [(1, NAMES[1]), (5, NAMES[2]), (20, NAMES[3]), (100, NAMES[3])]
)
def test_a_bin_has_its_lower_end(pixels, name):
  counts = np.array([[pixels, 0, 0, 100 - pixels], [10 * pixels - 1, 0, 0, 1001 - 10 * pixels]])
  at, below = (SizeIou.empty().update(row[None]).result() for row in counts)
  assert at['figure_episodes'][name] == 1 and at[name] == 100
  before = NAMES[NAMES.index(name) - (pixels < 100)]
  assert below['figure_episodes'][before] == 1


@pytest.mark.parametrize('transform', [lambda f: f, jax.jit], ids=['plain', 'jit'])
def test_masks_that_are_empty_full_one_pixel_or_left_out(transform):
  target = np.zeros((4, 20, 20), np.uint8)
  target[1] = 1
  target[2, 3, 4] = 1
  target[3] = 1
  ignore = np.zeros_like(target)
  ignore[3] = 1
  prediction = np.ones_like(target)
  rows = transform(count_episodes)(prediction, 2.0 * prediction - 1, target, ignore)
  np.testing.assert_array_equal(object_share(np.asarray(rows['sizes'])), [0, 100, 0.25, np.nan])
  tally = Tally.empty(1).update(rows, np.zeros(4, int), np.ones(4, bool))
  result = tally.result()
  assert list(result['figure_episodes'].values()) == [1, 0, 0, 1]
  assert (result['iou_under_1'], result['iou_over_20']) == (0.25, 100)
  assert {figure.name for figure in METRICS['sizes'].figures} == set(NAMES)
