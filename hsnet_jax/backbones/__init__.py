"""Defines frozen backbones: pure functions from images to feature maps, and the table of them.

A backbone is `init(key) -> weights` and `apply(weights, images, *, precision) -> features`, finest
first; the weights are nested dictionaries with the names of the weights' source. All of it is in
its family's file; `table` says which. Your own is passed as it is: `HSNet(Backbone(...))`.
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.backbones.backbone import Backbone
  from hsnet_jax.backbones.pixels import normalize
  from hsnet_jax.backbones.table import BACKBONES, get_backbone

__all__ = [
  'BACKBONES',
  'Backbone',
  'get_backbone',
  'normalize',
]

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.backbone': ('Backbone',),
    '.pixels': ('normalize',),
    '.table': ('BACKBONES', 'get_backbone'),
  },
)
