"""Defines DINOv3's transformers (Siméoni et al., 2025): patches of 16 pixels, rotary positions.

Features are the patches' tokens behind every block, after both residual sums, before the norm
behind the last one. Positions are rotations of queries and keys by the patches' coordinates, from
-1 to 1 over any grid; the class token and four registers have none. Sides that are no whole
patches: `vit.whole_patches`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Backbone, Weights
from hsnet_jax.backbones.huggingface.layers import (
  gelu_mlp,
  init_layer_norm,
  init_linear,
  init_patches,
  linear,
  project_patches,
)
from hsnet_jax.backbones.huggingface.vit import (
  SIZES,
  Size,
  Tokens,
  attend,
  blocks,
  patch_maps,
  pooled_pyramid,
  pyramid_depths,
  whole_patches,
)
from hsnet_jax.resize import map_size

PATCH = 16
REGISTERS = 4
_EPSILON = 1e-5
_PERIOD = 100.0  # The longest wave's, in units of the shortest.
_HUB = {'small': 'dinov3-vits16-pretrain-lvd1689m', 'base': 'dinov3-vitb16-pretrain-lvd1689m'}


def init(key: Array, *, size: Size) -> Weights:
  """Draws random weights, named as the Hub's files name them.

  Args:
    key: for the draw.
    size: how large it is.

  Returns:
    Nested dictionaries of arrays.
  """
  width = size.width
  keys = iter(jax.random.split(key, 3 + 6 * size.depth))
  tokens = {'cls_token': 1, 'register_tokens': REGISTERS}
  embeddings: Weights = {
    name: 0.02 * jax.random.normal(next(keys), (1, count, width)) for name, count in tokens.items()
  }
  embeddings['patch_embeddings'] = init_patches(next(keys), PATCH, 3, width)

  def block() -> Weights:
    names = ('q_proj', 'k_proj', 'v_proj', 'o_proj')
    attention = {
      name: init_linear(next(keys), width, width, bias=name != 'k_proj') for name in names
    }
    return {
      'norm1': init_layer_norm(width),
      'attention': attention,
      'layer_scale1': {'lambda1': jnp.ones(width)},
      'norm2': init_layer_norm(width),
      'mlp': {
        'up_proj': init_linear(next(keys), width, 4 * width),
        'down_proj': init_linear(next(keys), 4 * width, width),
      },
      'layer_scale2': {'lambda1': jnp.ones(width)},
    }

  return {'embeddings': embeddings, 'layer': {str(i): block() for i in range(size.depth)}}


def angles(size: tuple[int, int], channels: int) -> np.ndarray:
  """Computes by how much the patches of a grid turn each pair of a head's channels.

  Of the pairs, `channels / 2` in all, the first half turns by the row and the second by the column:
  pair `k` by `2 pi x / 100^(4 k / channels)`, where `x` is a patch's center between -1 and 1.

  Args:
    size: (height, width) of the grid.
    channels: of a head, a multiple of 4.

  Returns:
    float32 `[height * width, channels / 2]`.
  """
  centers = [2 * (np.arange(n) + 0.5) / n - 1 for n in size]
  at = np.stack(np.meshgrid(*centers, indexing='ij'), axis=-1).reshape(-1, 2, 1)
  waves = _PERIOD ** -(np.arange(channels // 4) * 4 / channels)
  return (2 * np.pi * at * waves).reshape(len(at), -1).astype(np.float32)


def rotate_patches(
  x: Float[Array, 'B N heads C'], turned: Float[np.ndarray, 'M half']
) -> Float[Array, 'B N heads C']:
  """Rotates pairs of channels of the last tokens (Su et al., 2021); those before stay.

  Args:
    x: queries or keys; a pair is a channel and the one half of all channels behind it.
    turned: from `angles`, of the last `M` tokens.

  Returns:
    The rotated ones, in the type of `x`.
  """
  first = x.shape[1] - len(turned)
  cos, sin = (jnp.asarray(f(turned))[None, :, None] for f in (np.cos, np.sin))
  a, b = jnp.split(x[:, first:], 2, axis=-1)
  patches = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
  return jnp.concatenate([x[:, :first], patches.astype(x.dtype)], axis=1)


def apply(
  weights: Weights,
  images: Float[Array, 'B H W 3'],
  *,
  heads: int,
  pyramid: bool = False,
  precision: PrecisionLike = 'highest',
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Computes features of normalized images.

  Args:
    weights: as `init` makes them, which say how wide and deep it is.
    images: normalized by the means and deviations of ImageNet.
    heads: of the attention.
    pyramid: whether the maps become three levels (`vit.pooled_pyramid`).
    precision: of the products.

  Returns:
    A map a block, `H // 16` by `W // 16`, or where they are a pyramid the first third of them.
  """
  held = weights['embeddings']
  images = whole_patches(images, PATCH, precision=precision)
  x = project_patches(images, held['patch_embeddings'], precision=precision)
  size, width = map_size(x), x.shape[-1]
  first = jnp.concatenate([held['cls_token'], held['register_tokens']], axis=1).astype(x.dtype)
  first = jnp.broadcast_to(first, (x.shape[0], *first.shape[1:]))
  tokens = jnp.concatenate([first, x.reshape(x.shape[0], -1, width)], axis=1)
  found = blocks(
    tokens,
    weights['layer'],
    attention=_attention,
    mlp=_mlp,
    epsilon=_EPSILON,
    heads=heads,
    size=size,
    precision=precision,
  )
  maps = patch_maps(found, size)
  return pooled_pyramid(maps) if pyramid else maps


def _attention(
  x: Tokens, held: Weights, *, heads: int, size: tuple[int, int], precision: PrecisionLike
) -> Tokens:
  rotate = functools.partial(rotate_patches, turned=angles(size, x.shape[-1] // heads))
  layers = (held[name] for name in ('q_proj', 'k_proj', 'v_proj'))
  projected = (linear(x, layer, precision=precision) for layer in layers)
  y = attend(*projected, heads=heads, rotate=rotate, precision=precision)
  return linear(y, held['o_proj'], precision=precision)


def _mlp(x: Tokens, held: Weights, *, precision: PrecisionLike) -> Tokens:
  return gelu_mlp(x, held['up_proj'], held['down_proj'], precision=precision)


def _row(name: str, *, pyramid: bool) -> Backbone:
  size = SIZES[name]
  return Backbone(
    f'dinov3_{name}' + pyramid * '_pyramid',
    functools.partial(init, size=size),
    functools.partial(apply, heads=size.heads, pyramid=pyramid),
    pyramid_depths(size.depth) if pyramid else (size.depth,),
    hub=f'facebook/{_HUB[name]}',
    gated=True,
    stride=PATCH,
    unused=r'embeddings\.mask_token|norm\..*',
    # What the library calls them since its version 5, though not in its files.
    aliases=((r'^model\.', ''),),
  )


_MADE = [_row(name, pyramid=pyramid) for name in SIZES for pyramid in (False, True)]
ROWS = {row.name: row for row in _MADE}
