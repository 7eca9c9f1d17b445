"""Finds the window of a picture that shows an object as large as it can be."""

import math

import numpy as np
from jaxtyping import Shaped

_LEAST_SIDE = 64  # Of a window, in pixels: what is drawn larger than it is shows nothing more.


def object_window(mask: Shaped[np.ndarray, 'h w'], *, margin: float) -> tuple[slice, slice] | None:
  """Finds a window around an object, of the picture's own shape.

  Resized to what the network sees, the object is as large as it can be, and as distorted as one in
  a whole picture.

  Args:
    mask: bool or numbers; everything but 0 is the object.
    margin: how far the window reaches beyond the object on each side, as a share of the object's
      own extent; it ends where the picture does.

  Returns:
    Its rows and columns; None where there is no object.
  """
  rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
  if not len(rows):
    return None
  # In shares of the sides, all of which the window takes alike.
  ends = [(i[0] / n, (i[-1] + 1) / n) for i, n in zip((rows, columns), mask.shape, strict=True)]
  side = max((1 + 2 * margin) * (high - low) for low, high in ends)
  side = min(1.0, max(side, _LEAST_SIDE / min(mask.shape)))
  starts = [min(max((low + high - side) / 2, 0.0), 1.0 - side) for low, high in ends]
  top, left = (
    slice(math.floor(start * n), min(n, math.ceil((start + side) * n)))
    for start, n in zip(starts, mask.shape, strict=True)
  )
  return top, left
