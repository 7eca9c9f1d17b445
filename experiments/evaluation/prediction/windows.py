"""Cuts photographs into windows, and lays together what a network finds in them."""

import functools
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8
from PIL import Image

from data_pipelines.reading.arrays import resize_image
from hsnet_jax.extensions.second_look import blend_window
from hsnet_jax.extensions.tiles import MOST_TILES, Window, blend_tiles, tile_windows
from hsnet_jax.extensions.windows import LEAST_SIDE, object_window
from hsnet_jax.inference import mean_margin

# Of the window of a second look: what was found is half as wide, and covers about as much of the
# window as objects of photographs do of their picture.
_MARGIN = 0.5

margins = jax.jit(mean_margin)


def cut(
  image: UInt8[np.ndarray, 'h w 3'], size: tuple[int, int], *, tiles: int
) -> list[np.ndarray]:
  """Cuts a photograph into the windows of `tile_windows`, each brought to what the network sees."""
  if tiles == 1:
    return [resize_image(image, size)]
  return cut_windows(image, size, (window for scale in tile_windows(tiles) for window in scale))


def cut_windows(
  image: UInt8[np.ndarray, 'h w 3'], size: tuple[int, int], windows: Iterable[Window]
) -> list[np.ndarray]:
  """Cuts windows out of a photograph, each brought to what the network sees."""
  height, width = image.shape[:2]
  whole, by = Image.fromarray(image), Image.Resampling.BILINEAR
  boxes = [
    (left * width, top * height, min(left + side, 1.0) * width, min(top + side, 1.0) * height)
    for top, left, side in windows
  ]
  return [np.asarray(whole.resize((size[1], size[0]), by, box=box)) for box in boxes]


@functools.partial(jax.jit, static_argnames='tiles')
def blend(found: Sequence[Float[Array, 'K B h w 2']], *, tiles: int) -> Float[Array, '1 1 H W 2']:
  """Lays the logits of a photograph's windows together: those of one shot, the mean of all."""
  parts = jnp.concatenate([mean_margin(part) for part in found])
  count = sum(map(len, tile_windows(tiles)))
  size = parts.shape[1] * tiles, parts.shape[2] * tiles
  margin = blend_tiles(parts[:count], tiles=tiles, size=size)
  return jnp.stack([jnp.zeros_like(margin), margin], axis=-1)[None, None]


def largest_part(mask: Bool[np.ndarray, 'h w']) -> Bool[np.ndarray, 'h w']:
  """Finds the largest connected part of a mask; pixels are connected by their sides.

  Args:
    mask: what is marked.

  Returns:
    One part of it, of as many pixels as any; nothing of an empty mask.
  """
  if not mask.any():
    return mask
  # Of each marked pixel the number of its run along the row, and along the column.
  runs = _number_runs(mask)[mask], _number_runs(mask.T).T[mask]
  label, before = np.arange(len(runs[0])), None
  # The highest label goes along whole runs, so there are as many rounds as a part has turns.
  while before is None or (label != before).any():
    before = label
    for run in runs:
      highest = np.zeros(run.max() + 1, label.dtype)
      np.maximum.at(highest, run, label)
      label = highest[run]
  part = np.zeros_like(mask)
  part[mask] = label == np.bincount(label).argmax()
  return part


def _number_runs(mask: np.ndarray) -> np.ndarray:
  """Numbers runs of marked pixels along the rows, from 1 on."""
  starts = mask & ~np.pad(mask, ((0, 0), (1, 0)))[:, :-1]
  return np.cumsum(starts).reshape(mask.shape)


def look_again(
  logits: Callable[[np.ndarray], Float[Array, '1 B h w 2']],
  found: Float[Array, '1 B h w 2'],
  photographs: Sequence[UInt8[np.ndarray, '_h _w 3']],
  *,
  size: tuple[int, int],
  rows: int,
) -> list[tuple[Array, int]]:
  """Looks at a window round what was found in each photograph, and blends both.

  The window is round the largest connected part: a pixel that is marked far from it would make the
  window the whole photograph.

  Args:
    logits: of images as the network sees them.
    found: the logits of the whole photographs, perhaps of others after them.
    photographs: at their own sizes.
    size: (height, width) that the network sees.
    rows: how many windows go through it at a time.

  Returns:
    Of each photograph logits, and its row of them: `found` where nothing was found, or so much that
    the window would be the photograph.
  """
  first = np.asarray(margins(found))
  windows = [
    object_window(
      largest_part(margin > 0), margin=_MARGIN, least_side=LEAST_SIDE / min(image.shape[:2])
    )
    for margin, image in zip(first, photographs, strict=False)
  ]
  windows = [window if window and window[2] < 1 else None for window in windows]
  parts = [
    part
    for image, window in zip(photographs, windows, strict=True)
    if window
    for part in cut_windows(image, size, [window])
  ]
  # Copies fill the last ones up: one shape is compiled once.
  parts += parts[-1:] * (-len(parts) % rows)
  second = iter(
    [
      margin
      for start in range(0, len(parts), rows)
      for margin in np.asarray(margins(logits(np.stack(parts[start : start + rows]))))
    ]
  )
  looks: list[tuple[Array, int]] = []
  for row, window in enumerate(windows):
    if window is None:
      looks.append((found, row))
      continue
    again = next(second)
    # As fine as the finest tiles that are chosen by themselves, whatever the window.
    tall, wide = again.shape
    canvas = max(len(first[row]), MOST_TILES * tall), max(first.shape[2], MOST_TILES * wide)
    margin = blend_window(first[row], again, window=window, size=canvas)
    looks.append((jnp.stack([jnp.zeros_like(margin), margin], axis=-1)[None, None], 0))
  return looks
