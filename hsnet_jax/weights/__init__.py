"""Published and ImageNet weights: their files, their names, and their way to variables and back."""

from hsnet_jax.weights.convert import from_torch, load_backbone, save_backbone, to_torch

__all__ = ['from_torch', 'load_backbone', 'save_backbone', 'to_torch']
