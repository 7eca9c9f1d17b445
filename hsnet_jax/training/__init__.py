"""Training as pure functions: state, steps, losses, optimizers, averaging, devices, pictures."""

from hsnet_jax.training.steps import (
  TrainState,
  create_train_state,
  eval_step,
  init_params,
  normalize,
  train_step,
)

__all__ = [
  'TrainState',
  'create_train_state',
  'eval_step',
  'init_params',
  'normalize',
  'train_step',
]
