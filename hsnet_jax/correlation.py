"""The hypercorrelation: Eq. 1 (support masking) and Eq. 2 (cosine correlation) of the paper.

Feature maps are `[B, H, W, C]`; a 4D correlation is `[B, Hq, Wq, Hs, Ws]`, query first.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.lax import PrecisionLike
from jaxtyping import Array, Float, Shaped

from hsnet_jax.resize import resize_bilinear


def mask_features(
  features: Sequence[Float[Array, 'B _h _w _c']], mask: Shaped[Array | np.ndarray, 'B H W']
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Eq. 1: discards the background of support features.

  Args:
    features: the support's feature maps, of any sizes.
    mask: the support's mask in [0, 1], numbers of any kind or bool, of any size.

  Returns:
    Each map times the mask resized to it bilinearly with aligned corners.
  """
  sizes = sorted({f.shape[1:3] for f in features})
  mask = jnp.asarray(mask).astype(jnp.float32)[..., None]
  soft = {size: resize_bilinear(mask, size) for size in sizes}
  return tuple(f * soft[f.shape[1:3]].astype(f.dtype) for f in features)


def _normalize(x: Float[Array, '*shape C'], eps: float) -> Float[Array, '*shape C']:
  # At least float32: a sum of squares outgrows float16, and eps is nothing beside a bfloat16.
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
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
  """Eq. 2: the cosine of every query position with every support position, clamped at 0.

  Args:
    query: the query's feature maps.
    support: the support's, masked or not.
    eps: added to each norm, so that a vector of zeros correlates with nothing.
    precision: of the products.

  Returns:
    4D correlations in [0, 1], query positions first.
  """
  query, support = _normalize(query, eps), _normalize(support, eps)
  return jnp.maximum(jnp.einsum('bhwc,bijc->bhwij', query, support, precision=precision), 0)


def _levels_by_size(features: Sequence[Float[Array, 'B _h _w _c']]) -> tuple[int, ...]:
  """How many neighbouring maps share a size, finest first."""
  counts: list[int] = []
  previous = None
  for f in features:
    if f.shape[1:3] == previous:
      counts[-1] += 1
    else:
      counts.append(1)
    previous = f.shape[1:3]
  return tuple(counts)


def hypercorrelation(
  query_features: Sequence[Float[Array, 'B _hq _wq _c']],
  support_features: Sequence[Float[Array, 'B _hs _ws _c']],
  *,
  levels: Sequence[int] | None = None,
  precision: PrecisionLike = 'highest',
) -> tuple[Float[Array, 'B _Hq _Wq _Hs _Ws _L'], ...]:
  """The pyramid of stacked 4D correlations (Sec. 4.1).

  Args:
    query_features: the query's maps in the network's order, finest first.
    support_features: the support's, masked or not; as many, with the same channels.
    levels: how many maps each level of the pyramid has, finest first. Without it, neighbouring
      maps of equal size form a level, which tiny images can mislead.
    precision: of the products.

  Returns:
    One tensor a level, coarsest first, with the level's maps on the last axis in their order.

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
  pyramid = []
  first = 0
  for count in levels:
    pairs = zip(
      query_features[first : first + count], support_features[first : first + count], strict=True
    )
    maps = [cosine_correlation(q, s, precision=precision) for q, s in pairs]
    pyramid.append(jnp.stack(maps, axis=-1))
    first += count
  return tuple(reversed(pyramid))
