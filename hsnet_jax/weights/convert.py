"""Converts published and ImageNet weights to the project's variables, and back.

Trees: `variables` is `{'params': the learnable tensors, 'backbone': the frozen ones}`, nested
dicts of float32 arrays, kernels HWIO. Files: PyTorch's names and layout (OIHW), or Keras' names.
Converting is renaming and transposing, so every value comes through with all its bits, and a
gradient converts as its parameters do.
"""

import importlib.resources
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from hsnet_jax.backbones.backbone import Backbone
from hsnet_jax.backbones.table import get_backbone
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import PUBLISHED, Head
from hsnet_jax.weights.files import find_file, read_tensors, torch_array, write_tensors
from hsnet_jax.weights.names import (
  Tensor,
  backbone_tensors,
  check_finite,
  check_names,
  check_parts,
  detect_backbone,
  hsnet_tensors,
  is_unused,
  keras_tensors,
  leaves,
  without_wrapper,
)
from hsnet_jax.whole_files import is_unreadable


def from_torch(
  state_dict: Mapping[str, Any],
  *,
  backbone: str | Backbone,
  source: str = 'the state dict',
  head: Head = PUBLISHED,
) -> dict[str, Any]:
  """Converts a published HSNet state dict to variables.

  Args:
    state_dict: {published name: array}, NumPy arrays or torch tensors; with or without the
      `module.` of a data-parallel wrapper, with or without the backbone's unused classifier.
    backbone: the backbone in it, a name of the table or a `Backbone`.
    source: what error messages call the state dict, such as its file.
    head: what the network's head has beyond the published one.

  Returns:
    {'params', 'backbone'}, float32.

  Raises:
    InputError: names that are missing, unexpected, doubled or wrongly shaped, all listed, or
      tensors that are no floating-point numbers.
  """
  arrays = {}
  for name, value in state_dict.items():
    short = without_wrapper(str(name))
    if short in arrays:
      raise InputError(f'{source} holds {short} twice, with and without "module."')
    arrays[short] = value
  check_parts(arrays, source=source)
  try:
    return _to_tree(arrays, hsnet_tensors(backbone, head=head), source=source, backbone=backbone)
  except InputError as error:
    other = detect_backbone({name: np.shape(value) for name, value in arrays.items()})
    name = get_backbone(backbone).name
    if other in (None, name):
      raise
    raise InputError(f'{error}; it holds the network with {other}, not {name}') from None


def to_torch(
  variables: Mapping[str, Any], *, backbone: str | Backbone, head: Head = PUBLISHED
) -> dict[str, np.ndarray | jax.Array]:
  """Converts variables, or a tree of their gradients, to the published names and layout.

  Args:
    variables: {'params', 'backbone'} or one of the two alone.
    backbone: the backbone in it, or to which the parameters belong.
    head: what the network's head has beyond the published one.

  Returns:
    {published name: array}, without `module.`; NumPy copies, or under `jit` what is traced.

  Raises:
    InputError: leaves that are missing, unexpected or wrongly shaped, all listed.
  """
  named = hsnet_tensors(backbone, head=head).items()
  table = {name: tensor for name, tensor in named if tensor.path[0] in variables}
  if not table:
    raise InputError("variables have neither 'params' nor 'backbone'")
  return _from_tree(
    variables, table, source=f'this tree of {get_backbone(backbone).name} variables'
  )


def load_backbone(name: str | Backbone, *, path: str | os.PathLike | None = None) -> dict[str, Any]:
  """Loads a backbone's published weights.

  Args:
    name: a backbone of the table `BACKBONES`, or a `Backbone` of your own.
    path: a `.safetensors`, `.npz` or torchvision `.pth` file, or the folder it is in. Without
      one the weights that come with the package are used, or those on the Hugging Face Hub.

  Returns:
    The tree that the backbone's `apply` takes, float32.

  Raises:
    InputError: no such backbone or file, a failed download, a damaged file, or names in it that
      are missing, unexpected or wrongly shaped, all listed.
  """
  spec = get_backbone(name)
  file = _default_file(spec) if path is None else find_file(path, spec.name)
  found = read_tensors(file, skip=lambda key: is_unused(spec.own_name(key), backbone=spec))
  arrays = {spec.own_name(key): value for key, value in found.items()}
  if len(arrays) < len(found):
    raise InputError(f'{file}: holds tensors of {spec.name} twice, under two names each')
  keras = any('/' in key for key in arrays)
  table = keras_tensors(spec) if keras else backbone_tensors(spec)
  hint = f'; expected the weights of {spec.name}'
  tree = _to_tree(arrays, table, source=str(file), hint=hint, backbone=spec)
  check_finite(arrays, source=str(file))
  return tree


