"""Defines a small residual network of this project's own, for the embedded benchmark.

ResNet's basic blocks and names at a hundredth of its cost: a 7x7 stem of stride 4, then stages of
1, 4, 2, 2 blocks. As in the ResNets, features are outputs of blocks of stages 2, 3 and 4 after the
residual sum and before its ReLU, at strides 8, 16 and 32; each stage gives its last two, which have
seen enough of a picture to tell what an object is. The shipped weights were trained on drawn
outlines that are not among the benchmark's classes (`experiments/train_tiny.py`).
"""

import functools
from collections.abc import Callable

import jax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Backbone, Weights
from hsnet_jax.backbones.layers import conv_batch_norm, init_conv, init_norm

LEVELS = (2, 2, 2)
MEAN = (127.5,) * 3
STD = (64.0,) * 3

_STEM = 32
# Width, blocks and stride of every stage.
_STAGES = ((32, 1, 1), (64, 4, 2), (96, 2, 2), (128, 2, 2))


def init(key: Array) -> Weights:
  """Draws random weights, named as torchvision names a ResNet's.

  Args:
    key: for the draw.

  Returns:
    Nested dictionaries of arrays.
  """
  keys = iter(jax.random.split(key, 1 + 3 * sum(blocks for _, blocks, _ in _STAGES)))
  weights = {'conv1': init_conv(next(keys), 7, 7, 3, _STEM), 'bn1': init_norm(_STEM)}
  channels = _STEM
  for i, (width, blocks, stride) in enumerate(_STAGES):
    layer = {}
    for j in range(blocks):
      block = {
        'conv1': init_conv(next(keys), 3, 3, channels, width),
        'bn1': init_norm(width),
        'conv2': init_conv(next(keys), 3, 3, width, width),
        'bn2': init_norm(width),
      }
      if j == 0 and stride > 1:
        block['downsample'] = {
          '0': init_conv(next(keys), 1, 1, channels, width),
          '1': init_norm(width),
        }
      layer[str(j)] = block
      channels = width
    weights[f'layer{i + 1}'] = layer
  return weights


def apply(
  weights: Weights,
  images: Float[Array, 'B H W 3'],
  *,
  conv_norm: Callable | None = None,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Computes features of normalized images, finest first.

  Args:
    weights: as `init` makes them.
    images: `(pixels - MEAN) / STD`.
    conv_norm: `(x, conv, norm, *, stride=1) -> y`, convolution and norm; training passes one that
      normalizes with the batch's own statistics. `conv_batch_norm` by default.
    precision: of the default's products.
    implementation: of the default's kernels.

  Returns:
    Six maps: two of 64 channels at stride 8, 96 at 16, 128 at 32.
  """
  if conv_norm is None:
    conv_norm = functools.partial(
      conv_batch_norm, precision=precision, implementation=implementation
    )
  x = jax.nn.relu(conv_norm(images, weights['conv1'], weights['bn1'], stride=4))
  levels = []
  for i, (_, blocks, first_stride) in enumerate(_STAGES):
    features = []
    for j in range(blocks):
      block = weights[f'layer{i + 1}'][str(j)]
      stride = first_stride if j == 0 else 1
      y = jax.nn.relu(conv_norm(x, block['conv1'], block['bn1'], stride=stride))
      y = conv_norm(y, block['conv2'], block['bn2'])
      if 'downsample' in block:
        down = block['downsample']
        x = conv_norm(x, down['0'], down['1'], stride=stride)
      before_relu = y + x
      x = jax.nn.relu(before_relu)
      features.append(before_relu)
    levels.append(features[-2:])
  return tuple(feature for level in levels[1:] for feature in level)


ROWS = {
  'tiny': Backbone('tiny', init, apply, LEVELS, mean=MEAN, std=STD, packaged='tiny.safetensors')
}
