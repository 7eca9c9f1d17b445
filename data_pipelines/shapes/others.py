"""Draws outlines that are not among the 20 classes of `shapes`, to train `tiny` on.

Five families of random outlines. A class is a number: its family and proportions are drawn once
from that number, and every instance of the class varies them a little. Numbers whose outline comes
close to one of the 20 classes are left out by `other_classes`, so that nothing of the benchmark's
classes is in the backbone.
"""

import functools

import numpy as np
from numpy.typing import ArrayLike

from data_pipelines.shapes import outlines, raster
from data_pipelines.shapes.outlines import Contour, Maker, Outline, uniform


def _vary(rng: np.random.RandomState, values: ArrayLike, amount: float) -> np.ndarray:
  """Multiplies each of several values by a factor within 1 - amount and 1 + amount."""
  values = np.asarray(values, np.float64)
  return values * (1.0 + amount * (2.0 * rng.random_sample(values.shape) - 1.0))


def _shift(rng: np.random.RandomState, values: ArrayLike, amount: float) -> np.ndarray:
  """Adds a number within -amount and amount to each of several values."""
  values = np.asarray(values, np.float64)
  return values + amount * (2.0 * rng.random_sample(values.shape) - 1.0)


def _blob(fixed: np.random.RandomState) -> Maker:
  """Makes an angular or rounded silhouette, often symmetric, sometimes with a hole."""
  symmetric, rounded, hole = fixed.randint(3) > 0, fixed.randint(2), fixed.randint(3) == 0
  count = int(fixed.randint(5, 8))
  turns = (np.arange(count) + 0.2 + 0.6 * fixed.random_sample(count)) / count
  radii = np.where(np.arange(count) % 2 == fixed.randint(2), 1.0, 0.5)
  radii = radii * (0.65 + 0.35 * fixed.random_sample(count))
  spot = 0.3 * (2.0 * fixed.random_sample(2) - 1.0) * np.array([not symmetric, 1.0])

  def make(rng: np.random.RandomState) -> Outline:
    contour = outlines.polar(turns * (0.5 if symmetric else 1.0), _vary(rng, radii, 0.08))
    contour = outlines.mirrored(contour) if symmetric else contour
    contour = outlines.smooth(contour, 2) if rounded else contour
    if not hole:
      return outlines.solid(contour)
    x, y = _shift(rng, spot, 0.05)
    return outlines.solid(contour) + outlines.cut(outlines.ellipse(x, y, 0.18))

  return make


def _glyph(fixed: np.random.RandomState) -> Maker:
  """Makes a letter-like sign: strokes along a walk over a 3 x 3 grid."""
  nodes = [fixed.randint(0, 3, 2)]
  while len(nodes) < 5:
    step = fixed.randint(-1, 2, 2)
    following = np.clip(nodes[-1] + step * fixed.randint(1, 3), 0, 2)
    if not any((following == node).all() for node in nodes[-2:]):
      nodes.append(following)
  nodes = np.array(nodes, np.float64) * np.array([0.65, 0.8]) - np.array([0.65, 0.8])
  width = uniform(fixed, 0.26, 0.42)

  def make(rng: np.random.RandomState) -> Outline:
    spots, thick = _shift(rng, nodes, 0.04), float(_vary(rng, width, 0.15))
    ends = zip(spots, spots[1:], strict=False)
    bars = [outlines.bar(x0, y0, x1, y1, thick) for (x0, y0), (x1, y1) in ends]
    joints = [outlines.ellipse(x, y, 0.5 * thick, corners=12) for x, y in spots]
    return outlines.solid(*bars, *joints)

  return make


def _compound(fixed: np.random.RandomState) -> Maker:
  """Sticks three simple bodies together, one of them sometimes cut out."""
  kinds = fixed.randint(0, 3, 3)
  centers = 0.55 * (2.0 * fixed.random_sample((3, 2)) - 1.0)
  sizes = 0.22 + 0.38 * fixed.random_sample((3, 2))
  centers[0] *= 0.2
  sizes[0] += 0.12
  carve = fixed.randint(3) == 0

  def body(kind: int, center: np.ndarray, size: np.ndarray) -> Contour:
    (x, y), (a, b) = center, size
    if kind == 0:
      return outlines.ellipse(x, y, a, b)
    if kind == 1:
      return outlines.box(x - a, y - b, x + a, y + b)
    return outlines.points(x - a, y + b, x + a, y + b, x, y - b)

  def make(rng: np.random.RandomState) -> Outline:
    bodies = [
      body(k, c, s)
      for k, c, s in zip(kinds, _shift(rng, centers, 0.04), _vary(rng, sizes, 0.08), strict=True)
    ]
    if carve:
      return outlines.solid(*bodies[:2]) + outlines.cut(bodies[2] * 0.7)
    return outlines.solid(*bodies)

  return make


