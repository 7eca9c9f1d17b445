"""2D convolutions over `[B, H, W, C]` with HWIO kernels, in the form each platform does fastest.

XLA's CPU backend runs forward convolutions well, but takes three to four times as long for the
gradient of their kernel, and ten for depthwise ones. On a CPU those are written as matrix products
and shifted multiply-adds here; elsewhere `lax.conv_general_dilated` and its own gradient serve.
`conv2d_plain` is the oracle of both.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')


def on_cpu() -> bool:
  """Whether the default backend, for which functions are traced, is a CPU."""
  return jax.default_backend() == 'cpu'


def check_odd_sides(kernel: Array) -> None:
  """Makes sure that a kernel has a centre, on which "padded by half the kernel" depends.

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
  """Convolution padded by half the kernel (`k // 2`), as `lax` does it.

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
  """Gradient of a stride-1 kernel as `k` products over all positions.

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


def _varying_axes(x: Array) -> frozenset[str]:
  """The mesh axes over which a value differs inside `shard_map`; jax has renamed the attribute."""
  aval = jax.typeof(x)
  if hasattr(aval, 'manual_axis_type'):
    return aval.manual_axis_type.varying
  return getattr(aval, 'vma', frozenset())


def _sum_replicated(gradient: Array, primal: Array) -> Array:
  """Sums a cotangent over the mesh axes on which its primal is replicated."""
  axes = tuple(_varying_axes(gradient) - _varying_axes(primal))
  return lax.psum(gradient, axes) if axes else gradient


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv2d_cpu(x, kernel, precision):
  return conv2d_plain(x, kernel, precision=precision)


def _conv2d_cpu_forward(x, kernel, precision):
  return _conv2d_cpu(x, kernel, precision), (x, kernel)


def _conv2d_cpu_backward(precision, residuals, g):
  x, kernel = residuals
  flipped = kernel[::-1, ::-1].swapaxes(2, 3)
  dx = conv2d_plain(g, flipped, precision=precision)
  dk = _kernel_gradient(x, g, kernel.shape[:2], precision)
  return _sum_replicated(dx, x), _sum_replicated(dk, kernel)


_conv2d_cpu.defvjp(_conv2d_cpu_forward, _conv2d_cpu_backward)


def conv2d(
  x: Float[Array, 'B H W C'],
  kernel: Float[Array, 'k l C O'],
  *,
  stride: int = 1,
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B H2 W2 O']:
  """Convolution padded by half the kernel (`k // 2`), without bias.

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
  if kernel.shape[:2] == (1, 1):
    return jnp.einsum('bhwc,co->bhwo', x[:, ::stride, ::stride], kernel[0, 0], precision=precision)
  # Few output channels leave a kernel gradient so small that the plain form wins.
  if stride == 1 and kernel.shape[3] >= 8 and on_cpu():
    return _conv2d_cpu(x, kernel, precision)
  return conv2d_plain(x, kernel, stride=stride, precision=precision)


def depthwise_conv2d(
  x: Float[Array, 'B H W C'],
  kernel: Float[Array, 'k l C 1'],
  *,
  stride: int = 1,
  padding: tuple[tuple[int, int], tuple[int, int]],
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B H2 W2 C']:
  """Depthwise convolution: one `k x l` filter a channel.

  On a CPU it is `k * l` shifted multiply-adds, which XLA fuses into one pass (six times faster
  than its grouped convolution on 40 images of 100 x 100) and which `precision` does not touch.

  Args:
    x: feature maps.
    kernel: the filters, with sides of any length.
    stride: of both axes.
    padding: zeros `((above, below), (left, right))` of the maps; none are added of its own.
    precision: of the products, where there are any.

  Returns:
    The convolved maps; `H2 = (H + above + below - k) // stride + 1`, and `W2` likewise.
  """
  kh, kw, channels, _ = kernel.shape
  if not on_cpu():
    return lax.conv_general_dilated(
      x,
      kernel.swapaxes(2, 3),
      (stride, stride),
      padding,
      dimension_numbers=DIMENSIONS,
      feature_group_count=channels,
      precision=precision,
    )
  x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
  height, width = (x.shape[1] - kh) // stride + 1, (x.shape[2] - kw) // stride + 1
  taps = [
    x[:, i : i + (height - 1) * stride + 1 : stride, j : j + (width - 1) * stride + 1 : stride]
    * kernel[i, j, :, 0][None, None, None]
    for i in range(kh)
    for j in range(kw)
  ]
  return sum(taps[1:], start=taps[0])
