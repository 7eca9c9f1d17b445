"""Converts published and ImageNet weights: their files, their names, to variables and back."""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.weights.convert import from_torch, load_backbone, save_backbone, to_torch
  from hsnet_jax.weights.stored import read_model, write_model

__all__ = [
  'from_torch',
  'load_backbone',
  'read_model',
  'save_backbone',
  'to_torch',
  'write_model',
]

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.convert': ('from_torch', 'load_backbone', 'save_backbone', 'to_torch'),
    '.stored': ('read_model', 'write_model'),
  },
)
