"""Layers of frozen backbones: pure functions over `{'kernel': ..., 'scale': ...}` dictionaries."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.convolution import conv2d

Weights = dict  # nested dictionaries of arrays, named as the weights' source names them


def fold_batch_norm(
  weights: dict[str, Float[Array, ' C']], *, epsilon: float = 1e-5
) -> tuple[Float[Array, ' C'], Float[Array, ' C']]:
  """The scale and shift that batch norm with stored statistics amounts to."""
  scale = weights['scale'] * lax.rsqrt(weights['var'] + epsilon)
  return scale, weights['bias'] - weights['mean'] * scale


def conv_batch_norm(
  x: Float[Array, 'B H W C'],
  conv: dict[str, Float[Array, 'k l C O']],
  norm: dict[str, Float[Array, ' O']],
  *,
  stride: int = 1,
  epsilon: float = 1e-5,
  precision: PrecisionLike = 'highest',
) -> Float[Array, 'B H2 W2 O']:
  """Convolution and frozen batch norm; the norm's scale goes into the kernel, one pass less."""
  scale, shift = fold_batch_norm(norm, epsilon=epsilon)
  kernel = conv['kernel'] * scale[None, None, None]
  return conv2d(x, kernel, stride=stride, precision=precision) + _bias(shift)


def conv_bias(
  x: Float[Array, 'B H W C'], conv: dict[str, Array], *, precision: PrecisionLike = 'highest'
) -> Float[Array, 'B H W O']:
  """Stride-1 convolution with bias."""
  return conv2d(x, conv['kernel'], precision=precision) + _bias(conv['bias'])


def _bias(b: Float[Array, ' C']) -> Float[Array, '1 1 1 C']:
  return b[None, None, None]


def max_pool(
  x: Float[Array, 'B H W C'], window: int, *, stride: int = 2, padding: int = 0
) -> Float[Array, 'B H2 W2 C']:
  """Max pooling, padded with minus infinity; the last, incomplete window is dropped."""
  pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  return lax.reduce_window(
    x, -np.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), pads
  )


def init_conv(key: Array, height: int, width: int, channels: int, out: int) -> Weights:
  """He-normal kernel `[height, width, channels, out]`, for backbones that start from scratch."""
  deviation = np.sqrt(2 / (height * width * channels))
  return {'kernel': deviation * jax.random.normal(key, (height, width, channels, out))}


def init_norm(channels: int) -> Weights:
  """Batch norm that passes its input on."""
  ones, zeros = jnp.ones(channels), jnp.zeros(channels)
  return {'scale': ones, 'bias': zeros, 'mean': zeros, 'var': ones}
