"""Finds the one threshold over scores in [-1, 1] that has the best mIoU, from histograms.

Scores are `[B, H, W]`, masks `[B, H, W]` in {0, 1}.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Integer

from hsnet_jax.metrics import check_class_ids, label_histogram, select_rows


def score_histogram(
  scores: Float[Array | np.ndarray, '*batch h w'],
  target: Bool[Array | np.ndarray, '*batch h w'] | Integer[Array | np.ndarray, '*batch h w'],
  ignore: Bool[Array | np.ndarray, '*batch h w']
  | Integer[Array | np.ndarray, '*batch h w']
  | None = None,
  *,
  bins: int = 2048,
) -> Int32[Array, '*batch 2 {bins}']:
  """Counts the scores of each episode in bins, background and foreground apart.

  Args:
    scores: in [-1, 1], `[B, H, W]`.
    target: true masks in {0, 1}, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.
    bins: equal bins over [-1, 1], a power of two of them; a bin's width is 2 / bins.

  Returns:
    int32 `[B, 2, bins]`; bin b holds scores above `2 b / bins - 1`, up to the next edge; bin 0
    also those of -1.
  """
  # ceil - 1 and not floor: a score on an edge is not above it. The shift by bins / 2 comes after
  # the rounding, in whole numbers: before it, a score just above an edge would round onto it.
  position = jnp.asarray(scores).astype(jnp.float32) * (bins / 2)
  bin_index = jnp.ceil(position).astype(jnp.int32) + bins // 2 - 1
  return label_histogram(jnp.clip(bin_index, 0, bins - 1), target, ignore, bins=bins)


def best_threshold(
  histogram: Integer[np.ndarray, 'classes 2 bins'],
) -> tuple[float, float]:
  """Finds the single threshold with the best mIoU.

  Every bin's lower edge is tried, from histograms alone: exact to the width of a bin.

  Args:
    histogram: pooled `score_histogram` of each class, `[C, 2, bins]`.

  Returns:
    The threshold, the lowest of equally good ones (a bin's width below -1 where all is best
    foreground), and its mIoU in percent, an empty union counting as 1.

  Raises:
    ValueError: if no pixel was counted.
  """
  if not histogram.any():
    raise ValueError('the threshold has no episodes to be found on')
  # Pixels in bin b or above are predicted foreground at the edge below b.
  above = np.cumsum(histogram[..., ::-1].astype(np.int64), axis=-1)[..., ::-1]
  false_positive, true_positive = above[:, 0], above[:, 1]
  union = false_positive + histogram[:, 1].sum(axis=-1, keepdims=True)
  miou = 100.0 * np.mean(true_positive / np.maximum(union, 1), axis=0)
  best = int(np.argmax(miou))
  # Bin 0 holds scores of -1 too, which are not above -1.
  edge = best if best > 0 else -1
  return 2.0 * edge / histogram.shape[-1] - 1.0, float(miou[best])


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreHistogram:
  """Pools score histograms by class, in 64 bits on the host, and gives their threshold.

  Attributes:
    histogram: background and foreground pixels by class and bin, int64 `[num_classes, 2, bins]`.
  """

  histogram: Int[np.ndarray, 'classes 2 bins']

  def __post_init__(self):
    """Keeps anyone from writing into what has been counted."""
    self.histogram.setflags(write=False)

  @classmethod
  def empty(cls, num_classes: int, *, bins: int = 2048) -> 'ScoreHistogram':
    """Returns one with nothing counted yet, for class ids in [0, num_classes)."""
    return cls(np.zeros((num_classes, 2, bins), np.int64))

  def update(
    self,
    histogram: Integer[Array | np.ndarray, '*batch 2 bins'],
    class_id: Integer[Array | np.ndarray, '*batch'],
    valid: Bool[Array | np.ndarray, '*batch'] | None = None,
  ) -> 'ScoreHistogram':
    """Adds episodes: rows of `score_histogram` and their classes, those not valid left out.

    Raises:
      ValueError: if a counted class id is out of range.
    """
    shape = self.histogram.shape[1:]
    rows, class_id = select_rows(histogram, class_id, row_shape=shape, valid=valid)
    check_class_ids(class_id, len(self.histogram))
    pooled = self.histogram.copy()
    np.add.at(pooled, class_id, rows)
    return ScoreHistogram(pooled)

  def merge(self, other: 'ScoreHistogram') -> 'ScoreHistogram':
    """Returns both together, as if one had seen all episodes."""
    if self.histogram.shape != other.histogram.shape:
      raise ValueError(f'{self.histogram.shape} cannot merge with {other.histogram.shape}')
    return ScoreHistogram(self.histogram + other.histogram)

  def result(self, classes: Sequence[int] | None = None) -> dict[str, float]:
    """Finds the best threshold, and its mIoU in percent, over some classes.

    Args:
      classes: by default those with at least one counted pixel.

    Returns:
      `threshold` and `miou`.

    Raises:
      ValueError: if no pixel was counted.
    """
    if classes is None:
      classes = np.flatnonzero(self.histogram.any(axis=(1, 2))).tolist()
    threshold, miou = best_threshold(self.histogram[np.asarray(classes, np.int64)])
    return {'threshold': threshold, 'miou': miou}
