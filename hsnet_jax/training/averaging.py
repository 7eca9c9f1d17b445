"""Keeps a moving average of the parameters in the optimizer, used in their place for testing.

Few-shot validation swings from epoch to epoch; the average of the last steps' parameters does not.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array


class AverageState(NamedTuple):
  """Holds `count`, updates seen, int32, and `average`, of the parameters after each."""

  # The field's name is part of stored checkpoints, and hides a tuple's method that no one calls.
  count: Array  # pyright: ignore[reportIncompatibleMethodOverride]
  average: Any


def average_params(*, decay: float) -> optax.GradientTransformation:
  """Keeps an exponential moving average of the parameters; the last link of an `optax.chain`.

  It passes updates on as they are. Early on, where nothing is known yet, it forgets faster: update
  t weighs the past by `min(decay, (1 + t) / (10 + t))`.

  Args:
    decay: weight of the past, in [0, 1); about `1 / (1 - decay)` steps are averaged.

  Returns:
    The transformation; `averaged_params` finds its average in an optimizer's state.

  Raises:
    ValueError: `decay` is out of range.
  """
  if not 0 <= decay < 1:
    raise ValueError(f'decay is {decay}; it must be at least 0 and below 1')

  def init(params):
    return AverageState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.array, params))

  def update(updates, state, params=None):
    if params is None:
      raise ValueError('average_params averages parameters: give them to `update`')
    count = state.count.astype(jnp.float32)
    past = jnp.minimum(decay, (1.0 + count) / (10.0 + count))
    new = optax.apply_updates(params, updates)
    average = optax.incremental_update(new, state.average, 1 - past)
    return updates, AverageState(state.count + 1, average)

  return optax.GradientTransformation(init, update)


def averaged_params(opt_state: Any, params: Any) -> Any:
  """Finds the parameters to test with.

  Args:
    opt_state: state of an optimizer, with `average_params` in it or not.
    params: the parameters themselves.

  Returns:
    The average that the state holds, or `params` where it holds none.
  """
  is_average = lambda node: isinstance(node, AverageState)  # noqa: E731
  for node in jax.tree.leaves(opt_state, is_leaf=is_average):
    if is_average(node):
      return node.average
  return params
