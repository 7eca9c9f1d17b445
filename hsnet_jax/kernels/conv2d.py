"""Convolves over `[B, H, W, C]` with HWIO kernels, in the form each platform does fastest.

On a CPU the gradient of a kernel is written as matrix products here; elsewhere
`lax.conv_general_dilated` and its own gradient serve. `conv2d_plain` is the oracle of both.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.kernels.forms import choose
from hsnet_jax.kernels.manual_axes import sum_replicated

DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')


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


def _kernel_gradient(
  x: Float[Array, 'B H W C'],
  g: Float[Array, 'B H W O'],
  size: tuple[int, int],
  precision: PrecisionLike,
) -> Float[Array, 'k l C O']:
  """Computes the gradient of a stride-1 kernel as `k` products over all positions.

  With 32 or more channels the output's gradient is laid side by side at its `l` shifts along the
  width, so that one product serves a row of the kernel, and the rows of `x` are slices without a
  copy inside. With fewer, `k * l` products, one a tap, read the gradient where it lies: a product
  then has too few rows to repay the `l` copies.
  """
  (kh, kw), (_, height, width, channels), out = size, x.shape, g.shape[-1]
  x = jnp.pad(x, ((0, 0), (kh // 2, kh // 2), (0, 0), (0, 0)))
  g = jnp.pad(g, ((0, 0), (0, 0), (kw // 2, kw // 2), (0, 0)))
  if channels >= 32:
    shifted = jnp.concatenate([g[:, :, kw - 1 - j : kw - 1 - j + width] for j in range(kw)], -1)
    rows = [
      jnp.einsum('bhwc,bhwo->co', x[:, i : i + height], shifted, precision=precision)
      for i in range(kh)
    ]
    return jnp.stack(rows).reshape(kh, channels, kw, out).transpose(0, 2, 1, 3)
  taps = [
    jnp.einsum(
      'bhwc,bhwo->co',
      x[:, i : i + height],
      g[:, :, kw - 1 - j : kw - 1 - j + width],
      precision=precision,
    )
    for i in range(kh)
    for j in range(kw)
  ]
  return jnp.stack(taps).reshape(kh, kw, channels, out)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv2d_product_gradient(x, kernel, precision):
  return conv2d_plain(x, kernel, precision=precision)


def _conv2d_product_gradient_forward(x, kernel, precision):
  return _conv2d_product_gradient(x, kernel, precision), (x, kernel)


def _conv2d_product_gradient_backward(precision, residuals, g):
  x, kernel = residuals
  flipped = kernel[::-1, ::-1].swapaxes(2, 3)
  dx = conv2d_plain(g, flipped, precision=precision)
  dk = _kernel_gradient(x, g, kernel.shape[:2], precision)
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
    if stride != 1:
      raise ValueError(f'the form product_gradient is for stride 1, not {stride}')
    return _conv2d_product_gradient(x, kernel, precision)
  return conv2d_plain(x, kernel, stride=stride, precision=precision)
