"""Defines the 2D context decoder (Fig. 2): four convolutions with one upsampling between.

What a `Head` adds enters it as further channels, before the first convolution and after the
upsampling; without additions it is the published one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.extensions.prior import prior_margin
from hsnet_jax.kernels.conv2d import conv2d
from hsnet_jax.kernels.initial import uniform_by_fan_in
from hsnet_jax.resize import map_size, resize_bilinear

# Output channels of `conv0` to `conv3`; the last two are background and foreground.
WIDTHS = (128, 64, 64, 2)
# Channels that a level which is not correlated is brought to.
SKIP_WIDTH = 16
# What a difference of cosines is multiplied by to make a margin of logits, and the difference that
# separates best, to begin with: of EfficientNet-Lite0 on PASCAL's training classes.
PRIOR_GAIN, PRIOR_THRESHOLD = 15.0, 0.05


class Conv2d(nn.Module):
  """Applies `conv2d` with its bias."""

  features: int
  precision: PrecisionLike = 'highest'
  implementation: str = 'auto'
  side: int = 3

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[Array, 'B H W O']:
    """Convolves at the same size."""
    shape = (self.side, self.side, x.shape[-1], self.features)
    init = uniform_by_fan_in(shape)
    kernel = self.param('kernel', init, shape)
    bias = self.param('bias', init, (self.features,))
    y = conv2d(x, kernel, precision=self.precision, implementation=self.implementation)
    return y + bias[None, None, None]


# Differences of cosines are a tenth or so, what convolutions are drawn for about one.
_SCALE = 10.0


class Prior(NamedTuple):
  """Holds what a decoder that corrects a prior starts from.

  Attributes:
    cosines: of every query position with the prototypes, each `[B, h, w, 2]`, finest level first.
    levels: how many of them each level has.
  """

  cosines: tuple[Array, ...]
  levels: tuple[int, ...]


class Decoder(nn.Module):
  """Decodes context to logits of twice its size, channel 1 the foreground."""

  precision: PrecisionLike = 'highest'
  implementation: str = 'auto'

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'B H W C'],
    *,
    prior: Prior | None = None,
    skipped: Sequence[Float[Array, 'B _h _w _c']] = (),
  ) -> Float[Array, 'B H2 W2 2']:
    """Decodes the encoder's context.

    Args:
      x: the context.
      prior: what the logits start from, which the convolutions correct.
      skipped: finer maps of the query; the logits then have their size.

    Returns:
      Logits.
    """
    conv0, conv1, conv2, conv3 = (
      Conv2d(width, self.precision, self.implementation, name=f'conv{i}')
      for i, width in enumerate(WIDTHS)
    )
    size = map_size(skipped[0]) if skipped else (2 * x.shape[1], 2 * x.shape[2])
    coarse, fine, margin = [x], [], None
    if prior is not None:
      coarse += [resize_bilinear(_scaled(cosines), map_size(x)) for cosines in prior.cosines]
      margin = prior_margin(prior.cosines, levels=prior.levels, size=size)
      fine += [_SCALE * margin[..., None]]
    x = nn.relu(conv1(nn.relu(conv0(jnp.concatenate(coarse, axis=-1)))))
    x = resize_bilinear(x, size, precision=self.precision)
    if skipped:
      fine += [self._finer(skipped)]
    logits = conv3(nn.relu(conv2(jnp.concatenate([x, *fine], axis=-1))))
    return logits if margin is None else self._corrected(logits, margin)

  def _finer(self, skipped: Sequence[Array]) -> Array:
    """Brings maps of any scale to a few channels."""
    maps = jnp.concatenate([x.astype(jnp.float32) for x in skipped], axis=-1)
    scale = jnp.sqrt(jnp.mean(jnp.square(maps), axis=-1, keepdims=True) + 1e-6)
    conv = Conv2d(SKIP_WIDTH, self.precision, self.implementation, side=1, name='skip')
    return nn.relu(conv(maps / scale))

  def _corrected(self, logits: Array, margin: Array) -> Array:
    """Adds the prior's margin to the foreground's logit."""
    gain = self.param('gain', nn.initializers.constant(PRIOR_GAIN), (1,))
    threshold = self.param('threshold', nn.initializers.constant(PRIOR_THRESHOLD), (1,))
    margin = gain[None, None] * (margin - threshold[None, None])
    return logits + jnp.stack([jnp.zeros_like(margin), margin], axis=-1)


def _scaled(cosines: Float[Array, 'B h w 2']) -> Float[Array, 'B h w 2']:
  """Says the same as both cosines in numbers of the size that convolutions are drawn for."""
  near, far = cosines[..., :1], cosines[..., 1:]
  return jnp.concatenate([_SCALE * (near - far), _SCALE / 2 * far], axis=-1)
