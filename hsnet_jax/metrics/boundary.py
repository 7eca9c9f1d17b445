"""Judges outlines: boundary IoU, and the F-score of contours.

A mask's IoU says little about the outline of a large object, whose inside outweighs it. Pixels that
are left out are background in both masks, so that what is marked there changes nothing. A ring that
is left out round each object, as in PASCAL, so cuts both masks along the same outline: the figures
there are too high, compare methods with each other alone, and not with published ones. Where
pictures have sizes of their own, what lies round one is left out: a picture reaches to its last row
and column in which a pixel is counted.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, Integer, UInt8

from hsnet_jax.metrics.rows import Mask, check_class_ids, class_mean, class_sums, select_rows

_PREDICTED, _TRUE = 1, 2  # Both masks in one array, a bit each: what is done to it is done to both.


def boundary_counts(
  prediction: Mask,
  target: Mask,
  ignore: Mask | None = None,
  *,
  width: float = 0.02,
  tolerance: float = 0.008,
) -> Int32[Array, '*batch 6']:
  """Counts the pixels along the outlines of each episode.

  The boundary of a mask is what an erosion by d takes from it, d 3 x 3 erosions in turn, where
  beyond the picture's border there is background (Cheng et al., 2021,
  https://arxiv.org/abs/2103.16562).
  Its contour is the pixels that differ from the next one to the right, below, or right below; the
  picture's border is none (Perazzi et al., 2016, DAVIS). A pixel of a contour is matched where the
  other contour is no farther from it than the tolerance.

  Args:
    prediction: predicted masks in {0, 1}, `[B, H, W]`.
    target: true masks in {0, 1}, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.
    width: d as a share of the picture's diagonal, rounded; one pixel at least.
    tolerance: of contours, as a share of the diagonal, rounded up.

  Returns:
    int32 `[B, 6]`: intersection and union of the boundaries; pixels of the predicted contour, and
    how many of them are matched; the same of the true contour.
  """
  kept = jnp.ones(prediction.shape, bool)
  if ignore is not None:
    kept = ~jnp.asarray(ignore).astype(bool)
  predicted, true = (jnp.asarray(x).astype(bool) & kept for x in (prediction, target))
  predicted, true = (x.astype(jnp.uint8) for x in (predicted, true))
  masks = jnp.uint8(_PREDICTED) * predicted + jnp.uint8(_TRUE) * true
  size = _sizes(kept)
  squared = size[0] ** 2 + size[1] ** 2
  largest = kept.shape[-2] ** 2 + kept.shape[-1] ** 2
  edge = masks & ~_eroded(masks, *_depth(squared, largest, width))
  areas = [edge == _PREDICTED | _TRUE, edge > 0]
  contour = _contour(masks, size)
  reach, most = _reach(squared, largest, tolerance)
  for own, other in ((_PREDICTED, _TRUE), (_TRUE, _PREDICTED)):
    near = _squared_distance(contour & other > 0, most) <= reach[..., None, None] ** 2
    areas += [contour & own > 0, (contour & own > 0) & near]
  return jnp.stack([jnp.sum(x, axis=(-2, -1), dtype=jnp.int32) for x in areas], axis=-1)


def boundary_f(rows: Integer[np.ndarray, '*batch 6']) -> Float[np.ndarray, '*batch']:
  """Computes the F-score of each episode's contours, in percent.

  Args:
    rows: of `boundary_counts`.

  Returns:
    `2 P R / (P + R)`, P the share of the predicted contour that is matched, R that of the true one.
    100 where there is neither contour, 0 where there is one alone.
  """
  predicted, matched, true, found = np.moveaxis(np.asarray(rows)[..., 2:], -1, 0)
  precision, recall = matched / np.maximum(predicted, 1), found / np.maximum(true, 1)
  score = 200.0 * precision * recall / np.maximum(precision + recall, 1e-30)
  return np.where((predicted == 0) & (true == 0), 100.0, score)


def _numbers(like: Array, axis: int) -> Int32[Array, '*batch h w']:
  """Numbers the pixels along an axis, from 1 on."""
  return jax.lax.broadcasted_iota(jnp.int32, like.shape, like.ndim + axis) + 1


def _sizes(
  kept: Bool[Array, '*batch h w'],
) -> tuple[Int32[Array, '*batch'], Int32[Array, '*batch']]:
  """Returns how high and how wide each picture is."""
  high, wide = (
    jnp.max(jnp.where(kept, _numbers(kept, axis), 0), axis=(-2, -1)) for axis in (-2, -1)
  )
  return high, wide


def _depth(squared: Int32[Array, '*batch'], largest: int, width: float):
  """Returns d for each squared diagonal, half a pixel rounded up, and the largest that may be."""
  share = Fraction(width).limit_denominator(10**6)
  depth, most = _count(lambda k: math.ceil(((k + Fraction(1, 2)) / share) ** 2), squared, largest)
  return jnp.maximum(depth, 1), max(most, 1)


def _reach(squared: Int32[Array, '*batch'], largest: int, tolerance: float):
  """Returns the tolerance for each squared diagonal, rounded up, and the largest that may be."""
  share = Fraction(tolerance).limit_denominator(10**6)
  return _count(lambda k: math.floor((k / share) ** 2) + 1, squared, largest)


def _count(step: Callable[[int], int], squared: Int32[Array, '*batch'], largest: int):
  """Returns how many of step(0), step(1), ... are no larger: whole numbers, which do not round."""
  steps = list(itertools.takewhile(lambda value: value <= largest, map(step, itertools.count())))
  count = sum((squared >= value).astype(jnp.int32) for value in steps)
  return jnp.zeros(squared.shape, jnp.int32) + count, len(steps)


def _eroded(
  masks: UInt8[Array, '*batch h w'], depth: Int32[Array, '*batch'], most: int
) -> UInt8[Array, '*batch h w']:
  """Erodes each picture's masks by squares that reach so far: powers of two, one after another."""
  for power in range(most.bit_length()):
    reaches = (depth >> power) & 1 == 1
    masks = jnp.where(reaches[..., None, None], _eroded_by(masks, 2**power), masks)
  return masks


