"""Draws what the `tiny` backbone is trained on: objects of none of the benchmark's 20 classes.

The same renderer as `shapes`, but outlines of `others`, three to five objects to a picture,
and labels that tell objects apart. Plain pictures (one color to an object, no clutter) come first
in training: outlines are learned on them within minutes, and then found again under textures.
"""

import functools
import multiprocessing
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from data_pipelines.shapes import others, raster, render
from data_pipelines.shapes.benchmark import stage
from data_pipelines.shapes.outlines import Maker

MAX_OBJECTS = 5
SILHOUETTE = 12  # Side of the small upright picture of an object's outline.


class Lessons(NamedTuple):
  """Holds N pictures.

  Attributes:
    image: uint8 [N, h, w, 3].
    label: uint8 [N, h, w]: 0 background, 1 to 5 the picture's objects, 255 boundary.
    classes: uint8 [N, 6], the class of each label value, from 0.
    silhouettes: uint8 [N, 6, 12, 12], the upright outline of each label value, 0 to 16.
  """

  image: UInt8[np.ndarray, '*n h w 3']
  label: UInt8[np.ndarray, '*n h w']
  classes: UInt8[np.ndarray, '*n 6']
  silhouettes: UInt8[np.ndarray, '*n 6 12 12']


@functools.cache
def _makers(count: int) -> list[Maker]:
  return [others.other_class(number) for number in others.other_classes(count)]


def draw_lesson(index: int, *, plain: bool, num_classes: int, size: int = 128) -> Lessons:
  """Draws one picture.

  Args:
    index: another index, another picture.
    plain: without textures and clutter.
    num_classes: how many classes of `others` there are, at most 255.
    size: side, pixels.

  Returns:
    A `Lessons` without the leading axis.
  """
  rng = np.random.RandomState([11, 0 if plain else 1, index])
  chosen = rng.randint(0, num_classes, int(rng.choice([3, 4, 5])))
  makers = _makers(num_classes)
  actors = stage(rng, [(k + 1, makers[int(c)]) for k, c in enumerate(chosen)], size=size)
  actors = [actor._replace(radius=size * rng.uniform(0.16, 0.3)) for actor in actors]
  if plain:
    image, label = _compose_plain(rng, actors, size)
  else:
    clutter, occluders = int(rng.randint(3, 9)), int(rng.randint(0, 2))
    image, label = render.compose(rng, actors, size=size, clutter=clutter, occluders=occluders)
  classes = np.zeros(MAX_OBJECTS + 1, np.uint8)
  classes[1 : len(chosen) + 1] = chosen
  silhouettes = np.zeros((MAX_OBJECTS + 1, SILHOUETTE, SILHOUETTE), np.uint8)
  middle = SILHOUETTE / 2
  for actor in actors:
    piece = raster.place(
      actor.outline, size=SILHOUETTE, center=(middle, middle), radius=0.42 * SILHOUETTE
    )
    silhouettes[actor.label][piece.window] = piece.coverage
  return Lessons(image, label, classes, silhouettes)


def _compose_plain(
  rng: np.random.RandomState, actors: Sequence[render.Actor], size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Renders plain objects on a plain background: image and label."""
  image = np.empty((size, size, 3), np.int16)
  image[:] = rng.randint(20, 236, 3)
  label = np.zeros((size, size), np.uint8)
  for actor in actors:
    piece = actor.drawn(size)
    height, width = piece.coverage.shape
    tries = rng.randint(20, 236, (4, 3))
    below = image[piece.top + height // 2, piece.left + width // 2]
    color = tries[np.abs(tries - below).sum(axis=1).argmax()].astype(np.int16)
    render.paint(image, piece, color, shadow=5)
    render.mark(label, piece, actor.label)
  return image.astype(np.uint8), label


def draw_lessons(
  count: int, *, plain: bool, num_classes: int, size: int = 128, processes: int = 0
) -> Lessons:
  """Draws pictures 0 to `count - 1`; see `draw_lesson`.

  Args:
    count: how many.
    plain: without textures and clutter.
    num_classes: how many classes there are.
    size: side, pixels.
    processes: how many draw at once; 0 draws in this one.

  Returns:
    The pictures.
  """
  draw = functools.partial(draw_lesson, plain=plain, num_classes=num_classes, size=size)
  if processes:
    # Spawned, since JAX's threads do not survive a fork.
    with multiprocessing.get_context('spawn').Pool(processes) as pool:
      drawn = pool.map(draw, range(count), chunksize=50)
  else:
    drawn = [draw(index) for index in range(count)]
  return Lessons(*(np.stack(arrays) for arrays in zip(*drawn, strict=True)))
