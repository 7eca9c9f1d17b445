"""Correlates and convolves in one, over the support positions alone that show the object.

Eq. 1 makes every support position outside the object zero, and with it its correlations: of a
photograph's 50 x 50 positions four in five at the median. Here the others are packed, Eq. 2 and the
first center-pivot convolution see nothing else, and the 4D tensor never exists. The result is that
of the plain form, for every mask.

How many positions there are is known on the device alone, so a few sizes are compiled, `BUCKETS`,
and `lax.switch` takes the smallest that holds an episode's. Episodes go one after the other.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Bool, Float

from hsnet_jax.kernels.conv2d import check_odd_sides, conv2d

# Shares of the support positions, and of the kernel's windows over them: an object's outline
# touches more windows than it fills.
BUCKETS = ((1 / 8, 1 / 4), (1 / 4, 3 / 8), (3 / 8, 1 / 2), (1 / 2, 5 / 8), (3 / 4, 7 / 8), (1, 1))
# Of the packed correlation and of gathered windows that are held at a time: fresh memory is slow.
_BLOCK_BYTES = 2**24


def packed_correlation_conv4d(
  query: Sequence[Float[Array, 'B Hq Wq _c']],
  support: Sequence[Float[Array, 'B Hs Ws _c']],
  query_kernel: Float[Array, 'k l L O'],
  support_kernel: Float[Array, 'k l L O'],
  *,
  stride: int,
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B Hq Wq H2 W2 O']:
  """Computes `center_pivot_conv4d` of the correlations of a level's maps (Eq. 2, Eq. 4).

  Args:
    query: the level's L maps of the query, normalized.
    support: those of the support, masked and normalized.
    query_kernel: over the query dimensions.
    support_kernel: over the support dimensions, strided.
    stride: on the support dimensions.
    precision: of the products.

  Returns:
    The convolution without bias.

  Raises:
    ValueError: a side of a kernel is even.
  """
  check_odd_sides(query_kernel)
  check_odd_sides(support_kernel)
  size = support[0].shape[1:3]
  windows = window_positions(size, support_kernel.shape[:2], stride)

  def one(maps):
    shown = functools.reduce(jnp.logical_or, [jnp.any(s != 0, axis=-1).ravel() for s in maps[1]])
    active = jnp.any(jnp.append(shown, False)[windows], axis=1)
    sizes = bucket_sizes(shown.size, active.size)
    index = smallest_bucket(sizes, shown.sum(), active.sum())
    branches = [
      functools.partial(_convolve, windows=windows, stride=stride, precision=precision, size=size)
      for size in sizes
    ]
    return lax.switch(index, branches, *maps, shown, active, query_kernel, support_kernel)

  maps = tuple(query), tuple(support)
  if query[0].shape[0] == 1:
    y = one(jax.tree.map(lambda x: x[0], maps))[None]
  else:
    y = lax.map(one, maps)
  h2, w2 = (-(-n // stride) for n in size)
  return y.reshape(*y.shape[:3], h2, w2, -1)


@functools.cache
def window_positions(size: tuple[int, int], kernel: tuple[int, int], stride: int) -> np.ndarray:
  """Lists, for each place of a strided kernel, the positions under its taps.

  Args:
    size: height and width of the maps.
    kernel: those of the kernel, which is padded by half of them.
    stride: of both axes.

  Returns:
    int32 `[places, taps]`, row by row; a tap outside of the maps has the position after the last.
  """
  padded = np.full([n + 2 * (k // 2) for n, k in zip(size, kernel, strict=True)], math.prod(size))
  inside = tuple(slice(k // 2, k // 2 + n) for n, k in zip(size, kernel, strict=True))
  padded[inside] = np.arange(math.prod(size)).reshape(size)
  found = np.lib.stride_tricks.sliding_window_view(padded, kernel)[::stride, ::stride]
  return found.reshape(-1, math.prod(kernel)).astype(np.int32)


def bucket_sizes(positions: int, windows: int) -> list[tuple[int, int]]:
  """Returns how many positions and windows each bucket holds, ascending, without repeats."""
  sizes = [(math.ceil(p * positions), math.ceil(w * windows)) for p, w in BUCKETS]
  return list(dict.fromkeys(sizes))


def smallest_bucket(sizes: Sequence[tuple[int, int]], positions: Array, windows: Array) -> Array:
  """Returns the index of the first bucket that holds so many positions and windows."""
  limits = np.asarray(sizes)
  fits = (positions <= limits[:, 0]) & (windows <= limits[:, 1])
  return jnp.argmax(fits)


def _convolve(
  query: tuple[Float[Array, 'Hq Wq _c'], ...],
  support: tuple[Float[Array, 'Hs Ws _c'], ...],
  shown: Bool[Array, ' positions'],
  active: Bool[Array, ' places'],
  query_kernel: Array,
  support_kernel: Array,
  *,
  windows: np.ndarray,
  stride: int,
  precision: PrecisionLike,
  size: tuple[int, int],
) -> Float[Array, 'Hq Wq places O']:
  """Convolves one episode whose positions and windows fit into a bucket."""
  hq, wq = query[0].shape[:2]
  out, maps = support_kernel.shape[-1], len(query)
  count, places = size
  # Positions in their order; those that fill the bucket up are the one after the last, all zeros.
  chosen = jnp.nonzero(shown, size=count, fill_value=shown.size)[0]
  packed = [
    jnp.take(s.reshape(shown.size, -1), chosen, axis=0, mode='fill', fill_value=0) for s in support
  ]
  where = jnp.full(shown.size + 1, count).at[chosen].set(jnp.arange(count), mode='drop')
  where = where.at[shown.size].set(count)
  taken = jnp.nonzero(active, size=places, fill_value=active.size)[0]
  taps = jnp.asarray(np.append(windows, np.full((1, windows.shape[1]), shown.size), axis=0))
  under = where[taps[taken]]  # [places, taps]: rows of the packed correlation
  kernel = support_kernel.reshape(-1, maps, out).transpose(2, 1, 0).reshape(out, -1)
  center = windows.shape[1] // 2

  def rows(block: tuple[Array, ...]) -> tuple[Array, Array]:
    """Returns the support side, and the correlation at the windows' centers, of query rows."""
    x = jnp.stack(
      [
        jnp.maximum(jnp.einsum('nc,pc->np', s, q.reshape(-1, q.shape[-1]), precision=precision), 0)
        for s, q in zip(packed, block, strict=True)
      ]
    )
    x = jnp.pad(x, ((0, 0), (0, 1), (0, 0)))
    return _over_windows(x, under, kernel, precision), x[:, under[:, center]]

  step = _rows_at_once(hq, wq, maps * count * query[0].dtype.itemsize)
  if step == hq:
    of_support, centers = rows(query)
  else:
    blocks = tuple(q.reshape(hq // step, step, wq, -1) for q in query)
    of_support, centers = lax.map(rows, blocks)
    of_support = jnp.moveaxis(of_support, 0, 2).reshape(places, out, hq * wq)
    centers = jnp.moveaxis(centers, 0, 2).reshape(maps, places, hq * wq)
  images = centers.transpose(1, 2, 0).reshape(places, hq, wq, maps)
  of_query = conv2d(images, query_kernel, precision=precision)
  y = of_support.swapaxes(1, 2) + of_query.reshape(places, hq * wq, out)
  y = jnp.zeros((active.size, hq * wq, out), y.dtype).at[taken].set(y, mode='drop')
  return y.swapaxes(0, 1).reshape(hq, wq, active.size, out)


def _rows_at_once(height: int, width: int, bytes_each: int) -> int:
  """Returns how many query rows go together: a divisor of the height, within `_BLOCK_BYTES`."""
  most = max(1, _BLOCK_BYTES // (width * bytes_each))
  return next(n for n in range(min(height, most), 0, -1) if height % n == 0)


def _over_windows(
  x: Float[Array, 'L n p'], under: Array, kernel: Float[Array, 'O t'], precision: PrecisionLike
) -> Float[Array, 'places O p']:
  """Convolves over the support: a product of the kernel with the rows under each window."""
  places, taps = under.shape
  maps, _, positions = x.shape

  @functools.partial(jax.checkpoint, prevent_cse=False)
  def window(rows):
    return jnp.dot(kernel, x[:, rows].reshape(maps * taps, positions), precision=precision)

  return lax.map(window, under)