def _eroded_by(masks: UInt8[Array, '*batch h w'], reach: int) -> UInt8[Array, '*batch h w']:
  """Erodes by a square that reaches so far: along one axis, then along the other."""
  for axis in (-1, -2):
    around = [(0, 0)] * masks.ndim
    around[axis] = (reach, reach)
    masks, window = jnp.pad(masks, around), 1
    # What holds for two windows side by side, or that overlap, holds for both together.
    while window < 2 * reach + 1:
      step = min(window, 2 * reach + 1 - window)
      rest = masks.shape[axis] - step
      masks = _part(masks, 0, rest, axis) & _part(masks, step, rest, axis)
      window += step
  return masks


def _part(x: Array, start: int, size: int, axis: int) -> Array:
  return x[..., start : start + size, :] if axis == -2 else x[..., start : start + size]


def _contour(masks: UInt8[Array, '*batch h w'], size) -> UInt8[Array, '*batch h w']:
  """Marks where a mask differs from its neighbors to the right, below, and right below."""
  last_row, last_column = (
    _numbers(masks, axis) >= n[..., None, None] for axis, n in zip((-2, -1), size, strict=True)
  )
  right = jnp.where(last_column, masks, jnp.roll(masks, -1, axis=-1))
  below = jnp.where(last_row, masks, jnp.roll(masks, -1, axis=-2))
  across = jnp.where(last_column, below, jnp.roll(below, -1, axis=-1))
  return (masks ^ right) | (masks ^ below) | (masks ^ across)


