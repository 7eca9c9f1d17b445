"""Trains by pure functions: state, steps, losses, optimizers, averaging, devices, pictures."""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.backbones.pixels import normalize
  from hsnet_jax.training.averaging import average_params, averaged_params
  from hsnet_jax.training.exchange import exchange_roles
  from hsnet_jax.training.losses import cross_entropy, near_boundary, soft_dice
  from hsnet_jax.training.optimizers import make_optimizer, make_schedule
  from hsnet_jax.training.sharding import (
    batch_sharding,
    check_batch_size,
    data_mesh,
    jit_step,
    place,
    pmap_step,
    replicated,
  )
  from hsnet_jax.training.state import TrainState, create_train_state, init_params
  from hsnet_jax.training.steps import Batch, eval_step, train_step

__all__ = [
  'Batch',
  'TrainState',
  'average_params',
  'averaged_params',
  'batch_sharding',
  'check_batch_size',
  'create_train_state',
  'cross_entropy',
  'data_mesh',
  'eval_step',
  'exchange_roles',
  'init_params',
  'jit_step',
  'make_optimizer',
  'make_schedule',
  'near_boundary',
  'normalize',
  'place',
  'pmap_step',
  'replicated',
  'soft_dice',
  'train_step',
]

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.averaging': ('average_params', 'averaged_params'),
    '.exchange': ('exchange_roles',),
    '.losses': ('cross_entropy', 'near_boundary', 'soft_dice'),
    '.optimizers': ('make_optimizer', 'make_schedule'),
    '.sharding': (
      'batch_sharding',
      'check_batch_size',
      'data_mesh',
      'jit_step',
      'place',
      'pmap_step',
      'replicated',
    ),
    '.state': ('TrainState', 'create_train_state', 'init_params'),
    '.steps': ('Batch', 'eval_step', 'train_step'),
    'hsnet_jax.backbones.pixels': ('normalize',),
  },
)
