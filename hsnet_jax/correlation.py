"""Computes the hypercorrelation: the paper's Eq. 1 (support masking) and Eq. 2 (cosine).

Feature maps are `[B, H, W, C]`; a 4D correlation is `[B, Hq, Wq, Hs, Ws]`, query first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.lax import PrecisionLike
from jaxtyping import Array, Float, Shaped

from hsnet_jax.resize import map_size, resize_bilinear


def mask_features(
  features: Sequence[Float[Array, 'B _h _w _c']], mask: Shaped[Array | np.ndarray, 'B H W']
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Discards the background of support features (Eq. 1).

  Args:
    features: the support's feature maps, of any sizes.
    mask: the support's mask in [0, 1], numbers of any kind or bool, of any size.

  Returns:
    Each map times the mask resized to it bilinearly with aligned corners.
  """
  sizes = sorted({map_size(f) for f in features})
  mask = jnp.asarray(mask).astype(jnp.float32)[..., None]
  soft = {size: resize_bilinear(mask, size) for size in sizes}
  return tuple(f * soft[map_size(f)].astype(f.dtype) for f in features)


def normalize_features(
  x: Float[Array, '*shape C'], *, eps: float = 1e-5
) -> Float[Array, '*shape C']:
  """Divides features by their norm, as Eq. 2 does on both sides: x / (||x|| + eps).

  Args:
    x: feature maps, of any number of axes; the last one is channels.
    eps: added to each norm, so that a vector of zeros stays one.

  Returns:
    Vectors of length 1 or 0, in the type of `x`.
  """
  # At least float32: a sum of squares outgrows float16, and eps is nothing beside a bfloat16.
  wide = x.astype(np.promote_types(x.dtype, np.float32))
  square = jnp.sum(jnp.square(wide), axis=-1, keepdims=True)
  # The smallest number instead of 0, at which the root has no derivative.
  norm = jnp.sqrt(jnp.maximum(square, jnp.finfo(wide.dtype).tiny))
  return (wide / (norm + eps)).astype(x.dtype)


def cosine_correlation(
  query: Float[Array, 'B Hq Wq C'],
  support: Float[Array, 'B Hs Ws C'],
  *,
  eps: float = 1e-5,
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B Hq Wq Hs Ws']:
  """Computes the cosine of every query with every support position, clamped at 0 (Eq. 2).

  Args:
    query: the query's feature maps.
    support: the support's, masked or not.
    eps: added to each norm, so that a vector of zeros correlates with nothing.
    precision: of the products.

  Returns:
    4D correlations in [0, 1], query positions first.
  """
  return correlate(
    normalize_features(query, eps=eps), normalize_features(support, eps=eps), precision=precision
  )


def correlate(
  query: Float[Array, 'B Hq Wq C'],
  support: Float[Array, 'B Hs Ws C'],
  *,
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B Hq Wq Hs Ws']:
  """Correlates features that are normalized already: the product of Eq. 2, clamped at 0.

  Args:
    query: the query's feature maps, through `normalize_features`.
    support: the support's, likewise.
    precision: of the products.

  Returns:
    4D correlations in [0, 1], query positions first.
  """
  return jnp.maximum(jnp.einsum('bhwc,bijc->bhwij', query, support, precision=precision), 0)


def _levels_by_size(features: Sequence[Float[Array, 'B _h _w _c']]) -> tuple[int, ...]:
  """Counts how many neighboring maps share a size, finest first."""
  counts: list[int] = []
  previous = None
  for f in features:
    if map_size(f) == previous:
      counts[-1] += 1
    else:
      counts.append(1)
    previous = map_size(f)
  return tuple(counts)


class Level(NamedTuple):
  """Holds the maps of one level of the pyramid, whose correlations need not be computed whole.

  Attributes:
    query: the query's maps, normalized, each `[B, Hq, Wq, C]`.
    support: the support's, masked and normalized, each `[B, Hs, Ws, C]`.
  """

  query: tuple[Array, ...]
  support: tuple[Array, ...]

  def correlate(self, *, precision: PrecisionLike = 'highest') -> Float[Array, 'B Hq Wq Hs Ws L']:
    """Computes the level's correlations (Eq. 2), its maps on the last axis in their order."""
    pairs = zip(self.query, self.support, strict=True)
    return jnp.stack([correlate(q, s, precision=precision) for q, s in pairs], axis=-1)


def pyramid_levels(
  query_features: Sequence[Float[Array, 'B _hq _wq _c']],
  support_features: Sequence[Float[Array, 'B _hs _ws _c']],
  *,
  levels: Sequence[int] | None = None,
  normalized: bool = False,
) -> tuple[Level, ...]:
  """Divides maps into the levels of the pyramid (Sec. 4.1), and normalizes them.

  Args:
    query_features: as `hypercorrelation`, and so are the others.
    support_features: the support's.
    levels: how many maps each level has, finest first.
    normalized: whether the support's have been through `normalize_features`.

  Returns:
    The levels, coarsest first.

  Raises:
    ValueError: the numbers of maps disagree.
  """
  if levels is None:
    levels = _levels_by_size(query_features)
  if not len(query_features) == len(support_features) == sum(levels):
    raise ValueError(
      f'{len(query_features)} query maps, {len(support_features)} support maps and levels of '
      f'{tuple(levels)} maps do not agree'
    )
  query = tuple(normalize_features(q) for q in query_features)
  support = tuple(support_features)
  if not normalized:
    support = tuple(normalize_features(s) for s in support)
  ends = np.cumsum(levels).tolist()
  starts = [0, *ends[:-1]]
  pairs = zip(starts, ends, strict=True)
  return tuple(Level(query[i:j], support[i:j]) for i, j in pairs)[::-1]


def hypercorrelation(
  query_features: Sequence[Float[Array, 'B _hq _wq _c']],
  support_features: Sequence[Float[Array, 'B _hs _ws _c']],
  *,
  levels: Sequence[int] | None = None,
  normalized: bool = False,
  precision: PrecisionLike = 'highest',
) -> tuple[Float[Array, 'B _Hq _Wq _Hs _Ws _L'], ...]:
  """Stacks 4D correlations to a pyramid (Sec. 4.1).

  Args:
    query_features: the query's maps in the network's order, finest first.
    support_features: the support's, masked or not; as many, with the same channels.
    levels: how many maps each level of the pyramid has, finest first. Without it, neighboring
      maps of equal size form a level, which tiny images can mislead.
    normalized: whether the support's have been through `normalize_features`.
    precision: of the products.

  Returns:
    One tensor a level, coarsest first, with the level's maps on the last axis in their order.

  Raises:
    ValueError: the numbers of maps disagree.
  """
  pyramid = pyramid_levels(query_features, support_features, levels=levels, normalized=normalized)
  return tuple(level.correlate(precision=precision) for level in pyramid)
