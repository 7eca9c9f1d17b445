"""Computes what the supports' features may be in place of those of Eq. 1.

Eq. 1 masks feature maps, which are coarse: of a thin object little is left, and that has seen its
surroundings. Hybrid masking (HM, arXiv 2203.12826) fills what is left out there with the features
of the picture in which everything but the object is blank. Subtracting the background compares a
query with the object against what surrounds it.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from hsnet_jax.correlation import mask_features, normalize_features
from hsnet_jax.resize import map_size, resize_bilinear


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


def subtract_background(
  masked: Sequence[Float[Array, 'n _h _w _c']],
  features: Sequence[Float[Array, 'n _h _w _c']],
  mask: Shaped[Array | np.ndarray, 'n hm wm'],
) -> tuple[Float[Array, 'n _h _w _c'], ...]:
  """Makes Eq. 2 say how much nearer a query position is to the object than to its surroundings.

  With q a query position, s_j a support position that shows the object and b_k those of the
  support's background, all divided by their norms, and w_k = 1 - M_k how much of k is background:

      C(q, j) = max(0, <q, s_j> - sum_k w_k <q, b_k> / sum_k w_k)

  A cosine less the mean of those with the background, in [0, 2]. Since the mean of products is the
  product with the mean, it is Eq. 2 of s_j less that mean: no 4D tensor more, and what Eq. 1 left
  out stays zero.

  Args:
    masked: s, the supports' maps masked by Eq. 1 and divided by their norm; zeros are no object.
    features: their maps as the backbone gives them, of which b is.
    mask: M, the supports' masks in [0, 1], of any size; resized as by Eq. 1.

  Returns:
    What takes the place of `masked`. Where a mask leaves no background, it is `masked` itself.
  """
  mask = jnp.asarray(mask).astype(jnp.float32)[..., None]
  return tuple(_less_background(s, f, mask) for s, f in zip(masked, features, strict=True))


def _less_background(masked: Array, feature: Array, mask: Array) -> Array:
  weight = 1 - resize_bilinear(mask, map_size(feature))
  wide = normalize_features(feature.astype(np.promote_types(feature.dtype, np.float32)))
  total, area = (jnp.sum(x, axis=(1, 2), keepdims=True) for x in (weight * wide, weight))
  mean = total / jnp.where(area > 0, area, 1.0)
  shown = jnp.any(masked != 0, axis=-1, keepdims=True)
  return jnp.where(shown, masked - mean.astype(masked.dtype), masked)
