"""Convolves over `[B, Hq, Wq, Hs, Ws, C]`: center-pivot 4D, and two forms to compare it with.

All three are called `f(x, *kernels, bias, stride=..., precision=...)` and give the same shape, so
that one is exchanged for another with its kernels: those of the query side and of the support side,
or the one full kernel. They pad by half the kernel, whose sides are odd, and stride on the support
side only (Sec. 4.2, Fig. 4). `bias` is the sum of the published layer's two.
"""

import jax.numpy as jnp
import numpy as np
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.kernels.conv2d import check_odd_sides, conv2d, conv2d_plain
from hsnet_jax.kernels.forms import choose


def _of_2d(implementation: str) -> str:
  """Says in which form 2D convolutions are computed where 4D ones are in this one."""
  return implementation if implementation in ('plain', 'portable') else 'auto'


def _query_side(x, kernel, precision, implementation='auto'):
  """Convolves over the query dimensions at every support position."""
  b, hq, wq, hs, ws, c = x.shape
  if hs * ws == 1:  # nothing to move
    y = conv2d(x.reshape(b, hq, wq, c), kernel, precision=precision, implementation=implementation)
    return y.reshape(b, hq, wq, 1, 1, -1)
  x = x.transpose(0, 3, 4, 1, 2, 5).reshape(b * hs * ws, hq, wq, c)
  y = conv2d(x, kernel, precision=precision, implementation=implementation)
  return y.reshape(b, hs, ws, hq, wq, -1).transpose(0, 3, 4, 1, 2, 5)


def _taps(n_in: int, k: int, stride: int) -> np.ndarray:
  """Marks `[n_in, n_out, k]`: 1 where input and output position meet at a tap of the kernel."""
  n_out = -(-n_in // stride)
  position, out, tap = np.ogrid[:n_in, :n_out, :k]
  return (position == out * stride + tap - k // 2).astype(np.float32)


def _support_side_dense(x, kernel, stride, precision):
  """Computes the support side as one product with the convolution's dense matrix."""
  b, hq, wq, hs, ws, c = x.shape
  kh, kw, _, o = kernel.shape
  wide = kernel.astype(np.promote_types(kernel.dtype, np.float32))
  rows, columns = (_taps(*one, stride).astype(wide.dtype) for one in ((hs, kh), (ws, kw)))
  h2, w2 = rows.shape[1], columns.shape[1]
  matrix = jnp.einsum('yik,klco->yilco', rows, wide, precision='highest')
  matrix = jnp.einsum('xjl,yilco->yxcijo', columns, matrix, precision='highest')
  matrix = matrix.reshape(hs * ws * c, h2 * w2 * o).astype(kernel.dtype)
  y = jnp.matmul(x.reshape(b * hq * wq, hs * ws * c), matrix, precision=precision)
  return y.reshape(b, hq, wq, h2, w2, o)


def _support_side(x, kernel, stride, precision, implementation='auto'):
  """Convolves over the support dimensions, strided, at every query position."""
  check_odd_sides(kernel)  # the dense form would not
  form = choose('support_side', implementation, weights=kernel, x=x, stride=stride)
  if form == 'dense':
    return _support_side_dense(x, kernel, stride, precision)
  b, hq, wq, hs, ws, c = x.shape
  y = conv2d(
    x.reshape(b * hq * wq, hs, ws, c),
    kernel,
    stride=stride,
    precision=precision,
    implementation='plain' if form == 'plain' else _of_2d(implementation),
  )
  return y.reshape(b, hq, wq, *y.shape[1:])


def _add_bias(y, bias):
  return y if bias is None else y + bias.reshape((1,) * 5 + (-1,))


def center_pivot_conv4d(
  x: Float[Array, 'B Hq Wq Hs Ws C'],
  query_kernel: Float[Array, 'k l C O'],
  support_kernel: Float[Array, 'k l C O'],
  bias: Float[Array, ' O'] | None = None,
  *,
  stride: int = 1,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> Float[Array, 'B Hq Wq H2 W2 O']:
  """Computes the center-pivot 4D convolution: two 2D convolutions with one center (Eq. 4, Fig. 4c).

  Args:
    x: stacked 4D correlations or their embedding.
    query_kernel: over the query dimensions, applied at the strided support positions.
    support_kernel: over the support dimensions, strided, applied at every query position.
    bias: the sum of both sides' biases.
    stride: on the support dimensions; `H2 = ceil(Hs / stride)`.
    precision: of the products.
    implementation: the form of the support side, of `FORMS['support_side']`, by default what its
      table says; 'plain' and 'portable' are of both sides.

  Returns:
    The sum of both convolutions.

  Raises:
    ValueError: a side of a kernel is even, or there is no such form.
  """
  of_query = x[:, :, :, ::stride, ::stride]
  y = _query_side(of_query, query_kernel, precision, _of_2d(implementation))
  return _add_bias(y + _support_side(x, support_kernel, stride, precision, implementation), bias)


def separable_conv4d(
  x: Float[Array, 'B Hq Wq Hs Ws C'],
  query_kernel: Float[Array, 'k l C M'],
  support_kernel: Float[Array, 'k l M O'],
  bias: Float[Array, ' O'] | None = None,
  *,
  stride: int = 1,
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B Hq Wq H2 W2 O']:
  """Computes the separable 4D convolution (Fig. 4b): the query side's, then the support's.

  Args:
    x: stacked 4D correlations or their embedding.
    query_kernel: over the query dimensions, to `M` channels.
    support_kernel: over the support dimensions, strided, from those `M` channels.
    bias: added at the end.
    stride: on the support dimensions; `H2 = ceil(Hs / stride)`.
    precision: of the products.

  Returns:
    The convolution by the 4D kernel that is both kernels' product.

  Raises:
    ValueError: a side of a kernel is even.
  """
  y = _query_side(x, query_kernel, precision)
  return _add_bias(_support_side(y, support_kernel, stride, precision), bias)


def full_conv4d(
  x: Float[Array, 'B Hq Wq Hs Ws C'],
  kernel: Float[Array, 'k l m n C O'],
  bias: Float[Array, ' O'] | None = None,
  *,
  stride: int = 1,
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B Hq Wq H2 W2 O']:
  """Computes the full 4D convolution (Fig. 4a) as a sum of 2D ones over the query side's taps.

  XLA has no 4D convolution; each of the `k * l` taps of the query side is a shift of the query
  dimensions followed by a 2D convolution over the support dimensions.

  Args:
    x: stacked 4D correlations or their embedding.
    kernel: over the query dimensions (`k`, `l`) and the support dimensions (`m`, `n`).
    bias: added at the end.
    stride: on the support dimensions; `H2 = ceil(Hs / stride)`.
    precision: of the products.

  Returns:
    The convolution.

  Raises:
    ValueError: a side of the kernel is even.
  """
  check_odd_sides(kernel)
  b, hq, wq, hs, ws, c = x.shape
  kh, kw = kernel.shape[:2]
  padded = jnp.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0), (0, 0), (0, 0)))
  taps = [
    conv2d_plain(
      padded[:, i : i + hq, j : j + wq].reshape(b * hq * wq, hs, ws, c),
      kernel[i, j],
      stride=stride,
      precision=precision,
    )
    for i in range(kh)
    for j in range(kw)
  ]
  y = sum(taps[1:], start=taps[0])
  return _add_bias(y.reshape(b, hq, wq, *y.shape[1:]), bias)
