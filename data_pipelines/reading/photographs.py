"""Tells gray photographs and soft edges from labels, by how values lie beside one another."""

import numpy as np

from data_pipelines.reading.opened import PathLike
from data_pipelines.reading.pixels import FEW, grown, sample
from data_pipelines.reading.shown import photograph

_EDGE = 12  # Pixels that a soft edge may be wide.
_RUN = 5  # Pixels that are more than a narrow edge.


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
  if present.size > FEW and spread and min(few.shape) > _EDGE:
    row = few.astype(np.int32)
    bend = np.abs(row[:, 2:] - 2 * row[:, 1:-1] + row[:, :-2])
    rough = (
      bend[(alone if count > gray / 2 else middle)[:, 1:-1]]
      >= 2 * (int(present[-1]) - int(present[0])) / 255
    )
    if rough.size and rough.mean() > 0.27:
      raise photograph(path, f'{present.size} gray values all over')
  shown = min(np.count_nonzero(dark), np.count_nonzero(~dark))
  if min(few.shape) > _EDGE and gray > 0.1 * shown and _is_cut_out(few, middle):
    count = int(gray)  # However near black and white they are.
  return count * times


def _is_cut_out(values: np.ndarray, middle: np.ndarray) -> bool:
  """Tells the gray pixels of a small picture on black or white from those of edges.

  On an edge brightness goes one way, and a wide one begins slowly. In a picture it goes up and
  down, or begins at once and goes on.
  """
  rows, gray = values.astype(np.int32), middle
  low, high = int(rows.min()), int(rows.max())
  turns = steps = runs = 0
  for _ in range(2):
    before, after = rows[:, 1:-1] - rows[:, :-2], rows[:, 1:-1] - rows[:, 2:]
    least = 2 * (high - low) / 255
    turn = (np.minimum(before, after) >= least) | (np.maximum(before, after) <= -least)
    turns += np.count_nonzero(turn & gray[:, 1:-1])
    for line, inside in ((rows, gray), (rows[:, ::-1], gray[:, ::-1])):
      black, white = line <= low + (high - low) / 32, line >= high - (high - low) / 32
      far = (black[:, :-1] & (line[:, 1:] >= low + (high - low) / 4)) | (
        white[:, :-1] & (line[:, 1:] <= high - (high - low) / 4)
      )
      steps += np.count_nonzero(far)
      width = inside.shape[1] - _RUN
      run = np.logical_and.reduce([inside[:, i : i + width] for i in range(1, _RUN + 1)])
      runs += np.count_nonzero(far[:, :width] & run)
    rows, gray = rows.T, gray.T
  return turns > np.count_nonzero(middle) / 8 or runs > steps / 8


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
