"""Normalizes pixel values as backbones were trained to see them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from hsnet_jax.backbones.backbone import Backbone
from hsnet_jax.backbones.table import get_backbone


def normalize(
  images: Shaped[Array | np.ndarray, '*batch H W 3'], backbone: str | Backbone
) -> Float[Array, '*batch H W 3']:
  """Brings pixel values 0 to 255 to what a backbone was trained to see.

  Args:
    images: as stored, `[..., H, W, 3]`.
    backbone: whose mean and standard deviation.

  Returns:
    float32, of the same shape.

  Raises:
    TypeError: `images` are not uint8: those in [0, 1], say, would come out nearly black.
    InputError: there is no such backbone.
  """
  if images.dtype != jnp.uint8:
    raise TypeError(f'images are {images.dtype}; normalize takes the uint8 values as stored')
  spec = get_backbone(backbone)
  mean, std = jnp.asarray(spec.mean, jnp.float32), jnp.asarray(spec.std, jnp.float32)
  lead = (1,) * (images.ndim - 1)
  return (jnp.asarray(images).astype(jnp.float32) - mean.reshape(*lead, 3)) / std.reshape(*lead, 3)
