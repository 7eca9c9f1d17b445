"""Draws outlines of the 20 object classes of `shapes`, as polygons.

An outline is a tuple of parts `(ink, contours)` painted in order: the area enclosed by the
contours (even-odd rule) is added where `ink` is true and cut out where it is false. A contour is a
float64 array [V, 2] of (x, y), y down, roughly inside the unit disc. Every class is a function of
a random state, since no two drawn fish are alike.

Only additions, multiplications, divisions and square roots are used (sines come from a polynomial
of this file): these are exactly rounded everywhere, so that an outline is the same to the last bit
on every machine, which the sines of different mathematics libraries are not.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

Contour = Float[np.ndarray, 'v 2']
Outline = tuple[tuple[bool, tuple[Contour, ...]], ...]
Maker = Callable[[np.random.RandomState], Outline]


def sin_turns(turns: ArrayLike) -> Float[np.ndarray, '...']:
  """Computes the sine of angles in turns (1 is a full circle), bit-identical on every machine.

  Args:
    turns: angles, any shape.

  Returns:
    float64 array of that shape; the Taylor series to x^17 on a quarter turn, error below 1e-12.
  """
  t = np.asarray(turns, np.float64)
  t = t - np.floor(t + 0.5)
  t = np.where(t > 0.25, 0.5 - t, np.where(t < -0.25, -0.5 - t, t))
  x = t * 6.283185307179586
  square = x * x
  total = np.ones_like(x)
  for k in range(8, 0, -1):
    total = 1.0 - total * square / (2 * k * (2 * k + 1))
  return x * total


def cos_turns(turns: ArrayLike) -> Float[np.ndarray, '...']:
  """Computes the cosine of angles in turns; see `sin_turns`."""
  return sin_turns(np.asarray(turns, np.float64) + 0.25)


def uniform(rng: np.random.RandomState, low: float, high: float) -> float:
  """Draws one number between `low` and `high`."""
  return low + (high - low) * rng.random_sample()


def points(*values: float) -> Contour:
  """Makes the contour with the corners x0, y0, x1, y1, ..."""
  return np.asarray(values, np.float64).reshape(-1, 2)


def polar(turns: ArrayLike, radii: Float[np.ndarray, ' v']) -> Contour:
  """Makes the contour with the given radii at the given angles; angle 0 points up."""
  return np.stack([radii * sin_turns(turns), -(radii * cos_turns(turns))], axis=1)


@functools.cache
def _circle(corners: int) -> Contour:
  return polar(np.arange(corners) / corners, np.ones(corners))


def ellipse(
  x: float, y: float, rx: float, ry: float | None = None, *, corners: int = 48
) -> Contour:
  """Makes an ellipse (a circle without `ry`) around (x, y)."""
  return _circle(corners) * np.array([rx, rx if ry is None else ry]) + np.array([x, y])


def box(x0: float, y0: float, x1: float, y1: float) -> Contour:
  """Makes an upright rectangle."""
  return points(x0, y0, x1, y0, x1, y1, x0, y1)


def bar(x0: float, y0: float, x1: float, y1: float, width: float) -> Contour:
  """Makes a straight stroke with flat ends."""
  along = np.array([x1 - x0, y1 - y0])
  length = np.sqrt(along[0] * along[0] + along[1] * along[1])
  side = np.array([-along[1], along[0]]) * (0.5 * width / length)
  start, end = np.array([x0, y0]), np.array([x1, y1])
  return np.stack([start + side, end + side, end - side, start - side])


def mirrored(half: Contour) -> Contour:
  """Closes a right half, given from top to bottom, with its mirror image."""
  return np.concatenate([half, half[::-1] * np.array([-1.0, 1.0])])


def smooth(contour: Contour, rounds: int = 3) -> Contour:
  """Rounds the corners of a contour off (Chaikin's corner cutting)."""
  for _ in range(rounds):
    following = np.roll(contour, -1, axis=0)
    cut = np.stack([0.75 * contour + 0.25 * following, 0.25 * contour + 0.75 * following], axis=1)
    contour = cut.reshape(-1, 2)
  return contour


def solid(*contours: Contour) -> Outline:
  """Unites contours, one part each."""
  return tuple((True, (contour,)) for contour in contours)


def cut(*contours: Contour) -> Outline:
  """Makes holes, to be appended to an outline."""
  return tuple((False, (contour,)) for contour in contours)


def _star(rng: np.random.RandomState) -> Outline:
  inner = uniform(rng, 0.42, 0.52)
  radii = np.where(np.arange(10) % 2 == 0, 1.0, inner)
  return solid(polar(np.arange(10) / 10, radii))


def _cup(rng: np.random.RandomState) -> Outline:
  top, bottom = uniform(rng, 0.58, 0.68), uniform(rng, 0.44, 0.58)
  thick = uniform(rng, 0.17, 0.22)
  body = points(-top - 0.2, -0.75, top - 0.2, -0.75, bottom - 0.2, 0.8, -bottom - 0.2, 0.8)
  x = bottom - 0.14
  handle = ellipse(x, 0.0, 0.52, 0.52)
  return solid(handle) + cut(ellipse(x, 0.0, 0.52 - thick, 0.52 - thick)) + solid(body)


def _fish(rng: np.random.RandomState) -> Outline:
  high = uniform(rng, 0.42, 0.54)
  body = smooth(
    points(
      -1.1, 0, -0.55, -1.15 * high, 0.2, -1.2 * high, 0.75, 0, 0.2, 1.2 * high, -0.55, 1.15 * high
    )
  )
  spread = uniform(rng, 0.45, 0.6)
  tail = points(0.35, 0.0, 1.0, -spread, 0.82, 0.0, 1.0, spread)
  fin = points(-0.35, -0.6 * high, 0.0, -0.95 - 0.1 * spread, 0.35, -0.5 * high)
  return solid(body, tail, fin) + cut(ellipse(-0.58, -0.14, 0.1, corners=20))


def _key(rng: np.random.RandomState) -> Outline:
  bow, thick = uniform(rng, 0.42, 0.5), uniform(rng, 0.2, 0.26)
  hole = bow - uniform(rng, 0.22, 0.26)
  x = -1.0 + bow
  shaft = box(x + 0.7 * bow, -0.5 * thick, 1.0, 0.5 * thick)
  depth = uniform(rng, 0.34, 0.44)
  first = box(0.72, 0.0, 1.0, 0.5 * thick + depth)
  second = box(0.24, 0.0, 0.5, 0.5 * thick + 0.8 * depth)
  return solid(ellipse(x, 0, bow)) + cut(ellipse(x, 0, hole)) + solid(shaft, first, second)


def _letter_a(rng: np.random.RandomState) -> Outline:
  wide, rung = uniform(rng, 0.72, 0.9), uniform(rng, 0.22, 0.32)
  inside = wide - uniform(rng, 0.36, 0.44)
  outer = mirrored(points(0.2, -0.95, wide, 0.95))
  slope = inside / 1.45  # The inner triangle's half width grows from 0 at y = -0.5.
  hole = points(0, -0.5, slope * (rung + 0.5), rung, -slope * (rung + 0.5), rung)
  feet = mirrored(points(slope * (rung + 0.8), rung + 0.3, slope * 1.5, 1.0))
  return solid(outer) + cut(hole, feet)


def _gear(rng: np.random.RandomState) -> Outline:
  teeth = int(rng.randint(7, 10))
  low = uniform(rng, 0.68, 0.76)
  position = np.array([0.0, 0.12, 0.38, 0.5]) + 0.0
  turns = ((np.arange(teeth)[:, None] + position[None]) / teeth).reshape(-1)
  radii = np.tile(np.array([low, 1.0, 1.0, low]), teeth)
  hole = uniform(rng, 0.24, 0.36)
  return solid(polar(turns, radii)) + cut(ellipse(0, 0, hole))


def _heart(rng: np.random.RandomState) -> Outline:
  wide, dip = uniform(rng, 1.1, 1.25), uniform(rng, -0.55, -0.4)
  half = points(0, dip, 0.28, -1.12, wide, -1.05, wide, -0.05, 0.3, 0.75, 0.0, 1.0)
  return solid(smooth(mirrored(half)))


def _arrow(rng: np.random.RandomState) -> Outline:
  shaft, head = uniform(rng, 0.18, 0.26), uniform(rng, 0.62, 0.8)
  neck = uniform(rng, -0.15, 0.1)
  return solid(mirrored(points(0, -1, head, neck, shaft, neck, shaft, 1)))


def _mushroom(rng: np.random.RandomState) -> Outline:
  wide, rim = uniform(rng, 0.88, 1.0), uniform(rng, 0.0, 0.14)
  cap = smooth(
    mirrored(points(0.0, -1.05, 0.7 * wide, -1.0, 1.12 * wide, rim - 0.1, wide, rim + 0.1)), 2
  )
  stem = uniform(rng, 0.22, 0.32)
  foot = mirrored(points(stem, rim - 0.1, stem, 0.5, stem + 0.14, 0.95))
  return solid(cap, smooth(foot, 1))


def _bottle(rng: np.random.RandomState) -> Outline:
  neck, wide = uniform(rng, 0.15, 0.2), uniform(rng, 0.4, 0.5)
  shoulder = uniform(rng, -0.25, -0.05)
  half = points(
    neck + 0.05,
    -1,
    neck + 0.05,
    -0.86,
    neck,
    -0.86,
    neck,
    shoulder - 0.3,
    wide,
    shoulder + 0.05,
    wide,
    1.0,
  )
  return solid(mirrored(half))


def _ring(rng: np.random.RandomState) -> Outline:
  flat = uniform(rng, 0.82, 1.0)
  hole = uniform(rng, 0.5, 0.62)
  return solid(ellipse(0, 0, 0.95, 0.95 * flat)) + cut(
    ellipse(0, 0, 0.95 * hole, 0.95 * hole * flat)
  )


def _house(rng: np.random.RandomState) -> Outline:
  wide, eaves = uniform(rng, 0.6, 0.72), uniform(rng, -0.25, -0.1)
  body = box(-wide, eaves - 0.02, wide, 0.9)
  roof = points(0, -1, wide + 0.24, eaves, -wide - 0.24, eaves)
  chimney = box(0.36, -0.95, 0.6, eaves)
  door = uniform(rng, -0.4, 0.1)
  return solid(body, roof, chimney) + cut(box(door, 0.3, door + 0.32, 0.9))


def _bolt(rng: np.random.RandomState) -> Outline:
  slant, wide = uniform(rng, 0.1, 0.25), uniform(rng, 0.0, 0.12)
  return solid(
    points(
      0.05 - wide,
      -1,
      0.65 + wide,
      -1,
      0.28,
      -slant,
      0.72 + wide,
      -slant,
      -0.42,
      1.05,
      -0.06,
      0.12,
      -0.55 - wide,
      0.12,
    )
  )


def _leaf(rng: np.random.RandomState) -> Outline:
  wide, bend = uniform(rng, 0.46, 0.6), uniform(rng, -0.2, 0.2)
  steps = np.arange(15) / 14
  arc = 4.0 * wide * steps * (1.0 - steps) * (0.75 + 0.5 * steps)
  saw = np.where(np.arange(15) % 2 == 0, 0.92, 1.08) * arc
  blade = mirrored(np.stack([saw, -1.0 + 1.5 * steps], axis=1))
  blade[:, 0] += bend * (blade[:, 1] * blade[:, 1] - 0.25)
  vein = bar(0.0, -0.45, 0.0, 0.1, 0.06)
  return solid(blade, bar(0.0, 0.4, bend, 1.0, 0.17)) + cut(vein)


def _crown(rng: np.random.RandomState) -> Outline:
  dip, wide = uniform(rng, -0.1, 0.1), uniform(rng, 0.82, 0.95)
  outline = mirrored(points(0.0, -0.8, 0.36, dip, wide, -0.66, 0.74, 0.7))
  gems = [ellipse(0.0, -0.8, 0.15), ellipse(wide, -0.66, 0.14), ellipse(-wide, -0.66, 0.14)]
  return solid(outline, *gems) + cut(box(-0.5, 0.34, 0.5, 0.48))


def _crescent(rng: np.random.RandomState) -> Outline:
  shift, radius = uniform(rng, 0.36, 0.48), uniform(rng, 0.72, 0.82)
  return solid(ellipse(0, 0, 0.98)) + cut(ellipse(shift, 0, radius))


def _cross(rng: np.random.RandomState) -> Outline:
  arm, reach = uniform(rng, 0.26, 0.36), uniform(rng, 0.85, 1.0)
  return solid(box(-arm, -0.95, arm, 0.95), box(-reach, -arm, reach, arm))


def _umbrella(rng: np.random.RandomState) -> Outline:
  high = uniform(rng, 0.85, 1.0)
  turns = -0.25 + np.arange(25) / 48
  dome = polar(turns, np.ones(25)) * np.array([1.0, high])
  scallops = [ellipse(x, 0.02, 0.25, 0.2, corners=24) for x in (-0.75, -0.25, 0.25, 0.75)]
  handle = solid(box(-0.085, -0.3, 0.085, 0.72), ellipse(0.18, 0.7, 0.27))
  hook = cut(ellipse(0.18, 0.7, 0.1), box(-0.05, 0.42, 0.5, 0.7))
  stick = solid(box(-0.085, -0.3, 0.085, 0.72))
  return handle + hook + stick + solid(dome) + cut(*scallops) + stick


def _flower(rng: np.random.RandomState) -> Outline:
  petals = int(rng.randint(5, 7))
  size = uniform(rng, 0.34, 0.4) * 5.5 / petals
  centers = polar(np.arange(petals) / petals, np.full(petals, 0.62))
  discs = [ellipse(x, y, size) for x, y in centers]
  return solid(*discs, ellipse(0, 0, 0.5)) + cut(ellipse(0, 0, uniform(rng, 0.17, 0.24)))


def _letter_e(rng: np.random.RandomState) -> Outline:
  thick, wide = uniform(rng, 0.3, 0.38), uniform(rng, 0.56, 0.7)
  arms = [
    box(-wide, y - 0.5 * thick, x, y + 0.5 * thick)
    for y, x in ((-0.8, wide), (0.0, 0.8 * wide), (0.8, wide))
  ]
  return solid(box(-wide, -0.8 - 0.5 * thick, -wide + thick + 0.06, 0.8 + 0.5 * thick), *arms)


CLASSES: dict[str, Maker] = {
  # Fold 0.
  'star': _star,
  'cup': _cup,
  'fish': _fish,
  'key': _key,
  'letter_a': _letter_a,
  # Fold 1.
  'gear': _gear,
  'heart': _heart,
  'arrow': _arrow,
  'mushroom': _mushroom,
  'bottle': _bottle,
  # Fold 2.
  'ring': _ring,
  'house': _house,
  'bolt': _bolt,
  'leaf': _leaf,
  'crown': _crown,
  # Fold 3.
  'crescent': _crescent,
  'cross': _cross,
  'umbrella': _umbrella,
  'flower': _flower,
  'letter_e': _letter_e,
}


def bounds(outline: Outline) -> tuple[Float[np.ndarray, '2'], Float[np.ndarray, '2']]:
  """Finds the smallest and largest (x, y) of the added parts of an outline."""
  corners: Sequence[Contour] = [c for ink, contours in outline if ink for c in contours]
  stacked = np.concatenate(corners)
  return stacked.min(axis=0), stacked.max(axis=0)
