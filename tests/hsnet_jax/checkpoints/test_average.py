"""Which parameters a checkpoint is used with, where there is an average beside those trained on."""

import jax
import numpy as np
import optax

from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint
from hsnet_jax.training import averaged_params, make_optimizer
from tests.hsnet_jax.checkpoints.test_checkpoints import assert_equal_trees, made_variables


def trained(ema):
  variables = made_variables()
  tx = make_optimizer(0.1, ema=ema)
  params, state = variables['params'], tx.init(variables['params'])
  for _ in range(3):
    gradients = jax.tree.map(np.ones_like, params)
    updates, state = tx.update(gradients, state, params)
    params = optax.apply_updates(params, updates)
  return {**variables, 'params': params}, state


def test_the_average_is_used_and_what_is_trained_on_resumed(tmp_path):
  variables, state = trained(ema=0.9)
  expected = averaged_params(state, None)
  config = {'backbone': 'tiny', 'ema': 0.9}
  save_checkpoint(tmp_path / 'last', variables, config=config, opt_state=state)
  assert_equal_trees(load_checkpoint(tmp_path / 'last').variables, jax.device_put(variables))
  used = load_checkpoint(tmp_path / 'last', average=True)
  assert_equal_trees(used.variables, jax.device_put({**variables, 'params': expected}))
  assert used.opt_state is None
  resumed = load_checkpoint(tmp_path / 'last', opt_state=state)
  assert_equal_trees(resumed.variables, jax.device_put(variables))
  # The best one holds the average in the place of parameters, and nothing beside it.
  best = {**variables, 'params': expected}
  save_checkpoint(tmp_path / 'best', best, config=config)
  used = load_checkpoint(tmp_path / 'best', average=True)
  assert_equal_trees(used.variables, jax.device_put(best))


def test_without_an_average_the_parameters_are_used(tmp_path):
  variables, state = trained(ema=0.0)
  for name, config in (('a', {'backbone': 'tiny'}), ('b', {'backbone': 'tiny', 'ema': 0.0})):
    save_checkpoint(tmp_path / name, variables, config=config, opt_state=state)
    used = load_checkpoint(tmp_path / name, average=True)
    assert_equal_trees(used.variables, jax.device_put(variables))
