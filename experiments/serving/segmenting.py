"""Segments pictures by a fitted segmenter, several at a time, without what no answer holds.

Masks are those of `Segmenter.predict`; probabilities at a picture's own size, which take eight
times the memory of the picture, are never whole.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

from hsnet_jax import Segmenter
from hsnet_jax.segmenter import programs


class Judgment(NamedTuple):
  """Holds what was found of one class in one picture.

  Attributes:
    name: of the class.
    area: pixels that are marked.
    confidence: the mean foreground probability of its mask; 0 where nothing is marked.
    presence: how probable it is that the class is there at all, 0 to 1.
  """

  name: str
  area: int
  confidence: float
  presence: float


class Segmented(NamedTuple):
  """Holds what was found in one picture, at its own size.

  Attributes:
    label: 0 on the background, i + 1 on the i-th class.
    classes: what was found of each.
  """

  label: UInt8[np.ndarray, 'h w']
  classes: tuple[Judgment, ...]


def segment(
  segmenter: Segmenter,
  pictures: UInt8[np.ndarray, 'B S S 3'],
  sizes: Sequence[tuple[int, int]],
  *,
  rows: int = 1,
) -> list[Segmented]:
  """Finds the classes of a segmenter in pictures.

  Args:
    segmenter: fitted.
    pictures: as the network sees them.
    sizes: (height, width) of each as it came.
    rows: copies fill the batch up to so many, so that several counts share a program.
  """
  fitted, module = segmenter.fitted, segmenter.model.module
  assert fitted is not None
  filling = np.repeat(pictures[-1:], max(rows - len(pictures), 0), axis=0)
  batch = jax.device_put(np.concatenate([pictures, filling]))
  features = programs.encode(module, fitted.variables, batch)
  logits = [programs.match(module, fitted.variables, features, one) for one in fitted.sets]
  if segmenter.combine != 'vote':
    logits = [programs.merge(one, by=segmenter.combine) for one in logits]
  return [_judge(logits, row, size, segmenter.classes) for row, size in enumerate(sizes)]


def _judge(
  logits: Sequence[Any], row: int, size: tuple[int, int], names: Sequence[str]
) -> Segmented:
  inside = np.s_[: size[0], : size[1]]  # Of canvases that many sizes share.
  judged = [programs.judged(one, row, size=size) for one in logits]
  masks = [np.ascontiguousarray(np.asarray(one.mask)[inside]) for one in judged]
  label = _label(masks, logits, row, size)
  areas = np.bincount(label.ravel(), minlength=len(names) + 1)[1:]
  classes = [
    Judgment(name, int(area), float(one.confidence), float(one.presence))
    for name, area, one in zip(names, areas, judged, strict=True)
  ]
  return Segmented(label, tuple(classes))


def _label(
  masks: Sequence[np.ndarray], logits: Sequence[Any], row: int, size: tuple[int, int]
) -> UInt8[np.ndarray, 'h w']:
  """Says which class is where; of several the one with the highest margin, as `Found` has it."""
  label = np.zeros(size, np.uint8)
  highest = None
  if len(masks) > 1 and np.sum(masks, axis=0, dtype=np.uint8).max() > 1:
    highest = np.full(size, -np.inf, np.float32)
  for number, (mask, one) in enumerate(zip(masks, logits, strict=True), 1):
    is_own = mask > 0
    if highest is not None:
      margin = np.asarray(programs.resized_margin(one, row, size=size)[0])
      margin = margin[: size[0], : size[1]]
      is_own &= margin > highest
      highest = np.where(is_own, margin, highest)
    label[is_own] = number
  return label