def _rosette(fixed: np.random.RandomState) -> Maker:
  """Makes a rounded rosette of three or four lobes, or of two unlike ones, some with a hole."""
  lobes = int(fixed.randint(2, 5))
  first, second = uniform(fixed, 0.2, 0.42), uniform(fixed, -0.18, 0.18)
  skew, hole = uniform(fixed, 0.0, 0.3), uniform(fixed, -0.3, 0.35)

  def make(rng: np.random.RandomState) -> Outline:
    turns = np.arange(72) / 72
    depth = _vary(rng, [first, second, skew], 0.12)
    radii = 0.6 + depth[0] * outlines.cos_turns(lobes * turns)
    radii = radii + depth[1] * outlines.cos_turns(2 * lobes * turns)
    radii = radii * (1.0 + depth[2] * outlines.cos_turns(turns))
    middle = outlines.cut(outlines.ellipse(0, 0, hole)) if hole > 0.12 else ()
    return outlines.solid(outlines.polar(turns, np.maximum(radii, 0.1))) + middle

  return make


def _ribbon(fixed: np.random.RandomState) -> Maker:
  """Makes a thick bent band: spirals, waves, hooks."""
  swing, drift = uniform(fixed, 0.5, 1.7), uniform(fixed, 0.1, 0.7)
  wave, bends = uniform(fixed, 0.0, 0.35), int(fixed.randint(2, 5))
  width, taper = uniform(fixed, 0.22, 0.4), uniform(fixed, -0.6, 0.6)

  def make(rng: np.random.RandomState) -> Outline:
    params = _vary(rng, [swing, drift, wave, width], 0.08)
    s = np.arange(40) / 39
    turns = params[0] * (s - 0.5)
    radii = 0.35 + params[1] * s + params[2] * outlines.sin_turns(bends * s)
    middle = outlines.polar(turns, radii)
    along = np.gradient(middle, axis=0)
    length = np.sqrt(along[:, 0] * along[:, 0] + along[:, 1] * along[:, 1])
    side = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(length, 1e-6)[:, None]
    half = (0.5 * params[3] * (1.0 + taper * (s - 0.5)))[:, None]
    bands = [
      np.stack([a + i, b + j, b - j, a - i])
      for a, b, i, j in zip(middle, middle[1:], side * half, (side * half)[1:], strict=False)
    ]
    discs = [
      outlines.ellipse(x, y, float(h[0]), corners=12)
      for (x, y), h in zip(middle[::6], half[::6], strict=True)
    ]
    return outlines.solid(*bands, *discs)

  return make


_FAMILIES = (_blob, _glyph, _compound, _rosette, _ribbon)


def other_class(number: int) -> Maker:
  """Returns the maker of a random class's outlines; its number decides the class."""
  fixed = np.random.RandomState(number)
  return _FAMILIES[number % len(_FAMILIES)](fixed)


_RASTER = 48
_TURNS = np.arange(16) / 16


def _mask(outline: Outline, turn: float = 0.0) -> np.ndarray:
  """Draws an outline at a common place and size, bool [_RASTER * _RASTER]."""
  piece = raster.place(
    outline, size=_RASTER, center=(_RASTER / 2, _RASTER / 2), radius=0.42 * _RASTER, turn=turn
  )
  mask = np.zeros((_RASTER, _RASTER), bool)
  mask[piece.window] = piece.coverage >= 8
  return mask.reshape(-1)


@functools.cache
def _benchmark_masks() -> np.ndarray:
  makers = outlines.CLASSES.values()
  return np.stack(
    [_mask(make(np.random.RandomState(0)), turn) for make in makers for turn in _TURNS]
  ).astype(np.float32)


def _overlap(mask: np.ndarray, masks: np.ndarray) -> float:
  """Returns the greatest IoU of one mask with any of several."""
  both = masks @ mask
  return float((both / (masks.sum(axis=1) + mask.sum() - both)).max(initial=0.0))


def resemblance(outline: Outline) -> float:
  """Returns the greatest IoU of an outline with any of the 20 classes at any of 16 rotations."""
  return _overlap(_mask(outline).astype(np.float32), _benchmark_masks())


def other_classes(count: int, *, limit: float = 0.75) -> tuple[int, ...]:
  """Finds the first `count` numbers whose outlines resemble none of the 20 classes, nor each other.

  Args:
    count: how many.
    limit: least IoU at which a number is left out.

  Returns:
    Numbers for `other_class`.
  """
  numbers: list[int] = []
  kept = np.zeros((0, _RASTER * _RASTER), np.float32)
  number = 0
  while len(numbers) < count:
    outline = other_class(number)(np.random.RandomState(0))
    mask = _mask(outline).astype(np.float32)
    if resemblance(outline) < limit and _overlap(mask, kept) < limit:
      numbers.append(number)
      kept = np.concatenate([kept, mask[None]])
    number += 1
  return tuple(numbers)
