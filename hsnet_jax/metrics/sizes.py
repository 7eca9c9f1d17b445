"""Tells how IoU depends on how large the object is: the mean over episodes, by its share."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer

from hsnet_jax.metrics.rows import percent, select_rows

# Shares of the picture, in percent, at which one bin ends and the next begins.
_EDGES = (1, 5, 20)
_NAMES = ('iou_under_1', 'iou_1_to_5', 'iou_5_to_20', 'iou_over_20')


def object_share(
  counts: Integer[np.ndarray, '*batch 4'],
) -> Float[np.ndarray, '*batch'] | np.floating:
  """Computes how much of each picture the object covers, in percent of what is not left out.

  Args:
    counts: rows of `confusion_counts`.

  Returns:
    Shares; NaN of a picture that is left out altogether.
  """
  counts = np.asarray(counts)
  return percent(counts[..., 0] + counts[..., 2], counts.sum(axis=-1))


def _by_size(counts: Integer[np.ndarray, 'episodes 4']) -> Float[np.ndarray, 'episodes 8']:
  """Returns of each episode its IoU in the column of its bin, and then a 1 there."""
  object_pixels = counts[:, 0] + counts[:, 2]
  # Whole numbers, so that what covers just a twentieth is in the right bin.
  edges = np.multiply.outer(counts.sum(1), _EDGES)
  above = (100 * object_pixels[:, None] >= edges).sum(1)
  bins = (above[:, None] == np.arange(len(_NAMES))) & (object_pixels > 0)[:, None]
  iou = 100.0 * counts[:, 0] / np.maximum(counts[:, :3].sum(1), 1)
  return np.concatenate([iou[:, None] * bins, bins], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class SizeIou:
  """Pools the IoU of single episodes by the object's share of the query picture.

  Attributes:
    sums: of the IoUs in each bin, float64 `[4]`.
    episodes: how many there are in each, int64 `[4]`.
  """

  sums: Float[np.ndarray, ' bins']
  episodes: Int[np.ndarray, ' bins']

  @classmethod
  def empty(cls) -> 'SizeIou':
    """Returns one with nothing counted yet."""
    return cls(np.zeros(len(_NAMES)), np.zeros(len(_NAMES), np.int64))

  def update(
    self,
    counts: Integer[Array | np.ndarray, '*batch 4'],
    valid: Bool[Array | np.ndarray, '*batch'] | None = None,
  ) -> 'SizeIou':
    """Adds episodes: rows of `confusion_counts`, those not valid left out."""
    (rows,) = select_rows(counts, row_shape=(4,), valid=valid)
    sums, episodes = np.split(_by_size(rows).sum(axis=0), 2)
    return SizeIou(self.sums + sums, self.episodes + episodes.astype(np.int64))

  def merge(self, other: 'SizeIou') -> 'SizeIou':
    """Returns both together, as if one had seen all episodes."""
    return SizeIou(self.sums + other.sums, self.episodes + other.episodes)

  def result(self) -> dict[str, Any]:
    """Computes the figures.

    Returns:
      `iou_under_1`, `iou_1_to_5`, `iou_5_to_20` and `iou_over_20`: the mean IoU, in percent, of the
      episodes whose object covers so many percent of the picture, the lower end included; NaN
      where there is none. An episode without a pixel of the object is in no bin.
      `figure_episodes`: {figure: how many episodes it is of}.
    """
    means = self.sums / np.where(self.episodes > 0, self.episodes, np.nan)
    return {
      **dict(zip(_NAMES, means.tolist(), strict=True)),
      'figure_episodes': dict(zip(_NAMES, self.episodes.tolist(), strict=True)),
    }

  @staticmethod
  def resampled(
    rows: Integer[np.ndarray, 'episodes 4'],
    class_id: Integer[np.ndarray, ' episodes'],
    often: Integer[np.ndarray, 'draws episodes'],
    classes: Sequence[int],
  ) -> Mapping[str, Float[np.ndarray, ' draws']]:
    """Computes the figures of many draws of episodes; see `Confusion.resampled`."""
    del class_id, classes
    sums, episodes = np.split(often @ _by_size(rows), 2, axis=1)
    means = sums / np.where(episodes > 0, episodes, np.nan)
    return dict(zip(_NAMES, means.T, strict=True))
