"""Writes a checkpoint: whole or not at all, and a record of what wrote it."""

import importlib.metadata
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from flax import serialization

from hsnet_jax.checkpoints import places, store
from hsnet_jax.checkpoints.loading import FORMAT_VERSION, read_config
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import is_disk_full

_RECORDED = ('hsnet-jax', 'jax', 'flax', 'optax', 'orbax-checkpoint')


def save_checkpoint(
  path: str | os.PathLike,
  variables: Mapping[str, Any],
  *,
  config: Mapping[str, Any],
  opt_state: Any = None,
  step: int | None = None,
  retire_to: str | os.PathLike | None = None,
) -> None:
  """Writes a checkpoint; an earlier one at `path` stays until the new one is complete.

  Args:
    path: the checkpoint's folder; its parents are made where they are missing.
    variables: {'params', 'backbone'}.
    config: 'backbone', and whatever else belongs to it (benchmark, fold, shots, image_size,
      mask_support, scores, ...): values that JSON can hold, NumPy's numbers among them.
    opt_state: the optimizer's state, to resume training from here.
    step: optimizer steps taken.
    retire_to: a free path beside it where the earlier one goes then; None removes it.

  Raises:
    InputError: the disk is full, or `path` holds something that is no checkpoint.
    ValueError: `config` names no backbone.
  """
  if 'backbone' not in config:
    raise ValueError("a checkpoint's config needs 'backbone'")
  path = places.absolute(path)
  record = {**config, 'format_version': FORMAT_VERSION, 'step': step, 'versions': _versions()}
  record = json.loads(json.dumps(record, default=_plain))
  trees = {'variables': serialization.to_state_dict(variables)}
  if opt_state is not None:
    trees['opt_state'] = serialization.to_state_dict(opt_state)
  new, kept = places.staged(path), 'nothing was written'
  retired = places.previous(path) if retire_to is None else places.absolute(retire_to)
  try:
    places.make_room(path)
    kept = _what_is_kept(path)
    store.write(new, trees=trees, config=record)
    places.swap(new, path, retired)
  except Exception as error:
    if not is_disk_full(error):
      raise
    raise InputError(f'{path}: disk full while saving; {kept}') from error
  finally:
    places.clear(path)


def _what_is_kept(path: pathlib.Path) -> str:
  """Says what a full disk would leave at a path: read before, while nothing is failing."""
  if not path.exists():
    return 'nothing was written'
  try:
    step = read_config(path)['step']
  except (InputError, OSError):
    return 'what was there is as it was'
  return f'the checkpoint {"" if step is None else f"of step {step} "}there is intact'


def _versions() -> dict[str, str]:
  """Records the versions that a checkpoint is written with."""
  versions = {}
  for name in _RECORDED:
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      versions[name] = 'not installed'  # the project itself, run from a checkout
  return versions


def _plain(value: Any) -> Any:
  """Gives what JSON writes in place of NumPy's and JAX's numbers and arrays."""
  if hasattr(value, 'tolist'):
    return value.tolist()
  raise TypeError(f'a config cannot hold a {type(value).__name__}')
