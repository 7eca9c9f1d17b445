"""Looks at a picture in tiles as well as whole, so that small objects are seen larger.

A network sees squares of one size: what covers a hundredth of the picture is a few positions of
its maps. Tiles are windows of the picture's own shape, 1 / n of its sides and a little more, that
overlap; what is found in them is laid together again.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from hsnet_jax.errors import InputError
from hsnet_jax.resize import bilinear_matrix

# Top, left and side of a window, in shares of the picture's sides.
Window = tuple[float, float, float]

MOST_TILES = 4  # Along a side, that are chosen by themselves.

_OVERLAP = 0.25  # How much longer a tile is than the n-th part of a side.
# How much of a picture an object covers as networks are used to it. In PASCAL VOC's labels a class
# covers 15% in the median; the object may well be larger in a query than in the support.
_USUAL_SHARE = 0.1
# A picture whose sides are so many times those that a network sees is looked at in 2 x 2 tiles,
# unless its object would cover so much of one.
_MUCH_LARGER, _TOO_LARGE_SHARE = 6.0, 0.5


def tile_windows(tiles: int) -> list[list[Window]]:
  """Lists the windows of every scale: the whole picture, 2 x 2 tiles, and so on to the finest.

  Args:
    tiles: how many along a side at the finest scale; 1 for the picture alone.

  Returns:
    For n = 1 to `tiles` the n x n windows, row by row.

  Raises:
    InputError: `tiles` is below 1.
  """
  if tiles < 1:
    raise InputError(f'`tiles` is {tiles}; it must be at least 1')
  scales: list[list[Window]] = [[(0.0, 0.0, 1.0)]]
  for n in range(2, tiles + 1):
    side = _side(n)
    starts = [i * (1 - side) / (n - 1) for i in range(n)]
    scales.append([(top, left, side) for top in starts for left in starts])
  return scales


def blend_tiles(
  margins: Float[Array | np.ndarray, 'windows h w'], *, tiles: int, size: tuple[int, int]
) -> Float[Array, 'H W']:
  """Lays together what was found in all windows of a picture.

  Within a scale a tile counts most in its middle and least at its edge, where a network sees least
  of what lies around; the scales' margins are averaged.

  Args:
    margins: foreground less background logit of each window, in the order of `tile_windows`.
    tiles: as there.
    size: (height, width) of the result, each at least twice `tiles`.

  Returns:
    Margins of the whole picture; with one tile the only window's, resized.
  """
  scales = tile_windows(tiles)
  blended, first = jnp.zeros(size, jnp.float32), 0
  for windows in scales:
    rows, columns = (
      np.stack([_placed(w[axis], w[2], margins.shape[1 + axis], size[axis]) for w in windows])
      for axis in (0, 1)
    )
    part = jnp.asarray(margins[first : first + len(windows)], jnp.float32)
    total = jnp.einsum('nyh,nhw,nxw->yx', rows, part, columns, precision='highest')
    # Weights of a row of the matrices add up to what the window counts there.
    counts = np.einsum('ny,nx->yx', rows.sum(-1), columns.sum(-1))
    blended += total / counts
    first += len(windows)
  return blended / len(scales)


def object_share(masks: Sequence[Shaped[np.ndarray, '_h _w']]) -> float:
  """Computes which share of its picture an object covers.

  Args:
    masks: of the object in pictures of any size, whole ones; what is not zero is the object.

  Returns:
    The median of those that show it, in (0, 1]; 0 where none does.
  """
  shares = [float(np.mean(mask != 0)) for mask in masks if np.any(mask)]
  return float(np.median(shares)) if shares else 0.0


def choose_tiles(masks: Sequence[Shaped[np.ndarray, '_h _w']], *, shrunk: float = 1.0) -> int:
  """Chooses how many tiles along a side pictures are looked at in, by the size of the object.

  They are the most in which an object that covers as much of a query as of its support covers at
  most a tenth of a tile, about as much as networks are used to: 2 where it covers 3.9% of the
  picture or less, 3 from 1.7%, 4 from 0.98%. Pictures whose sides are 6 times those that the
  network sees, or more, are looked at in 2 at least, so that it sees more of what they show, unless
  the object would cover more than half of a tile.

  Args:
    masks: of the object in the supports, whole pictures of any size.
    shrunk: how many times the queries' sides are longer than what the network sees.

  Returns:
    1 to `MOST_TILES`; where no mask shows the object, nothing is known of its size.
  """
  share = object_share(masks)
  of_tile = {n: share / _side(n) ** 2 for n in range(2, MOST_TILES + 1)}
  fitting = [n for n, covered in of_tile.items() if 0 < covered <= _USUAL_SHARE]
  if shrunk >= _MUCH_LARGER and of_tile[2] <= _TOO_LARGE_SHARE:
    fitting.append(2)
  return max(fitting, default=1)


def _side(tiles: int) -> float:
  """Returns the side of a tile, in shares of the picture's."""
  return (1 + _OVERLAP) / tiles


def _placed(start: float, side: float, n_in: int, n_out: int) -> np.ndarray:
  """Computes the weights of one axis of a window, `[n_out, n_in]`: zero outside of the window."""
  begin, end = round(start * n_out), round((start + side) * n_out)
  length = max(end - begin, 1)
  steps = np.arange(length)
  tent = np.minimum(steps + 1, length - steps) / length
  placed = np.zeros((n_out, n_in), np.float32)
  placed[begin : begin + length] = tent[:, None] * bilinear_matrix(n_in, length)
  return placed
