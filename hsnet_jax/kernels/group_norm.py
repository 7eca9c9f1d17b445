"""Normalizes groups of channels (Wu and He, 2018) with a gradient that keeps nothing but its input.

JAX's own gradient of it keeps the input less its mean beside the input: at stride 8 and 400 x 400,
54 MB more a pair of episodes, and a pass to write them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsnet_jax.kernels.manual_axes import sum_replicated


def group_norm(
  x: Float[Array, 'B ... C'],
  scale: Float[Array, ' C'],
  bias: Float[Array, ' C'],
  *,
  groups: int = 4,
  epsilon: float = 1e-5,
) -> Float[Array, 'B ... C']:
  """Normalizes each group of channels over all positions of an episode, in float32 at least.

  It is arranged as PyTorch's is, by one scale and shift per channel. To subtract the mean first, as
  Linen does, rounds differently where an output is next to 0, and there the ReLU behind it decides
  whether a gradient passes.

  Args:
    x: embedded 4D correlations, or any maps.
    scale: per channel.
    bias: per channel.
    groups: how many the channels are divided into.
    epsilon: added to the variance.

  Returns:
    The normalized maps, of the type of `x`.
  """
  flat = x.reshape(x.shape[0], -1, x.shape[-1])
  y: Array = _norm(groups, epsilon, flat, scale, bias)
  return y.reshape(x.shape)


def _wide(x: Array) -> Array:
  return x.astype(np.promote_types(x.dtype, np.float32))


def _of_groups(x: Float[Array, 'B C'], groups: int) -> Float[Array, 'B C']:
  """Gives each channel the mean over its group."""
  each = x.shape[-1] // groups
  means = x.reshape(x.shape[0], groups, each).mean(-1)
  return jnp.repeat(means, each, axis=1)


def _moments(x: Float[Array, 'B N C'], groups: int, epsilon: float) -> tuple[Array, Array]:
  """Computes each channel's mean, and one over its deviation: positions first, then a group's."""
  mean = _of_groups(x.mean(1), groups)
  variance = _of_groups(jnp.square(x - mean[:, None]).mean(1), groups)
  return mean, 1 / jnp.sqrt(variance + epsilon)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _norm(groups, epsilon, x: Float[Array, 'B N C'], scale, bias):
  return _forward(groups, epsilon, x, scale, bias)[0]


def _forward(groups, epsilon, x, scale, bias):
  wide = _wide(x)
  mean, inverse = _moments(wide, groups, epsilon)
  factor = inverse * scale[None]
  shift = bias[None] - mean * factor
  y = (wide * factor[:, None] + shift[:, None]).astype(x.dtype)
  return y, (x, scale, bias, mean, inverse)


def _backward(groups, epsilon, kept, g):
  x, scale, bias, mean, inverse = kept
  wide, g = _wide(x), _wide(g)
  sums = g.sum(1)
  products = (g * (wide - mean[:, None])).sum(1) * inverse  # of `g` and the normalized input
  # Of what the norm takes away again, the mean and what lies along the input itself:
  count = x.shape[1]
  along = _of_groups(products * scale[None], groups) / count * jnp.square(inverse)
  level = _of_groups(sums * scale[None], groups) / count * inverse - along * mean
  factor = inverse * scale[None]
  dx = g * factor[:, None] - wide * along[:, None] - level[:, None]
  return (
    sum_replicated(dx.astype(x.dtype), x),
    sum_replicated(products.sum(0).astype(scale.dtype), scale),
    sum_replicated(sums.sum(0).astype(bias.dtype), bias),
  )


_norm.defvjp(_forward, _backward)
