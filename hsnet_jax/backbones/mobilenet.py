"""Defines MobileNetV1 (Howard et al., 2017) of width 0.75: Keras' names, TensorFlow's padding.

Features are the pointwise outputs of blocks 4 to 13 after batch norm and before ReLU6: blocks 4-5
at stride 8, 6-11 at 16, 12-13 at 32.
"""

import functools

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

_EPSILON = 1e-3
_WIDTHS = (48, 96, 96, 192, 192, 384, 384, 384, 384, 384, 384, 768, 768)
_STRIDE_2 = (2, 4, 6, 12)
_FIRST_FEATURE = 4


def init(key: Array) -> Weights:
  """Draws random weights, named as Keras names them.

  Args:
    key: for the draw.

  Returns:
    Nested dictionaries of arrays.
  """
  keys = iter(jax.random.split(key, 1 + 2 * len(_WIDTHS)))
  weights = {'conv1': init_conv(next(keys), 3, 3, 3, 24), 'conv1_bn': init_norm(24)}
  channels = 24
  for block, out in enumerate(_WIDTHS, start=1):
    weights[f'conv_dw_{block}'] = init_depthwise(next(keys), 3, channels)
    weights[f'conv_dw_{block}_bn'] = init_norm(channels)
    weights[f'conv_pw_{block}'] = init_conv(next(keys), 1, 1, channels, out)
    weights[f'conv_pw_{block}_bn'] = init_norm(out)
    channels = out
  return weights


def _is_depthwise(name: str) -> bool:
  return name.startswith('conv_dw_')


fold = functools.partial(
  fold_norms, norm_of='{}_bn'.format, epsilon=_EPSILON, is_depthwise=_is_depthwise
)


def apply(
  weights: Weights,
  images: Float[Array, 'B H W 3'],
  *,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Computes features of normalized images, finest first.

  Args:
    weights: as `init` makes them.
    images: scaled to [-1, 1].
    precision: of the products.
    implementation: of the kernels.

  Returns:
    Ten maps: two of 192 channels at stride 8, six of 384 at 16, two of 768 at 32, sizes rounded
    up.
  """

  def layer(x, name, *, stride=1):
    return same_conv_batch_norm(
      x,
      weights[name],
      weights[f'{name}_bn'],
      stride=stride,
      depthwise=_is_depthwise(name),
      epsilon=_EPSILON,
      precision=precision,
      implementation=implementation,
    )

  x = jax.nn.relu6(layer(images, 'conv1', stride=2))
  features = []
  for block in range(1, len(_WIDTHS) + 1):
    stride = 2 if block in _STRIDE_2 else 1
    x = jax.nn.relu6(layer(x, f'conv_dw_{block}', stride=stride))
    before_relu = layer(x, f'conv_pw_{block}')
    if block >= _FIRST_FEATURE:
      features.append(before_relu)
    x = jax.nn.relu6(before_relu)
  return tuple(features)


ROWS = {
  'mobilenet_v1_075': Backbone(
    'mobilenet_v1_075',
    init,
    apply,
    (2, 6, 2),
    mean=(127.5,) * 3,
    std=(127.5,) * 3,
    fold=fold,
    keras='mobilenet_7_5_224_tf_no_top.h5',
    depthwise=r'conv_dw_\d+',
    unused=r'(fc|classifier|pre_logits|head)\..*|conv_preds/.*',
  )
}
