"""Stacks a backbone's maps into the one map that methods from elsewhere start from.

Published methods are over one map, mostly of trained features. Here they get the two coarsest
levels of the frozen backbone, those of the `margin`, so that methods differ and features do not. A
stacked vector has length 1, and the product of two is the mean over levels of the mean over a
level's maps of their cosines.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsnet_jax.backbones.pixels import normalize
from hsnet_jax.backbones.table import get_backbone
from hsnet_jax.baselines.prototype import episode_features
from hsnet_jax.correlation import normalize_features
from hsnet_jax.extensions.head import Head
from hsnet_jax.resize import map_size, resize_bilinear, resize_bilinear_each

LEVELS = 2

Batch = Mapping[str, Array | np.ndarray]


class Stacked(NamedTuple):
  """Holds the stacked features of a batch of episodes, and the supports' masks at their size.

  Attributes:
    query: float32 `[B, h, w, C]`.
    supports: float32 `[B, K, h, w, C]`.
    masks: in [0, 1], float32 `[B, K, h, w]`; fractions where a mask's edge runs.
  """

  query: Array
  supports: Array
  masks: Array


def stack_maps(
  maps: Sequence[Float[Array, 'n _h _w _c']], *, levels: Sequence[int]
) -> Float[Array, 'n h w c']:
  """Stacks maps along their channels, at the size of the finest.

  Each is resized bilinearly with aligned corners, divided by its norm (Eq. 2 of HSNet), and
  weighted so that levels count alike.

  Args:
    maps: each `[N, h, w, C]`, finest level first.
    levels: how many maps each level has.

  Returns:
    Vectors of length 1, float32; shorter where a map has a vector of zeros.
  """
  size = map_size(maps[0])
  weights = [1 / math.sqrt(count * len(levels)) for count in levels for _ in range(count)]
  units = [normalize_features(resize_bilinear(x.astype(jnp.float32), size)) for x in maps]
  return jnp.concatenate([w * x for w, x in zip(weights, units, strict=True)], axis=-1)


def stack_episodes(
  model: Any, variables: Mapping[str, Any], batch: Batch, *, levels: int = LEVELS
) -> Stacked:
  """Computes the stacked features of a batch of episodes as loaders give it.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    batch: as for `hsnet_jax.inference.episode_logits`.
    levels: how many of the backbone's levels, the coarsest; all if it has fewer.

  Returns:
    The `Stacked` features. Masks are resized as in Eq. 1 of HSNet.

  Raises:
    ValueError: queries and supports differ in size.
  """
  spec = get_backbone(model.backbone)
  query, supports = (normalize(batch[name], spec) for name in ('query_image', 'support_images'))
  count, shots = supports.shape[:2]
  features = episode_features(model, variables, query, supports)
  head = Head(correlated_levels=min(levels, len(spec.levels)))
  maps = stack_maps(head.matched(features, spec.levels), levels=head.correlated(spec.levels))
  masks = jnp.asarray(batch['support_masks']).astype(jnp.float32)
  masks = resize_bilinear(masks.reshape(-1, *masks.shape[2:], 1), map_size(maps))
  size = map_size(maps)
  return Stacked(
    maps[:count], maps[count:].reshape(count, shots, *size, -1), masks.reshape(count, shots, *size)
  )


def resize_to_queries(
  maps: Float[Array, 'batch h w c'], batch: Batch
) -> Float[Array, 'batch out_h out_w c']:
  """Resizes maps to the queries' masks, bilinearly with aligned corners.

  Args:
    maps: `[B, h, w, C]`.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    `[B, H, W, C]`; with `query_size` each in the top left corner, at its photograph's size.
  """
  size = map_size(batch['query_mask'])
  if 'query_size' not in batch:
    return resize_bilinear(maps, size)
  return resize_bilinear_each(maps, jnp.asarray(batch['query_size']), canvas=size)
