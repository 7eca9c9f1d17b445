"""Defines ResNet-50 and ResNet-101 (He et al., 2016) as torchvision does: stride on the 3x3.

Features are the outputs of every bottleneck of stages 2, 3 and 4 after the residual sum and before
its ReLU, at strides 8, 16 and 32.
"""

import functools
from collections.abc import Callable

import jax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Backbone, Weights
from hsnet_jax.backbones.layers import (
  conv_batch_norm,
  fold_norms,
  init_conv,
  init_norm,
  max_pool,
)

STAGES = {'resnet50': (3, 4, 6, 3), 'resnet101': (3, 4, 23, 3)}
_WIDTHS = (64, 128, 256, 512)
_EXPANSION = 4


def init(key: Array, *, stages: tuple[int, ...]) -> Weights:
  """Draws random weights, named as torchvision names them.

  Args:
    key: for the draw.
    stages: blocks of every stage, a row of `STAGES`.

  Returns:
    Nested dictionaries of arrays.
  """
  keys = iter(jax.random.split(key, 1 + sum(3 * n + 1 for n in stages)))
  weights = {'conv1': init_conv(next(keys), 7, 7, 3, 64), 'bn1': init_norm(64)}
  channels = 64
  for i, (blocks, width) in enumerate(zip(stages, _WIDTHS, strict=True)):
    layer = {}
    for j in range(blocks):
      out = width * _EXPANSION
      block = {
        'conv1': init_conv(next(keys), 1, 1, channels, width),
        'bn1': init_norm(width),
        'conv2': init_conv(next(keys), 3, 3, width, width),
        'bn2': init_norm(width),
        'conv3': init_conv(next(keys), 1, 1, width, out),
        'bn3': init_norm(out),
      }
      if j == 0:
        block['downsample'] = {
          '0': init_conv(next(keys), 1, 1, channels, out),
          '1': init_norm(out),
        }
      layer[str(j)] = block
      channels = out
    weights[f'layer{i + 1}'] = layer
  return weights


def _norm_of(name: str) -> str:
  return '1' if name == '0' else name.replace('conv', 'bn')  # Of a downsampling, and all others.


fold = functools.partial(fold_norms, norm_of=_norm_of)


def _bottleneck(
  x: Float[Array, 'B H W C'], weights: Weights, stride: int, conv_norm: Callable
) -> Float[Array, 'B H2 W2 D']:
  """Computes one bottleneck, before its last ReLU."""
  y = jax.nn.relu(conv_norm(x, weights['conv1'], weights['bn1']))
  y = jax.nn.relu(conv_norm(y, weights['conv2'], weights['bn2'], stride=stride))
  y = conv_norm(y, weights['conv3'], weights['bn3'])
  if 'downsample' in weights:
    down = weights['downsample']
    x = conv_norm(x, down['0'], down['1'], stride=stride)
  return y + x


def apply(
  weights: Weights,
  images: Float[Array, 'B H W 3'],
  *,
  stages: tuple[int, ...],
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Computes features of normalized images, finest first.

  Args:
    weights: as `init` makes them.
    images: normalized by the means and deviations of ImageNet.
    stages: blocks of every stage, a row of `STAGES`.
    precision: of the products.
    implementation: of the kernels.

  Returns:
    A map a block: of 512 channels at stride 8, 1024 at 16, 2048 at 32, sizes rounded up.
  """
  conv_norm = functools.partial(conv_batch_norm, precision=precision, implementation=implementation)
  x = jax.nn.relu(conv_norm(images, weights['conv1'], weights['bn1'], stride=2))
  x = max_pool(x, 3, padding=1, implementation=implementation)
  features = []
  for i, blocks in enumerate(stages):
    for j in range(blocks):
      stride = 2 if i > 0 and j == 0 else 1
      before_relu = _bottleneck(x, weights[f'layer{i + 1}'][str(j)], stride, conv_norm)
      x = jax.nn.relu(before_relu)
      if i > 0:
        features.append(before_relu)
  return tuple(features)


def _row(name: str) -> Backbone:
  stages = STAGES[name]
  return Backbone(
    name,
    functools.partial(init, stages=stages),
    functools.partial(apply, stages=stages),
    stages[1:],
    hub=f'timm/{name}.tv_in1k',
    fold=fold,
  )


ROWS = {name: _row(name) for name in STAGES}
