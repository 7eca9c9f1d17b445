"""Matches queries with K shots: from images to logits, one set a shot.

Images are `[B, H, W, 3]`, normalized as the backbone wants them but for `episode_logits`; masks are
`[B, H, W]` in {0, 1}. All are pure functions and may be jitted with the model as a static argument:

    segment_jit = jax.jit(segment, static_argnums=0, static_argnames='output_size')

Without that the backbone runs one operation at a time, each compiled by itself.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Shaped

from hsnet_jax.backbones.pixels import normalize
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import PUBLISHED
from hsnet_jax.extensions.presence import leave_empty, likeness
from hsnet_jax.inference.shots import Segmentation, combine_shots
from hsnet_jax.inference.table import combination
from hsnet_jax.resize import Size, map_size, resize_bilinear_each


class SupportSet(NamedTuple):
  """Holds K support images of one class, ready to be matched with any number of queries.

  Attributes:
    features: the backbone's maps, masked (Eq. 1) and divided by their norm (Eq. 2), each
      `[K, h, w, C]`, in the network's order.
    prototypes: the pooled maps, each `[K, 2, C]`, where the network takes any.
  """

  features: tuple[Array, ...]
  prototypes: tuple[Array, ...] = ()


def encode_support(
  model: Any,
  variables: Mapping[str, Any],
  images: Float[Array | np.ndarray, 'shots h w 3'],
  masks: Shaped[Array | np.ndarray, 'masks h w'],
) -> SupportSet:
  """Encodes and masks K support images, once for any number of queries.

  Args:
    model: an `HSNet`.
    variables: its variables.
    images: the support images, `[K, H, W, 3]`, normalized.
    masks: their masks, `[K, H, W]` in {0, 1}.

  Returns:
    A `SupportSet` for `segment`; a pytree.

  Raises:
    InputError: there are no images, or not as many masks.
  """
  _check_shots(len(images), len(masks))
  head, pictures = getattr(model, 'head', PUBLISHED), jnp.asarray(images)
  features = model.apply(variables, head.support_images(pictures, masks), method='encode')
  return mask_supports(model, variables, head.support_features(features), masks)


def mask_supports(
  model: Any,
  variables: Mapping[str, Any],
  features: Any,
  masks: Shaped[Array | np.ndarray, 'masks h w'],
) -> SupportSet:
  """Makes a support set of K images' features, `[K, h, w, c]` a map, and their masks (Eq. 1).

  The arguments are those of `encode_support`, with `Head.support_features` in place of the images.
  """
  masks = jnp.asarray(masks).astype(jnp.float32)
  masked = model.apply(variables, features, masks, method='mask_support_features')
  if not getattr(model, 'pools', False):
    return SupportSet(tuple(masked))
  pooled = model.apply(variables, features, masks, method='pool_support_features')
  return SupportSet(tuple(masked), tuple(pooled))


def segment(
  model: Any,
  variables: Mapping[str, Any],
  query_images: Float[Array | np.ndarray, 'batch h w 3'],
  support_set: SupportSet,
  *,
  output_size: Size | None = None,
  combine: str = 'vote',
) -> Segmentation:
  """Segments the class of one support set in many queries.

  The backbone runs once on the queries, whatever K is, and not at all on the supports.
  Shots are matched one after the other, so that beside the support set only K sets of logits
  grow with K.

  Args:
    model: an `HSNet`.
    variables: its variables.
    query_images: the queries, `[B, H, W, 3]`, normalized; their size may differ from the
      supports' where the network allows it.
    support_set: from `encode_support`.
    output_size: (height, width) of the answer; by default the size of the queries.
    combine: how the shots make one mask, of `COMBINATIONS`; by their vote, as published. What a
      checkpoint is used with its record says (`Model.config['combine']`).

  Returns:
    A `Segmentation` of all queries at `output_size`.

  Raises:
    InputError: there is no such way to combine them.
  """
  features = model.apply(variables, jnp.asarray(query_images), method='encode')
  size = output_size or map_size(query_images)
  logits = match_shots(model, variables, features, support_set, output_size=size)
  return combine_shots(combination(combine)(logits))


def match_shots(
  model: Any,
  variables: Mapping[str, Any],
  query_features: Sequence[Float[Array, 'batch _h _w _c']],
  support_set: SupportSet,
  *,
  output_size: Size | None = None,
  unroll: bool = False,
) -> Float[Array, 'shots batch out_h out_w 2']:
  """Computes logits of queries whose features are known, a set per shot of one support set.

  Args:
    model: an `HSNet`.
    variables: its variables.
    query_features: of the queries, from the model's `encode`, each `[B, h, w, C]`.
    support_set: from `encode_support`.
    output_size: of the logits; by default the decoder's own, twice the finest feature map.
    unroll: whether each shot has a part of the program of its own, in place of a loop over them:
      for runtimes that are slow at loops.

  Returns:
    `[K, B, h, w, 2]`, channel 1 the foreground. By the model's `presence_threshold` nothing is
    marked in queries in which, on average over the shots, what is found is too unlike the object.
  """
  size = None if output_size is None else (output_size[0], output_size[1])
  options: dict[str, Any] = {'output_size': size, 'unroll': unroll}
  found = _match_set(model, variables, tuple(query_features), support_set, **options)
  return _present(model, *found)[0]


def predict_episodes(
  model: Any,
  variables: Mapping[str, Any],
  query: Float[Array | np.ndarray, 'batch h w 3'],
  supports: Float[Array | np.ndarray, 'batch shots hs ws 3'],
  masks: Shaped[Array | np.ndarray, 'batch masks hs ws'],
  *,
  output_size: Size | None = None,
  own_sizes: Integer[Array | np.ndarray, 'batch 2'] | None = None,
  with_likeness: bool = False,
) -> Any:
  """Computes logits of a batch of episodes, one set per shot.

  One backbone pass sees the queries and all supports, B + B K images (B + 2 B K by hybrid masking);
  then shots are matched one after the other, so that the memory of the 4D tensors does not grow
  with K. Neither does it under `grad`, which with K > 1 computes them a second time.

  Args:
    model: an `HSNet`.
    variables: its variables.
    query: the queries, `[B, H, W, 3]`, normalized.
    supports: the supports of each query, `[B, K, H, W, 3]`, normalized; of the queries' size.
    masks: the supports' masks, `[B, K, H, W]` in {0, 1}.
    output_size: (height, width) of the logits; by default the size of the queries.
    own_sizes: (height, width) of each query's photograph, none above `output_size`: its logits
      go to that size in one step, and lie in the top left corner.
    with_likeness: whether to return `extensions.presence.likeness` as well, the mean of the shots';
      for a model with a `presence_threshold`.

  Returns:
    `[K, B, h, w, 2]`, channel 1 the foreground, for `combine_shots` and `mean_margin`; nothing is
    marked where the likeness is below the model's threshold. With likeness, logits and `[B]`.

  Raises:
    InputError: there are no supports, or not as many masks.
    ValueError: queries and supports differ in size.
  """
  check_one_size(query, supports)
  _check_shots(supports.shape[1], masks.shape[1])
  (batch, shots), head = supports.shape[:2], getattr(model, 'head', PUBLISHED)
  by_shot, by_shot_masks = (jnp.moveaxis(jnp.asarray(x), 1, 0) for x in (supports, masks))
  flat, flat_masks = (x.reshape(-1, *x.shape[2:]) for x in (by_shot, by_shot_masks))
  images = jnp.concatenate([jnp.asarray(query), head.support_images(flat, flat_masks)])
  features = model.apply(variables, images, method='encode')
  query_features = tuple(x[:batch] for x in features)
  support_features = head.support_features([x[batch:] for x in features])
  support_features = tuple(x.reshape(shots, batch, *x.shape[1:]) for x in support_features)
  by_shot_masks = by_shot_masks.astype(jnp.float32)
  height, width = output_size or map_size(query)
  size = height, width
  pairs, one_size = (support_features, by_shot_masks), size if own_sizes is None else None
  found = _match_episodes(model, variables, query_features, pairs, output_size=one_size)
  logits, alike = _present(model, *found)
  if own_sizes is not None:
    each = functools.partial(resize_bilinear_each, sizes=jnp.asarray(own_sizes), canvas=size)
    logits = jax.vmap(each)(logits)
  return (logits, alike) if with_likeness else logits


def episode_logits(
  model: Any,
  variables: Mapping[str, Any],
  batch: Mapping[str, Array | np.ndarray],
  *,
  with_likeness: bool = False,
) -> Any:
  """Computes the logits of a batch of episodes as loaders give it: the one way from it to logits.

  Args:
    model: an `HSNet`.
    variables: its variables.
    batch: `query_image` uint8 `[B, H, W, 3]`, `query_mask` `[B, H2, W2]` for the size of the
      logits, `support_images` uint8 `[B, K, H, W, 3]`, `support_masks` `[B, K, H, W]`; where
      masks are at the photographs' own sizes, `query_size` `[B, 2]`.
    with_likeness: as for `predict_episodes`.

  Returns:
    As `predict_episodes`, at the size of the query's masks.
  """
  return predict_episodes(
    model,
    variables,
    normalize(batch['query_image'], model.backbone),
    normalize(batch['support_images'], model.backbone),
    batch['support_masks'],
    output_size=map_size(batch['query_mask']),
    own_sizes=batch.get('query_size'),
    with_likeness=with_likeness,
  )


def check_one_size(query: Any, supports: Any) -> None:
  """Raises ValueError unless queries and supports, `[..., H, W, 3]`, fit one backbone pass."""
  sizes = [' x '.join(map(str, x.shape[-3:-1])) for x in (query, supports)]
  if sizes[0] != sizes[1]:
    raise ValueError(
      f'queries of {sizes[0]} and supports of {sizes[1]} pixels do not go through the backbone as '
      'one batch: bring them to one size, or use encode_support and segment'
    )


def _check_shots(images: int, masks: int) -> None:
  if not images or images != masks:
    raise InputError(f'{images} support images and {masks} masks: give each image its mask')


def _threshold(model: Any) -> float | None:
  return getattr(model, 'presence_threshold', None)


def _likeness(query_features: Any, pooled: Any, logits: Array) -> Array:
  """Computes the likeness of one shot, by the coarsest map."""
  return likeness(query_features[-1], pooled[-1][:, 0], logits[..., 1] - logits[..., 0])


def _present(model: Any, logits: Array, alike: Any) -> tuple[Array, Any]:
  """Leaves pictures empty whose mean likeness is below the model's threshold, and returns it."""
  threshold = _threshold(model)
  if threshold is None:
    return logits, None
  mean = jnp.mean(alike, axis=0)
  return leave_empty(logits, mean >= threshold), mean


