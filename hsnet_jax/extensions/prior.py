"""Computes what features say without training: cosines with the object and its surroundings.

Masked average pooling gives a prototype of the support's object, and one of all else in its
picture. A query position's cosine with the first less that with the second is a map of the object
that needs no training, from which a head may start (docs/recipes.md says what it is worth).
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from hsnet_jax.correlation import normalize_features
from hsnet_jax.resize import map_size, resize_bilinear


def prototypes(
  features: Sequence[Float[Array, 'n _h _w _c']], mask: Shaped[Array | np.ndarray, 'n h w']
) -> tuple[Float[Array, 'n _c'], ...]:
  """Pools features under the mask: their mean there, for every map.

  The mask is brought to the size of the features as in Eq. 1, bilinearly with aligned corners,
  and its fractions are weights.

  Args:
    features: the support's maps, each `[N, h, w, C]`.
    mask: the support's masks, `[N, H, W]` in {0, 1}.

  Returns:
    One `[N, C]` per map; zeros where nothing of the mask is left at that size.
  """
  mask = jnp.asarray(mask).astype(jnp.float32)[..., None]
  pooled = []
  for feature in features:
    weight = resize_bilinear(mask, map_size(feature))[..., 0]
    total = jnp.einsum('nhw,nhwc->nc', weight, feature, precision='highest')
    area = jnp.sum(weight, axis=(1, 2))[:, None]
    pooled.append(total / jnp.where(area > 0, area, 1.0))
  return tuple(pooled)


def both_prototypes(
  features: Sequence[Float[Array, 'n _h _w _c']], mask: Shaped[Array | np.ndarray, 'n h w']
) -> tuple[Float[Array, 'n 2 _c'], ...]:
  """Pools features under the mask and beside it, and divides both by their norm.

  Args:
    features: the support's maps, each `[N, h, w, C]`.
    mask: the support's masks, `[N, H, W]` in {0, 1}.

  Returns:
    One `[N, 2, C]` per map in float32, the object first; zeros where there is nothing to pool.
  """
  features = tuple(f.astype(jnp.float32) for f in features)
  mask = jnp.asarray(mask).astype(jnp.float32)
  pairs = zip(prototypes(features, mask), prototypes(features, 1 - mask), strict=True)
  return tuple(normalize_features(jnp.stack(pair, axis=1)) for pair in pairs)


def prototype_cosines(
  features: Sequence[Float[Array, 'n _h _w _c']], pooled: Sequence[Float[Array, 'n 2 _c']]
) -> tuple[Float[Array, 'n _h _w 2'], ...]:
  """Computes the cosines of every query position with both prototypes, map by map.

  Args:
    features: the query's maps, each `[N, h, w, C]`.
    pooled: from `both_prototypes`.

  Returns:
    Cosines in [-1, 1], each `[N, h, w, 2]`, the object first.
  """
  return tuple(
    jnp.einsum('nhwc,npc->nhwp', normalize_features(f.astype(jnp.float32)), p, precision='highest')
    for f, p in zip(features, pooled, strict=True)
  )


def prior_margin(
  cosines: Sequence[Float[Array, 'n _h _w 2']], *, levels: Sequence[int], size: tuple[int, int]
) -> Float[Array, 'n h w']:
  """Averages how much nearer a query position is to the object than to its surroundings.

  Args:
    cosines: from `prototype_cosines`, finest level first.
    levels: how many maps each level has; each level weighs the same.
    size: (height, width) of the result.

  Returns:
    Differences of cosines, in [-2, 2].
  """
  means = level_means(cosines, levels=levels)
  margins = [resize_bilinear(x[..., :1] - x[..., 1:], size)[..., 0] for x in means]
  return sum(margins[1:], start=margins[0]) / len(levels)


def level_means(maps: Sequence[Array], *, levels: Sequence[int]) -> list[Array]:
  """Averages the maps of each level.

  Args:
    maps: of one size within a level, finest level first.
    levels: how many maps each level has.

  Returns:
    One map a level.
  """
  means, first = [], 0
  for count in levels:
    level = maps[first : first + count]
    means.append(sum(level[1:], start=level[0]) / count)
    first += count
  return means
