"""Convolves over `[B, H, W, C]` with HWIO kernels, in the form each platform does fastest.

On a CPU many images go in parts, and gradients are written as products in blocks; elsewhere
`lax.conv_general_dilated` and its own gradient serve. `conv2d_plain` is the oracle of both.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.kernels.forms import choose
from hsnet_jax.kernels.manual_axes import sum_replicated, vary_with

DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')
PARTS = 4  # Of many images, on a CPU.
# Of what windows hold at a time: fresh memory is slow, and this much is used again.
BLOCK_BYTES = 2**23


def check_odd_sides(kernel: Array) -> None:
  """Makes sure that a kernel has a center, on which "padded by half the kernel" depends.

  Args:
    kernel: of any number of axes; the last two are channels.

  Raises:
    ValueError: a side is even.
  """
  sides = kernel.shape[:-2]
  if not all(side % 2 for side in sides):
    raise ValueError(f'the kernel is {" x ".join(map(str, sides))}; its sides must be odd')


def conv2d_plain(
  x: Float[Array, 'B H W C'],
  kernel: Float[Array, 'k l C O'],
  *,
  stride: int = 1,
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B H2 W2 O']:
  """Convolves, padded by half the kernel (`k // 2`), as `lax` does it.

  Args:
    x: feature maps.
    kernel: the weights, with odd sides.
    stride: of both axes.
    precision: of the products.

  Returns:
    The convolved maps, `ceil(H / stride)` by `ceil(W / stride)`.

  Raises:
    ValueError: a side of the kernel is even.
  """
  check_odd_sides(kernel)
  pads = [(k // 2, k // 2) for k in kernel.shape[:2]]
  return lax.conv_general_dilated(
    x, kernel, (stride, stride), pads, dimension_numbers=DIMENSIONS, precision=precision
  )


def block_length(count: int, most: int) -> int:
  """Chooses how many of `count` things a block has: a divisor, unless that were far below `most`.

  Args:
    count: how many things there are.
    most: how many a block may have; at least one is taken.

  Returns:
    The length, for `in_blocks`.
  """
  most = min(count, max(1, most))
  divisor = next(n for n in range(most, 0, -1) if count % n == 0)
  return divisor if 2 * divisor >= most else -(-count // -(-count // most))


def in_blocks(x: Array, length: int) -> Array:
  """Cuts the first axis into blocks, the last of which zeros fill up.

  Args:
    x: an array of one axis or more.
    length: of a block.

  Returns:
    `[blocks, length, ...]`.
  """
  blocks = -(-len(x) // length)
  if len(x) < blocks * length:
    x = jnp.pad(x, [(0, blocks * length - len(x)), *[(0, 0)] * (x.ndim - 1)])
  return x.reshape(blocks, length, *x.shape[1:])


def _summed_in(x: Array) -> np.dtype:
  """Gives the type of sums: short types are summed in float32, as one product would be."""
  return np.promote_types(x.dtype, np.float32)


def _over_blocks(
  of_block: Callable[[Array, Array], Array], x: Array, g: Array, bytes_of_one: int
) -> Array:
  """Adds up what `of_block` makes of some images and their output's gradient, block by block."""
  found = jax.eval_shape(of_block, x, g)
  if not x.size:
    return jnp.zeros(found.shape, g.dtype)
  each = block_length(len(x), BLOCK_BYTES // bytes_of_one)
  if each == len(x):
    return of_block(x, g).astype(g.dtype)
  blocks = in_blocks(x, each), in_blocks(g, each)
  start = vary_with(jnp.zeros(found.shape, found.dtype), x, g)
  total, _ = lax.scan(lambda total, some: (total + of_block(*some), None), start, blocks)
  return total.astype(g.dtype)


def _kernel_gradient(
  x: Float[Array, 'B H W C'],
  g: Float[Array, 'B H W O'],
  size: tuple[int, int],
  precision: PrecisionLike,
) -> Float[Array, 'k l C O']:
  """Computes the gradient of a stride-1 kernel: for each tap a product over all positions.

  What all taps read, `x` and the output's gradient, stays in the processor's caches for a block of
  images at a time: 8 maps of 50 x 50 and 128 channels took 89 ms at once, and 52 two by two.
  """
  (kh, kw), (_, height, width, channels), out = size, x.shape, g.shape[-1]

  def of_block(x, g):
    x = jnp.pad(x, ((0, 0), (kh // 2, kh // 2), (0, 0), (0, 0)))
    g = jnp.pad(g, ((0, 0), (0, 0), (kw // 2, kw // 2), (0, 0)))
    taps = [
      jnp.einsum(
        'bhwc,bhwo->co',
        x[:, i : i + height],
        g[:, :, kw - 1 - j : kw - 1 - j + width],
        precision=precision,
        preferred_element_type=_summed_in(g),
      )
      for i in range(kh)
      for j in range(kw)
    ]
    return jnp.stack(taps).reshape(kh, kw, channels, out)

  of_one = height * width * (channels + out) * x.dtype.itemsize
  return _over_blocks(of_block, x, g, of_one)


def _windows(x: Float[Array, 'B H W C'], size: tuple[int, int], stride: int) -> Array:
  """Lays what lies under each window side by side, `[B * H2 * W2, k * l * C]`."""
  kh, kw = size
  h2, w2 = (-(-n // stride) for n in x.shape[1:3])
  x = jnp.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
  rows, columns = (h2 - 1) * stride + 1, (w2 - 1) * stride + 1
  taps = [
    x[:, i : i + rows : stride, j : j + columns : stride] for i in range(kh) for j in range(kw)
  ]
  return jnp.concatenate(taps, axis=-1).reshape(-1, kh * kw * x.shape[-1])


def _strided_kernel_gradient(
  x: Float[Array, 'B H W C'],
  g: Float[Array, 'B H2 W2 O'],
  size: tuple[int, int],
  stride: int,
  precision: PrecisionLike,
) -> Float[Array, 'k l C O']:
  """Computes the gradient of a strided kernel: its windows' product with the output's gradient.

  Windows take several times the bytes of the images, so they are laid out block by block.
  """
  channels, out, taps = x.shape[-1], g.shape[-1], math.prod(size)

  def of_block(x, g):
    found = jnp.dot(
      _windows(x, size, stride).T,
      g.reshape(-1, out),
      precision=precision,
      preferred_element_type=_summed_in(g),
    )
    return found.reshape(*size, channels, out)

  of_one = math.prod(g.shape[1:3]) * taps * channels * x.dtype.itemsize
  return _over_blocks(of_block, x, g, of_one)


def _overlapped(
  g: Float[Array, 'B H2 W2 O'],
  kernel: Float[Array, 'k l C O'],
  size: tuple[int, int],
  stride: int,
  precision: PrecisionLike,
) -> Float[Array, 'B H W C']:
  """Adds up what the output's gradient gives to each window of a strided convolution.

  The kernel is cut into pieces of `stride` taps a side, whose windows lie side by side without a
  gap: each piece is one product, and its place in the sum a shift by whole windows.
  """
  count, h2, w2, out = g.shape
  kh, kw, channels, _ = kernel.shape
  down, across = -(-kh // stride), -(-kw // stride)
  whole = jnp.zeros((), _summed_in(g))
  for i in range(down):
    for j in range(across):
      piece = kernel[i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
      rows, columns = piece.shape[:2]
      y = lax.dot_general(
        g.reshape(-1, out),
        piece.reshape(-1, out),
        (((1,), (1,)), ((), ())),
        precision=precision,
        preferred_element_type=_summed_in(g),
      )
      y = y.reshape(count, h2, w2, rows, columns, channels).transpose(0, 1, 3, 2, 4, 5)
      of_rows, of_columns = (i, down - 1 - i), (j, across - 1 - j)
      pads = ((0, 0), of_rows, (0, stride - rows), of_columns, (0, stride - columns), (0, 0))
      y = jnp.pad(y, pads)
      whole += y
  sides = (h2 + down - 1) * stride, (w2 + across - 1) * stride
  (top, left), (height, width) = (kh // 2, kw // 2), size
  # Where windows do not reach the last rows, these have no gradient.
  short = [(0, max(0, n)) for n in (top + height - sides[0], left + width - sides[1])]
  whole = jnp.pad(whole.reshape(count, *sides, channels), ((0, 0), *short, (0, 0)))
  return whole[:, top : top + height, left : left + width].astype(g.dtype)


def _strided_input_gradient(
  g: Float[Array, 'B H2 W2 O'],
  kernel: Float[Array, 'k l C O'],
  size: tuple[int, int],
  stride: int,
  precision: PrecisionLike,
) -> Float[Array, 'B H W C']:
  """Computes the gradient of a strided convolution's input, block by block of images.

  XLA's CPU backend spreads the output's gradient with zeros between first.
  """
  if not g.size:
    return jnp.zeros((len(g), *size, kernel.shape[2]), g.dtype)
  of_one = math.prod(g.shape[1:3]) * math.prod(kernel.shape[:3]) * g.dtype.itemsize
  each = block_length(len(g), BLOCK_BYTES // of_one)
  blocks = lax.map(
    lambda block: _overlapped(block, kernel, size, stride, precision), in_blocks(g, each)
  )
  return blocks.reshape(-1, *blocks.shape[2:])[: len(g)]


def _in_parts(x, kernel, stride, precision):
  """Convolves, many images in parts.

  XLA's CPU backend gives some convolutions to one thread, strided ones among them: 2500 images of
  13 x 13 from 16 to 64 channels took 49 ms in one and 22 in four.
  """
  whole = functools.partial(conv2d_plain, stride=stride, precision=precision)
  if x.shape[0] < 16 or x.shape[-1] < 16:
    return whole(x, kernel)
  return jnp.concatenate([whole(part, kernel) for part in jnp.array_split(x, PARTS)])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv2d_product_gradient(x, kernel, stride, precision):
  return _in_parts(x, kernel, stride, precision)


def _conv2d_product_gradient_forward(x, kernel, stride, precision):
  return _conv2d_product_gradient(x, kernel, stride, precision), (x, kernel)


def _conv2d_product_gradient_backward(stride, precision, residuals, g):
  x, kernel = residuals
  size = kernel.shape[:2]
  if stride == 1:
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    dx = _in_parts(g, flipped, 1, precision)
    dk = _kernel_gradient(x, g, size, precision)
  else:
    dx = _strided_input_gradient(g, kernel, x.shape[1:3], stride, precision)
    dk = _strided_kernel_gradient(x, g, size, stride, precision)
  return sum_replicated(dx, x), sum_replicated(dk, kernel)


_conv2d_product_gradient.defvjp(_conv2d_product_gradient_forward, _conv2d_product_gradient_backward)


def conv2d(
  x: Float[Array, 'B H W C'],
  kernel: Float[Array, 'k l C O'],
  *,
  stride: int = 1,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> Float[Array, 'B H2 W2 O']:
  """Convolves, padded by half the kernel (`k // 2`), without bias.

  Args:
    x: feature maps.
    kernel: the weights, with odd sides.
    stride: of both axes.
    precision: of the products.
    implementation: a form of `FORMS['conv2d']`; by default what its table says.

  Returns:
    The convolved maps, `ceil(H / stride)` by `ceil(W / stride)`.

  Raises:
    ValueError: a side of the kernel is even, or the form is none for this shape.
  """
  check_odd_sides(kernel)
  form = choose('conv2d', implementation, weights=kernel, x=x, stride=stride)
  if form == 'pointwise':
    if kernel.shape[:2] != (1, 1):
      raise ValueError(f'the pointwise form is for kernels of 1 x 1, not {kernel.shape[:2]}')
    return jnp.einsum('bhwc,co->bhwo', x[:, ::stride, ::stride], kernel[0, 0], precision=precision)
  if form == 'product_gradient':
    return _conv2d_product_gradient(x, kernel, stride, precision)
  return conv2d_plain(x, kernel, stride=stride, precision=precision)
