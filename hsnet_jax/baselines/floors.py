"""Marks queries without looking at them: what a score is worth is seen beside these.

Each is a method as `experiments.evaluation.methods` has them: it takes a batch of episodes and
gives one set of logits, whose order and sign alone mean something.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hsnet_jax.baselines.stacked import Batch, resize_to_queries
from hsnet_jax.resize import map_size

RADIUS = 1 / 3  # Of a picture's shorter side.


def everything_logits(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, '1 batch h w 2']:
  """Marks every pixel of the queries."""
  del model, variables
  return _logits(jnp.ones(batch['query_mask'].shape, bool))


def nothing_logits(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, '1 batch h w 2']:
  """Marks no pixel of the queries."""
  del model, variables
  return _logits(jnp.zeros(batch['query_mask'].shape, bool))


def disc_logits(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, '1 batch h w 2']:
  """Marks a disc in the middle of each query, a third of its shorter side in radius.

  Photographs mostly show their object there, so this is no low floor.

  Args:
    model: not used, and so are the variables.
    variables: not used.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    `[1, B, h, w, 2]`.
  """
  del model, variables
  height, width = map_size(batch['query_mask'])
  count = batch['query_mask'].shape[0]
  sizes = batch.get('query_size', np.broadcast_to(np.array([height, width]), (count, 2)))
  sizes = jnp.asarray(sizes).astype(jnp.float32)[:, :, None, None]
  rows = jnp.arange(height, dtype=jnp.float32)[None, :, None] + 0.5 - sizes[:, 0] / 2
  columns = jnp.arange(width, dtype=jnp.float32)[None, None, :] + 0.5 - sizes[:, 1] / 2
  radius = RADIUS * jnp.min(sizes, axis=1)
  return _logits(jnp.square(rows) + jnp.square(columns) <= jnp.square(radius))


def mean_foreground_logits(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, '1 batch h w 2']:
  """Marks what half of the supports' own masks or more mark at the same place.

  It says how much of a score is owed to where objects lie and how large they are, all the more
  where supports are cut to their object.

  Args:
    model: not used, and so are the variables.
    variables: not used.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    `[1, B, h, w, 2]`.
  """
  del model, variables
  mean = jnp.mean(jnp.asarray(batch['support_masks']).astype(jnp.float32), axis=1)
  return _logits(resize_to_queries(mean[..., None], batch)[..., 0] >= 0.5)


def _logits(marked: Bool[Array, 'batch h w']) -> Float[Array, '1 batch h w 2']:
  margin = jnp.where(marked, 1.0, -1.0).astype(jnp.float32)
  return jnp.stack([jnp.zeros_like(margin), margin], axis=-1)[None]
