"""Tells whether probabilities are what they say: the reliability table and its error."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Integer

from hsnet_jax.metrics.rows import Mask, percent, select_rows

_BINS = 15
# Probabilities are summed in whole numbers, which add up to the same in any order.
_BITS = 15


def calibration_counts(
  margin: Float[Array | np.ndarray, '*batch h w'], target: Mask, ignore: Mask | None = None
) -> Int32[Array, '*batch 15 4']:
  """Counts pixels by their foreground probability, `p = sigmoid(margin)`, for each episode.

  The bins are 15 of equal width, `((m - 1) / 15, m / 15]`, 0 in the first, as Guo et al. (2017,
  https://arxiv.org/abs/1706.04599) have them.

  Args:
    margin: foreground logit minus background logit, `[B, H, W]`; NaN counts as probability 0.
    target: true masks in {0, 1}, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.

  Returns:
    int32 `[B, 15, 4]`: of each bin how many pixels it has, how many of them are foreground, and the
    sum of their probabilities, in wholes and in parts of 2^-15.
  """
  probability = _probability(margin)
  kept = jnp.ones(probability.shape, jnp.int32)
  if ignore is not None:
    kept = 1 - jnp.asarray(ignore).astype(bool).astype(jnp.int32)
  true = jnp.asarray(target).astype(bool).astype(jnp.int32)
  parts = jnp.round(probability * 2**_BITS).astype(jnp.int32)
  bins = jnp.clip(jnp.ceil(probability * _BINS).astype(jnp.int32) - 1, 0, _BINS - 1)
  # Line by line: the sum of a line's parts is a whole number of 32 bits for any picture.
  *batch, height, width = probability.shape
  lines = int(np.prod([*batch, height], dtype=np.int64))
  counted = jnp.stack([kept, kept * true, kept * parts], axis=-1).reshape(lines, width, 3)
  line = jax.lax.broadcasted_iota(jnp.int32, (lines, width), 0)
  sums = jnp.zeros((lines, _BINS, 3), jnp.int32).at[line, bins.reshape(lines, width)].add(counted)
  pixels, foreground, total = jnp.moveaxis(sums.reshape(*batch, height, _BINS, 3), -1, 0)
  columns = [pixels, foreground, total >> _BITS, total & (2**_BITS - 1)]
  return jnp.stack([jnp.sum(x, axis=-2, dtype=jnp.int32) for x in columns], axis=-1)


def probability_summary(
  margin: Float[Array | np.ndarray, '*batch h w'], ignore: Mask | None = None
) -> Float[Array, '*batch 2']:
  """Computes the mean and the highest foreground probability of each picture.

  Args:
    margin: foreground logit minus background logit, `[B, H, W]`; NaN counts as probability 0.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.

  Returns:
    float32 `[B, 2]`; NaN of a picture that is left out altogether.
  """
  probability = _probability(margin)
  kept = jnp.ones(probability.shape, bool)
  if ignore is not None:
    kept = ~jnp.asarray(ignore).astype(bool)
  number = jnp.sum(kept, axis=(-2, -1), dtype=jnp.float32)
  counted = jnp.where(kept, probability, 0.0)
  both = [jnp.sum(counted, axis=(-2, -1)) / jnp.maximum(number, 1.0), counted.max(axis=(-2, -1))]
  return jnp.where(number[..., None] > 0, jnp.stack(both, axis=-1), jnp.nan)


def _probability(margin: Float[Array | np.ndarray, '*batch h w']) -> Float[Array, '*batch h w']:
  margin = jnp.asarray(margin).astype(jnp.float32)
  return jnp.where(jnp.isnan(margin), 0.0, jax.nn.sigmoid(margin))


def _columns(bins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns pixels, foreground pixels and the sum of probabilities of each bin."""
  pixels, foreground, wholes, parts = np.moveaxis(bins, -1, 0)
  return pixels, foreground, wholes + parts / 2**_BITS


def _ece(bins: np.ndarray) -> Any:
  """Computes the expected calibration error of one or many pools."""
  pixels, foreground, probability = _columns(bins)
  return percent(np.abs(foreground - probability).sum(axis=-1), pixels.sum(axis=-1))


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
  """Pools the counts of bins of the foreground probability over all episodes.

  Attributes:
    bins: as `calibration_counts` has them, int64 `[15, 4]`.
  """

  bins: Int[np.ndarray, '15 4']

  @classmethod
  def empty(cls) -> 'Calibration':
    """Returns one with nothing counted yet."""
    return cls(np.zeros((_BINS, 4), np.int64))

  def update(
    self,
    counts: Integer[Array | np.ndarray, '*batch 15 4'],
    valid: Bool[Array | np.ndarray, '*batch'] | None = None,
  ) -> 'Calibration':
    """Adds episodes: rows of `calibration_counts`, those not valid left out."""
    (rows,) = select_rows(counts, row_shape=self.bins.shape, valid=valid)
    return Calibration(self.bins + rows.sum(axis=0))

  def merge(self, other: 'Calibration') -> 'Calibration':
    """Returns both together, as if one had seen all episodes."""
    return Calibration(self.bins + other.bins)

  def result(self) -> dict[str, Any]:
    """Computes the expected calibration error and its table, in percent.

    Returns:
      `ece`: `sum_m n_m / n |f_m - p_m|` over the bins m, n_m of n pixels being in one, f_m the
      share of them that is foreground and p_m the mean of their probabilities: Guo et al. (2017),
      Eq. 3, with the foreground's probability in the place of the likelier class's. To 0.002.
      NaN where there is no pixel.
      `reliability`: of each bin its ends `from` and `to`, how many `pixels` it has, `probability`
      p_m and `foreground` f_m; these NaN where it has none.
    """
    pixels, foreground, probability = _columns(self.bins)
    columns = {
      'from': 100.0 * np.arange(_BINS) / _BINS,
      'to': 100.0 * np.arange(1, _BINS + 1) / _BINS,
      'pixels': pixels,
      'probability': percent(probability, pixels),
      'foreground': percent(foreground, pixels),
    }
    lines = zip(*(values.tolist() for values in columns.values()), strict=True)
    return {
      'ece': float(_ece(self.bins)),
      'reliability': [dict(zip(columns, line, strict=True)) for line in lines],
    }

  @staticmethod
  def resampled(
    rows: Integer[np.ndarray, 'episodes 15 4'],
    class_id: Integer[np.ndarray, ' episodes'],
    often: Integer[np.ndarray, 'draws episodes'],
    classes: Sequence[int],
  ) -> Mapping[str, Float[np.ndarray, ' draws']]:
    """Computes the figure of many draws of episodes; see `Confusion.resampled`."""
    del class_id, classes
    sums = often.astype(np.float64) @ rows.reshape(len(rows), -1)
    return {'ece': _ece(sums.reshape(-1, _BINS, 4))}
