"""Keeps checkpoints: a folder each, written whole or not at all. Only this room knows Orbax.

A checkpoint stands by itself: it holds `variables` (learnable and frozen), to resume training also
the optimizer's state, and `config`, JSON that says what was trained on what. Inside are the items
'variables', 'opt_state' and 'config' of an Orbax composite checkpoint, the layout of one step of an
`orbax.checkpoint.CheckpointManager`.

Orbax's threads report what fails in their own ways, beside the error that is raised here; a program
that does not want to hear it says so to Python's hooks and loggers, as `experiments.command.app`.
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.checkpoints.loading import (
    FORMAT_VERSION,
    Checkpoint,
    load_checkpoint,
    read_config,
  )
  from hsnet_jax.checkpoints.saving import save_checkpoint
  from hsnet_jax.checkpoints.store import DamagedCheckpoint

__all__ = [
  'FORMAT_VERSION',
  'Checkpoint',
  'DamagedCheckpoint',
  'load_checkpoint',
  'read_config',
  'save_checkpoint',
]

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.loading': ('FORMAT_VERSION', 'Checkpoint', 'load_checkpoint', 'read_config'),
    '.saving': ('save_checkpoint',),
    '.store': ('DamagedCheckpoint',),
  },
)
