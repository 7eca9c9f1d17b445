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

from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import head_of
from hsnet_jax.weights.convert import from_torch, to_torch
from hsnet_jax.weights.files import read_header, read_tensors, write_tensors

_RECORD = 'hsnet_jax'
_SHORTEST = 1024  # Tensors below so many numbers stay as they are: norms and biases.


def write_model(
  path: str | os.PathLike,
  variables: Mapping[str, Any],
  *,
  config: Mapping[str, Any],
  half: bool = False,
) -> int:
  """Writes a network as one file.

  Args:
    path: the `.safetensors`.
    variables: {'params', 'backbone'}.
    config: what its checkpoint records, 'backbone' among it.
    half: whether the backbone's kernels are rounded to float16, half the bytes.

  Returns:
    How many tensors it holds.

  Raises:
    InputError: the variables are of another network, or the file cannot be written.
  """
  named = to_torch(variables, backbone=config['backbone'], head=head_of(config))
  tensors = {name: np.asarray(value) for name, value in named.items()}
  if half:
    tensors = {
      name: x.astype(np.float16) if name.startswith('backbone.') and x.size >= _SHORTEST else x
      for name, x in tensors.items()
    }
  metadata = {'format': 'pt', 'backbone': config['backbone'], _RECORD: json.dumps(dict(config))}
  write_tensors(path, tensors, metadata=metadata)
  return len(tensors)


def read_model(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
  """Reads a network that `write_model` wrote.

  Args:
    path: the `.safetensors`.

  Returns:
    Its variables, float32, and its record.

  Raises:
    InputError: the file is missing or damaged, or holds no such network.
  """
  path = pathlib.Path(path).expanduser()
  header = read_header(path)
  try:
    config = json.loads(header[_RECORD])
    backbone, head = config['backbone'], head_of(config)
  except (KeyError, ValueError, TypeError) as error:
    raise InputError(
      f'{path}: says nothing of the network that its tensors are of; make a checkpoint of it with'
      ' experiments.convert'
    ) from error
  tensors = read_tensors(path)
  return from_torch(tensors, backbone=backbone, source=str(path), head=head), config
