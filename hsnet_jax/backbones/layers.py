"""Applies layers of frozen backbones: pure functions over `{'kernel': ..., 'scale': ...}`."""

import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Weights
from hsnet_jax.kernels.conv2d import DIMENSIONS, conv2d
from hsnet_jax.kernels.depthwise import depthwise_conv2d


def fold_batch_norm(
  weights: dict[str, Float[Array, ' C']], *, epsilon: float = 1e-5
) -> tuple[Float[Array, ' C'], Float[Array, ' C']]:
  """Computes the scale and shift that batch norm with stored statistics amounts to.

  Args:
    weights: its 'scale', 'bias', 'mean' and 'var'.
    epsilon: added to the variance.

  Returns:
    Both, so that the norm of `x` is `x * scale + shift`.
  """
  scale = weights['scale'] * lax.rsqrt(weights['var'] + epsilon)
  return scale, weights['bias'] - weights['mean'] * scale


def fold_into(
  conv: dict[str, Array],
  norm: dict[str, Float[Array, ' O']],
  *,
  epsilon: float = 1e-5,
  depthwise: bool = False,
) -> Weights:
  """Multiplies a kernel by the scale of the frozen batch norm behind it, once for all images.

  Args:
    conv: its 'kernel' `[k, l, C, O]`.
    norm: what `fold_batch_norm` takes; {} where it has been folded already.
    epsilon: added to the norm's variance.
    depthwise: whether the kernel is `[k, l, O, 1]`.

  Returns:
    The convolution's 'kernel' and 'bias' that do both; `conv_batch_norm` takes it with the norm {}.
  """
  if not norm:
    return conv
  scale, shift = fold_batch_norm(norm, epsilon=epsilon)
  each = scale[None, None, :, None] if depthwise else scale[None, None, None]
  return {'kernel': conv['kernel'] * each, 'bias': shift}


def fold_norms(
  weights: Weights,
  *,
  norm_of: Callable[[str], str],
  epsilon: float = 1e-5,
  is_depthwise: Callable[[str], bool] = lambda name: False,
) -> Weights:
  """Makes one layer of each convolution and the frozen batch norm behind it.

  Args:
    weights: nested dictionaries, in which a norm lies beside its convolution.
    norm_of: gives the norm's name by the convolution's.
    epsilon: added to the norms' variances.
    is_depthwise: says of a convolution's name whether its kernel is `[k, l, O, 1]`.

  Returns:
    What the backbone takes in their place; nothing of the norms is left.
  """
  folded: Weights = {}
  for name, layer in weights.items():
    if 'kernel' in layer:
      norm = norm_of(name)
      depthwise = is_depthwise(name)
      layer = fold_into(layer, weights[norm], epsilon=epsilon, depthwise=depthwise)
      folded |= {name: layer, norm: {}}
    elif 'scale' not in layer:
      folded[name] = fold_norms(layer, norm_of=norm_of, epsilon=epsilon, is_depthwise=is_depthwise)
  return folded


