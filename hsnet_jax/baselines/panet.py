"""Segments queries by the nearer of two prototypes (PANet; Wang et al., 2019).

"PANet: Few-Shot Image Semantic Segmentation with Prototype Alignment", arXiv 1908.06391. Its
inference is non-parametric: prototypes of foreground and background by masked average pooling, and
a softmax over scaled cosines. That is `panet_logits`. Its alignment is a loss: in training,
prototypes of the query under its predicted mask are to segment the supports (PAR). Frozen features
cannot learn from a loss, so it is left out.

`panet_transductive_logits` is not the paper's: it uses prototypes of the query in the test itself.
The query and its predicted mask join the supports as one more shot, and the query is predicted
again.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from hsnet_jax.baselines.stacked import Batch, resize_to_queries, stack_episodes
from hsnet_jax.correlation import normalize_features

ALPHA = 20.0  # Scale of the cosines; "Non-parametric metric learning".


def mean_prototypes(
  features: Float[Array, 'batch images h w c'], masks: Float[Array, 'batch images h w']
) -> Float[Array, 'batch 2 c']:
  """Pools features under the masks and beside them, and averages over images.

  As in "Prototype learning", which pools features at the masks' size; here masks come at theirs.

  Args:
    features: of the K supports, or of a query alone.
    masks: in [0, 1].

  Returns:
    Prototypes of background and foreground. An image without any of one adds zeros to it, which
    changes a prototype's length but no cosine with it.
  """
  weights = jnp.stack([1 - masks, masks], axis=-1)
  total = jnp.einsum('bkhwp,bkhwc->bkpc', weights, features, precision='highest')
  area = jnp.sum(weights, axis=(2, 3))[..., None]
  return jnp.mean(total / jnp.where(area > 0, area, 1.0), axis=1)


def metric_logits(
  query: Float[Array, 'batch h w c'], prototypes: Float[Array, 'batch 2 c']
) -> Float[Array, 'batch h w 2']:
  """Computes alpha times the cosines with both prototypes, whose softmax is the prediction."""
  units = normalize_features(query), normalize_features(prototypes)
  return ALPHA * jnp.einsum('bhwc,bpc->bhwp', *units, precision='highest')


def align_prototypes(
  query: Float[Array, 'batch h w c'],
  supports: Float[Array, 'batch shots h w c'],
  masks: Float[Array, 'batch shots h w'],
  *,
  steps: int = 0,
) -> Float[Array, 'batch h w 2']:
  """Predicts a query from its supports; with `steps` then from those and its own prediction.

  Args:
    query: the query's features.
    supports: the supports'.
    masks: the supports' masks, in [0, 1].
    steps: how often what is predicted becomes a mask of the query, the shot K + 1; 0 as published.

  Returns:
    Logits, background first.
  """
  shots = masks.shape[1]
  pooled = mean_prototypes(supports, masks)
  logits = metric_logits(query, pooled)
  for _ in range(steps):
    marked = (logits[..., 1] > logits[..., 0]).astype(query.dtype)
    own = mean_prototypes(query[:, None], marked[:, None])
    logits = metric_logits(query, (shots * pooled + own) / (shots + 1))
  return logits


def panet_logits(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, '1 batch out_h out_w 2']:
  """Computes the logits of a batch of episodes as loaders give it, by the paper's inference.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    `[1, B, H, W, 2]`, at the size of the query's masks.

  Raises:
    ValueError: queries and supports differ in size.
  """
  logits = align_prototypes(*stack_episodes(model, variables, batch))
  return resize_to_queries(logits, batch)[None]


def panet_transductive_logits(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, '1 batch out_h out_w 2']:
  """Computes what `panet_logits` does, then once more with the query as one more shot.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    `[1, B, H, W, 2]`, at the size of the query's masks.

  Raises:
    ValueError: queries and supports differ in size.
  """
  logits = align_prototypes(*stack_episodes(model, variables, batch), steps=1)
  return resize_to_queries(logits, batch)[None]
