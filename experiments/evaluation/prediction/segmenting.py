"""Segments photographs with a support set, several at a time, in memory that has a bound."""

import dataclasses
import functools
import math
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, UInt8

from experiments.evaluation.prediction.queries import Query, read_query
from experiments.evaluation.prediction.windows import blend, cut, look_again
from hsnet_jax.errors import InputError
from hsnet_jax.inference import SupportSet
from hsnet_jax.model import fold_backbone
from hsnet_jax.models import Model
from hsnet_jax.resize import Size, map_size
from hsnet_jax.segmenter.programs import Judged, encode, encode_supports, judged, match, merge

# Of the images that go through the network at a time, so that what it needs for them is the same
# whatever their size: 8 images at the published one.
_PIXELS_AT_ONCE = 8 * 400 * 400
_MOST_AT_ONCE = 32
# Of the photographs that are held at their own size until their overlays are drawn: 100 MB, twice.
_PHOTOGRAPH_PIXELS_AT_ONCE = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class Segmented:
  """Holds a photograph and what was found in it.

  Attributes:
    query: the photograph.
    image: its pixels, uint8 `[h, w, 3]`.
    mask: {0, 1} of its size, uint8 `[h, w]`.
    confidence: the mean probability of what is marked, 0 where nothing is.
    presence: how probable it is that the object is there at all.
  """

  query: Query
  image: np.ndarray
  mask: np.ndarray
  confidence: float
  presence: float


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
) -> Callable[..., list[Judged]]:
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
    `(images uint8 [B, H, W, 3], sizes (height, width)) -> [Judged, ...]`, one a size, of the first
    images, or of the one photograph; on the device, perhaps not computed yet, its mask in the top
    left corner of what may be larger: the rest is background. Given `photographs`, too, at those
    sizes, it looks again at where it found something; then shots do not vote.

  Raises:
    InputError: the feature maps of images of this size do not fit one another.
  """
  module = model.module

  @functools.cache
  def support_set() -> SupportSet:
    # Put on the device in so many words: a guard against transfers lets these pass.
    return encode_supports(module, variables, *jax.device_put((images, masks)))

  _check(model, images, masks, rows=rows)
  variables = fold_backbone(model.variables, backbone=model.backbone)

  def predict_batch(
    images: np.ndarray, sizes: Sequence[Size], photographs: Sequence[np.ndarray] = ()
  ) -> list[Judged]:
    found = [logits(images[start : start + rows]) for start in range(0, len(images), rows)]
    if tiles > 1:
      found = [blend(found, tiles=tiles)]
    looks = [(found[0], row) for row in range(len(sizes))]
    if len(photographs):
      count = rows if tiles == 1 else 1  # In tiles a photograph goes by itself: one window.
      looks = look_again(logits, found[0], photographs, size=map_size(images), rows=count)
    return [judged(*look, size=size) for look, size in zip(looks, sizes, strict=True)]

  def logits(images: np.ndarray) -> Array:
    features = encode(module, variables, jax.device_put(images))
    found = match(module, variables, features, support_set())
    return found if combine == 'vote' else merge(found, by=combine)

  return predict_batch


def _check(model: Model, images: np.ndarray, masks: np.ndarray, *, rows: int) -> None:
  """Says what does not fit before anything is compiled; nothing is traced a second time."""
  module = model.module

  def predict(variables, queries, images, masks):
    supports = encode_supports(module, variables, images, masks)
    return match(module, variables, encode(module, variables, queries), supports)

  fold = functools.partial(fold_backbone, backbone=model.backbone)
  queries = jax.ShapeDtypeStruct((rows, *images.shape[1:]), images.dtype)
  jax.eval_shape(predict, jax.eval_shape(fold, model.variables), queries, images, masks)


def segment_files(
  predict_batch: Callable[..., list[Judged]],
  queries: Sequence[Query],
  *,
  size: Size,
  rows: int,
  tiles: int = 1,
  second_look: bool = False,
  passed: Container[Query] = (),
) -> Iterator[Segmented | Unreadable]:
  """Segments photographs, several at a time; each is decoded once, when its turn comes.

  Args:
    predict_batch: of `predictor`.
    queries: the photographs.
    size: (height, width) that the network sees.
    rows: how many images go through it at a time, as `images_at_once` says.
    tiles: above 1, photographs go through one by one, each cut in so many parts along a side.
    second_look: whether `predict_batch` is given the photographs as well.
    passed: those of the queries that are not asked for. They go through only beside others, which
      so share a batch with the same ones as ever: rounding may depend on that.

  Yields:
    What was found, or why it cannot be read, in order; while the device works on the next few
    already, unless photographs go through one by one.
  """
  waiting: list[Unreadable | tuple[Query, np.ndarray, Judged]] = []
  step = rows if tiles == 1 else 1
  for start in range(0, len(queries), step):
    asked = queries[start : start + step]
    if all(query in passed for query in asked):
      continue
    if step == 1:
      # Of photographs so large none is held beside the one that is read.
      yield from _finished(waiting)
    batch = [_read(query) for query in asked]
    if all(isinstance(one, Unreadable) or one[0] in passed for one in batch):
      batch = [one for one in batch if isinstance(one, Unreadable)]
    photographs = [one[1] for one in batch if not isinstance(one, Unreadable)]
    found: Iterator[Judged] = iter(())
    if photographs:
      small = [part for image in photographs for part in cut(image, size, tiles=tiles)]
      # Copies fill a batch up: one shape is compiled once.
      stacked = np.stack(small + small[-1:] * (-len(small) % rows))
      again = {'photographs': photographs} if second_look else {}
      found = iter(predict_batch(stacked, [image.shape[:2] for image in photographs], **again))
      del again
    del photographs
    yield from _finished(waiting)
    waiting = [one if isinstance(one, Unreadable) else (*one, next(found)) for one in batch]
    waiting = [one for one in waiting if _query_of(one) not in passed]
    del batch, found  # The iterator would hold every canvas of the batch.
  yield from _finished(waiting)


def _query_of(one: Unreadable | tuple[Query, np.ndarray, Judged]) -> Query:
  return one.query if isinstance(one, Unreadable) else one[0]


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
      query, image, answer = one
      height, width = image.shape[:2]
      # A view would hold the whole canvas as long as someone has the mask.
      mask = np.asarray(answer.mask)[:height, :width].copy()
      sure = (float(np.asarray(x)) for x in (answer.confidence, answer.presence))
      found = Segmented(query, image, mask, *sure)
      del one, image, answer, mask, sure
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
