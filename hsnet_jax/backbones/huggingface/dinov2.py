"""Defines DINOv2's transformers (Oquab et al., 2023): patches of 14 pixels, learned positions.

Features are the patches' tokens behind every block, after both residual sums, before the norm
behind the last one. Positions were learned for 37 x 37 patches, and are interpolated to any other
grid as `transformers` does it. Sides that are no whole patches: `vit.whole_patches`.
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

PATCH = 14
GRID = 37  # Of 518 x 518 pixels, the last of the pretraining.
_EPSILON = 1e-6
_CUBIC = -0.75  # The parameter of the cubic kernel, as PyTorch has it.


def init(key: Array, *, size: Size, grid: int = GRID) -> Weights:
  """Draws random weights, named as the Hub's files name them.

  Args:
    key: for the draw.
    size: how large it is.
    grid: patches a side for which positions are learned.

  Returns:
    Nested dictionaries of arrays.
  """
  width = size.width
  keys = iter(jax.random.split(key, 3 + 6 * size.depth))
  tokens = {'cls_token': 1, 'position_embeddings': 1 + grid**2}
  embeddings: Weights = {
    name: 0.02 * jax.random.normal(next(keys), (1, count, width)) for name, count in tokens.items()
  }
  embeddings['patch_embeddings'] = {'projection': init_patches(next(keys), PATCH, 3, width)}

  def block() -> Weights:
    names = ('query', 'key', 'value')
    projected = {name: init_linear(next(keys), width, width) for name in names}
    return {
      'norm1': init_layer_norm(width),
      'attention': {
        'attention': projected,
        'output': {'dense': init_linear(next(keys), width, width)},
      },
      'layer_scale1': {'lambda1': jnp.ones(width)},
      'norm2': init_layer_norm(width),
      'mlp': {
        'fc1': init_linear(next(keys), width, 4 * width),
        'fc2': init_linear(next(keys), 4 * width, width),
      },
      'layer_scale2': {'lambda1': jnp.ones(width)},
    }

  layers = {str(i): block() for i in range(size.depth)}
  return {'embeddings': embeddings, 'encoder': {'layer': layers}}


def bicubic_matrix(n_in: int, n_out: int) -> np.ndarray:
  """Computes the weights of an axis: cubic convolution (Keys, 1981) between pixels' centers.

  The result's pixel `i` lies at `(i + 0.5) * n_in / n_out - 0.5`, and beyond the border the last
  pixel is repeated, as in PyTorch's `interpolate` with `align_corners=False`.

  Args:
    n_in: pixels of the source along an axis.
    n_out: pixels of the result along it.

  Returns:
    float32 `[n_out, n_in]`, four weights a row at most.
  """
  at = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
  low = np.floor(at).astype(np.int64)
  matrix = np.zeros((n_out, n_in))
  for tap in range(-1, 3):
    x, a = np.abs(at - low - tap), _CUBIC
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    weight = np.where(x <= 1, near, np.where(x < 2, far, 0))
    np.add.at(matrix, (np.arange(n_out), np.clip(low + tap, 0, n_in - 1)), weight)
  return matrix.astype(np.float32)


def positions(
  learned: Float[Array, '1 N C'], size: tuple[int, int], *, precision: PrecisionLike = 'highest'
) -> Float[Array, '1 M C']:
  """Interpolates positions to another grid, bicubically; that of the first token stays.

  Args:
    learned: the first token's, and those of a square of patches.
    size: (height, width) in patches.
    precision: of the products.

  Returns:
    The first token's, and those of the grid.
  """
  side = round((learned.shape[1] - 1) ** 0.5)
  square = learned[0, 1:].reshape(side, side, -1)
  rows, columns = (jnp.asarray(bicubic_matrix(side, n)) for n in size)
  grid = jnp.einsum('ih,jw,hwc->ijc', rows, columns, square, precision=precision)
  return jnp.concatenate([learned[:, :1], grid.reshape(1, -1, grid.shape[-1])], axis=1)


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
    A map a block, `H // 14` by `W // 14`, or where they are a pyramid the first third of them.
  """
  held = weights['embeddings']
  images = whole_patches(images, PATCH, precision=precision)
  x = project_patches(images, held['patch_embeddings']['projection'], precision=precision)
  size = map_size(x)
  cls = jnp.broadcast_to(held['cls_token'].astype(x.dtype), (x.shape[0], 1, x.shape[-1]))
  tokens = jnp.concatenate([cls, x.reshape(x.shape[0], -1, x.shape[-1])], axis=1)
  learned = positions(held['position_embeddings'], size, precision=precision)
  tokens = tokens + learned.astype(x.dtype)
  found = blocks(
    tokens,
    weights['encoder']['layer'],
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
  del size  # Positions are in the tokens already.
  layers = (held['attention'][name] for name in ('query', 'key', 'value'))
  projected = (linear(x, layer, precision=precision) for layer in layers)
  y = attend(*projected, heads=heads, precision=precision)
  return linear(y, held['output']['dense'], precision=precision)


def _mlp(x: Tokens, held: Weights, *, precision: PrecisionLike) -> Tokens:
  return gelu_mlp(x, held['fc1'], held['fc2'], precision=precision)


def _row(name: str, *, pyramid: bool) -> Backbone:
  size = SIZES[name]
  return Backbone(
    f'dinov2_{name}' + pyramid * '_pyramid',
    functools.partial(init, size=size),
    functools.partial(apply, heads=size.heads, pyramid=pyramid),
    pyramid_depths(size.depth) if pyramid else (size.depth,),
    hub=f'facebook/dinov2-{name}',
    stride=PATCH,
    unused=r'embeddings\.mask_token|layernorm\..*',
    # What the library calls them since its version 5, though not in its files.
    aliases=(
      (r'attention\.q_proj\.', 'attention.attention.query.'),
      (r'attention\.k_proj\.', 'attention.attention.key.'),
      (r'attention\.v_proj\.', 'attention.attention.value.'),
      (r'attention\.o_proj\.', 'attention.output.dense.'),
    ),
  )


_MADE = [_row(name, pyramid=pyramid) for name in SIZES for pyramid in (False, True)]
ROWS = {row.name: row for row in _MADE}
