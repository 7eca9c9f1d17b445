"""Scores queries by prototype mixtures, fitted to the supports by EM (Yang et al., 2020).

"Prototype Mixture Models for Few-shot Semantic Segmentation", arXiv 2008.03898. Several prototypes
stand for the object and several for its surroundings, where one each averages unlike parts away. Of
the paper this is all that needs no training: the mixtures and the query's probability under both
(P-Conv). There a trained decoder sees that map beside the query's features joined with each
prototype (P-Match); here one threshold is found on it.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsnet_jax.baselines.prototype import find_threshold, prototype_episode_logits
from hsnet_jax.baselines.stacked import Batch, resize_to_queries, stack_episodes
from hsnet_jax.correlation import normalize_features

PROTOTYPES = 3  # Of a mixture; this and what follows as in the authors' code.
KAPPA = 20.0  # Concentration of the von Mises-Fisher kernel.
STEPS = 10  # Of EM.


def fit_mixture(
  features: Float[Array, 'batch positions c'],
  weights: Float[Array, 'batch positions'],
  *,
  count: int = PROTOTYPES,
  steps: int = STEPS,
) -> Float[Array, 'batch count c']:
  """Fits prototypes to weighted features by EM ("Prototype Mixture Models").

  E-step: `E_ik = exp(kappa mu_k . s_i) / sum_k exp(kappa mu_k . s_i)`. M-step: `mu_k = sum_i E_ik
  s_i / sum_i E_ik`, divided by its norm. The paper starts from random directions; here the first
  is that of the mean, and each further one the feature that is least like those before, so that a
  result is the same each time and in any order of positions.

  Args:
    features: s, vectors of length 1.
    weights: in [0, 1], how much each belongs to what is fitted.
    count: how many prototypes.
    steps: of EM.

  Returns:
    Prototypes mu of length 1; zeros where no feature has weight.
  """
  means = functools.partial(jnp.einsum, 'bnk,bnc->bkc', precision='highest')
  similarities = functools.partial(jnp.einsum, 'bnc,bkc->bnk', features, precision='highest')

  def step(_, prototypes):
    belongs = jax.nn.softmax(KAPPA * similarities(prototypes), axis=-1) * weights[..., None]
    return normalize_features(means(belongs, features))

  start = normalize_features(means(weights[..., None], features))
  for _ in range(count - 1):
    unlike = weights * (1 - jnp.max(similarities(start), axis=-1))
    at = jnp.argmax(unlike, axis=1)[:, None, None]
    start = jnp.concatenate([start, jnp.take_along_axis(features, at, axis=1)], axis=1)
  return jax.lax.fori_loop(0, steps, step, start)


def mixture_scores(
  query: Float[Array, 'batch h w c'],
  foreground: Float[Array, 'batch count c'],
  background: Float[Array, 'batch count c'],
) -> Float[Array, 'batch h w']:
  """Computes how much likelier a query position is under the foreground's mixture (P-Conv).

  The softmax goes over the prototypes of both mixtures, with the kernel of the E-step.

  Args:
    query: vectors of length 1.
    foreground: prototypes from `fit_mixture`.
    background: likewise.

  Returns:
    The foreground's probability less the background's, in [-1, 1].
  """
  both = jnp.concatenate([foreground, background], axis=1)
  similarity = jnp.einsum('bhwc,bkc->bhwk', query, both, precision='highest')
  probability = jax.nn.softmax(KAPPA * similarity, axis=-1)
  count = foreground.shape[1]
  return probability[..., :count].sum(-1) - probability[..., count:].sum(-1)


def pmm_scores(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, 'batch out_h out_w']:
  """Computes the scores of a batch of episodes as loaders give it.

  A mixture is fitted to the positions of all K supports together.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    Scores in [-1, 1], at the size of the query's masks.

  Raises:
    ValueError: queries and supports differ in size.
  """
  query, supports, masks = stack_episodes(model, variables, batch)
  count, channels = len(query), query.shape[-1]
  features, weights = supports.reshape(count, -1, channels), masks.reshape(count, -1)
  mixtures = fit_mixture(features, weights), fit_mixture(features, 1 - weights)
  return resize_to_queries(mixture_scores(query, *mixtures)[..., None], batch)[..., 0]


# As a prototype's, of these scores.
pmm_logits = functools.partial(prototype_episode_logits, scores=pmm_scores)
fit_pmm = functools.partial(find_threshold, scores=pmm_scores)
