"""Judges whether a method tells pictures that lack the object from those that show it.

The published protocol has no picture without the object; a folder of photographs mostly has them.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Integer

from hsnet_jax.metrics.roc import RocHistogram, margin_bins
from hsnet_jax.metrics.rows import Mask, select_rows

_BINS = 8192


def presence_score(
  margin: Float[Array | np.ndarray, '*batch h w'],
  ignore: Mask | None = None,
  *,
  share: float = 0.01,
) -> Float[Array, '*batch']:
  """Scores that the object is there at all: the mean of the picture's highest margins.

  Args:
    margin: foreground logit minus background logit, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.
    share: how many of the picture's pixels that are not left out count; one at least.

  Returns:
    Scores, `[B]`; the object is there where it is above a threshold. Of a picture that is left out
    altogether -inf.
  """
  margin = jnp.asarray(margin).astype(jnp.float32)
  kept = jnp.ones(margin.shape, bool)
  if ignore is not None:
    kept = ~jnp.asarray(ignore).astype(bool)
    margin = jnp.where(kept, margin, -jnp.inf)
  flat = margin.reshape(*margin.shape[:-2], -1)
  most = max(1, round(share * flat.shape[-1]))
  highest = jax.lax.top_k(flat, most)[0]
  # Of what lies round a smaller picture of the batch nothing counts.
  pixels = jnp.sum(kept, axis=(-2, -1), dtype=jnp.float32)
  count = jnp.clip(jnp.round(share * pixels), 1, most)[..., None]
  counted = jax.lax.broadcasted_iota(jnp.float32, highest.shape, highest.ndim - 1) < count
  mean = jnp.sum(jnp.where(counted, highest, 0.0), axis=-1) / count[..., 0]
  return jnp.where(pixels > 0, mean, -jnp.inf)


def presence_counts(
  prediction: Mask,
  margin: Float[Array | np.ndarray, '*batch h w'],
  target: Mask,
  ignore: Mask | None = None,
) -> Int32[Array, '*batch 4']:
  """Counts what says whether the object is there, for each episode.

  Args:
    prediction: predicted masks in {0, 1}, `[B, H, W]`.
    margin: foreground logit minus background logit, `[B, H, W]`.
    target: true masks in {0, 1}, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.

  Returns:
    int32 `[B, 4]`: the bin of the `presence_score`, and how many pixels are marked, are of the
    object, and are counted at all.
  """
  counted = jnp.ones(margin.shape, bool)
  if ignore is not None:
    counted = ~jnp.asarray(ignore).astype(bool)
  marked, true = (jnp.asarray(x).astype(bool) & counted for x in (prediction, target))
  areas = [jnp.sum(x, axis=(-2, -1), dtype=jnp.int32) for x in (marked, true, counted)]
  return jnp.stack([margin_bins(presence_score(margin, ignore), bins=_BINS), *areas], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Presence:
  """Pools the scores of pictures with and without the object, and what is marked in them.

  Attributes:
    scores: pictures without and with the object by bin of their score.
    unmarked: how many of either have nothing marked, int64 `[2]`.
    areas: marked pixels and all pixels of the pictures without the object, int64 `[2]`.
  """

  scores: RocHistogram
  unmarked: Int[np.ndarray, ' 2']
  areas: Int[np.ndarray, ' 2']

  @classmethod
  def empty(cls) -> 'Presence':
    """Returns one with nothing counted yet."""
    return cls(RocHistogram.empty(bins=_BINS), np.zeros(2, np.int64), np.zeros(2, np.int64))

  def update(
    self,
    counts: Integer[Array | np.ndarray, '*batch 4'],
    valid: Bool[Array | np.ndarray, '*batch'] | None = None,
  ) -> 'Presence':
    """Adds episodes: rows of `presence_counts`, those not valid left out."""
    (rows,) = select_rows(counts, row_shape=(4,), valid=valid)
    bins, marked, true, counted = rows.T
    present = (true > 0).astype(np.int64)
    histogram = np.zeros((1, 2, _BINS), np.int64)
    np.add.at(histogram, (0, present, bins), 1)
    absent = present == 0
    return Presence(
      self.scores.update(histogram),
      self.unmarked + np.bincount(present[marked == 0], minlength=2),
      self.areas + np.array([marked[absent].sum(), counted[absent].sum()]),
    )

  def merge(self, other: 'Presence') -> 'Presence':
    """Returns both together, as if one had seen all episodes."""
    return Presence(
      self.scores.merge(other.scores), self.unmarked + other.unmarked, self.areas + other.areas
    )

  def result(self) -> dict[str, float]:
    """Computes the figures, in percent; none where every picture shows the object.

    Returns:
      `presence_auc`, the chance that a picture with the object scores above one without it;
      `found`, of the pictures with the object those in which something is marked; `left_empty`, of
      those without it those in which nothing is; `false_area`, how much is marked of the latter.
    """
    pictures = self.scores.histogram.sum(axis=1)
    if not pictures[0]:
      return {}
    absent_empty, present_empty = (
      100.0 * n / max(t, 1) for n, t in zip(self.unmarked, pictures, strict=True)
    )
    return {
      'presence_auc': self.scores.result()['auc'],
      'found': 100.0 - present_empty if pictures[1] else float('nan'),
      'left_empty': absent_empty,
      'false_area': 100.0 * self.areas[0] / self.areas[1],
    }