# Compiled even where the caller is not: an uncompiled loop would be compiled anew each time.
@functools.partial(jax.jit, static_argnames=('model', 'output_size', 'unroll'), inline=True)
def _match_set(model, variables, query_features, support_set: SupportSet, *, output_size, unroll):
  """Computes logits `[K, B, h, w, 2]` of one support set for all queries, and likenesses."""
  batch = query_features[0].shape[0]

  def match(shot):
    # Here and not before the loop, where it would make K x B copies.
    shot = jax.tree.map(lambda x: jnp.broadcast_to(x, (batch, *x.shape)), shot)
    pooled = {'prototypes': shot.prototypes} if shot.prototypes else {}
    options: dict[str, Any] = {'method': 'match_masked', 'output_size': output_size, **pooled}
    logits = model.apply(variables, query_features, shot.features, **options)
    if _threshold(model) is None:
      return logits, ()
    return logits, _likeness(query_features, shot.prototypes, logits)

  return _one_by_one(match, support_set, unroll=unroll)


@functools.partial(jax.jit, static_argnames=('model', 'output_size'), inline=True)
def _match_episodes(model, variables, query_features, shots, *, output_size):
  """Computes logits `[K, B, h, w, 2]` of each query's own shots `[K, B, ...]`, and likenesses."""

  def match(shot):
    logits = model.apply(variables, query_features, *shot, output_size=output_size, method='match')
    if _threshold(model) is None:
      return logits, ()
    pooled = model.apply(variables, *shot, method='pool_support_features')
    return logits, _likeness(query_features, pooled, logits)

  return _one_by_one(match, shots)


def _one_by_one(match: Callable[[Any], Any], shots: Any, *, unroll: bool = False) -> Any:
  """Matches one shot after the other."""
  count = jax.tree.leaves(shots)[0].shape[0]
  if count == 1:
    return jax.tree.map(lambda x: x[None], match(jax.tree.map(lambda x: x[0], shots)))
  if unroll:
    each = [match(jax.tree.map(lambda x, i=i: x[i], shots)) for i in range(count)]
    return jax.tree.map(lambda *x: jnp.stack(x), *each)
  # A gradient keeps nothing of a shot but its inputs; a loop needs no guard against merging.
  return jax.lax.map(jax.checkpoint(match, prevent_cse=False), shots)
