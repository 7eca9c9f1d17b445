"""Convolves `[B, H, W, C]` depthwise, in the form each platform does fastest.

XLA's CPU backend takes ten times as long for its gradient as for itself.
"""

import jax.numpy as jnp
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.kernels.conv2d import DIMENSIONS
from hsnet_jax.kernels.forms import choose


def depthwise_conv2d(
  x: Float[Array, 'B H W C'],
  kernel: Float[Array, 'k l C 1'],
  *,
  stride: int = 1,
  padding: tuple[tuple[int, int], tuple[int, int]],
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> Float[Array, 'B H2 W2 C']:
  """Convolves each channel with one `k x l` filter of its own.

  On a CPU it is `k * l` shifted multiply-adds, which XLA fuses into one pass and which `precision`
  does not touch.

  Args:
    x: feature maps.
    kernel: the filters, with sides of any length.
    stride: of both axes.
    padding: zeros `((above, below), (left, right))` of the maps; none are added of its own.
    precision: of the products, where there are any.
    implementation: a form of `FORMS['depthwise_conv2d']`; by default what its table says.

  Returns:
    The convolved maps; `H2 = (H + above + below - k) // stride + 1`, and `W2` likewise.

  Raises:
    ValueError: there is no such form.
  """
  kh, kw, channels, _ = kernel.shape
  form = choose('depthwise_conv2d', implementation, weights=kernel, x=x, stride=stride)
  if form == 'plain':
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