def _squared_distance(there: Bool[Array, '*batch h w'], most: int) -> Int32[Array, '*batch h w']:
  """Computes the squared distance to the nearest marked pixel; where that is too far, too much."""
  squares = jnp.where(there, 0, 2 * (most + 1) ** 2).astype(jnp.int32)
  for axis in (-1, -2):
    size, around = squares.shape[axis], [(0, 0)] * squares.ndim
    around[axis] = (most, most)
    wide = jnp.pad(squares, around, constant_values=2 * (most + 1) ** 2)
    parts = [_part(wide, most + k, size, axis) + k * k for k in range(-most, most + 1)]
    squares = functools.reduce(jnp.minimum, parts)
  return squares


def _figures(sums: np.ndarray, there: np.ndarray) -> dict[str, Any]:
  """Computes the figures of one or many pools, each a mean over the classes that are there."""
  inside, union, score, episodes = np.moveaxis(sums, -1, 0)
  return {
    'boundary_iou': class_mean(100.0 * inside / np.maximum(union, 1), there),
    'boundary_f': class_mean(score / np.maximum(episodes, 1), there),
  }


def _summands(rows: Integer[np.ndarray, 'episodes 6']) -> Float[np.ndarray, 'episodes 4']:
  """Returns what adds up over episodes: intersection, union, F-score, and 1."""
  columns = [rows[:, 0], rows[:, 1], boundary_f(rows), np.ones(len(rows))]
  return np.stack(columns, axis=-1).astype(np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Boundary:
  """Pools what `boundary_counts` counts by class.

  Attributes:
    sums: intersection and union of the boundaries, the F-scores and how many there are, float64
      `[num_classes, 4]`.
  """

  sums: Float[np.ndarray, 'classes 4']

  @classmethod
  def empty(cls, num_classes: int) -> 'Boundary':
    """Returns one with nothing counted yet, for class ids in [0, num_classes)."""
    return cls(np.zeros((num_classes, 4)))

  def update(
    self,
    counts: Integer[Array | np.ndarray, '*batch 6'],
    class_id: Integer[Array | np.ndarray, '*batch'],
    valid: Bool[Array | np.ndarray, '*batch'] | None = None,
  ) -> 'Boundary':
    """Adds episodes: rows of `boundary_counts`, those not valid left out."""
    rows, class_id = select_rows(counts, class_id, row_shape=(6,), valid=valid)
    check_class_ids(class_id, len(self.sums))
    sums = self.sums.copy()
    np.add.at(sums, class_id, _summands(rows))
    return Boundary(sums)

  def merge(self, other: 'Boundary') -> 'Boundary':
    """Returns both together, as if one had seen all episodes."""
    return Boundary(self.sums + other.sums)

  def result(self, classes: Sequence[int] | None = None) -> dict[str, float]:
    """Computes the figures over some classes, in percent.

    Args:
      classes: as for `Confusion.result`: one that is named and had no episode counts as 0.

    Returns:
      `boundary_iou`: the mean over classes of the boundary IoU, intersections and unions summed
      over a class's episodes first, an empty union counting as 1, as for mIoU. `boundary_f`: the
      mean over classes of the mean F-score of a class's episodes. NaN without a class.
    """
    chosen = np.flatnonzero(self.sums[:, 3]) if classes is None else np.asarray(classes, np.int64)
    check_class_ids(chosen, len(self.sums))
    figures = _figures(self.sums[chosen.reshape(-1)], np.ones(chosen.size, bool))
    return {name: float(value) for name, value in figures.items()}

  @staticmethod
  def resampled(
    rows: Integer[np.ndarray, 'episodes 6'],
    class_id: Integer[np.ndarray, ' episodes'],
    often: Integer[np.ndarray, 'draws episodes'],
    classes: Sequence[int],
  ) -> Mapping[str, Float[np.ndarray, ' draws']]:
    """Computes the figures of many draws of episodes; see `Confusion.resampled`."""
    return _figures(*class_sums(_summands(rows), class_id, often, classes))
