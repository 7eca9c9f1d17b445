"""Correlates and convolves in one, over the support positions alone that show the object.

Eq. 1 makes every support position outside the object zero, and with it its correlations: of a
photograph's 50 x 50 positions four in five at the median. Here Eq. 2 and the first center-pivot
convolution of a level go over the others alone, block by block, and the 4D tensor never exists. The
result is that of the plain form, for every mask; how much is computed is decided on the device, by
loops as long as an episode needs.

A packed correlation is `[L, positions + 1, p]`: the rows of the positions that show something, in
their order, then zeros; p query positions. Under the taps of a kernel's window lie some of its
rows.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.kernels.conv2d import block_length, check_odd_sides, conv2d, in_blocks
from hsnet_jax.kernels.manual_axes import sum_replicated, vary_with

POSITIONS = 128  # Support positions that a product takes at a time,
WINDOWS = 8  # and windows that a product and a convolution over their centers do.
# Of the packed correlation, at its largest: fresh memory is slow, and this much is used again.
BLOCK_BYTES = 2**25

Maps = tuple[Array, ...]


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

  def one(maps):
    return _convolve(stride, precision, *maps, query_kernel, support_kernel)

  maps = tuple(query), tuple(support)
  if query[0].shape[0] == 1:
    first: Any = one([tuple(x[0] for x in side) for side in maps])
    return first[None]
  return lax.map(one, maps)


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


class _Packing(NamedTuple):
  """Says where an episode's object lies on the support's grid.

  Attributes:
    positions: those that show something, in their order, and after them the one after the last.
    shown: how many show something.
    windows: places of the kernel that touch any of them, likewise.
    touched: how many do.
    under: `[taps, places]`, the rows of the packed correlation under each of `windows`.
    centers: the row under each window's center, where the query side reads.
  """

  positions: Array
  shown: Array
  windows: Array
  touched: Array
  under: Array
  centers: Array


def _pack(support: Maps, kernel: tuple[int, int], stride: int) -> _Packing:
  """Finds where an episode's object lies."""
  size = support[0].shape[:2]
  total = math.prod(size)
  shown = functools.reduce(jnp.logical_or, [jnp.any(s != 0, axis=-1).ravel() for s in support])
  taps = window_positions(size, kernel, stride)
  touched = jnp.any(jnp.append(shown, False)[taps], axis=1)
  room = -(-total // POSITIONS) * POSITIONS
  positions = jnp.nonzero(shown, size=room, fill_value=total)[0]
  rows = jnp.where(shown, jnp.cumsum(shown) - 1, room)
  rows = jnp.append(rows, room)
  places = -(-len(taps) // WINDOWS) * WINDOWS
  windows = jnp.nonzero(touched, size=places, fill_value=len(taps))[0]
  outside = np.full((1, taps.shape[1]), total, np.int32)
  under = rows[jnp.asarray(np.append(taps, outside, axis=0))[windows]].T
  center = taps.shape[1] // 2
  return _Packing(positions, shown.sum(), windows, touched.sum(), under, under[center])


def _nothing(query: Maps, support: Maps, packing: _Packing, positions: int) -> Array:
  """Makes room for the packed correlation of some query positions."""
  x = jnp.zeros((len(support), len(packing.positions) + 1, positions), query[0].dtype)
  return vary_with(x, query, support)


def _correlate(x: Array, block: Maps, support: Maps, packing: _Packing, precision) -> Array:
  """Computes the packed correlation of some query positions, `[p, C]` a map.

  It takes the place of another block's, `x`: the same rows are written, and the others stay zeros.
  """
  flat = [s.reshape(-1, s.shape[-1]) for s in support]

  def some(i, x):
    at = lax.dynamic_slice_in_dim(packing.positions, i * POSITIONS, POSITIONS)
    products = [
      jnp.dot(s.at[at].get(mode='fill', fill_value=0), q.T, precision=precision)
      for s, q in zip(flat, block, strict=True)
    ]
    found = jnp.maximum(jnp.stack(products), 0)
    return lax.dynamic_update_slice(x, found, (0, i * POSITIONS, 0))

  return lax.fori_loop(0, -(-packing.shown // POSITIONS), some, x)


def _blocks(query: Maps, room: int) -> tuple[Maps, int]:
  """Cuts the query's rows into blocks `[blocks, p, C]` whose packed correlations have room."""
  height, width = query[0].shape[:2]
  rows = block_length(height, BLOCK_BYTES // (width * len(query) * room * query[0].dtype.itemsize))
  blocks = [in_blocks(q, rows) for q in query]
  return tuple(b.reshape(len(b), rows * width, -1) for b in blocks), rows * width


def _flat(kernel: Float[Array, 'k l L O']) -> Float[Array, 'O t']:
  """Lays a kernel out as `_under` does the rows: maps first, then taps."""
  *_, maps, out = kernel.shape
  return kernel.reshape(-1, maps, out).transpose(2, 1, 0).reshape(out, -1)


def _under(x: Array, packing: _Packing, i: Array | int) -> Float[Array, 't wp']:
  """Gathers what lies under some windows: for each tap, window by window, the query positions."""
  rows = lax.dynamic_slice_in_dim(packing.under, i * WINDOWS, WINDOWS, axis=1)
  return x[:, rows].reshape(-1, WINDOWS * x.shape[-1])


def _side_of_support(query: Maps, support: Maps, packing: _Packing, kernel, precision):
  """Convolves over the support: `[places, positions, O]` of touched windows, and their centers."""
  blocks, p = _blocks(query, len(packing.positions) + 1)
  places, flat = len(packing.windows), _flat(kernel)

  def one(carry, numbered):
    x, y = carry
    number, block = numbered
    x = _correlate(x, block, support, packing, precision)

    def some(i, y):
      under = _under(x, packing, i)
      found = lax.dot_general(under, flat, (((0,), (1,)), ((), ())), precision=precision)
      found = found.reshape(WINDOWS, p, -1)
      return lax.dynamic_update_slice(y, found, (i * WINDOWS, number * p, 0))

    y = lax.fori_loop(0, -(-packing.touched // WINDOWS), some, y)
    return (x, y), x[:, packing.centers]

  count, positions = len(blocks[0]), math.prod(query[0].shape[:2])
  y = jnp.zeros((places, count * p, flat.shape[0]), query[0].dtype)
  y = vary_with(y, query, support, kernel)
  start = _nothing(query, support, packing, p), y
  (_, y), centers = lax.scan(one, start, (jnp.arange(count), blocks))
  centers = jnp.moveaxis(centers, 0, 2)  # [L, places, blocks, p]
  images = centers.reshape(len(query), places, -1)[..., :positions]
  images = images.reshape(len(query), places, *query[0].shape[:2])
  return y[:, :positions], jnp.moveaxis(images, 0, -1)


def _images(i: Array | int, images: Array) -> Array:
  return lax.dynamic_slice_in_dim(images, i * WINDOWS, WINDOWS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _convolve(stride, precision, query: Maps, support: Maps, query_kernel, support_kernel):
  """Convolves one episode, `[Hq, Wq, C]` and `[Hs, Ws, C]` a map."""
  return _forward(stride, precision, query, support, query_kernel, support_kernel)[0]


def _forward(stride, precision, query, support, query_kernel, support_kernel):
  packing = _pack(support, support_kernel.shape[:2], stride)
  y, images = _side_of_support(query, support, packing, support_kernel, precision)
  y = vary_with(y.reshape(*images.shape[:3], -1), query_kernel)

  def some(i, y):
    found = conv2d(_images(i, images), query_kernel, precision=precision)
    return lax.dynamic_update_slice(y, _images(i, y) + found, (i * WINDOWS, 0, 0, 0))

  y = lax.fori_loop(0, -(-packing.touched // WINDOWS), some, y)
  size = tuple(-(-n // stride) for n in support[0].shape[:2])
  # Where each window of the whole grid is found: past the end of `y`, where it touches nothing.
  found = jnp.full(math.prod(size), len(y)).at[packing.windows].set(np.arange(len(y)), mode='drop')
  whole = y.at[found].get(mode='fill', fill_value=0)
  whole = whole.transpose(1, 2, 0, 3).reshape(*y.shape[1:3], *size, -1)
  return whole, (query, support, query_kernel, support_kernel, packing, images)


def _backward(stride, precision, kept, g):
  """Computes gradients: the maps', which a frozen backbone does not ask for, by the plain form."""
  query, support, query_kernel, support_kernel, packing, images = kept
  kernels = query_kernel, support_kernel
  of_maps = jax.vjp(lambda q, s: _plain(stride, precision, q, s, *kernels), query, support)[1](g)
  height, width, *_, out = g.shape
  g = g.reshape(height, width, -1, out).transpose(2, 0, 1, 3)
  g = g.at[packing.windows].get(mode='fill', fill_value=0)  # [places, Hq, Wq, O]

  own = vary_with(query_kernel, images)
  # Short types are summed in float32, as one product would be.
  wide = np.promote_types(query_kernel.dtype, np.float32)

  def some(i, gradient):
    _, pull = jax.vjp(lambda k: conv2d(_images(i, images), k, precision=precision), own)
    return gradient + pull(_images(i, g))[0]

  start = vary_with(jnp.zeros(query_kernel.shape, wide), images, g)
  of_query = lax.fori_loop(0, -(-packing.touched // WINDOWS), some, start)
  blocks, p = _blocks(query, len(packing.positions) + 1)
  by_block = jnp.swapaxes(g.reshape(len(g), height, width * out), 0, 1)
  by_block = in_blocks(by_block, p // width).swapaxes(1, 2).reshape(-1, len(g), p, out)

  def one(carry, block):
    x, total = carry
    maps, of_block = block
    x = _correlate(x, maps, support, packing, precision)

    def some(i, total):
      found = _images(i, of_block).reshape(-1, out)
      under = _under(x, packing, i)
      return total + jnp.dot(under, found, precision=precision, preferred_element_type=wide)

    return (x, lax.fori_loop(0, -(-packing.touched // WINDOWS), some, total)), None

  flat = jnp.zeros(_flat(support_kernel).shape[::-1], wide)
  flat = vary_with(flat, query, support, g)
  start = _nothing(query, support, packing, p), flat
  (_, flat), _ = lax.scan(one, start, (blocks, by_block))
  maps = len(query)
  of_support = flat.reshape(maps, -1, out).swapaxes(0, 1).reshape(support_kernel.shape)
  of_kernels = (of_query, query_kernel), (of_support, support_kernel)
  return (*of_maps, *(sum_replicated(d.astype(k.dtype), k) for d, k in of_kernels))


def _plain(stride, precision, query: Maps, support: Maps, query_kernel, support_kernel):
  """Convolves one episode by way of its 4D tensor."""
  pairs = zip(query, support, strict=True)
  maps = [jnp.einsum('hwc,ijc->hwij', q, s, precision=precision) for q, s in pairs]
  x = jnp.maximum(jnp.stack(maps, axis=-1), 0)
  hq, wq, hs, ws, channels = x.shape
  of_support = conv2d(
    x.reshape(-1, hs, ws, channels), support_kernel, stride=stride, precision=precision
  )
  x = x[:, :, ::stride, ::stride]
  h2, w2 = x.shape[2:4]
  x = x.transpose(2, 3, 0, 1, 4).reshape(h2 * w2, hq, wq, channels)
  of_query = conv2d(x, query_kernel, precision=precision).reshape(h2, w2, hq, wq, -1)
  return of_support.reshape(hq, wq, h2, w2, -1) + of_query.transpose(2, 3, 0, 1, 4)


_convolve.defvjp(_forward, _backward)
