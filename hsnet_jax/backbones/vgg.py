"""VGG-16 (Simonyan & Zisserman, 2015), with torchvision's numbering of `features`.

Features are the convolutions 17, 19, 21 (stride 8) and 24, 26, 28 (stride 16) before their ReLU,
and the last pooling, 30 (stride 32).
"""

import jax
import jax.numpy as jnp
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.layers import Weights, conv_bias, init_conv, max_pool

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
  """Random weights, named as torchvision names them.

  Args:
    key: for the draw.

  Returns:
    Nested dictionaries of arrays.
  """
  features = {}
  channels = 3
  for number, out in (item for stage in _STAGES for item in stage.items()):
    key, subkey = jax.random.split(key)
    features[str(number)] = init_conv(subkey, 3, 3, channels, out) | {'bias': jnp.zeros(out)}
    channels = out
  return {'features': features}


def apply(
  weights: Weights, images: Float[Array, 'B H W 3'], *, precision: PrecisionLike = 'highest'
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Features of normalised images, finest first.

  Args:
    weights: as `init` makes them.
    images: normalised by the means and deviations of ImageNet.
    precision: of the products.

  Returns:
    Seven maps of 512 channels: three at stride 8, three at 16, one at 32, sizes rounded down.
  """
  x = images
  features = []
  for stage in _STAGES:
    for number in stage:
      before_relu = conv_bias(x, weights['features'][str(number)], precision=precision)
      if number >= _FIRST_FEATURE:
        features.append(before_relu)
      x = jax.nn.relu(before_relu)
    x = max_pool(x, 2)
  return (*features, x)
