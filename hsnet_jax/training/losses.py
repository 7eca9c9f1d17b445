"""Computes the loss. Logits are `[B, H, W, 2]`, channel 1 the foreground; targets {0, 1}."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer


def cross_entropy(
  logits: Float[Array | np.ndarray, '*batch h w 2'],
  target: Bool[Array | np.ndarray, '*batch h w'] | Integer[Array | np.ndarray, '*batch h w'],
  *,
  foreground_weight: float = 1.0,
) -> Float[Array, '*batch']:
  """Computes the cross-entropy of every pixel, averaged over the pixels of each image.

  No pixel is left out: an ignore region counts as background here, as in the published
  training. The mean over the batch is the caller's, who knows which rows are padding.

  Args:
    logits: background and foreground logits, `[B, H, W, 2]`; computed in float32 at least.
    target: 1 on the foreground, 0 elsewhere, `[B, H, W]`.
    foreground_weight: how much a pixel of the foreground weighs against one of the background; 1
      as published. With w the two logits are level where the foreground's probability is
      1 / (1 + w): a mask of best IoU is larger than one of fewest wrong pixels.

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
  return jnp.mean(losses, axis=(-2, -1))
