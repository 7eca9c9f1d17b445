"""Resizes as the published network does: corners aligned, or nearest with a floored index.

Images and feature maps are `[B, H, W, C]`. `jax.image.resize` places pixel centers elsewhere and
agrees with neither function.
"""

import jax.numpy as jnp
import numpy as np
from jax.lax import PrecisionLike
from jaxtyping import Array, Float, Integer, Shaped

Size = tuple[int, int]


def map_size(x: Shaped[Array | np.ndarray, 'B H W *rest']) -> Size:
  """Reads (height, width) of images, maps or masks `[B, H, W, ...]`."""
  height, width = x.shape[1:3]
  return height, width


def bilinear_matrix(n_in: int, n_out: int) -> np.ndarray:
  """Computes the weights of an axis; first and last pixels' centers coincide.

  Args:
    n_in: pixels of the source along an axis.
    n_out: pixels of the result along it.

  Returns:
    float32 `[n_out, n_in]`, two weights a row at most.
  """
  # In float32 throughout, as PyTorch computes them, so that the weights agree to the last bit.
  scale = np.float32(n_in - 1) / np.float32(n_out - 1) if n_out > 1 else np.float32(0)
  source = scale * np.arange(n_out, dtype=np.float32)
  low = np.minimum(source.astype(np.int64), n_in - 1)
  high = np.minimum(low + 1, n_in - 1)
  fraction = source - low.astype(np.float32)
  matrix = np.zeros((n_out, n_in), np.float32)
  rows = np.arange(n_out)
  np.add.at(matrix, (rows, low), 1 - fraction)
  np.add.at(matrix, (rows, high), fraction)
  return matrix


def _check_inexact(x: Array, function: str) -> None:
  if not jnp.issubdtype(x.dtype, jnp.inexact):
    raise TypeError(
      f'{function} takes floating-point numbers, not {x.dtype}: convert them, or use '
      'resize_nearest for labels'
    )


def resize_bilinear(
  x: Float[Array, 'B H W C'],
  size: tuple[int, int],
  *,
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B H2 W2 C']:
  """Resizes bilinearly with aligned corners.

  Each axis is one small matrix product: the weights are constants of the compiled program, and
  the gradient is again a product.

  Args:
    x: feature maps or images.
    size: `(height, width)` of the result.
    precision: of the products.

  Returns:
    The resized maps. A result of one pixel along an axis takes the first of the input's.

  Raises:
    TypeError: the maps are whole numbers or bool, in which the weights would all be 0 or 1.
  """
  _check_inexact(x, 'resize_bilinear')
  height, width = size
  if x.shape[1] != height:
    rows = jnp.asarray(bilinear_matrix(x.shape[1], height), x.dtype)
    x = jnp.einsum('oh,bhwc->bowc', rows, x, precision=precision)
  if x.shape[2] != width:
    columns = jnp.asarray(bilinear_matrix(x.shape[2], width), x.dtype)
    x = jnp.einsum('ow,bhwc->bhoc', columns, x, precision=precision)
  return x


def _bilinear_matrices(
  n_in: int, n_out: Integer[Array, ' B'], length: int
) -> Float[Array, 'B length n_in']:
  """Computes `bilinear_matrix` of several output sizes, known only when the program runs."""
  scale = jnp.where(n_out > 1, (n_in - 1) / jnp.maximum(n_out - 1, 1).astype(jnp.float32), 0)
  source = scale[:, None] * jnp.arange(length, dtype=jnp.float32)[None]
  source = jnp.minimum(source, n_in - 1)[..., None]
  return jnp.maximum(1 - jnp.abs(source - jnp.arange(n_in, dtype=jnp.float32)[None, None]), 0)


def resize_bilinear_each(
  x: Float[Array, 'B H W C'],
  sizes: Integer[Array | np.ndarray, 'B 2'],
  *,
  canvas: tuple[int, int],
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B H2 W2 C']:
  """Resizes each map of a batch to a size of its own, bilinearly with aligned corners.

  One program serves all sizes: they are operands, and only the canvas is compiled in.

  Args:
    x: feature maps or logits.
    sizes: (height, width) of each result, none above the canvas: what lies beyond it is cropped.
    canvas: (height, width) of the array that holds them.
    precision: of the products.

  Returns:
    Each result in the top left corner of its canvas; the rest repeats its last row and column.

  Raises:
    TypeError: the maps are whole numbers or bool, as for `resize_bilinear`.
    ValueError: a size is above the canvas, where sizes are a NumPy array and so known beforehand.
  """
  _check_inexact(x, 'resize_bilinear_each')
  if isinstance(sizes, np.ndarray) and (sizes > np.array([canvas])).any():
    raise ValueError(
      f'a map cannot go to {tuple(sizes.max(0).tolist())} (the largest height and width asked for) '
      f'on a canvas of {tuple(canvas)}'
    )
  sizes = jnp.asarray(sizes)
  rows = _bilinear_matrices(x.shape[1], sizes[:, 0], canvas[0]).astype(x.dtype)
  columns = _bilinear_matrices(x.shape[2], sizes[:, 1], canvas[1]).astype(x.dtype)
  x = jnp.einsum('boh,bhwc->bowc', rows, x, precision=precision)
  return jnp.einsum('bow,bhwc->bhoc', columns, x, precision=precision)


def nearest_indices(n_in: int, n_out: int) -> np.ndarray:
  """Computes the source index of each of `n_out` pixels, floored in float32 as PyTorch does.

  Integer arithmetic differs at some sizes (336 -> 400 is one).

  Args:
    n_in: pixels of the source along an axis.
    n_out: pixels of the result along it.

  Returns:
    Whole numbers in `[0, n_in)`, int64 `[n_out]`.
  """
  scale = np.float32(n_in) / np.float32(n_out)
  source = np.floor(np.arange(n_out, dtype=np.float32) * scale).astype(np.int64)
  return np.minimum(source, n_in - 1)


def resize_nearest(x: Shaped[Array, 'B H W'], size: tuple[int, int]) -> Shaped[Array, 'B H2 W2']:
  """Resizes masks or labels by the floored nearest index (`nearest_indices`).

  Args:
    x: masks or labels, of any type.
    size: `(height, width)` of the result.

  Returns:
    The resized ones, of the same type.
  """
  rows, columns = nearest_indices(x.shape[1], size[0]), nearest_indices(x.shape[2], size[1])
  return x[:, rows][:, :, columns]
