"""Compiles what segments photographs of any size: each step once, whatever the photographs' sizes.

The network sees squares of one size; what it finds goes to a photograph's own size in a last step,
on a canvas that many sizes share.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from hsnet_jax.backbones.pixels import normalize
from hsnet_jax.correlation import mask_features
from hsnet_jax.inference import SupportSet, combination, match_shots, mean_margin
from hsnet_jax.inference.matching import mask_supports
from hsnet_jax.metrics.presence import presence_score
from hsnet_jax.model import HSNet
from hsnet_jax.resize import Size, bilinear_matrix

# Of one photograph's logits at its own size, over all shots: 8 MB.
_LOGITS_AT_ONCE = 2**20
# Photographs whose sides are as many times so long, rounded up, share one program.
_CANVAS = 512


class Judged(NamedTuple):
  """Holds what was found in one photograph, and how sure the network is of it.

  Attributes:
    mask: as `resized_mask` gives it.
    confidence: the mean foreground probability of what is marked; 0 where nothing is.
    presence: the sigmoid of the photograph's `presence_score`.
  """

  mask: UInt8[Array, 'H W']
  confidence: Float[Array, '']
  presence: Float[Array, '']


@functools.partial(jax.jit, static_argnums=0)
def encode(module: HSNet, variables: Any, images: UInt8[Array, 'B H W 3']) -> Any:
  """Computes the backbone's features of images as they are read."""
  return module.apply(variables, normalize(images, module.backbone), method='encode')


@functools.partial(jax.jit, static_argnums=0)
def mask(module: HSNet, variables: Any, features: Any, masks: UInt8[Array, 'K H W']) -> SupportSet:
  """Makes a support set of features and masks."""
  return mask_supports(module, variables, features, masks)


@functools.partial(jax.jit, static_argnums=0)
def encode_masked(
  module: HSNet, variables: Any, images: UInt8[Array, 'K H W 3'], masks: UInt8[Array, 'K H W']
) -> Any:
  """Computes the features of masked pictures, for `extensions.masking.hybrid_features`."""
  pictures = normalize(images, module.backbone)
  return module.apply(variables, *mask_features((pictures,), masks), method='encode')


def encode_supports(
  module: HSNet, variables: Any, images: UInt8[Array, 'K H W 3'], masks: UInt8[Array, 'K H W']
) -> SupportSet:
  """Makes a support set of images and masks; queries share the backbone's program."""
  features = encode(module, variables, images)
  if module.head.hybrid_masking:
    features = *features, *encode_masked(module, variables, images, masks)
  return mask(module, variables, features, masks)


@functools.partial(jax.jit, static_argnums=0)
def match(
  module: HSNet, variables: Any, features: Any, support_set: SupportSet
) -> Float[Array, 'K B h w 2']:
  """Computes logits of the decoder's own size from the queries' features."""
  return match_shots(module, variables, features, support_set)


@functools.partial(jax.jit, static_argnames='by')
def merge(logits: Float[Array, 'K B h w 2'], *, by: str) -> Float[Array, '_k B h w 2']:
  """Combines shots at the decoder's size, where `evaluate` resizes each shot's logits before."""
  return combination(by)(logits)


@jax.jit
def score_presence(logits: Float[Array, 'K B h w 2']) -> Float[Array, ' B']:
  """Computes the `presence_score` of each photograph, at the decoder's size."""
  return presence_score(mean_margin(logits))


def resized_mask(
  logits: Float[Array | np.ndarray, 'K B h w 2'], row: int, *, size: Size
) -> UInt8[Array, 'H W']:
  """Votes a mask at a photograph's size; logits of that size are never in memory whole.

  Args:
    logits: of several photographs, a set for each shot.
    row: which of them.
    size: (height, width) of the mask.

  Returns:
    The mask that `combine_shots` makes of the logits resized, {0, 1}; below and right of it
    background, up to a size that many photographs share: so they share the program as well.
  """
  return vote_in_strips(logits, *_placed(logits, row, size))


def judged(logits: Float[Array | np.ndarray, 'K B h w 2'], row: int, *, size: Size) -> Judged:
  """Makes the mask of `resized_mask`, and says how sure the network is of it.

  Args:
    logits: of several photographs, a set for each shot.
    row: which of them.
    size: (height, width) of the mask.

  Returns:
    The mask, and the two figures; probabilities at the mask's size are never in memory whole.
  """
  return judge_in_strips(logits, *_placed(logits, row, size))


def resized_margin(
  logits: Float[Array | np.ndarray, 'K B h w 2'], row: int, *, size: Size
) -> tuple[Float[Array, 'H W'], Float[Array, 'H W']]:
  """Computes the margin and the foreground probability at a photograph's size.

  Args:
    logits: of several photographs, a set for each shot.
    row: which of them.
    size: (height, width) of the result.

  Returns:
    `mean_margin` of the logits resized, and its sigmoid; on a canvas as that of `resized_mask`.
  """
  return margin_in_strips(logits, *_placed(logits, row, size))


