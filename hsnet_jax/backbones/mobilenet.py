"""Defines MobileNetV1 (Howard et al., 2017) of width 0.75: Keras' names, TensorFlow's padding.

Features are the pointwise outputs of blocks 4 to 13 after batch norm and before ReLU6: blocks 4-5
at stride 8, 6-11 at 16, 12-13 at 32.
"""

import jax
from jax import lax
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Backbone, Weights
from hsnet_jax.backbones.layers import fold_batch_norm, init_conv, init_norm
from hsnet_jax.kernels.conv2d import DIMENSIONS, conv2d
from hsnet_jax.kernels.depthwise import depthwise_conv2d

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
    depthwise = init_conv(next(keys), 3, 3, 1, channels)['kernel'].swapaxes(2, 3)
    weights[f'conv_dw_{block}'] = {'kernel': depthwise}
    weights[f'conv_dw_{block}_bn'] = init_norm(channels)
    weights[f'conv_pw_{block}'] = init_conv(next(keys), 1, 1, channels, out)
    weights[f'conv_pw_{block}_bn'] = init_norm(out)
    channels = out
  return weights


def _same_padding(x: Array, stride: int) -> tuple[tuple[int, int], tuple[int, int]]:
  """Computes TensorFlow's 'SAME' padding of a 3-wide window: the odd pixel goes last."""
  rows, columns = (max((-(-n // stride) - 1) * stride + 3 - n, 0) for n in x.shape[1:3])
  return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


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

  def norm(name):
    scale, shift = fold_batch_norm(weights[name], epsilon=_EPSILON)
    return scale, shift[None, None, None].astype(images.dtype)

  scale, shift = norm('conv1_bn')
  kernel = (weights['conv1']['kernel'] * scale[None, None, None]).astype(images.dtype)
  pads = _same_padding(images, 2)
  x = lax.conv_general_dilated(
    images, kernel, (2, 2), pads, dimension_numbers=DIMENSIONS, precision=precision
  )
  x = jax.nn.relu6(x + shift)
  features = []
  for block in range(1, len(_WIDTHS) + 1):
    stride = 2 if block in _STRIDE_2 else 1
    scale, shift = norm(f'conv_dw_{block}_bn')
    kernel = (weights[f'conv_dw_{block}']['kernel'] * scale[None, None, :, None]).astype(x.dtype)
    pads = _same_padding(x, stride)
    y = depthwise_conv2d(
      x, kernel, stride=stride, padding=pads, precision=precision, implementation=implementation
    )
    x = jax.nn.relu6(y + shift)
    scale, shift = norm(f'conv_pw_{block}_bn')
    kernel = (weights[f'conv_pw_{block}']['kernel'] * scale[None, None, None]).astype(x.dtype)
    before_relu = conv2d(x, kernel, precision=precision, implementation=implementation) + shift
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
    keras='mobilenet_7_5_224_tf_no_top.h5',
    depthwise=r'conv_dw_\d+',
    unused=r'(fc|classifier|pre_logits|head)\..*|conv_preds/.*',
  )
}
