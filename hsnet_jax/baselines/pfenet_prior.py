"""Computes PFENet's training-free prior (Tian et al., 2020): the best match of each position.

"Prior Guided Feature Enrichment Network for Few-Shot Segmentation", arXiv 2008.01449, "Prior
Generation", Eq. 1 to 4. There the map goes to a trained network with other features; here one
threshold is found on it. The paper takes the last map of a ResNet; here it is the coarsest level,
whose maps' cosines are averaged.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from hsnet_jax.baselines.prototype import find_threshold, prototype_episode_logits
from hsnet_jax.baselines.stacked import Batch, resize_to_queries, stack_episodes
from hsnet_jax.correlation import cosine_correlation

EPS = 1e-7  # Of Eq. 4.


def prior_map(
  query: Float[Array, 'batch h w c'],
  supports: Float[Array, 'batch shots hs ws c'],
  masks: Float[Array, 'batch shots hs ws'],
) -> Float[Array, 'batch h w']:
  """Computes the largest cosine of each query position with the supports' masked features.

  Each support's map is stretched to [0, 1] over the query (Eq. 4); then their mean is taken. A
  cosine below 0 counts as the 0 that masked positions have.

  Args:
    query: the query's features, `[B, h, w, C]`.
    supports: the supports', `[B, K, hs, ws, C]`.
    masks: the supports' masks in [0, 1], at the size of their features.

  Returns:
    Priors in [0, 1]; zeros where the query is alike everywhere or a mask is empty.
  """
  shots, maps = supports.shape[1], []
  for k in range(shots):
    masked = supports[:, k] * masks[:, k, :, :, None]  # Eq. 1
    best = cosine_correlation(query, masked).max(axis=(3, 4))  # Eq. 2 and 3
    low, high = (f(best, axis=(1, 2), keepdims=True) for f in (jnp.min, jnp.max))
    maps.append((best - low) / (high - low + EPS))  # Eq. 4
  return sum(maps[1:], start=maps[0]) / shots


def pfenet_prior_scores(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, 'batch out_h out_w']:
  """Computes the priors of a batch of episodes as loaders give it.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    Scores in [0, 1], at the size of the query's masks.

  Raises:
    ValueError: queries and supports differ in size.
  """
  prior = prior_map(*stack_episodes(model, variables, batch, levels=1))
  return resize_to_queries(prior[..., None], batch)[..., 0]


# As a prototype's, of these scores.
pfenet_prior_logits = functools.partial(prototype_episode_logits, scores=pfenet_prior_scores)
fit_pfenet_prior = functools.partial(find_threshold, scores=pfenet_prior_scores)
