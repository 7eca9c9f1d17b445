"""Fits a linear classifier to each episode, the query included (Boudiaf et al., 2021).

"Few-Shot Segmentation Without Meta-Learning: A Good Transductive Inference Is All You Need?", arXiv
2012.06166, RePRI. Per episode a weight vector and a bias go down the gradient of the supports'
cross entropy, the entropy of the query's predictions, and the KL divergence of its share of
foreground from an earlier estimate. There features are trained on the base classes; here they are
frozen.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from hsnet_jax.baselines.stacked import Batch, resize_to_queries, stack_episodes
from hsnet_jax.correlation import normalize_features

# Of "Implementation details" and the authors' code, but for the last.
STEPS = 50
RATE = 0.025  # Of plain gradient descent.
TAU = 20.0  # Scale of the cosines.
UPDATE = 10  # t_pi: after so many steps the share of foreground is estimated anew.
EPS = 1e-10  # In logarithms of shares.


class Classifier(NamedTuple):
  """Holds the linear classifier of each episode.

  Attributes:
    weights: w, `[B, C]`.
    bias: b, `[B]`; in logits, not in cosines, so that one rate suits both parameters, as in what
      the authors have published.
  """

  weights: Array
  bias: Array


def classify(
  classifier: Classifier, features: Float[Array, 'batch positions c']
) -> Float[Array, 'batch positions']:
  """Computes logits `tau cos(f, w) - b`, whose sigmoid is the foreground's probability.

  Args:
    classifier: of each episode.
    features: f, vectors of length 1.

  Returns:
    Logits of the foreground.
  """
  weights = normalize_features(classifier.weights)
  cosines = jnp.einsum('bnc,bc->bn', features, weights, precision='highest')
  return TAU * cosines - classifier.bias[:, None]


def start_classifier(
  query: Float[Array, 'batch positions c'],
  supports: Float[Array, 'batch support_positions c'],
  targets: Float[Array, 'batch support_positions'],
) -> Classifier:
  """Makes the classifier that descent starts from ("Choice of the classifier").

  Args:
    query: the query's features.
    supports: those of all supports together.
    targets: their masks, in [0, 1].

  Returns:
    The supports' mean foreground feature, and the mean of the query's logits with it as the bias.
  """
  area = jnp.sum(targets, axis=1)[:, None]
  total = jnp.einsum('bn,bnc->bc', targets, supports, precision='highest')
  unbiased = Classifier(total / jnp.where(area > 0, area, 1.0), jnp.zeros_like(area[:, 0]))
  return unbiased._replace(bias=jnp.mean(classify(unbiased, query), axis=1))


def foreground_share(classifier: Classifier, query: Float[Array, 'b n c']) -> Float[Array, 'b 2']:
  """Computes the query's shares of background and foreground: its mean probabilities."""
  logits = classify(classifier, query)
  return jnp.stack([jnp.mean(jax.nn.sigmoid(x), axis=1) for x in (-logits, logits)], axis=-1)


def objective(
  classifier: Classifier,
  query: Float[Array, 'batch positions c'],
  supports: Float[Array, 'batch support_positions c'],
  targets: Float[Array, 'batch support_positions'],
  share: Float[Array, 'batch 2'],
  *,
  entropy_weight: float,
  kl_weight: float | Float[Array, ''],
) -> Float[Array, ' batch']:
  """Computes `CE + lambda_H H + lambda_KL KL` of each episode ("Proposed objective").

  Args:
    classifier: of each episode.
    query: the query's features.
    supports: those of all supports together.
    targets: their masks, in [0, 1].
    share: pi, the shares of background and foreground that are held to.
    entropy_weight: lambda_H.
    kl_weight: lambda_KL.

  Returns:
    One number an episode.
  """
  z = classify(classifier, supports)
  log_sigmoid = jax.nn.log_sigmoid
  cross_entropy = -jnp.mean(targets * log_sigmoid(z) + (1 - targets) * log_sigmoid(-z), axis=1)
  z = classify(classifier, query)
  each = jax.nn.sigmoid(z) * log_sigmoid(z) + jax.nn.sigmoid(-z) * log_sigmoid(-z)
  entropy = -jnp.mean(each, axis=1)
  found = foreground_share(classifier, query)
  kl = jnp.sum(found * (jnp.log(found + EPS) - jnp.log(share + EPS)), axis=-1)
  return cross_entropy + entropy_weight * entropy + kl_weight * kl


def adapt_classifier(
  query: Float[Array, 'batch positions c'],
  supports: Float[Array, 'batch support_positions c'],
  targets: Float[Array, 'batch support_positions'],
  *,
  shots: int,
  steps: int = STEPS,
) -> Classifier:
  """Finds the classifier of each episode by gradient descent.

  As in "Joint estimation of B/F proportion": lambda_H and lambda_KL are 1 / K. The share that is
  held to is the first prediction's; after `UPDATE` steps it is estimated anew, once, and lambda_KL
  grows by 1.

  Args:
    query: the query's features.
    supports: those of all K supports together.
    targets: their masks, in [0, 1].
    shots: K.
    steps: of descent.

  Returns:
    The classifier.
  """
  start = start_classifier(query, supports, targets)

  def loss(classifier, share, kl_weight):
    options = {'entropy_weight': 1 / shots, 'kl_weight': kl_weight}
    return jnp.sum(objective(classifier, query, supports, targets, share, **options))

  def step(t: Integer[Array, ''], state: tuple[Classifier, Array]) -> tuple[Classifier, Array]:
    classifier, share = state
    share = jnp.where(t == UPDATE, foreground_share(classifier, query), share)
    kl_weight = jnp.where(t >= UPDATE, 1 / shots + 1, 1 / shots).astype(query.dtype)
    gradient = jax.grad(loss)(classifier, share, kl_weight)
    return jax.tree.map(lambda x, g: x - RATE * g, classifier, gradient), share

  return jax.lax.fori_loop(0, steps, step, (start, foreground_share(start, query)))[0]


def repri_logits(
  model: Any, variables: Mapping[str, Any], batch: Batch
) -> Float[Array, '1 batch out_h out_w 2']:
  """Computes the logits of a batch of episodes as loaders give it.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    `[1, B, H, W, 2]`, at the size of the query's masks; those of the background are 0.

  Raises:
    ValueError: queries and supports differ in size.
  """
  maps, supports, masks = stack_episodes(model, variables, batch)
  count, shots = masks.shape[:2]
  query, supports = (x.reshape(count, -1, maps.shape[-1]) for x in (maps, supports))
  classifier = adapt_classifier(query, supports, masks.reshape(count, -1), shots=shots)
  logits = classify(classifier, query).reshape(*maps.shape[:3], 1)
  margin = resize_to_queries(logits, batch)[..., 0]
  return jnp.stack([jnp.zeros_like(margin), margin], axis=-1)[None]
