"""Renders the pictures of `shapes`: textures, backgrounds, clutter, composition.

Everything after the outline's corners is integer arithmetic, and every random number is drawn from
`numpy.random.RandomState`, whose stream never changes: a picture is a pure function of the state's
seed, the same to the last bit on every machine. Images are uint8 [h, w, 3]; labels uint8 [h, w].
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int16, UInt8

from data_pipelines.reading.arrays import BOUNDARY
from data_pipelines.shapes import outlines
from data_pipelines.shapes.outlines import Outline
from data_pipelines.shapes.raster import FULL, ZOOM, Piece, heading, place, rasterize, within

# While it is painted, a picture has 16 bits.
Picture = Int16[np.ndarray, 'h w 3']


def value_noise(
  rng: np.random.RandomState, height: int, width: int, cell: int
) -> Int[np.ndarray, 'height width']:
  """Draws smooth noise: random values 0..255 on a grid of `cell` pixels, bilinear between them."""
  grid = rng.randint(0, 256, (height // cell + 2, width // cell + 2)).astype(np.int32)
  y, x = np.arange(height, dtype=np.int32), np.arange(width, dtype=np.int32)
  below, right = (y % cell)[:, None], (x % cell)[None]
  rows = grid[y // cell] * (cell - below) + grid[y // cell + 1] * below
  return (rows[:, x // cell] * (cell - right) + rows[:, x // cell + 1] * right) // (cell * cell)


def _direction(rng: np.random.RandomState) -> tuple[np.int32, np.int32]:
  """Draws a random direction as integers of length 256."""
  cos, sin = heading(rng.random_sample())
  return np.int32(np.floor(256 * cos + 0.5)), np.int32(np.floor(256 * sin + 0.5))


def _pattern(rng: np.random.RandomState, height: int, width: int) -> np.ndarray:
  """Draws weights 0..256 [height, width] of a texture's second color."""
  kind = rng.randint(7)
  dx, dy = _direction(rng)
  period = np.int32(rng.randint(5, 15))
  phase = np.int32(rng.randint(0, 256 * period))
  y, x = np.arange(height, dtype=np.int32)[:, None], np.arange(width, dtype=np.int32)[None]
  if kind == 0:  # Plain.
    return np.full((height, width), int(rng.randint(0, 256)))
  if kind >= 5:  # Clouds, blotches.
    noise = value_noise(rng, height, width, int(rng.randint(3, 13)))
    return noise if kind == 5 else (noise > 128) * 256
  along = ((x * dx + phase) + y * dy) // period & 255  # 256 to a period.
  if kind == 1:  # Stripes.
    return (along < 128) * 256
  if kind == 2:  # Soft waves.
    return np.abs(along * 2 - 256)
  across = ((phase - x * dy) + y * dx) // period & 255
  if kind == 3:  # Checks.
    return ((along ^ across) & 128) * 2
  u, v = along - 128, across - 128  # Dots.
  return (u * u + v * v < 72 * 72) * 256


def texture(
  rng: np.random.RandomState,
  height: int,
  width: int,
  *,
  against: Int[np.ndarray, '3'] | None = None,
) -> Picture:
  """Draws a random texture of two colors.

  Args:
    rng: random state.
    height: rows.
    width: columns.
    against: int [3], a color that it should differ from; the best of four tries is taken.

  Returns:
    int16 [height, width, 3], values 0..255.
  """
  tries = rng.randint(30, 226, (4, 1)) + rng.randint(-60, 61, (4, 3))
  tries = within(tries, 255)
  if against is None:
    first = tries[0]
  else:
    first = tries[np.argmax(np.abs(tries - against).sum(axis=1))]
  step = int(rng.randint(16, 52)) * (2 * int(rng.randint(0, 2)) - 1)
  second = within(first + step + rng.randint(-20, 21, 3), 255)
  weight = np.arange(257)[:, None]
  blend = ((first * (256 - weight) + second * weight) >> 8).astype(np.int16)
  return blend.take(_pattern(rng, height, width), axis=0)


def paint(
  image: Picture, piece: Piece, colors: Int16[np.ndarray, '*window 3'], *, shadow: int = 0
) -> None:
  """Paints a piece onto an image in place.

  Args:
    image: int16 [h, w, 3].
    piece: what to paint.
    colors: int16 [h', w', 3], the texture over the piece's window; or [3], plain.
    shadow: 0 to 8: the picture darkens by this many sixteenths under the piece, two pixels down
      and right.
  """
  if shadow:
    rows, columns = piece.window
    view = image[rows.start + 2 : rows.stop + 2, columns.start + 2 : columns.stop + 2]
    dark = piece.coverage[: view.shape[0], : view.shape[1], None] * np.int16(shadow)
    view -= (view * dark) >> 8
  view = image[piece.window]
  weight = piece.coverage[..., None].astype(np.int16)
  view += ((colors - view) * weight + 8) >> 4


