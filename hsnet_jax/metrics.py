"""What a test reports: mIoU, FB-IoU, accuracy, sensitivity, specificity, AUC.

Each figure is made in two halves. A pure function counts pixels on the device, one row per
episode, in int32 (an episode's own pixels fit). An immutable accumulator on the host pools the
rows in 64 bits, because the totals of a real test outgrow int32 and float32:

    empty() -> update(rows, ...) -> ... -> merge(other) -> result()

Masks are `[B, H, W]` with 1 on the foreground. Pixels of the ignore region count nowhere. Rows
with `valid=False` (padding of a last batch) count nowhere. Rows may carry any leading axes, such
as one over devices. All figures are in percent. A figure whose denominator is 0 is NaN, with one
exception, the IoU of a class, where the protocol counts an empty union as 1 and the IoU is 0.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Integer

_Mask = Bool[Array | np.ndarray, '*batch h w'] | Integer[Array | np.ndarray, '*batch h w']

# Margins beyond the limit share the outermost bins: a probability within 1e-43 of 0 or 1.
_MARGIN_LIMIT = 100.0
_MARGIN_UNIT = 0.01  # bins are even below it and grow in proportion to the margin above it


def confusion_counts(
  prediction: _Mask, target: _Mask, ignore: _Mask | None = None
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
  """Foreground IoU of each episode by itself, in percent; 0 where the union is empty.

  Args:
    counts: rows of `confusion_counts`, `[B, 4]`.

  Returns:
    float32 `[B]`. A picture's caption, not a summand of mIoU, which pools before it divides.
  """
  tp, fp, fn = (jnp.asarray(counts)[..., i].astype(jnp.float32) for i in range(3))
  return 100.0 * tp / jnp.maximum(tp + fp + fn, 1.0)


def label_histogram(
  bin_index: Integer[Array | np.ndarray, '*batch h w'],
  target: _Mask,
  ignore: _Mask | None = None,
  *,
  bins: int,
) -> Int32[Array, '*batch 2 {bins}']:
  """Counts pixels by bin, background and foreground apart, for each episode.

  Args:
    bin_index: the bin of every pixel, in [0, bins), `[B, H, W]`.
    target: true masks in {0, 1}, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.
    bins: how many bins there are.

  Returns:
    int32 `[B, 2, bins]`; row 0 the background pixels, row 1 the foreground pixels.
  """
  *batch, height, width = bin_index.shape
  rows = int(np.prod(batch, dtype=np.int64))
  target = jnp.asarray(target).astype(bool).astype(jnp.int32)
  cell = jnp.asarray(bin_index).astype(jnp.int32) + bins * target
  if ignore is None:
    weight = jnp.ones_like(cell)
  else:
    weight = 1 - jnp.asarray(ignore).astype(bool).astype(jnp.int32)
  cell, weight = (x.reshape(rows, height * width) for x in (cell, weight))
  zeros = jnp.zeros((rows, 2 * bins), jnp.int32)
  row = jnp.broadcast_to(jnp.arange(rows, dtype=jnp.int32)[:, None], cell.shape)
  return zeros.at[row, cell].add(weight).reshape(*batch, 2, bins)


def probability_histogram(
  margin: Float[Array | np.ndarray, '*batch h w'],
  target: _Mask,
  ignore: _Mask | None = None,
  *,
  bins: int = 8192,
) -> Int32[Array, '*batch 2 {bins}']:
  """Histogram of the foreground probability, for the AUC.

  The bins lie on the logit margin, which the probability `sigmoid(margin)` grows with: the
  order of pixels, all that an AUC depends on, stays where the probability itself has already
  rounded to 0 or 1. Their edges are even in `sign(m) log(1 + |m| / 0.01)`, so with 8192 bins a
  bin is `0.00225 (0.01 + |m|)` wide, up to |m| = 100: fine for logits of any scale, finest at
  the decision boundary.

  Args:
    margin: foreground logit minus background logit, `[B, H, W]`; NaN counts in the lowest bin.
    target: true masks in {0, 1}, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.
    bins: how many bins; more of them shorten the error that `RocHistogram.result` states.

  Returns:
    int32 `[B, 2, bins]`; row 0 the background pixels, row 1 the foreground pixels.
  """
  margin = jnp.asarray(margin).astype(jnp.float32)
  margin = jnp.where(jnp.isnan(margin), -jnp.inf, margin)
  margin = jnp.clip(margin, -_MARGIN_LIMIT, _MARGIN_LIMIT)
  position = jnp.sign(margin) * jnp.log1p(jnp.abs(margin) / _MARGIN_UNIT)
  position = position / np.log1p(_MARGIN_LIMIT / _MARGIN_UNIT)
  bin_index = jnp.floor((position + 1.0) * (bins / 2)).astype(jnp.int32)
  return label_histogram(jnp.clip(bin_index, 0, bins - 1), target, ignore, bins=bins)


def select_rows(
  rows: Any, *columns: Any, row_shape: tuple[int, ...], valid: Any = None
) -> tuple[np.ndarray, ...]:
  """Brings per-episode arrays to the host, flattens their leading axes, drops padding.

  Args:
    rows: `[..., *row_shape]` integers, one row per episode.
    *columns: further arrays with one value per episode, `[...]`.
    row_shape: the shape of one episode's row.
    valid: bool `[...]`, False for rows to drop; all are kept by default.

  Returns:
    The rows as int64 `[N, *row_shape]`, then the columns `[N]`.

  Raises:
    ValueError: if shapes disagree.
  """
  rows, *columns = jax.device_get((rows, *columns))
  rows = np.asarray(rows)
  lead = rows.shape[: rows.ndim - len(row_shape)]
  if rows.shape != (*lead, *row_shape):
    raise ValueError(f'rows of shape {row_shape} expected, got an array {rows.shape}')
  keep = np.ones(lead, bool) if valid is None else np.asarray(jax.device_get(valid), bool)
  columns = [np.asarray(column) for column in columns]
  for column in (keep, *columns):
    if column.shape != lead:
      raise ValueError(f'one value per episode expected, {lead}, got an array {column.shape}')
  keep = keep.reshape(-1)
  rows = rows.reshape(-1, *row_shape)[keep].astype(np.int64)
  return rows, *(column.reshape(-1)[keep] for column in columns)


def check_class_ids(class_id: np.ndarray, num_classes: int) -> None:
  """Raises ValueError unless every id is in [0, num_classes)."""
  outside = class_id[(class_id < 0) | (class_id >= num_classes)]
  if outside.size:
    raise ValueError(f'class id {outside[0]} is outside 0..{num_classes - 1}')


def _percent(part: int, whole: int) -> float:
  return 100.0 * part / whole if whole else float('nan')


@dataclasses.dataclass(frozen=True, eq=False)
class Confusion:
  """Confusion counts pooled by class: mIoU, FB-IoU, accuracy, sensitivity, specificity.

  Attributes:
    counts: true and false positives, false and true negatives, int64 `[num_classes, 4]`.
    episodes: how many episodes of each class were counted, int64 `[num_classes]`.
  """

  counts: Int[np.ndarray, 'classes 4']
  episodes: Int[np.ndarray, ' classes']

  def __post_init__(self):
    """Nobody writes into what has been counted."""
    self.counts.setflags(write=False)
    self.episodes.setflags(write=False)

  @classmethod
  def empty(cls, num_classes: int) -> 'Confusion':
    """Nothing counted yet, for class ids in [0, num_classes)."""
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
    """Both together, as if one had seen all episodes."""
    if self.counts.shape != other.counts.shape:
      raise ValueError(f'{len(self.counts)} classes cannot merge with {len(other.counts)}')
    return Confusion(self.counts + other.counts, self.episodes + other.episodes)

  def result(self, classes: Sequence[int] | None = None) -> dict[str, Any]:
    """The figures over some classes, in percent.

    Args:
      classes: the fold's classes. By default those with at least one episode. A class given
        here that had no episode has IoU 0 and lowers the mean, as in the published evaluation.

    Returns:
      `miou`: mean over classes of the foreground IoU, each pooled over the class's episodes, an
      empty union counting as 1. `fb_iou`: mean over background and foreground of the IoU pooled
      over the classes. `class_iou`: {class id: IoU}. `accuracy`, `sensitivity` (recall of the
      foreground), `specificity` (recall of the background): over the pixels of all episodes. NaN
      where there is nothing to divide by: no classes, an FB union of 0 (nothing predicted and
      nothing there), no foreground for the sensitivity, no background for the specificity.
    """
    if classes is None:
      classes = np.flatnonzero(self.episodes).tolist()
    chosen = np.asarray(classes, np.int64).reshape(-1)
    check_class_ids(chosen, len(self.episodes))
    tp, fp, fn, _ = self.counts[chosen].T
    class_iou = 100.0 * tp / np.maximum(tp + fp + fn, 1)
    tp, fp, fn, tn = (int(x) for x in self.counts[chosen].sum(axis=0))
    foreground, background = _percent(tp, tp + fp + fn), _percent(tn, tn + fp + fn)
    return {
      'miou': float(np.mean(class_iou)) if chosen.size else float('nan'),
      'fb_iou': (foreground + background) / 2,
      'class_iou': {int(c): float(iou) for c, iou in zip(chosen, class_iou, strict=True)},
      'accuracy': _percent(tp + tn, tp + fp + fn + tn),
      'sensitivity': _percent(tp, tp + fn),
      'specificity': _percent(tn, tn + fp),
    }


@dataclasses.dataclass(frozen=True, eq=False)
class RocHistogram:
  """Histogram of the foreground probability over all episodes, and the AUC it gives.

  Attributes:
    histogram: background and foreground pixels by bin, int64 `[2, bins]`.
  """

  histogram: Int[np.ndarray, '2 bins']

  def __post_init__(self):
    """Nobody writes into what has been counted."""
    self.histogram.setflags(write=False)

  @classmethod
  def empty(cls, *, bins: int = 8192) -> 'RocHistogram':
    """Nothing counted yet."""
    return cls(np.zeros((2, bins), np.int64))

  def update(
    self,
    histogram: Integer[Array | np.ndarray, '*batch 2 bins'],
    valid: Bool[Array | np.ndarray, '*batch'] | None = None,
  ) -> 'RocHistogram':
    """Adds episodes: rows of `probability_histogram`, those not valid left out."""
    (rows,) = select_rows(histogram, row_shape=self.histogram.shape, valid=valid)
    return RocHistogram(self.histogram + rows.sum(axis=0))

  def merge(self, other: 'RocHistogram') -> 'RocHistogram':
    """Both together, as if one had seen all episodes."""
    if self.histogram.shape != other.histogram.shape:
      raise ValueError(f'{self.histogram.shape} cannot merge with {other.histogram.shape}')
    return RocHistogram(self.histogram + other.histogram)

  def result(self) -> dict[str, float]:
    """The area under the ROC curve over all pixels, in percent.

    The AUC is the chance that a foreground pixel scores above a background pixel, ties
    counting half. Pixels that share a bin are taken as tied, so what a bin hides is bounded by
    half the pairs inside bins, and that bound is part of the answer.

    Returns:
      `auc`, and `auc_error`: the exact AUC lies within `auc +- auc_error`, both in percent.
      Both NaN if there is no foreground or no background.
    """
    total = self.histogram.sum(axis=1)
    if not total.all():
      return {'auc': float('nan'), 'auc_error': float('nan')}
    background, foreground = self.histogram / total[:, None]
    below = np.cumsum(background) - background
    tied = float(foreground @ background)
    return {'auc': 100.0 * (float(foreground @ below) + tied / 2), 'auc_error': 50.0 * tied}
