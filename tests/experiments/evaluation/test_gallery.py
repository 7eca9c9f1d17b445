"""The best, the middling and the worst episodes, kept as batches come."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.evaluation.gallery import Extremes

BENCHMARK = SimpleNamespace(class_names=('dog', 'cat'))


def batch_of(ious, first=0, *, objects=None):
  """A batch of one pixel row each, whose IoUs are whole percents."""
  n = len(ious)
  iou = np.asarray(ious)
  there = np.ones(n, bool) if objects is None else np.asarray(objects)
  counts = np.stack([iou, 0 * iou, 100 - iou, 0 * iou], axis=-1) * there[:, None]
  index = np.arange(first, first + n)
  batch = {
    'query_image': np.zeros((n, 4, 4, 3), np.uint8),
    'query_mask': np.ones((n, 4, 4), np.uint8),
    'query_ignore': np.zeros((n, 4, 4), np.uint8),
    'support_images': np.zeros((n, 1, 4, 4, 3), np.uint8),
    'support_masks': np.ones((n, 1, 4, 4), np.uint8),
    'class_id': index % 2,
    'index': index,
    'valid': np.ones(n, bool),
  }
  rows = {'index': index, 'valid': batch['valid'], 'counts': counts}
  return batch, rows | {'prediction': np.ones((n, 4, 4), np.uint8)}


def captions(extremes):
  return [panel.caption for panel in extremes.panels]


@pytest.mark.parametrize('size', [1, 7, 100])
def test_the_best_the_median_and_the_worst_are_kept(size):
  ious = np.random.default_rng(0).permutation(101)
  kept = Extremes(2)
  for start in range(0, 101, size):
    kept.add(*batch_of(ious[start : start + size], start), BENCHMARK)
  found = captions(kept)
  numbers = {iou: int(np.flatnonzero(ious == iou)[0]) for iou in (100, 99, 0, 1)}
  names = [('best', 100), ('best', 99), ('worst', 0), ('worst', 1)]
  wanted = [
    f'{kind}: {("dog", "cat")[numbers[iou] % 2]}, episode {numbers[iou]}: IoU {iou:.1f}'
    for kind, iou in names
  ]
  assert [c for c in found if not c.startswith('median')] == wanted
  middle = [float(c.rsplit(' ', 1)[1]) for c in found if c.startswith('median')]
  assert len(middle) == 2 and all(40 <= iou <= 60 for iou in middle)


def test_equal_ones_the_first_of_them_stay():
  kept = Extremes(2)
  for start in range(0, 12, 3):
    kept.add(*batch_of([50, 50, 50], start), BENCHMARK)
  assert [int(c.split('episode ')[1].split(':')[0]) for c in captions(kept)] == [0, 1] * 3


def test_few_episodes_are_of_all_kinds_and_those_without_the_object_of_none():
  kept = Extremes(3)
  kept.add(*batch_of([30, 60, 0], objects=[True, True, False]), BENCHMARK)
  assert [c.split(':')[0] for c in captions(kept)] == ['best'] * 2 + ['median'] * 2 + ['worst'] * 2
  assert [c[-4:] for c in captions(kept)] == ['60.0', '30.0', '60.0', '30.0', '30.0', '60.0']


def test_none_are_kept_where_none_are_asked_for():
  kept = Extremes(0)
  kept.add(*batch_of([30, 60]), BENCHMARK)
  assert kept.panels == []


def test_a_panel_holds_no_batch():
  kept = Extremes(1)
  batch, rows = batch_of([30, 60, 90])
  kept.add(batch, rows, BENCHMARK)
  for panel in kept.panels:
    for array in (panel.query, panel.prediction, panel.target, panel.ignore):
      assert array.base is None or array.base.size == array.size
