"""Exchanges the roles of query and support in some episodes, before they are augmented.

Both pictures of a 1-shot episode show the class and have a mask, so either may be the query: one
pair of pictures is two episodes.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from hsnet_jax.errors import InputError


def exchange_roles(
  key: Array, batch: Mapping[str, Array | np.ndarray], *, probability: float
) -> dict[str, Array | np.ndarray]:
  """Makes the first support the query, and the query that support, in some episodes.

  An episode whose query shows nothing of the class stays as it is: its support would have no mask.
  So does one whose first support is another support as well, as the published protocol allows: the
  new query would be among its own supports.
  The new query has no ignore region, since of supports none is read: what is open there counts as
  background, as it does in the published loss. A support that was cut to a window around its object
  is a query that is cut likewise, and the new support is whole.

  Args:
    key: a random key, another for each step. An episode's draw depends on it and on the episode's
      `index` alone: not on the batch's other rows, nor on the device that holds it.
    batch: training episodes, as `hsnet_jax.training.steps` describes them, with their `index`; on
      any sharding of the first axis.
    probability: of exchanging; static under `jit`. Half makes both roles as likely.

  Returns:
    The batch, in the same shapes and types; further supports and all else as they were.

  Raises:
    InputError: `probability` is not from 0 to 1.
    ValueError: queries, their masks and supports are not of one size.
  """
  if not 0 <= probability <= 1:
    raise InputError(f'`exchange` is {probability}; it must be from 0 to 1')
  if probability == 0:
    return dict(batch)
  sizes = {batch[name].shape[-2:] for name in ('query_mask', 'support_masks')}
  sizes |= {batch[name].shape[-3:-1] for name in ('query_image', 'support_images')}
  if len(sizes) > 1:
    raise ValueError(f'pictures and masks of {sorted(sizes)} pixels cannot change their places')

  def draw(index):
    return jax.random.uniform(jax.random.fold_in(key, index), (), jnp.float32) < probability

  shown = jnp.any(batch['query_mask'] != 0, axis=(1, 2))
  pictures = jnp.asarray(batch['support_images'])
  again = jnp.any(jnp.all(pictures[:, 1:] == pictures[:, :1], axis=(2, 3, 4)), axis=1)
  swap = jax.vmap(draw)(jnp.asarray(batch['index'])) & shown & ~again
  new = {**batch, 'query_ignore': _where(swap, 0, jnp.asarray(batch['query_ignore']))}
  for query, supports in (('query_image', 'support_images'), ('query_mask', 'support_masks')):
    one, several = jnp.asarray(batch[query]), jnp.asarray(batch[supports])
    new[query] = _where(swap, several[:, 0], one)
    new[supports] = several.at[:, 0].set(_where(swap, one, several[:, 0]))
  return new


def exchanged(key: Array, step: Callable[..., Any], *, probability: float) -> Callable[..., Any]:
  """Makes a training step that exchanges roles in its batch first.

  Args:
    key: of the run; each step folds the state's number in, so a run that is resumed draws
      what an unbroken one does.
    step: `(state, batch) -> ...`, of a state with its `step`; takes `axis_name` where it is mapped.
    probability: of exchanging; at 0 the step itself comes back.

  Returns:
    A function like `step`, to be jitted or mapped.
  """
  if probability == 0:
    return step

  def exchange_and_step(state, batch, *, axis_name: str | None = None):
    batch = exchange_roles(jax.random.fold_in(key, state.step), batch, probability=probability)
    one = step if axis_name is None else functools.partial(step, axis_name=axis_name)
    return one(state, batch)

  return exchange_and_step


def _where(rows: Array, new: Any, old: Array) -> Array:
  """Takes `new` in the rows that are marked, `old` in the others."""
  return jnp.where(rows.reshape(-1, *(1,) * (old.ndim - 1)), jnp.asarray(new, old.dtype), old)
