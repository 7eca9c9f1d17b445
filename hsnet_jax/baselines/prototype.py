"""Computes the training-free floor: masked average pooling, cosine similarity, one threshold.

It uses the backbone's features alone, so it says how much of a result the features already
give. Nothing is learned but a single threshold, the one with the best mIoU over episodes of the
training folds. Images are `[B, H, W, 3]`, normalized; masks `[B, H, W]` in {0, 1}; scores
`[B, H, W]` in [-1, 1].
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Shaped

from hsnet_jax.backbones.pixels import normalize
from hsnet_jax.backbones.table import get_backbone
from hsnet_jax.baselines.threshold import ScoreHistogram, score_histogram
from hsnet_jax.extensions.prior import level_means, prototypes
from hsnet_jax.inference.matching import check_one_size
from hsnet_jax.resize import map_size, resize_bilinear, resize_bilinear_each

_EPS = 1e-5  # added to norms, as in Eq. 2


def prototype_scores(
  query_features: Sequence[Float[Array, 'batch _h _w _c']],
  support_prototypes: Sequence[Float[Array, 'batch _c']],
  *,
  levels: Sequence[int],
  output_size: tuple[int, int],
  own_sizes: Integer[Array | np.ndarray, 'batch 2'] | None = None,
) -> Float[Array, 'batch out_h out_w']:
  """Computes the cosine of every query position with the prototype.

  Averaged over the maps of a level, brought to the output's size bilinearly with aligned
  corners, then averaged over levels: each level weighs the same, however many maps it has.

  Args:
    query_features: the query's maps, each `[B, h, w, C]`, finest level first.
    support_prototypes: a prototype per map, each `[B, C]`.
    levels: how many maps each level has, finest first.
    output_size: (height, width) of the scores.
    own_sizes: (height, width) of each query's photograph, none above `output_size`: its scores go
      to that size, and lie in the top left corner.

  Returns:
    Scores in [-1, 1], `[B, h, w]`.

  Raises:
    ValueError: if `levels` does not add up to the number of maps.
  """
  if not len(query_features) == len(support_prototypes) == sum(levels):
    raise ValueError(
      f'{len(query_features)} query maps, {len(support_prototypes)} prototypes and levels of '
      f'{tuple(levels)} maps do not agree'
    )
  cosines = [_cosine(q, p) for q, p in zip(query_features, support_prototypes, strict=True)]
  height, width = output_size
  scores = []
  for level in level_means(cosines, levels=levels):
    if own_sizes is None:
      scores.append(resize_bilinear(level[..., None], (height, width))[..., 0])
    else:
      each = resize_bilinear_each(level[..., None], own_sizes, canvas=(height, width))
      scores.append(each[..., 0])
  return sum(scores[1:], start=scores[0]) / len(levels)


def _cosine(query: Array, prototype: Array) -> Array:
  """Computes cosines `[B, h, w]` of `[B, h, w, C]` and `[B, C]`."""
  query = query / (jnp.linalg.norm(query, axis=-1, keepdims=True) + _EPS)
  prototype = prototype / (jnp.linalg.norm(prototype, axis=-1, keepdims=True) + _EPS)
  return jnp.einsum('bhwc,bc->bhw', query, prototype, precision='highest')


def episode_features(
  model: Any,
  variables: Mapping[str, Any],
  query: Float[Array | np.ndarray, 'batch h w 3'],
  supports: Float[Array | np.ndarray, 'batch shots hs ws 3'],
) -> Any:
  """Computes the features of a batch of episodes, the backbone run once on all their images.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    query: the queries, `[B, H, W, 3]`, normalized.
    supports: the supports of each query, `[B, K, H, W, 3]`, normalized; of the queries' size.

  Returns:
    The backbone's maps, `[B + B K, h, w, C]`: the queries', then those of each query's supports.

  Raises:
    ValueError: queries and supports differ in size.
  """
  check_one_size(query, supports)
  flat = jnp.asarray(supports).reshape(-1, *supports.shape[2:])
  return model.apply(variables, jnp.concatenate([jnp.asarray(query), flat]), method='encode')


def score_episodes(
  model: Any,
  variables: Mapping[str, Any],
  query: Float[Array | np.ndarray, 'batch h w 3'],
  supports: Float[Array | np.ndarray, 'batch shots hs ws 3'],
  masks: Shaped[Array | np.ndarray, 'batch shots hs ws'],
  *,
  levels: Sequence[int],
  output_size: tuple[int, int] | None = None,
  own_sizes: Integer[Array | np.ndarray, 'batch 2'] | None = None,
) -> Float[Array, 'batch out_h out_w']:
  """Computes the scores of a batch of episodes, the backbone run once on all their images.

  With K shots the K prototypes of an episode are averaged, as prototype networks for
  segmentation do (PANet and after), so K shots cost K times the pooling and nothing else.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    query: the queries, `[B, H, W, 3]`, normalized.
    supports: the supports of each query, `[B, K, H, W, 3]`, normalized; of the queries' size.
    masks: the supports' masks, `[B, K, H, W]` in {0, 1}.
    levels: how many maps each level has, finest first.
    output_size: (height, width) of the scores; by default the size of the queries.
    own_sizes: (height, width) of each query's photograph, as for `prototype_scores`.

  Returns:
    Scores in [-1, 1], `[B, h, w]`; foreground is `score > threshold`.

  Raises:
    ValueError: queries and supports differ in size, or `levels` does not fit the backbone.
  """
  batch, shots = supports.shape[:2]
  features = episode_features(model, variables, query, supports)
  flat_masks = jnp.asarray(masks).reshape(-1, *masks.shape[2:])
  pooled = prototypes(tuple(x[batch:] for x in features), flat_masks)
  return prototype_scores(
    tuple(x[:batch] for x in features),
    tuple(jnp.mean(x.reshape(batch, shots, -1), axis=1) for x in pooled),
    levels=levels,
    output_size=output_size or map_size(query),
    own_sizes=own_sizes,
  )


def episode_scores(
  model: Any, variables: Mapping[str, Any], batch: Mapping[str, Array | np.ndarray]
) -> Float[Array, 'batch out_h out_w']:
  """Computes the scores of a batch of episodes as loaders give it: the one way from it to scores.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    batch: as for `hsnet_jax.inference.episode_logits`.

  Returns:
    As `score_episodes`, at the size of the query's masks.

  Raises:
    ValueError: queries and supports differ in size.
  """
  spec = get_backbone(model.backbone)
  return score_episodes(
    model,
    variables,
    normalize(batch['query_image'], spec),
    normalize(batch['support_images'], spec),
    batch['support_masks'],
    levels=spec.levels,
    output_size=map_size(batch['query_mask']),
    own_sizes=batch.get('query_size'),
  )


def prototype_logits(
  scores: Float[Array, '*batch h w'], threshold: float | Float[Array, '']
) -> Float[Array, '*batch h w 2']:
  """Turns scores into logits, so that whatever judges HSNet judges the floor by the same code.

  Args:
    scores: `[B, H, W]`.
    threshold: the score above which a pixel is foreground.

  Returns:
    `[B, H, W, 2]`: 0 for the background, `score - threshold` for the foreground. Their order
    and the sign of their margin mean something, the probabilities do not.
  """
  return jnp.stack([jnp.zeros_like(scores), scores - threshold], axis=-1)


def prototype_episode_logits(
  model: Any,
  variables: Mapping[str, Any],
  batch: Mapping[str, Array | np.ndarray],
  *,
  threshold: float,
  scores: Callable[..., Float[Array, 'batch out_h out_w']] = episode_scores,
) -> Float[Array, '1 batch out_h out_w 2']:
  """Computes the `prototype_logits` of a batch, one set however many shots there are.

  Args:
    model: an `HSNet`, of which `encode` is used.
    variables: its variables.
    batch: as for `hsnet_jax.inference.episode_logits`.
    threshold: the score above which a pixel is foreground; see `find_threshold`.
    scores: `(model, variables, batch) -> scores`, what the threshold is of.

  Returns:
    `[1, B, H, W, 2]`.
  """
  return prototype_logits(scores(model, variables, batch), threshold)[None]


def find_threshold(
  model: Any,
  variables: Mapping[str, Any],
  batches: Iterable[Mapping[str, Array]],
  *,
  episodes: int,
  num_classes: int,
  scores: Callable[..., Float[Array, 'batch out_h out_w']] = episode_scores,
) -> dict[str, float]:
  """Finds the single threshold with the best mIoU on training episodes.

  Args:
    model: an `HSNet`; only its `encode` is used.
    variables: its variables.
    batches: training batches; the caller closes them.
    episodes: how many episodes of them to use; whole batches.
    num_classes: class ids are below.
    scores: `(model, variables, batch) -> scores in [-1, 1]`, what the threshold is of.

  Returns:
    'threshold' and the 'miou' it reaches there.
  """

  @jax.jit
  def count(variables, batch):
    found = scores(model, variables, batch)
    return score_histogram(found, batch['query_mask'], batch['query_ignore'])

  histogram, seen = ScoreHistogram.empty(num_classes), 0
  for batch in batches:
    class_id, valid = jax.device_get((batch['class_id'], batch['valid']))
    histogram = histogram.update(count(variables, batch), class_id, valid)
    seen += int(valid.sum())
    if seen >= episodes:
      break
  return histogram.result()
