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

from experiments.evaluation.prediction.queries import Query, read_query
from experiments.evaluation.prediction.windows import blend, cut, look_again
from hsnet_jax.backbones import normalize
from hsnet_jax.errors import InputError
from hsnet_jax.inference import SupportSet, combination, match_shots
from hsnet_jax.inference.matching import mask_supports
from hsnet_jax.model import HSNet, fold_backbone
from hsnet_jax.models import Model
from hsnet_jax.resize import bilinear_matrix, map_size

Size = tuple[int, int]

# Of the images that go through the network at a time, so that what it needs for them is the same
# whatever their size: 8 images at the published one.
_PIXELS_AT_ONCE = 8 * 400 * 400
_MOST_AT_ONCE = 32
# Of the photographs that are held at their own size until their overlays are drawn: 100 MB, twice.
_PHOTOGRAPH_PIXELS_AT_ONCE = 32 * 2**20
# Of one photograph's logits at its own size, over all shots: 8 MB.
_LOGITS_AT_ONCE = 2**20
# Photographs whose sides are as many times so long, rounded up, share one program.
_CANVAS = 512


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
  model: Model,
  images: UInt8[np.ndarray, 'K H W 3'],
  masks: UInt8[np.ndarray, 'K H W'],
  *,
  rows: int,
  tiles: int = 1,
  combine: str = 'vote',
) -> Callable[..., list[Array]]:
  """Prepares to segment any number of photographs with a support set, which is encoded once.

  The backbone and what matches are programs of their own: one query and one support share the
  backbone's. Neither is compiled anew for photographs of another size, which the last resize takes.

  Args:
    model: a trained model.
    images: the support images.
    masks: their masks in {0, 1}.
    rows: how many images go through the network at a time.
    combine: how shots make one mask, of `hsnet_jax.inference.COMBINATIONS`.
    tiles: above 1, images are the windows of one photograph, of `cut`.

  Returns:
    `(images uint8 [B, H, W, 3], sizes (height, width)) -> masks uint8 {0, 1}`, one mask a size, of
    the first images, or of the one photograph; on the device, perhaps not computed yet, in the
    top left corner of what may be larger: the rest is background. Given `photographs`, too, at
    those sizes, it looks again at where it found something; then shots do not vote.

  Raises:
    InputError: the feature maps of images of this size do not fit one another.
  """
  module = model.module

  @functools.cache
  def support_set() -> SupportSet:
    # Put on the device in so many words: a guard against transfers lets these pass.
    features = encode(module, variables, jax.device_put(images))
    return mask(module, variables, features, jax.device_put(masks))

  _check(model, images, masks, rows=rows)
  variables = fold_backbone(model.variables, backbone=model.backbone)

  def predict_batch(
    images: np.ndarray, sizes: Sequence[Size], photographs: Sequence[np.ndarray] = ()
  ) -> list[Array]:
    found = [logits(images[start : start + rows]) for start in range(0, len(images), rows)]
    if tiles > 1:
      found = [blend(found, tiles=tiles)]
    looks = [(found[0], row) for row in range(len(sizes))]
    if len(photographs):
      count = rows if tiles == 1 else 1  # In tiles a photograph goes by itself: one window.
      looks = look_again(logits, found[0], photographs, size=map_size(images), rows=count)
    return [resized_mask(*look, size=size) for look, size in zip(looks, sizes, strict=True)]

  def logits(images: np.ndarray) -> Array:
    features = encode(module, variables, jax.device_put(images))
    found = match(module, variables, features, support_set())
    return found if combine == 'vote' else merge(found, by=combine)

  return predict_batch


def _check(model: Model, images: np.ndarray, masks: np.ndarray, *, rows: int) -> None:
  """Says what does not fit before anything is compiled; nothing is traced a second time."""
  module = model.module

  def predict(variables, queries, images, masks):
    supports = mask(module, variables, encode(module, variables, images), masks)
    return match(module, variables, encode(module, variables, queries), supports)

  fold = functools.partial(fold_backbone, backbone=model.backbone)
  queries = jax.ShapeDtypeStruct((rows, *images.shape[1:]), images.dtype)
  jax.eval_shape(predict, jax.eval_shape(fold, model.variables), queries, images, masks)


@functools.partial(jax.jit, static_argnums=0)
def encode(module: HSNet, variables: Any, images: UInt8[Array, 'B H W 3']) -> Any:
  """Computes the backbone's features of images as they are read."""
  return module.apply(variables, normalize(images, module.backbone), method='encode')


