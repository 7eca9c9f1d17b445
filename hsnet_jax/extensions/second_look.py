"""Looks a second time, at a window round what was found, which a network then sees larger.

The window has the picture's own shape: resized to what a network sees, its object is as distorted
as in the whole picture. What is found in it is blended into what was found first.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsnet_jax.extensions.tiles import Window
from hsnet_jax.resize import bilinear_matrix

_RISE = 0.25  # So far into a window, as a share of its side, it counts less than in its middle.


def blend_window(
  first: Float[Array | np.ndarray, 'h w'],
  second: Float[Array | np.ndarray, 'h2 w2'],
  *,
  window: Window,
  size: tuple[int, int],
) -> Float[Array, 'H W']:
  """Blends what was found in a window into what was found in the whole picture.

  In the window's middle the two are averaged. Toward its edge, but for one that is the picture's,
  the second counts less and less, since a network sees least there of what lies around, and a seam
  would show.

  Args:
    first: foreground less background logit of the whole picture.
    second: the same of the window.
    window: its top, left and side, of `windows.object_window`.
    size: (height, width) of the result.

  Returns:
    Margins of the whole picture; beyond the window the first's, resized.
  """
  parts = (jnp.asarray(x, jnp.float32) for x in (first, second))
  whole, placed = zip(
    *(
      (bilinear_matrix(first.shape[axis], n), _placed(window[axis], window[2], n_in, n))
      for axis, (n_in, n) in enumerate(zip(second.shape, size, strict=True))
    ),
    strict=True,
  )
  found, again = (
    jnp.einsum('yh,hw,xw->yx', rows, part, columns, precision='highest')
    for (rows, columns), part in zip((whole, placed), parts, strict=True)
  )
  # A row of the matrices adds up to what the window counts there.
  weight = np.outer(*(matrix.sum(-1) for matrix in placed))
  return (found + again) / (1 + weight)


def _placed(start: float, side: float, n_in: int, n_out: int) -> np.ndarray:
  """Computes the weights of one axis of the window, `[n_out, n_in]`: zero outside of it."""
  begin = min(round(start * n_out), n_out - 1)
  length = max(round((start + side) * n_out) - begin, 1)
  steps, rise = np.arange(length), max(_RISE * length, 1)
  counts = np.ones(length)
  if begin > 0:
    counts = np.minimum(counts, (steps + 1) / rise)
  if begin + length < n_out:
    counts = np.minimum(counts, (length - steps) / rise)
  placed = np.zeros((n_out, n_in), np.float32)
  placed[begin : begin + length] = counts[:, None] * bilinear_matrix(n_in, length)
  return placed
