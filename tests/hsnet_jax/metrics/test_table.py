import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.metrics import (
  METRICS,
  Boundary,
  Calibration,
  Confusion,
  Figure,
  Metric,
  RocHistogram,
  SizeIou,
  Tally,
  check_class_ids,
  count_episodes,
  label_histogram,
)
from hsnet_jax.metrics.rows import select_rows


@pytest.fixture
def episodes():
  """Margins, masks and classes of four episodes, the last of them padding."""
  rng = np.random.default_rng(0)
  margin = rng.normal(size=(4, 6, 5)).astype(np.float32)
  target = rng.integers(0, 2, (4, 6, 5), dtype=np.uint8)
  ignore = rng.integers(0, 2, (4, 6, 5), dtype=np.uint8)
  return {
    'pixels': ((margin > 0).astype(np.uint8), margin, target, ignore),
    'class_id': np.array([0, 2, 2, 1]),
    'valid': np.array([True, True, True, False]),
  }


def test_a_tally_gives_the_figures_of_every_metric(episodes):
  rows = jax.jit(count_episodes)(*episodes['pixels'])
  assert rows.keys() == METRICS.keys()
  class_id, valid = episodes['class_id'], episodes['valid']
  tally = Tally.empty(3).update(rows, class_id, valid)
  confusion = Confusion.empty(3).update(rows['counts'], class_id, valid)
  roc = RocHistogram.empty().update(rows['histogram'], valid)
  others = SizeIou.empty().update(rows['sizes'], valid).result()
  boundary = Boundary.empty(3).update(rows['boundary'], class_id, valid)
  others |= Calibration.empty().update(rows['calibration'], valid).result()
  for classes in (None, [0, 1, 2]):
    expected = {**confusion.result(classes), **roc.result(), **others, **boundary.result(classes)}
    np.testing.assert_equal(tally.result(classes), expected)
  np.testing.assert_array_equal(tally.episodes, [1, 0, 2])


def test_tallies_merge_as_if_one_had_seen_all(episodes):
  rows = jax.jit(count_episodes)(*episodes['pixels'])
  class_id, valid = episodes['class_id'], episodes['valid']
  first, rest = np.arange(4) < 2, np.arange(4) >= 2
  empty = Tally.empty(3)
  parts = [empty.update(rows, class_id, valid & part) for part in (first, rest)]
  merged, whole = parts[0].merge(parts[1]), empty.update(rows, class_id, valid)
  np.testing.assert_equal(merged.result(), whole.result())
  np.testing.assert_array_equal(merged.episodes, whole.episodes)


def test_every_figure_is_in_the_result_once(episodes):
  tally = Tally.empty(3).update(
    jax.jit(count_episodes)(*episodes['pixels']), *list(episodes.values())[1:]
  )
  figures = [figure for metric in METRICS.values() for figure in metric.figures]
  names = [figure.name for figure in figures]
  assert len({*names}) == len(names) == 15
  for figure in figures:
    assert figure.name in tally.result()
    assert not figure.by_class or set(tally.result()[figure.by_class]) == {0, 2}


def test_pixels_are_counted_by_bin_and_truth():
  bins, target, ignore = (np.array([[row]]) for row in ([0, 1, 1, 2], [0, 1, 0, 1], [0, 0, 0, 1]))
  assert label_histogram(bins, target, ignore, bins=3).tolist() == [[[1, 1, 0], [0, 1, 0]]]


def test_class_ids_are_checked_against_their_number():
  check_class_ids(np.array([0, 2]), 3)
  for outside in (-1, 3):
    with pytest.raises(ValueError, match=rf'{outside}\b.*0\.\.2'):
      check_class_ids(np.array([0, outside]), 3)


def test_a_class_id_out_of_range_is_an_error(episodes):
  rows = jax.jit(count_episodes)(*episodes['pixels'])
  with pytest.raises(ValueError, match=r'2\b.*0\.\.1'):
    Tally.empty(2).update(rows, episodes['class_id'], episodes['valid'])


def test_a_further_metric_is_one_row(episodes):
  """The share of pixels that are predicted foreground, say."""

  def count(prediction, margin, target, ignore):
    return jnp.stack([prediction.sum((1, 2)), jnp.full(len(prediction), prediction[0].size)], -1)

  def update(pooled, rows, class_id, valid):
    return pooled + select_rows(rows, row_shape=(2,), valid=valid)[0].sum(0)

  area = Metric(
    figures=(Figure('area', 'area'),),
    count=count,
    empty=lambda num_classes: np.zeros(2, np.int64),
    update=update,
    merge=np.add,
    result=lambda pooled, classes: {'area': 100 * pooled[0] / pooled[1]},
  )
  metrics = {**METRICS, 'areas': area}
  rows = jax.jit(functools.partial(count_episodes, metrics=metrics))(*episodes['pixels'])
  tally = Tally.empty(3, metrics=metrics)
  tally = tally.update(rows, episodes['class_id'], episodes['valid']).merge(tally)
  assert tally.result()['area'] == pytest.approx(100 * episodes['pixels'][0][:3].mean())
  assert set(Tally.empty(3).result()) == set(tally.result()) - {'area'}
