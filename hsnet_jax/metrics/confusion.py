"""Counts pixels by prediction and truth: mIoU, FB-IoU, accuracy, precision, recall, F1."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Integer

from hsnet_jax.metrics.rows import (
  Mask,
  check_class_ids,
  class_mean,
  class_sums,
  percent,
  select_rows,
)


def confusion_counts(
  prediction: Mask, target: Mask, ignore: Mask | None = None
) -> Int32[Array, '*batch 4']:
  """Counts the pixels of each episode by prediction and truth.

  Args:
    prediction: predicted masks in {0, 1}, `[B, H, W]`.
    target: true masks in {0, 1}, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.

  Returns:
    True positives, false positives, false negatives, true negatives: int32 `[B, 4]`.
  """
  prediction = jnp.asarray(prediction).astype(bool)
  target = jnp.asarray(target).astype(bool)
  cells = [prediction & target, prediction & ~target, ~prediction & target, ~prediction & ~target]
  if ignore is not None:
    keep = ~jnp.asarray(ignore).astype(bool)
    cells = [cell & keep for cell in cells]
  return jnp.stack([jnp.sum(cell, axis=(-2, -1), dtype=jnp.int32) for cell in cells], axis=-1)


def episode_iou(counts: Integer[Array | np.ndarray, '*batch 4']) -> Float[Array, '*batch']:
  """Computes the foreground IoU of each episode by itself, in percent; 0 for an empty union.

  Args:
    counts: rows of `confusion_counts`, `[B, 4]`.

  Returns:
    float32 `[B]`. A picture's caption, not a summand of mIoU, which pools before it divides.
  """
  tp, fp, fn = (jnp.asarray(counts)[..., i].astype(jnp.float32) for i in range(3))
  return 100.0 * tp / jnp.maximum(tp + fp + fn, 1.0)


def _figures(
  counts: Integer[np.ndarray, '*draws classes 4'] | Float[np.ndarray, '*draws classes 4'],
  there: Bool[np.ndarray, '*draws classes'],
) -> dict[str, Any]:
  """Computes all figures of one or many pools, each mean over the classes that are there."""
  tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
  class_iou = 100.0 * tp / np.maximum(tp + fp + fn, 1)
  tp, fp, fn, tn = np.moveaxis(counts.sum(axis=-2), -1, 0)
  return {
    'miou': class_mean(class_iou, there),
    'fb_iou': (percent(tp, tp + fp + fn) + percent(tn, tn + fp + fn)) / 2,
    'class_iou': class_iou,
    'accuracy': percent(tp + tn, tp + fp + fn + tn),
    'sensitivity': percent(tp, tp + fn),
    'specificity': percent(tn, tn + fp),
    'precision': percent(tp, tp + fp),
    'f1': percent(2 * tp, 2 * tp + fp + fn),
  }


@dataclasses.dataclass(frozen=True, eq=False)
class Confusion:
  """Pools confusion counts by class: mIoU, FB-IoU, accuracy, precision, recall, F1.

  Attributes:
    counts: true and false positives, false and true negatives, int64 `[num_classes, 4]`.
    episodes: how many episodes of each class were counted, int64 `[num_classes]`.
  """

  counts: Int[np.ndarray, 'classes 4']
  episodes: Int[np.ndarray, ' classes']

  def __post_init__(self):
    """Keeps anyone from writing into what has been counted."""
    self.counts.setflags(write=False)
    self.episodes.setflags(write=False)

  @classmethod
  def empty(cls, num_classes: int) -> 'Confusion':
    """Returns one with nothing counted yet, for class ids in [0, num_classes)."""
    return cls(np.zeros((num_classes, 4), np.int64), np.zeros(num_classes, np.int64))

  def update(
    self,
    counts: Integer[Array | np.ndarray, '*batch 4'],
    class_id: Integer[Array | np.ndarray, '*batch'],
    valid: Bool[Array | np.ndarray, '*batch'] | None = None,
  ) -> 'Confusion':
    """Adds episodes.

    Args:
      counts: rows of `confusion_counts`.
      class_id: the class of each row, 0-based.
      valid: False for rows that do not count.

    Returns:
      A new accumulator.

    Raises:
      ValueError: if a counted class id is out of range.
    """
    rows, class_id = select_rows(counts, class_id, row_shape=(4,), valid=valid)
    check_class_ids(class_id, len(self.episodes))
    pooled, episodes = self.counts.copy(), self.episodes.copy()
    np.add.at(pooled, class_id, rows)
    np.add.at(episodes, class_id, 1)
    return Confusion(pooled, episodes)

  def merge(self, other: 'Confusion') -> 'Confusion':
    """Returns both together, as if one had seen all episodes."""
    if self.counts.shape != other.counts.shape:
      raise ValueError(f'{len(self.counts)} classes cannot merge with {len(other.counts)}')
    return Confusion(self.counts + other.counts, self.episodes + other.episodes)

  def result(self, classes: Sequence[int] | None = None) -> dict[str, Any]:
    """Computes the figures over some classes, in percent.

    Args:
      classes: the fold's classes. By default those with at least one episode. A class given
        here that had no episode has IoU 0 and lowers the mean, as in the published evaluation.

    Returns:
      `miou`: mean over classes of the foreground IoU, each pooled over the class's episodes, an
      empty union counting as 1. `fb_iou`: mean over background and foreground of the IoU pooled
      over the classes. `class_iou`: {class id: IoU}. `accuracy`, `sensitivity` (recall of the
      foreground), `specificity` (recall of the background), `precision` (how much of what is
      predicted is foreground), `f1` (the harmonic mean of precision and sensitivity, which is the
      Dice coefficient): over the pixels of all episodes. NaN where there is nothing to divide by:
      no classes, a union of 0 (nothing predicted and nothing there) for FB-IoU and F1, no
      foreground for the sensitivity, no background for the specificity, nothing predicted for the
      precision.
    """
    if classes is None:
      classes = np.flatnonzero(self.episodes).tolist()
    chosen = np.asarray(classes, np.int64).reshape(-1)
    check_class_ids(chosen, len(self.episodes))
    figures = _figures(self.counts[chosen], np.ones(len(chosen), bool))
    class_iou = figures.pop('class_iou')
    return {
      **{name: float(value) for name, value in figures.items()},
      'class_iou': {int(c): float(iou) for c, iou in zip(chosen, class_iou, strict=True)},
    }

  @staticmethod
  def resampled(
    rows: Integer[np.ndarray, 'episodes 4'],
    class_id: Integer[np.ndarray, ' episodes'],
    often: Integer[np.ndarray, 'draws episodes'],
    classes: Sequence[int],
  ) -> Mapping[str, Float[np.ndarray, 'draws ...']]:
    """Computes the figures of many draws of episodes at once, for their intervals.

    Args:
      rows: of `confusion_counts`.
      class_id: the class of each.
      often: how often each draw has an episode.
      classes: over which means go.

    Returns:
      As `result` gives them, `[draws]`, and of each class `[draws, classes]`; NaN where a draw has
      no episode of it. Such a class is left out of the draw's mean.
    """
    counts, there = class_sums(rows, class_id, often, classes)
    figures = _figures(counts, there)
    return figures | {'class_iou': np.where(there, figures['class_iou'], np.nan)}
