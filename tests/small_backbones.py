"""Small networks of the families in `hsnet_jax/backbones/huggingface`."""

import dataclasses
import functools

from hsnet_jax.backbones import BACKBONES
from hsnet_jax.backbones.huggingface import convnext, dinov2, dinov3
from hsnet_jax.backbones.huggingface.vit import Size, pyramid_depths

SIZE = Size(width=24, depth=3, heads=2)
GRID = 5  # Patches a side for which the small DINOv2 has positions.
WIDTHS, DEPTHS = (4, 8, 12, 16), (1, 2, 1, 1)


def small_convnext():
  """Returns a ConvNeXt of 5 blocks."""
  init = functools.partial(convnext.init, widths=WIDTHS, depths=DEPTHS)
  return dataclasses.replace(BACKBONES['convnext_tiny'], levels=DEPTHS[1:], init=init)


def small_vit(name, *, pyramid=False):
  """Returns a transformer of 3 blocks, 'dinov2' or 'dinov3'."""
  module, options = {'dinov2': (dinov2, {'grid': GRID}), 'dinov3': (dinov3, {})}[name]
  return dataclasses.replace(
    BACKBONES[f'{name}_small' + pyramid * '_pyramid'],
    levels=pyramid_depths(SIZE.depth) if pyramid else (SIZE.depth,),
    init=functools.partial(module.init, size=SIZE, **options),
    apply=functools.partial(module.apply, heads=SIZE.heads, pyramid=pyramid),
  )
