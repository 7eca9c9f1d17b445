"""Defines VGG-16 (Simonyan & Zisserman, 2015), with torchvision's numbering of `features`.

Features are the convolutions 17, 19, 21 (stride 8) and 24, 26, 28 (stride 16) before their ReLU,
and the last pooling, 30 (stride 32).
"""

import jax
import jax.numpy as jnp
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Backbone, Weights
from hsnet_jax.backbones.layers import conv_bias, init_conv, max_pool

# Convolutions by their number, with their output channels; a pooling stands before each new row.
_STAGES = (
  {0: 64, 2: 64},
  {5: 128, 7: 128},
  {10: 256, 12: 256, 14: 256},
  {17: 512, 19: 512, 21: 512},
  {24: 512, 26: 512, 28: 512},
)
_FIRST_FEATURE = 17


def init(key: Array) -> Weights:
  """Draws random weights, named as torchvision names them.

  Args:
    key: for the draw.

  Returns:
    Nested dictionaries of arrays.
  """
  features = {}
  channels = 3
  for number, out in (item for stage in _STAGES for item in stage.items()):
    key, subkey = jax.random.split(key)
    bias = jnp.zeros(out, jnp.float32)
    features[str(number)] = init_conv(subkey, 3, 3, channels, out) | {'bias': bias}
    channels = out
  return {'features': features}


def apply(
  weights: Weights,
  images: Float[Array, 'B H W 3'],
  *,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Computes features of normalized images, finest first.

  Args:
    weights: as `init` makes them.
    images: normalized by the means and deviations of ImageNet.
    precision: of the products.
    implementation: of the kernels.

  Returns:
    Seven maps of 512 channels: three at stride 8, three at 16, one at 32, sizes rounded down.
  """
  x = images
  features = []
  for stage in _STAGES:
    for number in stage:
      conv = weights['features'][str(number)]
      before_relu = conv_bias(x, conv, precision=precision, implementation=implementation)
      if number >= _FIRST_FEATURE:
        features.append(before_relu)
      x = jax.nn.relu(before_relu)
    x = max_pool(x, 2, implementation=implementation)
  return (*features, x)


ROWS = {'vgg16': Backbone('vgg16', init, apply, (3, 3, 1), hub='timm/vgg16.tv_in1k')}