def _placed(logits: Any, row: int, size: Size) -> Any:
  """Puts on the device which photograph is meant, and the weights that bring it to its size."""
  matrices = []
  for n_in, n_out in zip(logits.shape[2:4], size, strict=True):
    matrix = bilinear_matrix(n_in, n_out)
    matrices.append(np.pad(matrix, ((0, -n_out % _CANVAS), (0, 0))))
  return jax.device_put((np.int32(row), *matrices))


@jax.jit
def vote_in_strips(
  logits: Float[Array | np.ndarray, 'K B h w 2'],
  row: Int32[Array, ''],
  rows: Float[Array, 'H h'],
  columns: Float[Array, 'W w'],
) -> UInt8[Array, 'H W']:
  """Resizes the logits of one photograph by a matrix for each axis, and votes.

  Args:
    logits: of several photographs, a set for each shot.
    row: which of the photographs.
    rows: weights of the height; rows of zeros make background.
    columns: weights of the width.

  Returns:
    The mask, {0, 1}.
  """
  counts = _in_strips(_count, _row(logits, row), rows, columns)
  return (counts >= _least(counts)).astype(jnp.uint8)


@jax.jit
def judge_in_strips(
  logits: Float[Array | np.ndarray, 'K B h w 2'],
  row: Int32[Array, ''],
  rows: Float[Array, 'H h'],
  columns: Float[Array, 'W w'],
) -> Judged:
  """Votes as `vote_in_strips` does, and averages the probability over what is marked."""
  one = _row(logits, row)
  votes = jnp.arange(1, len(one) + 1, dtype=_count_dtype(len(one)))

  def count(strip):
    counts, probability = _count(strip), jax.nn.sigmoid(mean_margin(strip))
    # How many votes mark a pixel is known at the end alone: sums by votes, a line at a time.
    ours = counts[..., None] == votes[None, None]
    sums = jnp.sum(jnp.where(ours, probability[..., None], 0.0), axis=1)
    return counts, sums, jnp.sum(ours, axis=1, dtype=jnp.float32)

  counts, *sums = _in_strips(count, one, rows, columns)
  least = _least(counts)
  marks = votes >= least
  total, pixels = (jnp.sum(jnp.where(marks, jnp.sum(x, axis=0), 0.0)) for x in sums)
  presence = jax.nn.sigmoid(presence_score(mean_margin(one[:, None]))[0])
  return Judged((counts >= least).astype(jnp.uint8), total / jnp.maximum(pixels, 1.0), presence)


@jax.jit
def margin_in_strips(
  logits: Float[Array | np.ndarray, 'K B h w 2'],
  row: Int32[Array, ''],
  rows: Float[Array, 'H h'],
  columns: Float[Array, 'W w'],
) -> tuple[Float[Array, 'H W'], Float[Array, 'H W']]:
  """Resizes as `vote_in_strips`, and computes the shots' `mean_margin` and its sigmoid."""
  margin = _in_strips(mean_margin, _row(logits, row), rows, columns)
  return margin, jax.nn.sigmoid(margin)


def _row(logits, row):
  return jax.lax.dynamic_index_in_dim(jnp.asarray(logits), row, axis=1, keepdims=False)


def _count(strip):
  """Counts the shots that mark each pixel."""
  return jnp.sum(strip[..., 1] > strip[..., 0], 0, dtype=_count_dtype(len(strip)))


def _count_dtype(shots: int) -> type:
  return jnp.uint8 if shots < 256 else jnp.int32


def _least(counts):
  """Says how many shots mark a pixel of the mask, as `vote` has it, without doubling 8 bits."""
  largest = jnp.maximum(jnp.max(counts), 1)
  return largest - largest // 2


def _in_strips(combine: Callable[[Array], Any], one, rows, columns) -> Any:
  """Combines the shots `[K, H, W, 2]` of one photograph at its size, a few rows at a time.

  What `combine` makes of a strip begins with its rows, and is joined along them.
  """
  (shots, _, narrow, _), height, width = one.shape, len(rows), len(columns)
  tall = jnp.einsum('oh,bhwc->bowc', rows.astype(one.dtype), one, precision='highest')
  strip_rows = min(height, max(1, _LOGITS_AT_ONCE // (shots * width)))
  # Rows that fill the last strip up are background.
  tall = jnp.pad(tall, ((0, 0), (0, -height % strip_rows), (0, 0), (0, 0)))
  strips = jnp.moveaxis(tall.reshape(shots, -1, strip_rows, narrow, 2), 1, 0)

  def combine_strip(strip):
    wide = jnp.einsum('ow,bhwc->bhoc', columns.astype(one.dtype), strip, precision='highest')
    return combine(wide)

  found = jax.lax.map(combine_strip, strips)
  return jax.tree.map(lambda x: x.reshape(-1, x.shape[-1])[:height], found)
