"""Converts weights between published files and the project's own."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from hsnet_jax import checkpoints
from hsnet_jax.errors import InputError
from hsnet_jax.models import count_parameters, load_model
from hsnet_jax.weights import convert, files, names
from hsnet_jax.weights.stored import is_model, read_model, write_model

# The backbone whose ImageNet weights Keras publishes.
_KERAS_BACKBONE = 'mobilenet_v1_075'

# How far a run had come, and what its validation said there: not of the network in a file.
_OF_A_RUN = ('epoch', 'figures')

Path = str | os.PathLike


def import_published(
  source: Path,
  target: Path,
  *,
  backbone: str | None = None,
  config: Mapping[str, Any] | None = None,
) -> str:
  """Makes a checkpoint of a published file.

  Args:
    source: a published .pt, .pth or .safetensors.
    target: the new checkpoint's folder.
    backbone: the backbone in it; None finds it out.
    config: what the file does not say about itself, for the checkpoint to record, such as
      'benchmark', 'fold' and 'image_size'; None of a value leaves it out.

  Returns:
    What was made, in a line.

  Raises:
    InputError: the source cannot be read or is another thing, or the target is there.
  """
  source, target = _new(source, target)
  if source.is_dir():
    raise InputError(f'{source}: a folder is converted with `export`=FILE.safetensors')
  if source.suffix == '.safetensors' and is_model(source):
    variables, recorded = read_model(source)
    given = {name: value for name, value in (config or {}).items() if value is not None}
    return _save(target, variables, {**given, **recorded, 'converted_from': source.name})
  tensors = files.read_tensors(source)
  names.check_parts(tensors, source=str(source))
  found = backbone or names.detect_backbone(
    {name: np.shape(value) for name, value in tensors.items()}
  )
  if found is None:
    raise InputError(
      f'{source}: not the tensors of an HSNet with a known backbone; `backbone`=NAME lists what'
      ' differs'
    )
  variables = convert.from_torch(tensors, backbone=found, source=str(source))
  used = {
    name: x for name, x in tensors.items() if not names.is_unused(names.without_wrapper(name))
  }
  names.check_finite(used, source=str(source))
  recorded = {'backbone': found, **(config or {}), 'converted_from': source.name}
  return _save(target, variables, recorded)


def _save(target: pathlib.Path, variables: Mapping[str, Any], config: Mapping[str, Any]) -> str:
  """Writes a checkpoint; returns what was made, in a line."""
  own = {'format_version', 'step', 'versions'}  # What it records by itself.
  recorded = {k: value for k, value in config.items() if value is not None and k not in own}
  step = config.get('step')
  checkpoints.save_checkpoint(target, variables, config=recorded, step=step)
  count = count_parameters(variables['params'])
  return f'{target}: HSNet with {config["backbone"]}, {count:,} learnable parameters'


def export_checkpoint(
  source: Path,
  target: Path,
  *,
  backbone: str | None = None,
  half: bool = False,
) -> str:
  """Writes a checkpoint's tensors under their published names, and its record with them.

  Args:
    source: the checkpoint's folder.
    target: the new .safetensors.
    backbone: the backbone it must have; None takes any.
    half: whether the backbone's kernels are rounded to float16.

  Returns:
    What was made, in a line.

  Raises:
    InputError: there is no such checkpoint, or the target is there or of another ending.
  """
  source, target = _new(source, target)
  if target.suffix != '.safetensors':
    raise InputError(f'{target}: `export` writes a .safetensors file, give it that ending')
  model = load_model(source, backbone=backbone)
  found = model.backbone.name
  config = {name: value for name, value in model.config.items() if name not in _OF_A_RUN}
  count = write_model(target, model.variables, config=config, half=half)
  return f'{target}: {count} tensors of HSNet with {found}'


def import_keras(source: Path, target: Path) -> str:
  """Makes an .npz of Keras' ImageNet weights of MobileNet, for `backbone_weights`.

  Args:
    source: the .h5 of the Keras application.
    target: the new .npz.

  Returns:
    What was made, in a line.

  Raises:
    InputError: the source holds other weights, or the target is there or of another ending.
  """
  source, target = _new(source, target)
  if target.suffix != '.npz':
    raise InputError(f"{target}: an .h5 file's weights go to an .npz file, give it that ending")
  table = names.keras_tensors(_KERAS_BACKBONE)
  tensors = files.read_keras_h5(source)
  shapes = {name: np.shape(value) for name, value in tensors.items()}
  hint = f'; expected the weights of {_KERAS_BACKBONE}'
  names.check_names(shapes, table, source=str(source), hint=hint)
  names.check_finite({name: tensors[name] for name in table}, source=str(source))
  files.write_tensors(target, {name: tensors[name] for name in table})
  return f'{target}: {len(table)} tensors of {_KERAS_BACKBONE}'


def import_backbone(source: Path, target: Path, *, backbone: str | None = None) -> str:
  """Makes a .safetensors, which needs no torch, of a backbone's ImageNet weights.

  Args:
    source: the .pth, or what else `load_backbone` reads.
    target: the new .safetensors, for `backbone_weights`.
    backbone: whose they are; None finds it out.

  Returns:
    What was made, in a line.

  Raises:
    InputError: the source cannot be read or holds other weights, or the target is there.
  """
  source, target = _new(source, target)
  if backbone is None:
    shapes = {name: np.shape(value) for name, value in files.read_tensors(source).items()}
    backbone = names.detect_backbone(shapes, tensors=names.backbone_tensors)
  if backbone is None:
    raise InputError(
      f'{source}: not the weights of a known backbone; `backbone`=NAME lists what differs'
    )
  convert.save_backbone(target, convert.load_backbone(backbone, path=source), name=backbone)
  return f'{target}: {len(names.backbone_tensors(backbone))} tensors of {backbone}'


def _new(source: Path, target: Path) -> tuple[pathlib.Path, pathlib.Path]:
  """Returns both paths; raises InputError where the target is there."""
  found, made = (pathlib.Path(os.path.expanduser(path)) for path in (source, target))
  if made.exists():
    raise InputError(f'{made}: exists already; name another file or folder')
  return found, made