def conv_batch_norm(
  x: Float[Array, 'B H W C'],
  conv: dict[str, Array],
  norm: dict[str, Float[Array, ' O']],
  *,
  stride: int = 1,
  epsilon: float = 1e-5,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> Float[Array, 'B H2 W2 O']:
  """Convolves and applies frozen batch norm, whose scale goes into the kernel: one pass less.

  Args:
    x: feature maps.
    conv: its 'kernel' `[k, l, C, O]`, with odd sides; padded by half of them.
    norm: what `fold_batch_norm` takes; or {}, where `fold_into` has made one of both.
    stride: of both axes.
    epsilon: added to the norm's variance.
    precision: of the products.
    implementation: of `conv2d`.

  Returns:
    The normalized maps, `ceil(H / stride)` by `ceil(W / stride)`.
  """
  conv = fold_into(conv, norm, epsilon=epsilon)
  # Folded in the weights' own type, and only then in that of `x`.
  kernel, bias = (conv[name].astype(x.dtype) for name in ('kernel', 'bias'))
  y = conv2d(x, kernel, stride=stride, precision=precision, implementation=implementation)
  return y + _bias(bias)


def same_conv_batch_norm(
  x: Float[Array, 'B H W C'],
  conv: dict[str, Array],
  norm: dict[str, Float[Array, ' O']],
  *,
  stride: int = 1,
  depthwise: bool = False,
  epsilon: float = 1e-3,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> Float[Array, 'B H2 W2 O']:
  """Does what `conv_batch_norm` does, padded as TensorFlow's 'SAME': the odd pixel goes last.

  Args:
    x: feature maps.
    conv: its 'kernel' `[k, l, C, O]`, or a depthwise `[k, l, O, 1]`, with odd sides.
    norm: what `fold_batch_norm` takes; or {}, where `fold_into` has made one of both.
    stride: of both axes.
    depthwise: whether each channel has a filter of its own.
    epsilon: added to the norm's variance; by default as in Keras.
    precision: of the products.
    implementation: of `conv2d` and `depthwise_conv2d`.

  Returns:
    The normalized maps, `ceil(H / stride)` by `ceil(W / stride)`.
  """
  conv = fold_into(conv, norm, epsilon=epsilon, depthwise=depthwise)
  kernel, bias = (conv[name].astype(x.dtype) for name in ('kernel', 'bias'))
  if depthwise:
    rows, columns = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (stride, stride), 'SAME')
    y = depthwise_conv2d(
      x,
      kernel,
      stride=stride,
      padding=(rows, columns),
      precision=precision,
      implementation=implementation,
    )
  elif stride == 1:  # Padded by half the kernel: both are one.
    y = conv2d(x, kernel, precision=precision, implementation=implementation)
  else:
    y = lax.conv_general_dilated(
      x, kernel, (stride, stride), 'SAME', dimension_numbers=DIMENSIONS, precision=precision
    )
  return y + _bias(bias)


def conv_bias(
  x: Float[Array, 'B H W C'],
  conv: dict[str, Array],
  *,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> Float[Array, 'B H W O']:
  """Convolves with stride 1, and adds the bias.

  Args:
    x: feature maps.
    conv: its 'kernel' `[k, l, C, O]`, with odd sides, and its 'bias' `[O]`.
    precision: of the products.
    implementation: of `conv2d`.

  Returns:
    The convolved maps, of the same size.
  """
  kernel, bias = (conv[name].astype(x.dtype) for name in ('kernel', 'bias'))
  return conv2d(x, kernel, precision=precision, implementation=implementation) + _bias(bias)


def _bias(b: Float[Array, ' C']) -> Float[Array, '1 1 1 C']:
  return b[None, None, None]


def max_pool(
  x: Float[Array, 'B H W C'],
  window: int,
  *,
  stride: int = 2,
  padding: int = 0,
  implementation: str = 'auto',
) -> Float[Array, 'B H2 W2 C']:
  """Pools by the maximum, padded with minus infinity; the last, incomplete window is dropped.

  Args:
    x: feature maps.
    window: side of the window.
    stride: of both axes.
    padding: on all four sides.
    implementation: 'auto' for XLA's own; else the maximum of shifted maps, bit for bit the same,
      which runtimes have whose pooling takes other layouts.

  Returns:
    The pooled maps; `H2 = (H + 2 * padding - window) // stride + 1`, and `W2` likewise.
  """
  pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  if implementation != 'auto':
    x = jnp.pad(x, pads, constant_values=-np.inf)
    height, width = ((n - window) // stride * stride + 1 for n in x.shape[1:3])
    starts = itertools.product(range(window), repeat=2)
    taps = [x[:, i : i + height : stride, j : j + width : stride] for i, j in starts]
    return functools.reduce(jnp.maximum, taps)
  return lax.reduce_window(
    x, -np.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), pads
  )


def init_conv(key: Array, height: int, width: int, channels: int, out: int) -> Weights:
  """Draws a He-normal kernel, for backbones that start from scratch.

  Args:
    key: for the draw.
    height: of the kernel.
    width: of the kernel.
    channels: of the input.
    out: channels of the output.

  Returns:
    `{'kernel': [height, width, channels, out]}`.
  """
  deviation, shape = math.sqrt(2 / (height * width * channels)), (height, width, channels, out)
  return {'kernel': deviation * jax.random.normal(key, shape, jnp.float32)}


def init_depthwise(key: Array, side: int, channels: int) -> Weights:
  """Draws a He-normal depthwise kernel.

  Args:
    key: for the draw.
    side: of the kernel.
    channels: of the input.

  Returns:
    `{'kernel': [side, side, channels, 1]}`.
  """
  return {'kernel': init_conv(key, side, side, 1, channels)['kernel'].swapaxes(2, 3)}


def init_norm(channels: int) -> Weights:
  """Makes a batch norm that passes its input on.

  Args:
    channels: of the input.

  Returns:
    Its 'scale', 'bias', 'mean' and 'var', each `[channels]`.
  """
  ones, zeros = jnp.ones(channels, jnp.float32), jnp.zeros(channels, jnp.float32)
  return {'scale': ones, 'bias': zeros, 'mean': zeros, 'var': ones}
