"""Defines the 2D context decoder (Fig. 2): four convolutions with one upsampling between."""

import flax.linen as nn
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.kernels.conv2d import conv2d
from hsnet_jax.kernels.initial import uniform_by_fan_in
from hsnet_jax.resize import resize_bilinear

# Output channels of `conv0` to `conv3`; the last two are background and foreground.
WIDTHS = (128, 64, 64, 2)


class Conv2d(nn.Module):
  """Applies `conv2d` of kernel 3 with its bias."""

  features: int
  precision: PrecisionLike = 'highest'
  implementation: str = 'auto'

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H W O']:
    """Convolves at the same size."""
    shape = (3, 3, x.shape[-1], self.features)
    init = uniform_by_fan_in(shape)
    kernel = self.param('kernel', init, shape)
    bias = self.param('bias', init, (self.features,))
    y = conv2d(x, kernel, precision=self.precision, implementation=self.implementation)
    return y + bias[None, None, None]


class Decoder(nn.Module):
  """Decodes context to logits of twice its size, channel 1 the foreground."""

  precision: PrecisionLike = 'highest'
  implementation: str = 'auto'

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B 2*H 2*W 2']:
    """Decodes the encoder's context."""
    conv0, conv1, conv2, conv3 = (
      Conv2d(width, self.precision, self.implementation, name=f'conv{i}')
      for i, width in enumerate(WIDTHS)
    )
    x = nn.relu(conv1(nn.relu(conv0(x))))
    x = resize_bilinear(x, (2 * x.shape[1], 2 * x.shape[2]), precision=self.precision)
    return conv3(nn.relu(conv2(x)))
