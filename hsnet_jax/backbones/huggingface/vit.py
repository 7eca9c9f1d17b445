"""Applies what vision transformers share: whole patches, attention, blocks, and maps of tokens.

Tokens are `[B, N, C]`: those that belong to no patch first, then the patches, row by row.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Weights
from hsnet_jax.backbones.huggingface.layers import as_row, layer_norm
from hsnet_jax.resize import map_size, resize_bilinear

Tokens = Float[Array, 'B N C']


class Size(NamedTuple):
  """Says how large a transformer is.

  Attributes:
    width: channels of a token.
    depth: blocks.
    heads: of the attention.
  """

  width: int
  depth: int
  heads: int


SIZES = {'small': Size(384, 12, 6), 'base': Size(768, 12, 12)}


def whole_patches(
  images: Float[Array, 'B H W 3'], side: int, *, precision: PrecisionLike = 'highest'
) -> Float[Array, 'B H2 W2 3']:
  """Brings images to sides that are whole patches: each to the next multiple below, at least one.

  They are resized, and not cropped, so that the tokens cover the picture, as masks do: 400 x 400
  becomes 392 x 392, which is 28 x 28 patches of 14. What is a multiple stays as it is.

  Args:
    images: normalized images.
    side: of a patch.
    precision: of the products.

  Returns:
    The images, resized bilinearly with aligned corners.
  """
  height, width = (max(1, n // side) * side for n in map_size(images))
  return resize_bilinear(images, (height, width), precision=precision)


def attend(
  queries: Tokens,
  keys: Tokens,
  values: Tokens,
  *,
  heads: int,
  rotate: Callable[[Array], Array] = lambda x: x,
  precision: PrecisionLike = 'highest',
) -> Tokens:
  """Computes multi-head attention (Vaswani et al., 2017, Eq. 1) without its projections.

  Args:
    queries: projected tokens.
    keys: likewise.
    values: likewise.
    heads: in how many parts the channels are taken.
    rotate: what is done to queries and keys `[B, N, heads, C / heads]` first.
    precision: of the products.

  Returns:
    Of every token the mean of all values, weighted by the softmax, in float32 at least, of its
    query's products with their keys.
  """
  q, k, v = (x.reshape(*x.shape[:2], heads, -1) for x in (queries, keys, values))
  wide = np.promote_types(queries.dtype, np.float32)
  products = jnp.einsum(
    'bqhc,bkhc->bhqk', rotate(q), rotate(k), precision=precision, preferred_element_type=wide
  )
  weights = jax.nn.softmax(products / math.sqrt(q.shape[-1]), axis=-1).astype(values.dtype)
  y = jnp.einsum('bhqk,bkhc->bqhc', weights, v, precision=precision)
  return y.reshape(values.shape)


def blocks(
  tokens: Tokens,
  layers: Weights,
  *,
  attention: Callable[..., Tokens],
  mlp: Callable[..., Tokens],
  epsilon: float,
  heads: int,
  size: tuple[int, int],
  precision: PrecisionLike = 'highest',
) -> list[Tokens]:
  """Applies blocks: attention and an MLP, each normed before and scaled by channel behind.

  Args:
    tokens: of the embedding.
    layers: the blocks' weights, under their numbers.
    attention: applies that of a block, `(x, weights, *, heads, size, precision) -> y`; a function
      of a module, since what is compiled is kept for it.
    mlp: likewise, `(x, weights, *, precision) -> y`.
    epsilon: of the layer norms.
    heads: of the attention.
    size: (height, width) in patches.
    precision: of the products.

  Returns:
    The tokens behind each block, after both residual sums.
  """
  found = []
  for i in range(len(layers)):
    tokens = _block(
      tokens,
      layers[str(i)],
      attention=attention,
      mlp=mlp,
      epsilon=epsilon,
      heads=heads,
      size=size,
      precision=precision,
    )
    found.append(tokens)
  return found


# Traced once for all blocks, and for all calls.
@functools.partial(
  jax.jit, static_argnames=('attention', 'mlp', 'epsilon', 'heads', 'size', 'precision')
)
def _block(
  x: Tokens,
  layer: Weights,
  *,
  attention: Callable[..., Tokens],
  mlp: Callable[..., Tokens],
  epsilon: float,
  heads: int,
  size: tuple[int, int],
  precision: PrecisionLike,
) -> Tokens:
  y = layer_norm(x, layer['norm1'], epsilon=epsilon)
  y = attention(y, layer['attention'], heads=heads, size=size, precision=precision)
  x = x + y * as_row(layer['layer_scale1']['lambda1'], y)
  y = mlp(layer_norm(x, layer['norm2'], epsilon=epsilon), layer['mlp'], precision=precision)
  return x + y * as_row(layer['layer_scale2']['lambda1'], y)


def patch_maps(
  tokens: Sequence[Tokens], size: tuple[int, int]
) -> tuple[Float[Array, 'B h w C'], ...]:
  """Lays the patches' tokens out as maps; those before them are left out.

  Args:
    tokens: behind each block.
    size: (height, width) in patches.

  Returns:
    A map a block.
  """
  return tuple(
    x[:, x.shape[1] - math.prod(size) :].reshape(x.shape[0], *size, x.shape[2]) for x in tokens
  )


def pyramid_depths(depth: int) -> tuple[int, int, int]:
  """Divides blocks into three levels, as evenly as can be: the last blocks are the coarsest."""
  first, second = depth // 3, 2 * depth // 3
  return first, second - first, depth - second


def pooled_pyramid(maps: Sequence[Float[Array, 'B h w C']]) -> tuple[Array, ...]:
  """Makes a pyramid of maps of one size: means over 1, 2 x 2 and 4 x 4 patches, sizes rounded up.

  Args:
    maps: a map a block.

  Returns:
    As many maps: the first third as they are, the second and the last pooled.
  """
  levels = zip(pyramid_depths(len(maps)), (1, 2, 4), strict=True)
  sides = [side for count, side in levels for _ in range(count)]
  return tuple(average_pool(x, side) for x, side in zip(maps, sides, strict=True))


def average_pool(x: Float[Array, 'B H W C'], side: int) -> Float[Array, 'B H2 W2 C']:
  """Averages squares that lie side by side; the last ones may be cut off, and are of what is there.

  Args:
    x: maps.
    side: of a square.

  Returns:
    `ceil(H / side)` by `ceil(W / side)` means.
  """
  if side == 1:
    return x
  pads = ((0, 0), *((0, -n % side) for n in map_size(x)), (0, 0))
  window = (1, side, side, 1)

  def total(of):
    return lax.reduce_window(of, np.zeros((), of.dtype), lax.add, window, window, pads)

  wide = x.astype(np.promote_types(x.dtype, np.float32))
  return (total(wide) / total(jnp.ones_like(wide[:1, :, :, :1]))).astype(x.dtype)
