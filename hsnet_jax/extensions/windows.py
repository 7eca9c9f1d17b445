"""Finds the window of a picture that shows an object as large as it can be.

A window has the picture's own shape: resized to what a network sees, its object is as distorted as
one in a whole picture.
"""

import math

import numpy as np
from jaxtyping import Shaped

from hsnet_jax.extensions.tiles import Window

LEAST_SIDE = 64  # Of a window, in pixels: what is drawn larger than it is shows nothing more.


def object_window(
  mask: Shaped[np.ndarray, 'h w'], *, margin: float, least_side: float = 0.0
) -> Window | None:
  """Chooses a window round an object, of the picture's own shape.

  Args:
    mask: what is not zero is the object.
    margin: how far the window reaches beyond the object on each side, as a share of the object's
      own extent along the side that is the longer, in shares of the picture's; it ends where the
      picture does.
    least_side: of the window, in shares of the picture's sides.

  Returns:
    Its top, left and side, in shares of the picture's sides; None where there is no object.
  """
  rows, columns = (np.flatnonzero((mask != 0).any(axis)) for axis in (1, 0))
  if not len(rows):
    return None
  # In shares of the sides, all of which the window takes alike.
  ends = [(i[0] / n, (i[-1] + 1) / n) for i, n in zip((rows, columns), mask.shape, strict=True)]
  side = max((1 + 2 * margin) * (high - low) for low, high in ends)
  side = min(1.0, max(side, least_side))
  top, left = (min(max((low + high - side) / 2, 0.0), 1.0 - side) for low, high in ends)
  return float(top), float(left), float(side)


def object_slices(mask: Shaped[np.ndarray, 'h w'], *, margin: float) -> tuple[slice, slice] | None:
  """Finds the pixels of the `object_window` that supports are cut to, `LEAST_SIDE` wide at least.

  Args:
    mask: what is not zero is the object.
    margin: as for `object_window`.

  Returns:
    Its rows and columns; None where there is no object.
  """
  window = object_window(mask, margin=margin, least_side=LEAST_SIDE / min(mask.shape))
  if window is None:
    return None
  *starts, side = window
  rows, columns = (
    slice(math.floor(start * n), min(n, math.ceil((start + side) * n)))
    for start, n in zip(starts, mask.shape, strict=True)
  )
  return rows, columns
