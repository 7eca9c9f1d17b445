"""Counts operations: as the paper writes a function, and what Eq. 1 leaves of it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Shaped

from hsnet_jax.conv4d import center_pivot_conv4d
from hsnet_jax.correlation import Level
from hsnet_jax.resize import map_size, resize_bilinear


def count(function: Callable, *args: Any) -> float:
  """Counts the additions and multiplications of a function, in the program XLA has not optimized.

  Args:
    function: of arrays; kernels in their plain form, since others do more to be faster.
    *args: its arguments, or shapes of them.

  Returns:
    How many.
  """
  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
  # GPU back ends do not count.
  with jax.default_device(jax.local_devices(backend='cpu')[0]):
    cost = jax.jit(function).lower(*shapes).cost_analysis()
  assert cost is not None, "XLA's CPU back end counts"
  return cost.get('flops', 0.0)


def with_gradient(function: Callable, learned: int) -> Callable:
  """Makes a function that computes another and its gradient.

  Args:
    function: of arrays.
    learned: with respect to how many of its arguments, the first ones; 0 for no gradient.

  Returns:
    `(g, *args) -> (values, gradients)`, where `g` is the values' gradient, of their shape.
  """

  def both(g, *args):
    if not learned:
      return function(*args), ()
    values, pull = jax.vjp(lambda *some: function(*some, *args[learned:]), *args[:learned])
    return values, pull(g)

  return both


def shown(
  mask: Shaped[np.ndarray, '*batch H W'], size: tuple[int, int]
) -> Bool[np.ndarray, '*batch h w']:
  """Says which positions of a map Eq. 1 does not make zero.

  Args:
    mask: supports' masks.
    size: height and width of the map.
  """
  flat = jnp.asarray(mask.reshape(-1, *mask.shape[-2:], 1), jnp.float32)
  return np.asarray(resize_bilinear(flat, size) > 0).reshape(*mask.shape[:-2], *size)


def share_left(
  positions: Bool[np.ndarray, '*batch h w'], kernel: Sequence[int], stride: int
) -> float:
  """Computes what is left of a center-pivot convolution where most positions are zero (Eq. 4).

  Both of its sides have a product at each place of the strided kernel. The support's needs those
  whose window touches the object, the query's those whose center shows it.

  Args:
    positions: as `shown` gives them.
    kernel: its height and width.
    stride: on the support dimensions.

  Returns:
    A share of all products.
  """
  around = [(0, 0)] * (positions.ndim - 2) + [(k // 2, k // 2) for k in kernel]
  windows = np.lib.stride_tricks.sliding_window_view(
    np.pad(positions, around), tuple(kernel), axis=(-2, -1)
  )
  touched = windows[..., ::stride, ::stride, :, :].any((-2, -1))
  centers = positions[..., ::stride, ::stride]
  return (float(touched.mean()) + float(centers.mean())) / 2


def count_zeros(
  level: Level, kernel: Any, gradient: bool, *, stride: int, mask: np.ndarray
) -> float:
  """Counts the operations of Eq. 2 and a level's first layer that Eq. 1 makes needless.

  Args:
    level: its maps.
    kernel: of either side of the layer, `[k, k, L, O]`.
    gradient: whether the kernels' gradients are computed as well.
    stride: of the layer.
    mask: the supports' masks, `[B, H, W]`.

  Returns:
    How many of those that `count` counts in the plain form.
  """
  positions = shown(mask, map_size(level.support[0]))
  x = jax.eval_shape(Level.correlate, level)
  convolve = functools.partial(center_pivot_conv4d, stride=stride, implementation='plain')
  layer = with_gradient(lambda a, b, x: convolve(x, a, b), 2 if gradient else 0)
  g = jax.eval_shape(convolve, x, kernel, kernel)
  without = 1 - share_left(positions, kernel.shape[:2], stride)
  needless = (1 - float(positions.mean())) * count(Level.correlate, level)
  return needless + without * count(layer, g, kernel, kernel, x)
