"""Draws initial values of convolutions as PyTorch does: Linen's defaults make another network."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array


def fan_in_bound(kernel_shape: Sequence[int]) -> float:
  """Computes 1/sqrt(fan_in) of a kernel: PyTorch draws it and its bias uniformly within.

  Args:
    kernel_shape: HWIO.

  Returns:
    The bound.
  """
  return 1 / math.sqrt(math.prod(kernel_shape[:-1]))


def uniform_by_fan_in(kernel_shape: Sequence[int]) -> Callable[..., Array]:
  """Makes PyTorch's default initial values of a convolution's weights and of its bias.

  Args:
    kernel_shape: HWIO, of the kernel, also for the bias.

  Returns:
    The initializer.
  """
  bound = fan_in_bound(kernel_shape)

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init