@functools.partial(jax.jit, static_argnums=0)
def mask(module: HSNet, variables: Any, features: Any, masks: UInt8[Array, 'K H W']) -> SupportSet:
  """Makes a support set of features and masks."""
  return mask_supports(module, variables, features, masks)


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
  matrices = []
  for n_in, n_out in zip(logits.shape[2:4], size, strict=True):
    matrix = bilinear_matrix(n_in, n_out)
    matrices.append(np.pad(matrix, ((0, -n_out % _CANVAS), (0, 0))))
  return vote_in_strips(logits, *jax.device_put((np.int32(row), *matrices)))


@jax.jit
def vote_in_strips(logits, row, rows, columns) -> UInt8[Array, 'H W']:
  """Resizes the logits of one photograph by a matrix for each axis, and votes.

  Args:
    logits: `[K, B, h, w, 2]`.
    row: which of the photographs, int32.
    rows: weights of the height, float32 `[H, h]`; rows of zeros make background.
    columns: weights of the width, `[W, w]`.

  Returns:
    The mask, {0, 1}.
  """
  one = jax.lax.dynamic_index_in_dim(logits, row, axis=1, keepdims=False)
  (shots, _, narrow, _), height, width = one.shape, len(rows), len(columns)
  tall = jnp.einsum('oh,bhwc->bowc', rows.astype(one.dtype), one, precision='highest')
  strip_rows = min(height, max(1, _LOGITS_AT_ONCE // (shots * width)))
  # Rows that fill the last strip up are background.
  tall = jnp.pad(tall, ((0, 0), (0, -height % strip_rows), (0, 0), (0, 0)))
  strips = jnp.moveaxis(tall.reshape(shots, -1, strip_rows, narrow, 2), 1, 0)

  def count(strip):
    wide = jnp.einsum('ow,bhwc->bhoc', columns.astype(one.dtype), strip, precision='highest')
    return jnp.sum(wide[..., 1] > wide[..., 0], 0, dtype=jnp.uint8 if shots < 256 else jnp.int32)

  counts = jax.lax.map(count, strips).reshape(-1, width)[:height]
  # As `vote` has it, of sums that are made and without doubling what has 8 bits.
  largest = jnp.maximum(jnp.max(counts), 1)
  return (counts >= largest - largest // 2).astype(jnp.uint8)


def segment_files(
  predict_batch: Callable[..., list[Array]],
  queries: Sequence[Query],
  *,
  size: Size,
  rows: int,
  tiles: int = 1,
  second_look: bool = False,
) -> Iterator[Segmented | Unreadable]:
  """Segments photographs, several at a time; each is decoded once, when its turn comes.

  Args:
    predict_batch: of `predictor`.
    queries: the photographs.
    size: (height, width) that the network sees.
    rows: how many images go through it at a time, as `images_at_once` says.
    tiles: above 1, photographs go through one by one, each cut in so many parts along a side.
    second_look: whether `predict_batch` is given the photographs as well.

  Yields:
    What was found, or why it cannot be read, in order; while the device works on the next few
    already, unless photographs go through one by one.
  """
  waiting: list[Unreadable | tuple[Query, np.ndarray, Array]] = []
  step = rows if tiles == 1 else 1
  for start in range(0, len(queries), step):
    if step == 1:
      # Of photographs so large none is held beside the one that is read.
      yield from _finished(waiting)
    batch = [_read(query) for query in queries[start : start + step]]
    photographs = [one[1] for one in batch if not isinstance(one, Unreadable)]
    masks: Iterator[Array] = iter(())
    if photographs:
      small = [part for image in photographs for part in cut(image, size, tiles=tiles)]
      # Copies fill a batch up: one shape is compiled once.
      stacked = np.stack(small + small[-1:] * (-len(small) % rows))
      again = {'photographs': photographs} if second_look else {}
      masks = iter(predict_batch(stacked, [image.shape[:2] for image in photographs], **again))
      del again
    del photographs
    yield from _finished(waiting)
    waiting = [one if isinstance(one, Unreadable) else (*one, next(masks)) for one in batch]
    del batch, masks  # The iterator would hold every canvas of the batch.
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
    if isinstance(one, Unreadable):
      yield one
    else:
      query, image, canvas = one
      height, width = image.shape[:2]
      # A view would hold the whole canvas as long as someone has the mask.
      found = Segmented(query, image, np.asarray(canvas)[:height, :width].copy())
      del one, image, canvas
      yield found
      del found


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
