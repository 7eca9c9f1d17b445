"""Reads a checkpoint: its record, its variables, and the optimizer's state."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import serialization

from hsnet_jax.checkpoints import places, store
from hsnet_jax.errors import InputError

FORMAT_VERSION = 1

# What a record says of itself, by its types; the rest is the caller's own.
_RECORDED = {'backbone': str, 'step': int | None}
_MAY_RECORD = {
  'benchmark': str | None,
  'fold': int | None,
  'image_size': int | None,
  'support_margin': int | float | None,
  'combine': str,
  'mask_support': bool,
  'precision': str | None,
  'prior': bool,
  'presence_threshold': int | float | None,
  'skip': bool,
  'correlated_levels': int | None,
  'hybrid_masking': bool,
  'background_correlation': bool,
  'figures': dict | None,
}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """Holds what was read of a checkpoint.

  Attributes:
    variables: {'params', 'backbone'}.
    config: what `save_checkpoint` was given, and 'format_version', 'step' and 'versions'.
    step: optimizer steps taken, if that was recorded.
    opt_state: the optimizer's state, if it was asked for.
  """

  variables: dict[str, Any]
  config: dict[str, Any]
  step: int | None = None
  opt_state: Any = None


def load_checkpoint(
  path: str | os.PathLike,
  *,
  backbone: str | None = None,
  opt_state: Any = None,
  average: bool = False,
) -> Checkpoint:
  """Reads a checkpoint back, on whatever devices there are.

  Args:
    path: the checkpoint's folder, or its run's, which stands for the best one.
    backbone: the backbone it must have; None takes any.
    opt_state: a state of the same optimizer, or its shapes (`jax.eval_shape(tx.init, params)`),
      to get the stored one in that structure; None leaves it unread.
    average: whether the moving average of the parameters takes their place, where one is kept
      beside them: what such a run validates and keeps as its best, and is to be used with.

  Returns:
    The checkpoint, its arrays on the default device.

  Raises:
    InputError: no checkpoint there, damaged, cut short, of a newer format or another backbone,
      or without a fitting optimizer state.
  """
  config = read_config(path)
  if backbone is not None and config['backbone'] != backbone:
    raise InputError(f'{path}: a checkpoint of {config["backbone"]}, not of {backbone}')
  average = average and bool(config.get('ema'))
  names = ('variables',) if opt_state is None and not average else store.TREES
  trees = store.read_trees(places.find(path), names)
  state = None
  if opt_state is not None:
    if 'opt_state' not in trees:
      raise InputError(f'{path}: holds no optimizer state to resume training with')
    state = _fitted(opt_state, trees['opt_state'], path)
  variables = trees['variables']
  if average:
    found = _find_average(trees.get('opt_state', {}))
    variables = {**variables, 'params': variables['params'] if found is None else found}
  return Checkpoint(variables, config, config['step'], state)


def _find_average(stored: Any) -> Any:
  """Finds the average that `training.averaging` keeps in an optimizer's state; None without one."""
  if not isinstance(stored, Mapping):
    return None
  if set(stored) == {'count', 'average'}:
    return stored['average']
  found = (_find_average(value) for value in stored.values())
  return next((average for average in found if average is not None), None)


def read_config(path: str | os.PathLike) -> dict[str, Any]:
  """Reads what a checkpoint records about itself, without its arrays.

  Args:
    path: as for `load_checkpoint`.

  Returns:
    The `config` it was saved with, and 'format_version', 'step' and 'versions'.

  Raises:
    InputError: no checkpoint there, cut short, or of a newer format.
  """
  config = store.read_json(places.find(path), named=path)
  _check_fields(config, {'format_version': int}, path)
  check_record(config, path)
  _check_fields(config, _RECORDED, path)
  return config


def check_record(config: Any, path: str | os.PathLike) -> None:
  """Checks what a network says of itself, in a checkpoint or in a file.

  Args:
    config: the record.
    path: what messages call it.

  Raises:
    InputError: it is of a newer format, or a field of it is of another type than it has.
  """
  if not isinstance(config, Mapping):
    raise store.DamagedCheckpoint(f'{path}: its record is no table of names and values')
  # First of all: of a newer format nothing else is known.
  version = config.get('format_version', FORMAT_VERSION)
  _check_fields({'format_version': version}, {'format_version': int}, path)
  if version > FORMAT_VERSION:
    raise InputError(
      f'{path}: checkpoint format {version} is newer than this program, which reads up to '
      f'{FORMAT_VERSION}; update it'
    )
  may = {name: kind for name, kind in _MAY_RECORD.items() if name in config}
  _check_fields(config, {'backbone': str, **may}, path)


def _check_fields(
  config: Mapping[str, Any], kinds: Mapping[str, Any], path: str | os.PathLike
) -> None:
  """Raises DamagedCheckpoint unless a record has these fields, each of its type."""
  for name, kind in kinds.items():
    value = config.get(name)
    if name not in config or not isinstance(value, kind) or (value is True and kind is not bool):
      raise store.DamagedCheckpoint(
        f'{path}: the checkpoint is damaged or was cut short (its record has no {name} that can be)'
      )


def _fitted(template: Any, stored: dict[str, Any], path: str | os.PathLike) -> Any:
  """Brings the stored optimizer state into the template's structure."""
  try:
    state = serialization.from_state_dict(template, stored)
    same = jax.tree.map(lambda a, b: jnp.shape(a) == jnp.shape(b), template, state)
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(f'{path}: its optimizer state is of another optimizer') from error
  if not all(jax.tree.leaves(same)):
    raise InputError(f'{path}: its optimizer state is of another network')
  return state