def _shard(rng: np.random.RandomState, size: int, low: int, high: int) -> Piece:
  """Draws a small piece of clutter that belongs to no class: splinter, stroke or pebble.

  `low` and `high` bound its radius, pixels.
  """
  kind = rng.randint(3)
  radius = int(rng.randint(low, high)) * ZOOM
  if kind == 0:
    contour = rng.randint(-radius, radius, (int(rng.randint(3, 6)), 2))
  elif kind == 1:
    dx, dy = _direction(rng)
    along = np.array([dx, dy], np.int64) * radius // 256
    across = np.array([-along[1], along[0]]) // int(rng.randint(3, 8))
    contour = np.stack([along + across, along - across, -along - across, across - along])
  else:
    pebble = outlines.smooth(rng.randint(-radius, radius, (5, 2)).astype(np.float64), 2)
    contour = np.floor(pebble).astype(np.int64)
  return rasterize([(True, [contour + rng.randint(0, size * ZOOM, 2)])], size=size)


def _paint_textured(
  rng: np.random.RandomState, image: Picture, piece: Piece, *, shadow: int
) -> None:
  """Paints a piece with a random texture that stands out from what lies below it."""
  height, width = piece.coverage.shape
  below = image[piece.top + height // 2, piece.left + width // 2]
  paint(image, piece, texture(rng, height, width, against=below), shadow=shadow)


def background(rng: np.random.RandomState, size: int, *, clutter: int) -> Picture:
  """Draws a background of textured regions with `clutter` pieces of clutter."""
  image = texture(rng, size, size)
  for _ in range(int(rng.randint(1, 4))):
    dx, dy = _direction(rng)
    x, y = (int(v) for v in rng.randint(0, size, 2))
    bent = value_noise(rng, size, size, 32) * np.int32(rng.randint(0, 64))
    grid = np.arange(size, dtype=np.int32)
    side = ((grid - x) * dx)[None] + ((grid - y) * dy)[:, None] + bent
    image = np.where((side > 0)[..., None], texture(rng, size, size), image)
  for _ in range(clutter):
    paint(image, _shard(rng, size, size // 32, size // 8), rng.randint(20, 236, 3, np.int16))
  return image


class Actor(NamedTuple):
  """Describes an object to be drawn: its label (class_id + 1), outline and pose (see `place`)."""

  label: int
  outline: Outline
  center: tuple[float, float]
  radius: float
  turn: float
  stretch: float

  def drawn(self, size: int) -> Piece:
    """Puts it into a picture of this side."""
    return place(
      self.outline,
      size=size,
      center=self.center,
      radius=self.radius,
      turn=self.turn,
      stretch=self.stretch,
    )


def mark(label: UInt8[np.ndarray, 'h w'], piece: Piece, value: int) -> None:
  """Marks a piece in a label in place: `value` inside, 255 where its edge cuts through a pixel.

  The edge of clutter (`value` 0) is a boundary only where it runs over an object.
  """
  view = label[piece.window]
  view[piece.coverage == FULL] = value
  edge = (piece.coverage > 0) & (piece.coverage < FULL)
  view[edge & ((view > 0) | (value > 0))] = BOUNDARY


def _visible(pieces: Sequence[Piece], index: int, size: int) -> float:
  """Returns the share of a piece that the pieces after it leave visible."""
  hidden = np.zeros((size, size), bool)
  for piece in pieces[index + 1 :]:
    hidden[piece.window] |= piece.coverage > 0
  own = pieces[index].coverage > 0
  return (own & ~hidden[pieces[index].window]).sum() / max(own.sum(), 1)


def compose(
  rng: np.random.RandomState,
  actors: Sequence[Actor],
  *,
  size: int,
  clutter: int = 8,
  occluders: int = 1,
  min_visible: float = 0.65,
) -> tuple[UInt8[np.ndarray, 'size size 3'], UInt8[np.ndarray, 'size size']]:
  """Renders a picture.

  Args:
    rng: random state for background, textures and clutter.
    actors: the objects from back to front; the first is the picture's own and is brought to the
      front when less than `min_visible` of it could be seen.
    size: side of the picture, pixels.
    clutter: pieces of clutter behind the objects.
    occluders: pieces of clutter before them.
    min_visible: between 0 and 1.

  Returns:
    image uint8 [size, size, 3]; label uint8 [size, size]: 0 background, each actor's label where
    it covers the whole pixel, 255 where anything's edge cuts through the pixel.
  """
  image = background(rng, size, clutter=clutter)
  order = list(rng.permutation(len(actors)))
  pieces = [actor.drawn(size) for actor in actors]
  front = [_shard(rng, size, size // 16, size // 8) for _ in range(occluders)]
  drawn = [pieces[i] for i in order] + front
  if _visible(drawn, order.index(0), size) < min_visible:
    order.remove(0)
    order.append(0)
    drawn = [pieces[i] for i in order]
    front = []
  labels = [actors[i].label for i in order] + [0] * len(front)
  label = np.zeros((size, size), np.uint8)
  for value, piece in zip(labels, drawn, strict=True):
    _paint_textured(rng, image, piece, shadow=5)
    mark(label, piece, value)
  light = (104 + value_noise(rng, size, size, 64) * 3 // 16)[..., None]
  grain = np.frombuffer(rng.bytes(size * size * 3), np.uint8).reshape(image.shape) & 15
  image = within((image * light >> 7) + grain - 8, 255)
  return image.astype(np.uint8), label
