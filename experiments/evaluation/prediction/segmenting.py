"""Segments photographs with a support set, several at a time, in memory that has a bound."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from data_pipelines.reading.arrays import resize_image
from experiments.evaluation.prediction.queries import Query, read_query
from hsnet_jax.backbones import normalize
from hsnet_jax.errors import InputError
from hsnet_jax.inference import encode_support, match_shots
from hsnet_jax.models import Model
from hsnet_jax.resize import resize_bilinear

Size = tuple[int, int]

# Of the images that go through the network at a time, so that what it needs for them is the same
# whatever their size: 8 images at the published one.
_PIXELS_AT_ONCE = 8 * 400 * 400
_MOST_AT_ONCE = 32
# Of the photographs that are held at their own size until their overlays are drawn: 100 MB, twice.
_PHOTOGRAPH_PIXELS_AT_ONCE = 32 * 2**20
# Of one photograph's logits at its own size, over all shots: 8 MB.
_LOGITS_AT_ONCE = 2**20


@dataclasses.dataclass(frozen=True)
class Segmented:
  """Holds a photograph and what was found in it.

  Attributes:
    query: the photograph.
    image: its pixels, uint8 `[h, w, 3]`.
    mask: {0, 1} of its size, uint8 `[h, w]`.
  """

  query: Query
  image: np.ndarray
  mask: np.ndarray


@dataclasses.dataclass(frozen=True)
class Unreadable:
  """Holds a query that could not be read, and why."""

  query: Query
  error: InputError


def predictor(
  model: Model, images: UInt8[np.ndarray, 'K H W 3'], masks: UInt8[np.ndarray, 'K H W']
) -> Callable[[np.ndarray, Sequence[Size]], list[Array]]:
  """Encodes a support set, once, to segment any number of photographs with.

  The network is compiled for the one size it sees; only the last resize, from the decoder's logits
  straight to the photograph, is compiled anew for photographs of another size.

  Args:
    model: a trained model.
    images: the support images.
    masks: their masks in {0, 1}.

  Returns:
    `(images uint8 [B, H, W, 3], sizes (height, width)) -> masks uint8 {0, 1} [height, width]`, one
    mask a size, of the first images; on the device, perhaps not computed yet.
  """
  module, variables = model.module, model.variables
  encode = jax.jit(lambda v, x, m: encode_support(module, v, normalize(x, module.backbone), m))
  # Put on the device in so many words: a guard against transfers lets these pass.
  support_set = encode(variables, *jax.device_put((images, masks)))

  @jax.jit
  def logits(variables, images, support_set) -> Float[Array, 'K B h w 2']:
    pixels = normalize(images, module.backbone)
    features: Any = module.apply(variables, pixels, method='encode')
    return match_shots(module, variables, features, support_set)

  @functools.partial(jax.jit, static_argnames='size')
  def finish(logits, row, *, size: Size):
    one = jax.lax.dynamic_index_in_dim(logits, row, axis=1, keepdims=False)
    return resized_mask(one, size=size)

  def predict_batch(images: np.ndarray, sizes: Sequence[Size]) -> list[Array]:
    found = logits(variables, jax.device_put(images), support_set)
    return [
      finish(found, jax.device_put(np.int32(row)), size=tuple(size))
      for row, size in enumerate(sizes)
    ]

  return predict_batch


@functools.partial(jax.jit, static_argnames='size', inline=True)
def resized_mask(
  logits: Float[Array | np.ndarray, 'K h w 2'], *, size: Size
) -> UInt8[Array, 'H W']:
  """Votes a mask at a photograph's size; logits of that size are never in memory whole.

  Args:
    logits: a set for each shot.
    size: (height, width) of the mask.

  Returns:
    The mask that `combine_shots` makes of the logits resized, {0, 1}.
  """
  (shots, _, narrow, _), (height, width) = logits.shape, size
  tall = resize_bilinear(jnp.asarray(logits), (height, narrow))
  rows = min(height, max(1, _LOGITS_AT_ONCE // (shots * width)))
  # Rows that fill the last strip up are background.
  tall = jnp.pad(tall, ((0, 0), (0, -height % rows), (0, 0), (0, 0)))
  strips = jnp.moveaxis(tall.reshape(shots, -1, rows, narrow, 2), 1, 0)

  def count(strip):
    wide = resize_bilinear(strip, (rows, width))
    return jnp.sum(wide[..., 1] > wide[..., 0], 0, dtype=jnp.uint8 if shots < 256 else jnp.int32)

  counts = jax.lax.map(count, strips).reshape(-1, width)[:height]
  # As `vote` has it, of sums that are made and without doubling what has 8 bits.
  largest = jnp.maximum(jnp.max(counts), 1)
  return (counts >= largest - largest // 2).astype(jnp.uint8)


def segment_files(
  predict_batch: Callable[[np.ndarray, Sequence[Size]], list[Array]],
  queries: Sequence[Query],
  *,
  size: Size,
  rows: int,
) -> Iterator[Segmented | Unreadable]:
  """Segments photographs, several at a time; each is decoded once, when its turn comes.

  Args:
    predict_batch: of `predictor`.
    queries: the photographs.
    size: (height, width) that the network sees.
    rows: how many go through it at a time, as `images_at_once` says.

  Yields:
    What was found, or why it cannot be read, in order; while the device works on the next few
    already, unless photographs go through one by one.
  """
  waiting: list[Unreadable | tuple[Query, np.ndarray, Array]] = []
  for start in range(0, len(queries), rows):
    if rows == 1:
      # Of photographs so large none is held beside the one that is read.
      yield from _finished(waiting)
    batch = [_read(query) for query in queries[start : start + rows]]
    photographs = [one[1] for one in batch if not isinstance(one, Unreadable)]
    masks: Iterator[Array] = iter(())
    if photographs:
      small = [resize_image(image, size) for image in photographs]
      # Copies fill a batch up: one shape is compiled once.
      stacked = np.stack(small + small[-1:] * (rows - len(small)))
      masks = iter(predict_batch(stacked, [image.shape[:2] for image in photographs]))
    del photographs
    yield from _finished(waiting)
    waiting = [one if isinstance(one, Unreadable) else (*one, next(masks)) for one in batch]
    del batch
  yield from _finished(waiting)


def _read(query: Query) -> tuple[Query, np.ndarray] | Unreadable:
  try:
    return query, read_query(query)
  except InputError as error:
    return Unreadable(query, error)


def _finished(waiting: list[Any]) -> Iterator[Segmented | Unreadable]:
  """Takes what is waiting out of its list, so that no photograph is held longer than needed."""
  while waiting:
    one = waiting.pop(0)
    yield one if isinstance(one, Unreadable) else Segmented(one[0], one[1], np.asarray(one[2]))
    del one


def images_at_once(count: int, size: Size, *, largest: int = 0) -> int:
  """Says how many photographs go through the network at a time, so that memory stays bounded.

  Args:
    count: how many there are.
    size: (height, width) that the network sees.
    largest: pixels of the largest photograph at its own size.

  Returns:
    How many, evenly: of 33 that fit by 32, 17.
  """
  most = min(_PIXELS_AT_ONCE // (size[0] * size[1]), _MOST_AT_ONCE)
  most = max(1, min(most, _PHOTOGRAPH_PIXELS_AT_ONCE // max(largest, 1)))
  return math.ceil(count / math.ceil(count / most))
