"""Intervals of mIoU: what a plain loop draws, and as wide as 95% says."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsnet_jax.metrics import (
  ABSENT_METRICS,
  Confusion,
  Tally,
  count_episodes,
  figure_intervals,
  miou_difference_interval,
  miou_interval,
)


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


COUNT = jax.jit(functools.partial(count_episodes, metrics=ABSENT_METRICS))


def made_episodes(seed, count=14, size=12):
  """Rows of every metric, classes and pictures: a third of the pictures without the object."""
  rng = np.random.default_rng(seed)
  place = np.indices((size, size)).max(0)
  target = (
    place < np.where(np.arange(count) % 3 == 0, 0, rng.integers(1, size, count))[:, None, None]
  )
  margin = (rng.normal(size=target.shape) + 2 * target - 1).astype(np.float32)
  ignore = rng.random(target.shape) < 0.1
  prediction = (margin > 1) & (rng.random((count, 1, 1)) < 0.8)
  rows = COUNT(prediction, margin, target, ignore)
  rows = {name: np.asarray(x) for name, x in rows.items()}
  return rows, rng.integers(0, 3, count), rng.integers(0, 8, count)


def redrawn(rng, rows, class_id, picture, classes, draws):
  """{figure: its values}: what a tally of the episodes themselves says, as often as drawn."""
  names, number = np.unique(picture, return_inverse=True)
  found = {}
  for often in rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws):
    taken = np.repeat(np.arange(len(picture)), often[number])
    again = {name: x[taken] for name, x in rows.items()}
    tally = Tally.empty(4, metrics=ABSENT_METRICS)
    tally = tally.update(again, class_id[taken], np.ones(len(taken), bool))
    kept = [c for c in classes if c in class_id[taken] or c not in class_id]
    result = tally.result(kept)
    for c, iou in result.pop('class_iou').items():
      found.setdefault(('class', c), []).append(iou)
    for name, value in result.items():
      found.setdefault(name, []).append(value)
  return found


@pytest.mark.parametrize('seed', range(4))
def test_every_figure_against_tallies_of_what_is_drawn(seed):
  rows, class_id, picture = made_episodes(seed)
  classes, rng = [0, 1, 2, 3], np.random.default_rng
  found = figure_intervals(
    rng(7), rows, class_id, picture, classes=classes, metrics=ABSENT_METRICS, draws=60, level=0.8
  )
  expected = redrawn(rng(7), rows, class_id, picture, classes, 60)
  told = {f.name for name, m in ABSENT_METRICS.items() for f in m.figures if m.resampled}
  assert told | {'class_iou'} == found.keys() and 'auc' not in told
  for name in told:
    values = np.array(expected[name])
    values = values[~np.isnan(values)]
    ends = np.quantile(values, [0.1, 0.9]) if len(values) else [np.nan] * 2
    np.testing.assert_allclose(found[name], ends, rtol=1e-9, atol=1e-9, err_msg=name)
  # Of a class that a single picture shows, or none, there is no telling.
  assert set(found['class_iou']) == {c for c in classes if len({*picture[class_id == c]}) > 1}
  for c, ends in found['class_iou'].items():
    np.testing.assert_allclose(ends, np.quantile(expected['class', c], [0.1, 0.9]), rtol=1e-9)
  miou = miou_interval(rng(7), rows['counts'], class_id, picture, classes=classes, draws=60)
  again = figure_intervals(rng(7), rows, class_id, picture, classes=classes, draws=60)
  assert again['miou'] == miou


def test_a_figure_that_no_draw_has_has_no_interval():
  counts, zero = np.array([[0, 0, 0, 9]] * 3), np.zeros(3, int)
  rows, rng = {'counts': counts}, np.random.default_rng(0)
  found = figure_intervals(rng, rows, zero, np.arange(3), classes=[0])
  assert np.isnan(found['sensitivity']).all() and found['accuracy'] == (100.0, 100.0)
  assert figure_intervals(rng, {'counts': counts[:0]}, zero[:0], zero[:0], classes=[0]) == {}


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


@pytest.mark.heavy
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
