"""Judges whether a method tells pictures that lack the object from those that show it.

The published protocol has no picture without the object; a folder of photographs mostly has them.
`Risk` tells what is won where pictures of low scores are left to a person.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Integer

from hsnet_jax.metrics.confusion import confusion_counts
from hsnet_jax.metrics.roc import RocHistogram, margin_bins
from hsnet_jax.metrics.rows import Mask, percent, select_rows

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

  @staticmethod
  def resampled(
    rows: Integer[np.ndarray, 'episodes 4'],
    class_id: Integer[np.ndarray, ' episodes'],
    often: Integer[np.ndarray, 'draws episodes'],
    classes: Sequence[int],
  ) -> Mapping[str, Float[np.ndarray, ' draws']]:
    """Computes the figures of many draws of episodes; see `Confusion.resampled`."""
    del class_id, classes
    bins, marked, true, counted = rows.T
    shows = true > 0
    if shows.all():
      return {}
    empty, found = ~shows & (marked == 0), shows & (marked > 0)
    summands = [~shows, shows, empty, found, ~shows * marked, ~shows * counted]
    absent, present, empty, found, false, area = (often @ np.stack(summands, axis=-1)).T
    # Of each score, from the lowest on, how many lack the object and how many show it.
    order = np.argsort(bins)
    starts = np.unique(bins[order], return_index=True)[1]
    low, high = (np.add.reduceat((often * x)[:, order], starts, axis=1) for x in (~shows, shows))
    pairs = (high * (np.cumsum(low, axis=1) - low / 2)).sum(axis=1)
    figures = {
      'presence_auc': percent(pairs, absent * present),
      'found': percent(found, present),
      'left_empty': percent(empty, absent),
      'false_area': percent(false, area),
    }
    return {name: np.where(absent > 0, values, np.nan) for name, values in figures.items()}


def risk_counts(
  prediction: Mask,
  margin: Float[Array | np.ndarray, '*batch h w'],
  target: Mask,
  ignore: Mask | None = None,
) -> Int32[Array, '*batch 3']:
  """Counts what says how wrong each episode's mask is, and how sure the method was of it.

  Args:
    prediction: predicted masks in {0, 1}, `[B, H, W]`.
    margin: foreground logit minus background logit, `[B, H, W]`.
    target: true masks in {0, 1}, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.

  Returns:
    int32 `[B, 3]`: the bits of the `presence_score` in float32, intersection and union.
  """
  score = presence_score(margin, ignore).astype(jnp.float32)
  counts = confusion_counts(prediction, target, ignore)
  bits = jax.lax.bitcast_convert_type(score, jnp.int32)
  return jnp.stack([bits, counts[..., 0], counts[..., :3].sum(axis=-1)], axis=-1)


def _losses(rows: Integer[np.ndarray, 'episodes 3']) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the scores from the highest on, and of each row what is lost and its score's place."""
  scores = np.ascontiguousarray(rows[:, 0].astype(np.int32)).view(np.float32)
  inside, union = rows[:, 1], rows[:, 2]
  lost = 100.0 * (1.0 - np.where(union > 0, inside / np.maximum(union, 1), 1.0))
  ordered, place = np.unique(-scores, return_inverse=True)
  return -ordered, lost, place


@dataclasses.dataclass(frozen=True, eq=False)
class Risk:
  """Keeps of all episodes how wrong the mask is, and how sure the method was of it.

  Attributes:
    rows: of `risk_counts`, int64 `[N, 3]`.
  """

  rows: Int[np.ndarray, 'episodes 3']

  @classmethod
  def empty(cls) -> 'Risk':
    """Returns one with no episode yet."""
    return cls(np.zeros((0, 3), np.int64))

  def update(
    self,
    counts: Integer[Array | np.ndarray, '*batch 3'],
    valid: Bool[Array | np.ndarray, '*batch'] | None = None,
  ) -> 'Risk':
    """Adds episodes: rows of `risk_counts`, those not valid left out."""
    (rows,) = select_rows(counts, row_shape=(3,), valid=valid)
    return Risk(np.concatenate([self.rows, rows]))

  def merge(self, other: 'Risk') -> 'Risk':
    """Returns both together, as if one had seen all episodes."""
    return Risk(np.concatenate([self.rows, other.rows]))

  def result(self) -> dict[str, Any]:
    """Computes the risk-coverage curve and the area under it, in percent.

    Pictures come in the order of their presence scores, the highest first. At a coverage of k of n
    the risk is what the first k lose on average, `1 - IoU`, where a picture without the object has
    IoU 1 if nothing is marked in it and 0 if anything is. Of equal scores each loses their mean.

    Returns:
      `aurc`: the mean risk over the coverages 1/n, 2/n, ..., 1 (Geifman and El-Yaniv, 2017,
      https://arxiv.org/abs/1705.08500); the lower the better. NaN without an episode.
      `risk_coverage`: of twenty coverages, or as many as there are pictures, `coverage`, `risk` and
      the lowest `score` that is covered.
    """
    number = len(self.rows)
    if not number:
      return {'aurc': float('nan'), 'risk_coverage': []}
    scores, lost, place = _losses(self.rows)
    mean = np.bincount(place, lost) / np.bincount(place)
    order = np.sort(place)
    covered = np.arange(1, number + 1)
    risk = np.cumsum(mean[order]) / covered
    shown = np.unique(np.ceil(np.arange(1, 21) * number / 20).astype(int)) - 1
    columns = 100.0 * covered[shown] / number, risk[shown], scores[order[shown]]
    names = 'coverage', 'risk', 'score'
    lines = zip(*(column.tolist() for column in columns), strict=True)
    return {
      'aurc': float(risk.mean()),
      'risk_coverage': [dict(zip(names, line, strict=True)) for line in lines],
    }

  @staticmethod
  def resampled(
    rows: Integer[np.ndarray, 'episodes 3'],
    class_id: Integer[np.ndarray, ' episodes'],
    often: Integer[np.ndarray, 'draws episodes'],
    classes: Sequence[int],
  ) -> Mapping[str, Float[np.ndarray, ' draws']]:
    """Computes the area of many draws of episodes; see `Confusion.resampled`."""
    del class_id, classes
    _, lost, place = _losses(rows)
    order = np.argsort(place, kind='stable')
    found = []
    for times in often:
      number = np.bincount(place, times)
      mean = np.bincount(place, times * lost) / np.maximum(number, 1)
      each = np.repeat(mean[place[order]], times[order])
      risk = np.cumsum(each) / np.arange(1, len(each) + 1)
      found.append(risk.mean() if len(each) else np.nan)
    return {'aurc': np.array(found)}
