"""Computes the AUC: histograms of the foreground probability by truth, and their ROC curve."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Integer

from hsnet_jax.metrics.rows import Mask, select_rows

# Margins beyond the limit share the outermost bins: a probability within 1e-43 of 0 or 1.
_MARGIN_LIMIT = 100.0
_MARGIN_UNIT = 0.01  # bins are even below it and grow in proportion to the margin above it


def label_histogram(
  bin_index: Integer[Array | np.ndarray, '*batch h w'],
  target: Mask,
  ignore: Mask | None = None,
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


def margin_bins(
  margin: Float[Array | np.ndarray, '*shape'], *, bins: int
) -> Int32[Array, '*shape']:
  """Finds the bins of logit margins, even in `sign(m) log(1 + |m| / 0.01)` up to |m| = 100.

  Args:
    margin: foreground logit minus background logit; NaN counts in the lowest bin.
    bins: how many there are.

  Returns:
    Numbers in [0, bins), which grow with the margin.
  """
  margin = jnp.asarray(margin).astype(jnp.float32)
  margin = jnp.where(jnp.isnan(margin), -jnp.inf, margin)
  margin = jnp.clip(margin, -_MARGIN_LIMIT, _MARGIN_LIMIT)
  position = jnp.sign(margin) * jnp.log1p(jnp.abs(margin) / _MARGIN_UNIT)
  position = position / math.log1p(_MARGIN_LIMIT / _MARGIN_UNIT)
  bin_index = jnp.floor((position + 1.0) * (bins / 2)).astype(jnp.int32)
  return jnp.clip(bin_index, 0, bins - 1)


def probability_histogram(
  margin: Float[Array | np.ndarray, '*batch h w'],
  target: Mask,
  ignore: Mask | None = None,
  *,
  bins: int = 8192,
) -> Int32[Array, '*batch 2 {bins}']:
  """Counts pixels by their foreground probability, for the AUC.

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
  return label_histogram(margin_bins(margin, bins=bins), target, ignore, bins=bins)


@dataclasses.dataclass(frozen=True, eq=False)
class RocHistogram:
  """Pools a histogram of the foreground probability over all episodes, and gives its AUC.

  Attributes:
    histogram: background and foreground pixels by bin, int64 `[2, bins]`.
  """

  histogram: Int[np.ndarray, '2 bins']

  def __post_init__(self):
    """Keeps anyone from writing into what has been counted."""
    self.histogram.setflags(write=False)

  @classmethod
  def empty(cls, *, bins: int = 8192) -> 'RocHistogram':
    """Returns one with nothing counted yet."""
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
    """Returns both together, as if one had seen all episodes."""
    if self.histogram.shape != other.histogram.shape:
      raise ValueError(f'{self.histogram.shape} cannot merge with {other.histogram.shape}')
    return RocHistogram(self.histogram + other.histogram)

  def result(self) -> dict[str, float]:
    """Computes the area under the ROC curve over all pixels, in percent.

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