def save_backbone(
  path: str | os.PathLike, tree: Mapping[str, Any], *, name: str | Backbone
) -> None:
  """Writes a backbone's tree as the `.safetensors` file that `load_backbone` reads.

  Args:
    path: the file.
    tree: what the backbone's `init` returns.
    name: the backbone.

  Raises:
    InputError: a tree of another backbone, or a file that cannot be written.
  """
  spec = get_backbone(name)
  named = _from_tree(tree, backbone_tensors(spec), source=f'this tree of {spec.name}')
  tensors = {key: np.asarray(value) for key, value in named.items()}
  write_tensors(path, tensors, metadata={'format': 'pt', 'backbone': spec.name})


def _default_file(spec: Backbone) -> pathlib.Path:
  """Returns the weights of a backbone for which the user named no file."""
  name, hub = spec.name, spec.hub
  if spec.packaged is not None:
    return pathlib.Path(str(importlib.resources.files('hsnet_jax.backbones'))) / spec.packaged
  if hub is None:
    file = f'{name}.npz' if spec.keras else f'{name}.safetensors'
    how = 'which `hsnet_jax.weights.save_backbone` writes'
    if spec.pip:
      how = f'which experiments.convert makes from the .pth in the Python package {spec.pip}'
    if spec.keras:
      how = f'which experiments.convert makes from the Keras application, {spec.keras}'
    raise InputError(
      f'{name}: its weights cannot be downloaded; give `backbone_weights`={file}, {how}'
    )
  # Imported here: it takes a while, and nothing else needs it.
  import huggingface_hub

  try:
    return pathlib.Path(huggingface_hub.hf_hub_download(hub, 'model.safetensors'))
  except Exception as error:  # network, proxy and cache each fail in ways of their own
    if is_unreadable(error):
      raise
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    page = f'https://huggingface.co/{hub}'
    gate = (
      f'they are gated: accept their license at {page} and log in with "hf auth login" '
      '("huggingface-cli login" before huggingface_hub 0.34), or '
    )
    raise InputError(
      f'{name}: could not download its weights ({reason}); {gate if spec.gated else ""}'
      f'put model.safetensors of {page} on this machine and give `backbone_weights`=FILE'
    ) from error


def _to_tree(
  arrays: Mapping[str, Any],
  table: Mapping[str, Tensor],
  *,
  source: str,
  backbone: str | Backbone,
  hint: str = '',
) -> dict[str, Any]:
  """Brings arrays under a file's names to the tree that the table describes."""
  shapes = {name: np.shape(value) for name, value in arrays.items()}
  check_names(shapes, table, source=source, hint=hint, backbone=backbone)
  tree: dict[str, Any] = {}
  for name, tensor in table.items():
    value = arrays[name]
    if hasattr(value, 'detach'):
      value = torch_array(value)
    elif not isinstance(value, jax.Array):
      value = np.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.floating):
      raise InputError(f'{source}: {name} holds {value.dtype}, not floating-point numbers')
    node = tree
    for key in tensor.path[:-1]:
      node = node.setdefault(key, {})
    # A copy: the result must not change with a torch module that trains on.
    node[tensor.path[-1]] = _copied(value.transpose(tensor.axes))
  return tree


def _copied(value: np.ndarray | jax.Array) -> jax.Array:
  """Returns a copy in float32, put on the device in so many words where it comes from the host."""
  if isinstance(value, jax.Array):
    return jnp.array(value, jnp.float32)
  return jax.device_put(np.array(value, np.float32))


def _from_tree(
  tree: Mapping[str, Any], table: Mapping[str, Tensor], *, source: str
) -> dict[str, np.ndarray | jax.Array]:
  """Does the inverse of `_to_tree`, checked in the same way."""
  found = dict(leaves(tree))
  names = {tensor.path: name for name, tensor in table.items()}
  tensors = {}
  for path, leaf in found.items():
    name = names.get(path)
    if name is None or np.ndim(leaf) != len(table[name].axes):
      tensors[name or '/'.join(path)] = leaf
      continue
    inverse = tuple(int(axis) for axis in np.argsort(table[name].axes))
    if isinstance(leaf, Tracer):
      tensors[name] = jnp.transpose(leaf, inverse)
    else:
      tensors[name] = np.array(np.asarray(leaf).transpose(inverse), order='C')
  check_names({name: np.shape(value) for name, value in tensors.items()}, table, source=source)
  return {name: tensors[name] for name in table}
