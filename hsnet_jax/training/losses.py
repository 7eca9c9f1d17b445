"""Computes the loss. Logits are `[B, H, W, 2]`, channel 1 the foreground; targets {0, 1}."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Integer

# Pixels to each side of a boundary that `cross_entropy` weighs: as many as one logit of the decoder
# covers, whose size is twice that of maps of stride 8.
BOUNDARY_WIDTH = 4

# What `query_ignore` has where not only the metrics but the loss leaves a pixel out.
LOSS_IGNORES = 2


def cross_entropy(
  logits: Float[Array | np.ndarray, '*batch h w 2'],
  target: Bool[Array | np.ndarray, '*batch h w'] | Integer[Array | np.ndarray, '*batch h w'],
  ignore: Bool[Array | np.ndarray, '*batch h w'] | None = None,
  *,
  foreground_weight: float = 1.0,
  boundary_weight: float = 1.0,
) -> Float[Array, '*batch']:
  """Computes the cross-entropy of every pixel, averaged over the pixels of each image.

  Without `ignore` no pixel is left out: PASCAL's open boundary counts as background here, as in the
  published training. The mean over the batch is the caller's, who knows which rows are padding.

  Args:
    logits: background and foreground logits, `[B, H, W, 2]`; computed in float32 at least.
    target: 1 on the foreground, 0 elsewhere, `[B, H, W]`.
    ignore: where a pixel is left out of the mean, `[B, H, W]`; none by default. An image of which
      nothing is left has a loss of 0.
    foreground_weight: how much a pixel of the foreground weighs against one of the background; 1
      as published. With w the two logits are level where the foreground's probability is
      1 / (1 + w): a mask of best IoU is larger than one of fewest wrong pixels.
    boundary_weight: likewise of a pixel near the object's boundary, on both of its sides
      (`near_boundary`); 1 as published. Of a thin object that is nearly all, of a large one little.
      Above 1, where a ring round objects has no label, as in PASCAL, masks become thin: the ring
      counts as background, and is what weighs more on the outer side. Left out of the weight, it
      would leave the inner side alone to weigh more, and masks would become wide.

  Returns:
    One mean per image, `[B]`, in nats.
  """
  logits = jnp.asarray(logits).astype(np.promote_types(logits.dtype, np.float32))
  margin = logits[..., 1] - logits[..., 0]
  # -log softmax(z)_t = softplus(z_other - z_t): with two classes one transcendental a pixel.
  wrong_way = jnp.where(jnp.asarray(target).astype(bool), -margin, margin)
  losses = jax.nn.softplus(wrong_way)
  if foreground_weight != 1:
    losses = jnp.where(jnp.asarray(target).astype(bool), foreground_weight * losses, losses)
  if boundary_weight != 1:
    near = near_boundary(target, width=BOUNDARY_WIDTH)
    losses = jnp.where(near, boundary_weight * losses, losses)
  if ignore is None:
    return jnp.mean(losses, axis=(-2, -1))
  kept = ~jnp.asarray(ignore)
  count = jnp.sum(kept, axis=(-2, -1), dtype=losses.dtype)
  return jnp.sum(jnp.where(kept, losses, 0), axis=(-2, -1)) / jnp.maximum(count, 1)


def near_boundary(
  mask: Bool[Array | np.ndarray, '*batch h w'] | Integer[Array | np.ndarray, '*batch h w'],
  *,
  width: int,
) -> Bool[Array, '*batch h w']:
  """Marks pixels that have both the object and something else within `width` pixels.

  That is a square of `2 width + 1` pixels around each, or what of it is in the picture: the edge of
  the picture is no boundary. The maximum of the mask over it and that of the rest are both 1.

  Args:
    mask: in {0, 1}, `[B, H, W]`.
    width: in pixels; 0 marks none.

  Returns:
    A mask of the same shape, empty where the mask is empty or full.
  """
  mask = jnp.asarray(mask).astype(bool)
  return _dilated(mask, width) & _dilated(~mask, width)


def _dilated(mask: Array, width: int) -> Array:
  """Takes the maximum over a square around each pixel, an axis at a time."""
  for axis in (mask.ndim - 2, mask.ndim - 1):
    window = [2 * width + 1 if i == axis else 1 for i in range(mask.ndim)]
    mask = lax.reduce_window(mask, False, lax.bitwise_or, window, [1] * mask.ndim, 'SAME')
  return mask


def soft_dice(
  logits: Float[Array | np.ndarray, '*batch h w 2'],
  target: Bool[Array | np.ndarray, '*batch h w'] | Integer[Array | np.ndarray, '*batch h w'],
  ignore: Bool[Array | np.ndarray, '*batch h w'] | None = None,
) -> Float[Array, '*batch']:
  """Computes the soft Dice loss of the foreground of each image (V-Net, arXiv 1606.04797).

  With p the foreground's probability at a pixel, t the target, and S the sum over all pixels:

      1 - (2 S(pt) + 1) / (S(p) + S(t) + 1)

  A large object counts no more than a small one. The 1, a pixel that agrees, makes an empty answer
  to an empty mask right. V-Net has squares of p and t in the denominator, and no 1.

  Args:
    logits: background and foreground logits, `[B, H, W, 2]`; computed in float32 at least.
    target: 1 on the foreground, 0 elsewhere, `[B, H, W]`.
    ignore: where a pixel is left out of all sums, `[B, H, W]`; none by default.

  Returns:
    One loss per image, `[B]`, from 0 to 1.
  """
  logits = jnp.asarray(logits).astype(np.promote_types(logits.dtype, np.float32))
  probability = jax.nn.sigmoid(logits[..., 1] - logits[..., 0])
  target = jnp.asarray(target).astype(probability.dtype)
  if ignore is not None:
    probability, target = (jnp.where(jnp.asarray(ignore), 0, x) for x in (probability, target))
  total = functools.partial(jnp.sum, axis=(-2, -1))
  agreed, marked = total(probability * target), total(probability) + total(target)
  return 1 - (2 * agreed + 1) / (marked + 1)


def prediction_loss(
  logits: Float[Array | np.ndarray, '*batch h w 2'],
  target: Bool[Array | np.ndarray, '*batch h w'] | Integer[Array | np.ndarray, '*batch h w'],
  ignore: Bool[Array | np.ndarray, '*batch h w'] | None = None,
  *,
  foreground_weight: float = 1.0,
  boundary_weight: float = 1.0,
  dice: float = 0.0,
) -> Float[Array, '*batch']:
  """Computes what training minimizes of each image: the cross-entropy, as published, and more.

  Args:
    logits: background and foreground logits, `[B, H, W, 2]`.
    target: 1 on the foreground, 0 elsewhere, `[B, H, W]`.
    ignore: where a pixel counts nowhere, `[B, H, W]`; none by default, as published.
    foreground_weight: of `cross_entropy`, and so is the next.
    boundary_weight: of pixels near the object's boundary.
    dice: so many times `soft_dice` is added; 0 as published.

  Returns:
    One loss per image, `[B]`.
  """
  weights = {'foreground_weight': foreground_weight, 'boundary_weight': boundary_weight}
  loss = cross_entropy(logits, target, ignore, **weights)
  return loss + dice * soft_dice(logits, target, ignore) if dice else loss
