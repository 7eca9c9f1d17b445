"""Computes what the supports' features may be in place of those of Eq. 1.

Eq. 1 masks feature maps, which are coarse: of a thin object little is left, and that has seen its
surroundings. Hybrid masking (HM, arXiv 2203.12826) fills what is left out there with the features
of the picture in which everything but the object is blank.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from hsnet_jax.correlation import mask_features


def with_masked_pictures(
  images: Float[Array, 'n h w 3'], mask: Shaped[Array | np.ndarray, 'n hm wm']
) -> Float[Array, 'twice h w 3']:
  """Puts each picture's masked one behind all pictures, so that the backbone sees them at once.

  What is no object is 0 after normalization, the mean color: HM multiplies what the backbone is
  given by the mask, and not the photograph, which would make it black.

  Args:
    images: the supports, `[N, H, W, 3]`, normalized.
    mask: their masks in [0, 1], of any size; of another one they are resized as by Eq. 1.

  Returns:
    `[2 N, H, W, 3]`, the pictures first.
  """
  return jnp.concatenate([images, *mask_features((images,), mask)])


def hybrid_features(
  features: Sequence[Float[Array, 'n _h _w _c']],
  masked_pictures: Sequence[Float[Array, 'n _h _w _c']],
  mask: Shaped[Array | np.ndarray, 'n hm wm'],
) -> tuple[Float[Array, 'n _h _w _c'], ...]:
  """Masks support features by hybrid masking (HM, Sec. 4).

  With F the picture's features, M the mask at their size and F' the features of the masked picture,
  channel by channel: F M where that is above 0, F' elsewhere; inside the object, too.

  Args:
    features: F, the supports' maps.
    masked_pictures: F', as many.
    mask: the supports' masks in [0, 1], of any size.

  Returns:
    The maps. Of an empty mask they are F' of a blank picture, which a backbone's biases make
    other than 0.
  """
  pairs = zip(mask_features(features, mask), masked_pictures, strict=True)
  return tuple(jnp.where(masked > 0, masked, blank) for masked, blank in pairs)
