"""Tells gray photographs and soft edges from labels, by how values lie beside one another."""

import numpy as np

from data_pipelines.reading.opened import PathLike
from data_pipelines.reading.pixels import FEW, grown, sample
from data_pipelines.reading.shown import photograph

_EDGE = 12  # Pixels that a soft edge may be wide.
_RUN = 5  # Pixels that are more than a narrow edge.
_TURNING = 0.3  # Photographs turn at 0.4 to 0.9 of their gray pixels, soft masks at up to 0.25.


def refuse_photograph(values: np.ndarray, present: np.ndarray, path: PathLike) -> int:
  """Raises InputError where many values are spread as in a photograph.

  Args:
    values: gray values.
    present: the different ones, ascending.
    path: the file, for the message.

  Returns:
    About how many pixels are neither near black or white nor on an edge between the two; all that
    are gray where they go up and down as in a picture.
  """
  few, times = sample(values)
  middle, dark, bright = _thirds(few, present)
  if np.count_nonzero(middle) <= few.size / 2000:
    return 0
  alone = middle & ~(grown(dark, _EDGE) & grown(bright, _EDGE))
  count = int(np.count_nonzero(alone))
  gray = np.count_nonzero(middle)
  spread = count > max(few.size / 100, gray / 2) or gray > 0.3 * few.size
  if min(few.shape) <= _EDGE:
    return count * times
  turns, steps = _turns(few, middle), _steps(few, middle)
  is_smooth_one = gray > 0.3 * few.size and _bends(few, alone if count > gray / 2 else middle)
  if present.size > FEW and spread and (turns > _TURNING or is_smooth_one):
    raise photograph(path, f'{present.size} gray values all over')
  shown = few.size - max(np.count_nonzero(dark), np.count_nonzero(bright))
  if gray > 0.1 * shown and (turns > _TURNING or steps > 1 / 8):
    count = int(gray)  # Of a small picture on black or white, near both as it is.
  return count * times


def _bends(values: np.ndarray, middle: np.ndarray) -> bool:
  """Tells whether brightness bends at gray pixels, as slow changes from black to white do not."""
  row = values.astype(np.int32)
  bend = np.abs(row[:, 2:] - 2 * row[:, 1:-1] + row[:, :-2])
  rough = bend[middle[:, 1:-1]] >= 2 * (int(row.max()) - int(row.min())) / 255
  return bool(rough.size and rough.mean() > 0.27)


def _turns(values: np.ndarray, middle: np.ndarray) -> float:
  """Returns how often gray pixels are above or below both neighbors in their row and column.

  On an edge, narrow or soft, brightness goes one way; in a picture it goes up and down.
  """
  rows, gray = values.astype(np.int32), middle
  least = 2 * (int(rows.max()) - int(rows.min())) / 255
  count = 0
  for _ in range(2):
    before, after = rows[:, 1:-1] - rows[:, :-2], rows[:, 1:-1] - rows[:, 2:]
    turn = (np.minimum(before, after) >= least) | (np.maximum(before, after) <= -least)
    count += np.count_nonzero(turn & gray[:, 1:-1])
    rows, gray = rows.T, gray.T
  return count / max(np.count_nonzero(middle), 1)


def _steps(values: np.ndarray, middle: np.ndarray) -> float:
  """Returns how many of the steps from black or white go on in gray, as no edge does.

  A narrow edge is over in a few pixels, and a wide one begins slowly.
  """
  rows, gray = values.astype(np.int32), middle
  low, high = int(rows.min()), int(rows.max())
  span = high - low
  steps = long = 0
  for _ in range(4):
    rows, gray = np.rot90(rows), np.rot90(gray)
    before, after = rows[:, :-1], rows[:, 1:]
    step = (before <= low + span / 32) & (after >= low + span / 4)
    step |= (before >= high - span / 32) & (after <= high - span / 4)
    width = gray.shape[1] - _RUN
    run = np.logical_and.reduce([gray[:, i : i + width] for i in range(1, _RUN + 1)])
    steps += np.count_nonzero(step)
    long += np.count_nonzero(step[:, :width] & run)
  return long / max(steps, 1)


def _thirds(values: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns where values are neither dark nor bright, where dark, where bright."""
  low, high = int(present[0]), int(present[-1])
  dark, bright = values <= low + (high - low) / 8, values >= high - (high - low) / 8
  return ~(dark | bright), dark, bright


def is_gradual(values: np.ndarray, present: np.ndarray) -> bool:
  """Tells whether many values lie between dark and bright, changing as brightness does.

  Args:
    values: gray values.
    present: the different ones, ascending.
  """
  few, _ = sample(values)
  if present.size <= FEW or min(few.shape) <= _EDGE:
    return False
  middle = _thirds(few, present)[0][:, 1:]
  return bool(middle.any() and (few[:, 1:] != few[:, :-1])[middle].mean() > 0.5)
