"""Intervals of mIoU: what a plain loop draws, and as wide as 95% says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsnet_jax.metrics import Confusion, miou_difference_interval, miou_interval


def drawn(rng, counts, class_id, picture, classes, draws):
  """mIoU of each draw of pictures, counted picture by picture."""
  names, found = np.unique(picture), []
  for often in rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws):
    pooled = {c: [0, 0, 0] for c in classes}
    for name, times in zip(names, often, strict=True):
      for row, c, of in zip(counts, class_id, picture, strict=True):
        if of == name and c in pooled:
          tp, fp, fn, _ = row
          pooled[c] = [a + times * b for a, b in zip(pooled[c], (tp, tp + fp + fn, 1), strict=True)]
    ever = {c: c in class_id for c in classes}
    kept = [100 * tp / max(union, 1) for c, (tp, union, n) in pooled.items() if n or not ever[c]]
    found.append(np.mean(kept) if kept else 0)
  return found


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 3))
def test_against_a_loop_over_pictures(seed, episodes, num_classes):
  rng = np.random.default_rng(seed)
  counts = rng.integers(0, 5, (episodes, 4))
  class_id, picture = rng.integers(0, num_classes, episodes), rng.integers(0, 5, episodes)
  classes = range(num_classes)
  found = miou_interval(
    np.random.default_rng(7), counts, class_id, picture, classes=classes, draws=40, level=0.8
  )
  expected = drawn(np.random.default_rng(7), counts, class_id, picture, classes, 40)
  np.testing.assert_allclose(found, np.quantile(expected, [0.1, 0.9]), rtol=1e-9)


def test_a_difference_is_of_the_same_pictures():
  rng = np.random.default_rng(0)
  one, other = rng.integers(0, 9, (2, 12, 4))
  class_id, picture, options = np.arange(12) % 2, np.arange(12) // 3, {'draws': 50, 'level': 0.8}
  found = miou_difference_interval(
    np.random.default_rng(7), one, other, class_id, picture, classes=[0, 1], **options
  )
  drawn_of = [
    np.array(drawn(np.random.default_rng(7), counts, class_id, picture, [0, 1], 50))
    for counts in (one, other)
  ]
  expected = np.quantile(drawn_of[0] - drawn_of[1], [0.1, 0.9])
  np.testing.assert_allclose(found, expected, rtol=1e-9)
  none = miou_difference_interval(rng, one[:0], other[:0], class_id[:0], picture[:0], classes=[0])
  assert np.isnan(none).all()


def test_it_is_about_the_figure():
  rng = np.random.default_rng(0)
  counts, class_id = rng.integers(1, 500, (300, 4)), rng.integers(0, 5, 300)
  low, high = miou_interval(rng, counts, class_id, np.arange(300), classes=range(5))
  miou = Confusion.empty(5).update(counts, class_id).result(range(5))['miou']
  assert low < miou < high and high - low < 8
  # Sixteen episodes of one picture that are alike tell no more than one of them.
  often, classes = counts.repeat(16, axis=0), class_id.repeat(16)
  many = miou_interval(rng, often, classes, np.arange(4800), classes=range(5))
  few = miou_interval(rng, often, classes, np.arange(4800) // 16, classes=range(5))
  assert few[1] - few[0] > 3 * (many[1] - many[0])


def test_95_of_100_intervals_hold_the_truth():
  rng, held, tests = np.random.default_rng(1), 0, 600
  # Unions of 100 pixels whose IoU is drawn: endlessly many pictures would give 40 and 60.
  for _ in range(tests):
    class_id = np.repeat([0, 1], 60)
    iou = rng.beta(4, 6, 120) * (class_id == 0) + rng.beta(6, 4, 120) * (class_id == 1)
    inside = np.rint(1000 * iou).astype(int)
    counts = np.stack([inside, 1000 - inside, 0 * inside, 0 * inside], axis=1)
    low, high = miou_interval(rng, counts, class_id, np.arange(120), classes=[0, 1], draws=500)
    held += low < 50 < high
  assert 0.92 < held / tests < 0.98


@pytest.mark.parametrize('episodes, classes', [(0, [0]), (3, [])])
def test_of_nothing_there_is_none(episodes, classes):
  none = np.zeros(episodes, int)
  rng = np.random.default_rng(0)
  found = miou_interval(rng, np.ones((episodes, 4), int), none, none, classes=classes)
  assert np.isnan(found).all()


def test_a_class_without_an_episode_counts_as_in_the_figure():
  counts, zero = np.array([[10, 0, 0, 5]] * 4), np.zeros(4, int)
  rng = np.random.default_rng(0)
  assert miou_interval(rng, counts, zero, np.arange(4), classes=[0, 3]) == (50.0, 50.0)
