"""Follows the borders of masks, and makes polygons of them.

A border is the chain of pixel sides between a mask and what is round it, the mask on the right
hand: clockwise around an object, counterclockwise around a hole in it. Pixels that touch at corners
alone belong to two objects, or to one hole (Rosenfeld, 1970,
https://doi.org/10.1145/321556.321570). A hole is joined to the border that lies left of it by a
line there and back, which even-odd filling does not see: so one polygon is an object with all its
holes, in every format.
"""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Float, Int, Integer

# Of the sides of a pixel, by their direction, east, south, west, north: the step along it, (y, x).
_STEPS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
# Where each begins, from the pixel's upper left corner.
_STARTS = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
_NORTH = 3


def polygons(
  mask: Integer[np.ndarray, 'h w'], *, centers: bool = False, tolerance: float = 0.0
) -> list[Float[np.ndarray, 'n 2']]:
  """Makes a polygon of each object of a mask, its holes with it.

  Args:
    mask: {0, 1}.
    centers: whether points are the centers of the border's pixels, counted from the first one's, as
      those draw who draw a polygon's line as well as its inside (LabelMe). Else they are corners of
      pixels, counted from the picture's own (COCO, YOLO).
    tolerance: how far from the border a polygon may go, in pixels, to have fewer points.

  Returns:
    x and y of each polygon's points; none where the mask is empty. Drawn so, and without a
    tolerance, they are the very mask.
  """
  rings = _follow(mask)
  areas = [_area(_points(ring)) for ring in rings]
  holes = [i for i, area in enumerate(areas) if area < 0]
  attached: dict[int, list[tuple[int, int]]] = {}
  anchors: dict[int, int] = {}
  left_sides = {
    (int(y), int(x)): (i, at)
    for i, ring in enumerate(rings if holes else [])
    for at, (y, x, side) in enumerate(ring)
    if side == _NORTH
  }
  for hole in holes:
    anchors[hole], pixel = _leftmost(rings[hole])
    # From the pixel left of the hole on to where its row begins.
    row = mask[pixel[0], : pixel[1]]
    outside = np.flatnonzero(row == 0)
    owner, at = left_sides[pixel[0], int(outside[-1]) + 1 if outside.size else 0]
    attached.setdefault(owner, []).append((at, hole))
  drawn: dict[int, list[np.ndarray]] = {}
  # What is attached lies further right: it is done before what it is attached to.
  order = sorted(holes, key=lambda i: -rings[i][anchors[i]][1])
  for i in [*order, *(i for i, area in enumerate(areas) if area > 0)]:
    joints = attached.get(i, [])
    fixed = {at for at, _ in joints} | ({anchors[i]} if i in anchors else set())
    points = _points(rings[i], centers=centers)
    kept = _simplify(points, fixed, tolerance=tolerance)
    drawn[i] = _joined(points, kept, joints, drawn, first=anchors.get(i, 0))
  found = [drawn[i] for i, area in enumerate(areas) if area > 0]
  # Of a line of pixels, the centers may be one point or two, and a polygon has three.
  return [np.stack(one + one[:1] * (3 - len(one))) for one in found]


def _follow(mask: np.ndarray) -> list[Int[np.ndarray, 'n 3']]:
  """Returns the borders: of each the sides in order, as (y, x) of the pixel and the direction."""
  inside = np.pad(mask != 0, 1)
  sides = []
  for side in range(4):
    out = -_STEPS[(side + 1) % 4]  # On the left hand.
    y, x = np.nonzero(inside & ~np.roll(inside, -out, (0, 1)))
    sides.append(np.stack([y, x, np.full(len(y), side)], axis=1))
  found = np.concatenate(sides)
  if not len(found):
    return []
  pixels, side = found[:, :2], found[:, 2]
  ahead, out = pixels + _STEPS[side], -_STEPS[(side + 1) % 4]
  beyond = ahead + out
  is_ahead, is_beyond = (inside[tuple(at.T)] for at in (ahead, beyond))
  # Right around the same pixel, straight on, or left to the pixel beyond.
  turn = np.where(~is_ahead, 1, np.where(~is_beyond, 0, -1))[:, None]
  after = np.where(turn == 1, pixels, np.where(turn == 0, ahead, beyond))
  key = _key(pixels, side, inside.shape)
  order = np.argsort(key)
  place = np.searchsorted(key[order], _key(after, (side + turn[:, 0]) % 4, inside.shape))
  following = order[place].tolist()
  rings, seen = [], np.zeros(len(found), bool)
  for start in range(len(found)):
    if not seen[start]:
      ring, at = [], start
      while not ring or at != start:
        ring.append(at)
        at = following[at]
      seen[ring] = True
      rings.append(found[ring] - (1, 1, 0))
  return rings


def _key(pixels: np.ndarray, side: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  return (pixels[:, 0] * shape[1] + pixels[:, 1]) * 4 + side


def _points(ring: np.ndarray, *, centers: bool = False) -> np.ndarray:
  """Returns x and y where each side begins, or of its pixel."""
  at = ring[:, :2] if centers else ring[:, :2] + _STARTS[ring[:, 2]]
  return at[:, ::-1].astype(np.float64)


def _area(points: np.ndarray) -> float:
  """Returns the area by the shoelace formula, below 0 if it lies on the left hand."""
  (x, y), (next_x, next_y) = points.T, np.roll(points, -1, axis=0).T
  return float(np.sum(x * next_y - next_x * y)) / 2


def _leftmost(ring: np.ndarray) -> tuple[int, tuple[int, int]]:
  """Returns which side of a hole's begins leftmost, the uppermost of those, and its pixel."""
  x, y = _points(ring).T
  at = int(np.lexsort((y, x))[0])
  return at, (int(ring[at, 0]), int(ring[at, 1]))


def _simplify(points: np.ndarray, fixed: Collection[int], *, tolerance: float) -> list[int]:
  """Chooses points of a ring by the algorithm of Ramer, Douglas and Peucker, the fixed ones first.

  https://doi.org/10.1016/S0146-664X(72)80017-0.
  """
  ends = set(fixed) or {0}
  if len(ends) == 1:
    (one,) = ends
    ends = {one, int(np.argmax(np.sum((points - points[one]) ** 2, axis=1)))}
  kept = sorted(ends)
  work = [(a, b) for a, b in zip(kept, [*kept[1:], kept[0] + len(points)], strict=True)]
  chosen = set(kept)
  while work:
    a, b = work.pop()
    between = np.arange(a + 1, b) % len(points)
    if not between.size:
      continue
    away = _distances(points[between], points[a % len(points)], points[b % len(points)])
    if away.max() > tolerance:
      middle = a + 1 + int(np.argmax(away))
      chosen.add(middle % len(points))
      work += [(a, middle), (middle, b)]
  return sorted(chosen)


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
  """Returns how far points are from the line between two, ends included."""
  along = end - start
  length = max(float(along @ along), 1e-12)
  share = np.clip((points - start) @ along / length, 0.0, 1.0)
  return np.linalg.norm(points - start - share[:, None] * along, axis=1)


def _joined(
  points: np.ndarray,
  kept: Sequence[int],
  joints: Sequence[tuple[int, int]],
  drawn: dict[int, list[np.ndarray]],
  *,
  first: int,
) -> list[np.ndarray]:
  """Goes round a ring from a point on, and through each hole on the way and back."""
  found: list[np.ndarray] = []
  start = kept.index(first) if first in kept else 0
  for at in [*kept[start:], *kept[:start]]:
    found.append(points[at])
    for joint, hole in joints:
      if joint == at:
        found += [*drawn[hole], drawn[hole][0], points[at]]
  return found
