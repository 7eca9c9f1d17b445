"""Defines ConvNeXt (Liu et al., 2022): depthwise 7x7, layer norm, two pointwise layers a block.

Features are the outputs of every block of stages 2, 3 and 4, after the residual sum, at strides 8,
16 and 32. Downsampling cuts patches of 2 x 2 unpadded, so sizes are rounded down, as VGG's are. The
norm behind the stages and the classifier are left out.
"""

import functools

import jax
import jax.numpy as jnp
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.backbones.backbone import Backbone, Weights
from hsnet_jax.backbones.huggingface.layers import (
  as_row,
  gelu_mlp,
  init_layer_norm,
  init_linear,
  init_patches,
  layer_norm,
  project_patches,
)
from hsnet_jax.backbones.layers import init_depthwise
from hsnet_jax.kernels.depthwise import depthwise_conv2d

# Widths and blocks of the four stages.
STAGES = {
  'convnext_tiny': ((96, 192, 384, 768), (3, 3, 9, 3)),
  'convnext_base': ((128, 256, 512, 1024), (3, 3, 27, 3)),
}
_EPSILON = 1e-6
_STEM, _SIDE = 4, 7  # Pixels of a patch of the stem, side of the depthwise kernels.
_HALF = (_SIDE // 2, _SIDE // 2)


def init(key: Array, *, widths: tuple[int, ...], depths: tuple[int, ...]) -> Weights:
  """Draws random weights, named as `transformers` names them.

  Args:
    key: for the draw.
    widths: channels of every stage.
    depths: blocks of every stage.

  Returns:
    Nested dictionaries of arrays.
  """
  keys = iter(jax.random.split(key, len(widths) + 3 * sum(depths)))
  stages: Weights = {}
  for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
    blocks = {
      str(j): {
        'dwconv': init_depthwise(next(keys), _SIDE, width) | {'bias': jnp.zeros(width)},
        'layernorm': init_layer_norm(width),
        'pwconv1': init_linear(next(keys), width, 4 * width),
        'pwconv2': init_linear(next(keys), 4 * width, width),
        'layer_scale_parameter': jnp.ones(width),
      }
      for j in range(depth)
    }
    stages[str(i)] = {'layers': blocks}
    if i > 0:
      stages[str(i)]['downsampling_layer'] = {
        '0': init_layer_norm(widths[i - 1]),
        '1': init_patches(next(keys), 2, widths[i - 1], width),
      }
  stem = init_patches(next(keys), _STEM, 3, widths[0])
  embeddings = {'patch_embeddings': stem, 'layernorm': init_layer_norm(widths[0])}
  return {'embeddings': embeddings, 'encoder': {'stages': stages}}


def apply(
  weights: Weights,
  images: Float[Array, 'B H W 3'],
  *,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> tuple[Float[Array, 'B _h _w _c'], ...]:
  """Computes features of normalized images, finest first.

  Args:
    weights: as `init` makes them, which say how wide and deep the stages are.
    images: normalized by the means and deviations of ImageNet.
    precision: of the products.
    implementation: of the depthwise kernels.

  Returns:
    A map a block: of ConvNeXt-T of 192 channels at stride 8, 384 at 16, 768 at 32, sizes rounded
    down.
  """
  norm = functools.partial(layer_norm, epsilon=_EPSILON)
  stages, features = weights['encoder']['stages'], []
  x = project_patches(images, weights['embeddings']['patch_embeddings'], precision=precision)
  x = norm(x, weights['embeddings']['layernorm'])
  for i in range(len(stages)):
    stage = stages[str(i)]
    if i > 0:
      down = stage['downsampling_layer']
      x = project_patches(norm(x, down['0']), down['1'], precision=precision)
    for j in range(len(stage['layers'])):
      held = stage['layers'][str(j)]
      x = _block(x, held, precision=precision, implementation=implementation)
      if i > 0:
        features.append(x)
  return tuple(features)


# Traced once for all blocks of a stage, and for all calls.
@functools.partial(jax.jit, static_argnames=('precision', 'implementation'))
def _block(x: Array, held: Weights, *, precision: PrecisionLike, implementation: str) -> Array:
  y = depthwise_conv2d(
    x,
    held['dwconv']['kernel'].astype(x.dtype),
    padding=(_HALF, _HALF),
    precision=precision,
    implementation=implementation,
  )
  y = layer_norm(y + as_row(held['dwconv']['bias'], y), held['layernorm'], epsilon=_EPSILON)
  y = gelu_mlp(y, held['pwconv1'], held['pwconv2'], precision=precision)
  return x + y * as_row(held['layer_scale_parameter'], y)


def _row(name: str) -> Backbone:
  widths, depths = STAGES[name]
  return Backbone(
    name,
    functools.partial(init, widths=widths, depths=depths),
    apply,
    depths[1:],
    hub=f'facebook/{name.replace("_", "-")}-224',
    depthwise='dwconv',
    unused=r'(layernorm|classifier)\..*',
    # The Hub's files hold a classifier, and the network under a name of its own.
    aliases=((r'^convnext\.', ''),),
  )


ROWS = {name: _row(name) for name in STAGES}
