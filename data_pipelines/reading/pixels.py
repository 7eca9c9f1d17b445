"""Counts the pixels of masks, and looks at their neighbors: quickly, and with little memory."""

import numpy as np
from jaxtyping import Bool, Integer
from PIL import Image

FEW = 8  # Values: fewer may be a dotted picture, more a photograph.
_RUN = 0.75  # Of a drawn picture, more pixels than these repeat their neighbor.
_SAMPLE = 2**20  # Pixels of a picture that are looked at closely.
_LEAST_SIDE = 16  # Of what is judged by its neighbors.


def changes_often(values: Integer[np.ndarray, 'h w']) -> bool:
  """Tells whether values change from pixel to pixel, as in a photograph of few colors.

  Args:
    values: of a picture; one of a few pixels a side never does.
  """
  if min(values.shape) < _LEAST_SIDE:
    return False
  changes = np.count_nonzero(values[:, 1:] != values[:, :-1])
  return bool(changes > (1 - _RUN) * values[:, 1:].size)


def count_values(values: Integer[np.ndarray, 'h w']) -> tuple[np.ndarray, np.ndarray]:
  """Returns the different values, ascending, and how many pixels have each."""
  if values.dtype == np.uint8:
    counts = np.asarray(Image.fromarray(values).histogram())
  elif values.size and values.max() < 2**16:
    counts = np.zeros(2**16, np.int64)
    for rows in np.array_split(values, 16):  # What bincount makes of a row is eight times it.
      counts += np.bincount(rows.ravel(), minlength=2**16)
  else:
    return np.unique(values, return_counts=True)
  present = np.flatnonzero(counts)
  return present, counts[present]


def is_among(values: Integer[np.ndarray, 'h w'], few: tuple[int, ...]) -> Bool[np.ndarray, 'h w']:
  """Returns where a value is one of a few: NumPy's own `isin` takes eight bytes a pixel."""
  found = np.zeros(values.shape, bool)
  for value in few:
    found |= values == value
  return found


def sample(values: Integer[np.ndarray, 'h w']) -> tuple[Integer[np.ndarray, 'H W'], int]:
  """Returns every so many-th row and column of a large picture, and the pixels that one is of."""
  step = 1 + int((values.size / _SAMPLE) ** 0.5)
  return values[::step, ::step], step**2


def grown(mask: Bool[np.ndarray, 'h w'], by: int) -> Bool[np.ndarray, 'h w']:
  """Returns where a pixel of the mask is no further away than so many pixels along each axis."""
  wide, done = mask.copy(), 0
  while done < by:
    step = min(done + 1, by - done)
    for view in (wide, wide.T):
      before = view.copy(order='K')  # As it lies: to turn it costs more than all the rest.
      view[step:] |= before[:-step]
      view[:-step] |= before[step:]
    done += step
  return wide


def core(mask: Bool[np.ndarray, 'h w']) -> Bool[np.ndarray, 'h w']:
  """Returns where a pixel and its eight neighbors are in the mask."""
  return ~grown(~mask, 1)
