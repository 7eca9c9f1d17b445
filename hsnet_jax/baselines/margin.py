"""Computes what a head with a prior starts from: nearer to the object than to its surroundings.

The `prototype` says how near a query position is to the support's object; this one takes off how
near it is to everything else in the support's picture, over the two coarsest levels alone, whose
features mean most. A head trained on top of it is to be judged against it.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsnet_jax.backbones.pixels import normalize
from hsnet_jax.backbones.table import get_backbone
from hsnet_jax.baselines.prototype import (
  episode_features,
  find_threshold,
  prototype_episode_logits,
)
from hsnet_jax.extensions.head import Head
from hsnet_jax.extensions.prior import both_prototypes, prior_margin, prototype_cosines
from hsnet_jax.resize import map_size, resize_bilinear_each

LEVELS = 2

Batch = Mapping[str, Array | np.ndarray]


def margin_scores(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, 'batch out_h out_w']:
  """Computes the margins of a batch of episodes as loaders give it.

  With K shots the K pairs of prototypes of an episode are averaged.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    Differences of cosines in [-2, 2], at the size of the query's masks. Thresholds are searched in
    [-1, 1]: those of features lie within a tenth or two of 0.

  Raises:
    ValueError: queries and supports differ in size.
  """
  spec = get_backbone(model.backbone)
  query, supports = (normalize(batch[name], spec) for name in ('query_image', 'support_images'))
  count, shots = supports.shape[:2]
  features = episode_features(model, variables, query, supports)
  head = Head(correlated_levels=min(LEVELS, len(spec.levels)))
  maps = head.matched(features, spec.levels)
  masks = jnp.asarray(batch['support_masks']).reshape(-1, *batch['support_masks'].shape[2:])
  pooled = both_prototypes(tuple(x[count:] for x in maps), masks)
  pooled = tuple(x.reshape(count, shots, *x.shape[1:]).mean(1) for x in pooled)
  cosines = prototype_cosines(tuple(x[:count] for x in maps), pooled)
  levels, size = head.correlated(spec.levels), map_size(batch['query_mask'])
  if 'query_size' not in batch:
    return prior_margin(cosines, levels=levels, size=size)
  small = prior_margin(cosines, levels=levels, size=map_size(maps[0]))
  sizes = jnp.asarray(batch['query_size'])
  return resize_bilinear_each(small[..., None], sizes, canvas=size)[..., 0]


# As a prototype's, of these scores.
margin_episode_logits = functools.partial(prototype_episode_logits, scores=margin_scores)
fit_margin = functools.partial(find_threshold, scores=margin_scores)
