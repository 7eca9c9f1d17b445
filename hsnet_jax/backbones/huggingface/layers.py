"""Applies layers that these families share: linear ones, layer norm, patches side by side."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Weights
from hsnet_jax.backbones.layers import init_conv


def as_row(vector: Float[Array, ' C'], x: Float[Array, '*batch C']) -> Float[Array, '*ones C']:
  """Brings one number a channel to the type and the number of axes of `x`."""
  return vector.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


def linear(
  x: Float[Array, '*batch C'], layer: dict[str, Array], *, precision: PrecisionLike = 'highest'
) -> Float[Array, '*batch O']:
  """Applies a linear layer to the last axis.

  Args:
    x: features.
    layer: its 'weight' `[O, C]` and, where it has one, its 'bias' `[O]`.
    precision: of the products.

  Returns:
    `x @ weight.T + bias`, in the type of `x`.
  """
  y = jnp.einsum('...c,oc->...o', x, layer['weight'].astype(x.dtype), precision=precision)
  return y + as_row(layer['bias'], y) if 'bias' in layer else y


def gelu_mlp(
  x: Float[Array, '*batch C'], up: Weights, down: Weights, *, precision: PrecisionLike = 'highest'
) -> Float[Array, '*batch C']:
  """Applies two linear layers with the exact GELU between them.

  Args:
    x: features.
    up: the first layer, as `linear` takes it.
    down: the second.
    precision: of the products.

  Returns:
    Features of as many channels.
  """
  hidden = jax.nn.gelu(linear(x, up, precision=precision), approximate=False)
  return linear(hidden, down, precision=precision)


def layer_norm(
  x: Float[Array, '*batch C'], layer: dict[str, Float[Array, ' C']], *, epsilon: float
) -> Float[Array, '*batch C']:
  """Normalizes each position over its channels (Ba et al., 2016), in float32 at least.

  Args:
    x: features.
    layer: its 'scale' and 'bias'.
    epsilon: added to the variance.

  Returns:
    The normalized features, in the type of `x`.
  """
  wide = x.astype(np.promote_types(x.dtype, np.float32))
  centered = wide - jnp.mean(wide, axis=-1, keepdims=True)
  variance = jnp.mean(jnp.square(centered), axis=-1, keepdims=True)
  y = centered * lax.rsqrt(variance + epsilon)
  return (y * as_row(layer['scale'], y) + as_row(layer['bias'], y)).astype(x.dtype)


def project_patches(
  x: Float[Array, 'B H W C'], conv: dict[str, Array], *, precision: PrecisionLike = 'highest'
) -> Float[Array, 'B H2 W2 O']:
  """Convolves patches that lie side by side: a kernel as wide as its stride, unpadded.

  Args:
    x: images or maps.
    conv: its 'kernel' `[p, p, C, O]` and its 'bias' `[O]`.
    precision: of the products.

  Returns:
    A vector a patch, `H // p` by `W // p`; rows and columns that fill no patch are not seen.
  """
  kernel = conv['kernel'].astype(x.dtype)
  side = len(kernel)
  batch, height, width, channels = x.shape
  rows, columns = height // side, width // side
  x = x[:, : rows * side, : columns * side]
  x = x.reshape(batch, rows, side, columns, side, channels)
  y = jnp.einsum('bikjlc,klco->bijo', x, kernel, precision=precision)
  return y + as_row(conv['bias'], y)


def init_linear(key: Array, channels: int, out: int, *, bias: bool = True) -> Weights:
  """Draws a linear layer whose output is about as large as its input.

  Args:
    key: for the draw.
    channels: of the input.
    out: channels of the output.
    bias: whether it has one, of zeros.

  Returns:
    `{'weight': [out, channels], 'bias': [out]}`.
  """
  weight = jax.random.normal(key, (out, channels), jnp.float32) / math.sqrt(channels)
  return {'weight': weight, 'bias': jnp.zeros(out, jnp.float32)} if bias else {'weight': weight}


def init_layer_norm(channels: int) -> Weights:
  """Makes a layer norm that only normalizes.

  Args:
    channels: of the input.

  Returns:
    Its 'scale' and 'bias', each `[channels]`.
  """
  return {'scale': jnp.ones(channels, jnp.float32), 'bias': jnp.zeros(channels, jnp.float32)}


def init_patches(key: Array, side: int, channels: int, out: int) -> Weights:
  """Draws what `project_patches` takes.

  Args:
    key: for the draw.
    side: of a patch.
    channels: of the input.
    out: channels of the output.

  Returns:
    `{'kernel': [side, side, channels, out], 'bias': [out]}`.
  """
  return init_conv(key, side, side, channels, out) | {'bias': jnp.zeros(out, jnp.float32)}
