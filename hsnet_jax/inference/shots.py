"""Makes one mask of what K shots say: by their vote, as published, or by a mean of probabilities.

Logits are `[K, B, H, W, 2]`, a set per shot, channel 1 the foreground. `combine_shots` makes masks
of them, `mean_margin` scores for the AUC. Every other way than the vote (`table` lists them) first
makes one set of logits of the K, whose margin is that of its own mean: mask and score agree.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Shaped

from hsnet_jax.errors import InputError

# Shots that agree alike to so much are not told apart: which came first must not matter.
_TIE = 1e-5

Logits = Float[Array | np.ndarray, 'shots *batch h w 2']
Sizes = Integer[Array | np.ndarray, '*batch 2'] | None


class Segmentation(NamedTuple):
  """Holds what the model says about some queries.

  Attributes:
    mask: the vote of the shots, uint8 {0, 1}, `[B, h, w]`.
    probability: foreground probability averaged over the shots, float32 `[B, h, w]`.
  """

  mask: Array
  probability: Array


def vote(
  predictions: Bool[Array | np.ndarray, 'shots *batch h w']
  | Integer[Array | np.ndarray, 'shots *batch h w'],
) -> Shaped[Array, '*batch h w']:
  """Votes over K shots as published.

  The K masks are summed and divided by that image's own largest count (at least 1);
  foreground is where the quotient is 0.5 or more. A pixel that two of five shots mark is
  therefore foreground in an image where no pixel has more than four marks.

  Args:
    predictions: masks in {0, 1}, one per shot, `[K, B, H, W]`.

  Returns:
    The voted masks, `[B, H, W]`, in the type of the predictions.
  """
  predictions = jnp.asarray(predictions)
  count = jnp.sum(predictions, axis=0, dtype=jnp.int32)
  largest = jnp.max(count, axis=(-2, -1), keepdims=True)
  # count / max(largest, 1) >= 1/2, in whole numbers.
  return (2 * count >= jnp.maximum(largest, 1)).astype(predictions.dtype)


def mean_margin(logits: Float[Array | np.ndarray, 'shots *batch 2']) -> Float[Array, '*batch']:
  """Computes the logit margin of the K-shot foreground probability.

  The K-shot probability is the mean of the shots' probabilities, `p = mean_k softmax(z_k)_1`;
  the margin is `log(p / (1 - p))`, found without forming p, which float32 rounds to 1 from 17 on.
  It ranks pixels for the AUC; masks come from `vote`, which is not the same as thresholding p.

  Args:
    logits: one set per shot, `[K, B, H, W, 2]`, channel 1 the foreground.

  Returns:
    float32 `[B, H, W]`, whose sigmoid is p. With one shot, that shot's own margin.
  """
  logits = jnp.asarray(logits).astype(jnp.float32)
  margin = logits[..., 1] - logits[..., 0]
  if len(margin) == 1:
    return margin[0]
  foreground = jax.nn.logsumexp(jax.nn.log_sigmoid(margin), axis=0)
  return foreground - jax.nn.logsumexp(jax.nn.log_sigmoid(-margin), axis=0)


def vote_shots(logits: Logits, *, sizes: Sizes = None) -> Float[Array, 'shots *batch h w 2']:
  """Returns the logits of all shots as they are: `combine_shots` votes over them.

  Args:
    logits: one set per shot, `[K, B, H, W, 2]`.
    sizes: as `agreement_shots` takes them; of no use here.

  Returns:
    The same.
  """
  del sizes
  return jnp.asarray(logits)


def mean_shots(logits: Logits, *, sizes: Sizes = None) -> Float[Array, '1 *batch h w 2']:
  """Makes one set of logits of K, of the shots' mean probability, to take in place of the vote.

  Args:
    logits: one set per shot, `[K, B, H, W, 2]`.
    sizes: as `agreement_shots` takes them; of no use here.

  Returns:
    float32 `[1, B, H, W, 2]`, background 0, foreground `mean_margin`; one shot's as they are.
  """
  del sizes
  logits = jnp.asarray(logits)
  return logits if len(logits) == 1 else _as_logits(mean_margin(logits))


def shot_agreement(logits: Logits, *, sizes: Sizes = None) -> Float[Array, '*shots_and_batch']:
  """Computes how far each shot agrees with the others, by a soft IoU of probabilities.

  With `p_k = softmax(z_k)_1` and `q_k` the mean of the other shots' p, the agreement of an image is
  `sum min(p_k, q_k) / sum max(p_k, q_k)` over its pixels: the IoU where both are {0, 1} (weighted
  Jaccard similarity, also Ruzicka's).

  Args:
    logits: one set per shot, `[K, B, H, W, 2]`.
    sizes: (height, width) of each image, `[B, 2]`, where it lies in the top left corner of the
      logits: what is beyond counts nowhere. None: all counts.

  Returns:
    float32 `[K, B]` in [0, 1]; 1 where neither has anything, and with a single shot.
  """
  logits = jnp.asarray(logits).astype(jnp.float32)
  probability = jax.nn.sigmoid(logits[..., 1] - logits[..., 0])
  shots, height, width = len(logits), *logits.shape[-3:-1]
  if shots == 1:
    return jnp.ones(probability.shape[:-2], jnp.float32)
  if sizes is not None:
    ends = jnp.asarray(sizes)[..., None]
    rows, columns = (
      jnp.arange(n).reshape((1,) * (ends.ndim - 2) + (n,)) < ends[..., axis, :]
      for axis, n in enumerate((height, width))
    )
    probability *= (rows[..., None] & columns[..., None, :])[None]
  # In so many products, so that of two shots each is exactly the other's mean of the others.
  share = (1 - np.eye(shots, dtype=np.float32)) / (shots - 1)
  others = jnp.einsum('jk,k...->j...', share, probability, precision='highest')
  shared = jnp.minimum(probability, others).sum((-2, -1))
  either = jnp.maximum(probability, others).sum((-2, -1))
  return jnp.where(either > 0, shared / jnp.where(either > 0, either, 1.0), 1.0)


def agreement_shots(logits: Logits, *, sizes: Sizes = None) -> Float[Array, '1 *batch h w 2']:
  """Makes one set of logits of K, of the mean probability weighted by each shot's agreement.

  Args:
    logits: one set per shot, `[K, B, H, W, 2]`.
    sizes: as `shot_agreement` takes them.

  Returns:
    float32 `[1, B, H, W, 2]`, background 0, foreground the margin `log(p / (1 - p))` of
    `p = sum_k a_k p_k / sum_k a_k`, a of `shot_agreement`; the mean where no shot agrees with any
    other. One shot's as they are.
  """
  logits = jnp.asarray(logits)
  if len(logits) == 1:
    return logits
  weights = shot_agreement(logits, sizes=sizes)
  nowhere = jnp.all(weights == 0, axis=0, keepdims=True)
  return _weighted_shots(logits, jnp.where(nowhere, 1.0, weights))


def best_shots(
  logits: Logits, *, keep: int | None = None, sizes: Sizes = None
) -> Float[Array, '1 *batch h w 2']:
  """Makes one set of logits of K, of the mean probability of those shots that agree best.

  Args:
    logits: one set per shot, `[K, B, H, W, 2]`.
    keep: how many, by `shot_agreement`; by default half of them, rounded up. Those that agree as
      well as the last of them are taken too (so both of two).
    sizes: as `shot_agreement` takes them.

  Returns:
    float32 `[1, B, H, W, 2]` as of `mean_shots`; one shot's as they are.

  Raises:
    InputError: there are not so many shots, or `keep` is below 1.
  """
  logits = jnp.asarray(logits)
  shots = len(logits)
  keep = -(-shots // 2) if keep is None else keep
  if not 1 <= keep <= shots:
    raise InputError(f'`keep` is {keep}; of {shots} shots keep 1 to {shots}')
  if shots == 1:
    return logits
  agreement = shot_agreement(logits, sizes=sizes)
  last = jnp.sort(agreement, axis=0)[shots - keep][None]
  return _weighted_shots(logits, (agreement >= last - _TIE).astype(jnp.float32))


def combine_shots(logits: Logits) -> Segmentation:
  """Votes masks over the shots, and averages the foreground probability.

  Args:
    logits: one set per shot, `[K, B, H, W, 2]`. Equal logits are background.

  Returns:
    A `Segmentation` at the size of the logits.
  """
  masks = (logits[..., 1] > logits[..., 0]).astype(jnp.uint8)
  return Segmentation(vote(masks), jax.nn.sigmoid(mean_margin(logits)))


def _weighted_shots(logits: Array, weights: Array) -> Array:
  """Makes one set of logits of K `[K, B, H, W, 2]`, weighted by `[K, B]`, not all of them zero."""
  logits = logits.astype(jnp.float32)
  margin, weights = logits[..., 1] - logits[..., 0], weights[..., None, None]
  foreground = jax.nn.logsumexp(jax.nn.log_sigmoid(margin), axis=0, b=weights)
  return _as_logits(foreground - jax.nn.logsumexp(jax.nn.log_sigmoid(-margin), axis=0, b=weights))


def _as_logits(margin: Array) -> Array:
  """Makes one set of logits `[1, ..., 2]` of margins, background 0."""
  return jnp.stack([jnp.zeros_like(margin), margin], axis=-1)[None]
