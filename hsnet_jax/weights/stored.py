"""Stores a whole network in one `.safetensors` file: its tensors, and what a checkpoint records.

Names and layout are the published ones, so whoever reads published files reads these, too. The
record is JSON in the file's header: no code comes with a model, and none is run.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from hsnet_jax.backbones.backbone import Backbone
from hsnet_jax.backbones.table import get_backbone
from hsnet_jax.checkpoints.loading import check_record
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import head_of
from hsnet_jax.weights.convert import from_torch, to_torch
from hsnet_jax.weights.files import read_header, read_tensors, write_tensors
from hsnet_jax.weights.names import check_finite

_RECORD = 'hsnet_jax'
# What the names of tensors begin with that a file holds beside its network's.
_BESIDE = 'beside.'


def write_model(
  path: str | os.PathLike,
  variables: Mapping[str, Any],
  *,
  config: Mapping[str, Any],
  backbone: Backbone | None = None,
  half: bool = False,
  beside: Mapping[str, np.ndarray] | None = None,
) -> int:
  """Writes a network as one file.

  Args:
    path: the `.safetensors`.
    variables: {'params', 'backbone'}.
    config: what its checkpoint records, 'backbone' among it.
    backbone: the backbone of that name, where it is one of your own.
    half: whether the backbone's kernels are rounded to float16, half the bytes.
    beside: arrays to keep beside the network, by names of the caller's own; `read_beside` gives
      them back, and `read_model` passes over them.

  Returns:
    How many tensors the network has.

  Raises:
    InputError: the variables are of another network, or the file cannot be written.
  """
  named = to_torch(variables, backbone=backbone or config['backbone'], head=head_of(config))
  tensors = {name: np.asarray(value) for name, value in named.items()}
  if half:
    with np.errstate(over='ignore'):  # What is too large is named below.
      tensors = {
        name: x.astype(np.float16) if name.startswith('backbone.') and x.ndim > 1 else x
        for name, x in tensors.items()
      }
    check_finite(tensors, source=f'{path}, rounded to float16')
  metadata = {'format': 'pt', 'backbone': config['backbone'], _RECORD: json.dumps(dict(config))}
  more = {f'{_BESIDE}{name}': value for name, value in (beside or {}).items()}
  write_tensors(path, tensors | more, metadata=metadata)
  return len(tensors)


def is_model(path: str | os.PathLike) -> bool:
  """Says whether a `.safetensors` file is one that `write_model` wrote, by its header.

  Args:
    path: the file.

  Raises:
    InputError: the file is missing or damaged.
  """
  return _RECORD in read_header(path)


def read_model(
  path: str | os.PathLike, *, backbone: Backbone | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Reads a network that `write_model` wrote.

  Args:
    path: the `.safetensors`.
    backbone: the backbone in it, where it is one of your own.

  Returns:
    Its variables, float32, and its record.

  Raises:
    InputError: the file is missing or damaged, or holds no such network.
  """
  path = pathlib.Path(path).expanduser()
  header = read_header(path)
  try:
    config = json.loads(header[_RECORD])
  except (KeyError, json.JSONDecodeError) as error:
    raise InputError(
      f'{path}: says nothing of the network that its tensors are of; make a checkpoint of it with'
      ' experiments.convert'
    ) from error
  check_record(config, path)
  tensors = read_tensors(path, skip=lambda name: name.startswith(_BESIDE))
  try:
    head, found = head_of(config), backbone or get_backbone(config['backbone'])
    return from_torch(tensors, backbone=found, source=str(path), head=head), config
  except InputError as error:
    raise error if str(path) in str(error) else InputError(f'{path}: {error}') from None


def read_beside(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads the arrays that `write_model` kept beside a network.

  Args:
    path: the `.safetensors`.

  Returns:
    {name: array}; empty where there are none.

  Raises:
    InputError: the file is missing or damaged.
  """
  found = read_tensors(path, skip=lambda name: not name.startswith(_BESIDE))
  return {name.removeprefix(_BESIDE): value for name, value in found.items()}
