"""Converts published and ImageNet weights: their files, their names, to variables and back."""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.weights.convert import from_torch, load_backbone, save_backbone, to_torch

__all__ = [
  'from_torch',
  'load_backbone',
  'save_backbone',
  'to_torch',
]

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.convert': ('from_torch', 'load_backbone', 'save_backbone', 'to_torch'),
  },
)
