"""Trains the `tiny` backbone, whose weights come with the project, on drawn outlines."""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from experiments.tiny_backbone.config import TinyConfig
  from experiments.tiny_backbone.run import train_tiny

__all__ = ['TinyConfig', 'train_tiny']

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.config': ('TinyConfig',),
    '.run': ('train_tiny',),
  },
)
