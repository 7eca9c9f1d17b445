"""Makes models to work with: new ones, and those that checkpoints hold."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hsnet_jax.backbones.backbone import Backbone
from hsnet_jax.backbones.table import BACKBONES, get_backbone
from hsnet_jax.checkpoints.loading import load_checkpoint
from hsnet_jax.checkpoints.places import find_checkpoint as find_checkpoint  # A flat name of here.
from hsnet_jax.checkpoints.places import staged
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import PUBLISHED, Head, head_of
from hsnet_jax.model import HSNet
from hsnet_jax.weights.convert import to_torch
from hsnet_jax.weights.names import check_finite, leaves
from hsnet_jax.weights.stored import read_model
from hsnet_jax.weights.zoo import PACKAGED, find_stored, is_name, packaged_path

# What networks compute in, by the names that flags and checkpoints have; None: as images are.
PRECISIONS = {'float32': None, 'bfloat16': jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class Model:
  """Holds a network and its variables.

  Attributes:
    module: the network.
    variables: {'params', 'backbone'}; for a bare backbone without 'params'.
    config: what its checkpoint records; empty for a new model.
    path: its checkpoint, if it has one.
  """

  module: HSNet
  variables: dict[str, Any]
  config: dict[str, Any] = dataclasses.field(default_factory=dict)
  path: pathlib.Path | None = None

  @property
  def backbone(self) -> Backbone:
    """Returns the network's backbone."""
    return get_backbone(self.module.backbone)

  def with_presence(self, threshold: float | None) -> 'Model':
    """Makes it with another `presence_threshold` of its network.

    Args:
      threshold: a cosine; None, or -1, marks whatever is found.

    Returns:
      The model; its `config` still says what its checkpoint records.

    Raises:
      InputError: it is no cosine.
    """
    if threshold is not None and not -1 <= threshold <= 1:
      raise InputError(f'`presence_threshold` is {threshold}; a cosine is from -1 to 1')
    known = None if threshold in (None, -1) else float(threshold)
    return dataclasses.replace(self, module=self.module.clone(presence_threshold=known))


def network(
  config: Mapping[str, Any],
  *,
  backbone: Backbone | None = None,
  precision: str | None = None,
  implementation: str = 'auto',
) -> HSNet:
  """Makes the network that a checkpoint or a run describes.

  Args:
    config: its 'backbone'; 'mask_support', 'precision', 'presence_threshold' and those fields of
      `Head` (such as `prior`) that are not the published ones.
    backbone: the backbone of that name, where it is one of your own.
    precision: of `PRECISIONS`, in place of its own.
    implementation: of the kernels, as `HSNet` has it.

  Returns:
    The network, without variables.

  Raises:
    InputError: there is no such precision, or the backbone is one of your own and not given.
  """
  name = precision or config.get('precision', 'float32')
  if name not in PRECISIONS:
    raise InputError(f'`precision` is {name!r}; there are {", ".join(PRECISIONS)}')
  if backbone is None and config['backbone'] not in BACKBONES:
    raise InputError(
      f'unknown backbone {config["backbone"]!r}; there are {", ".join(BACKBONES)}; one of your own '
      'is given by `load_model(path, backbone=Backbone(...))`'
    )
  return HSNet(
    backbone or config['backbone'],
    mask_support=config.get('mask_support', True),
    dtype=PRECISIONS[name],
    implementation=implementation,
    head=head_of(config),
    presence_threshold=config.get('presence_threshold'),
  )


def describe_network(module: HSNet) -> dict[str, Any]:
  """Describes a network as checkpoints do: what `network` makes it of.

  Args:
    module: the network.

  Returns:
    Its 'backbone', by name, 'mask_support', 'precision', 'presence_threshold' and the fields of its
    `Head`.

  Raises:
    InputError: it computes in what no name of `PRECISIONS` is of.
  """
  own = module.dtype if module.dtype is None else jnp.dtype(module.dtype)
  names = [name for name, dtype in PRECISIONS.items() if dtype == own]
  if not names:
    raise InputError(
      f'no `precision` computes in {module.dtype}; there are {", ".join(PRECISIONS)}'
    )
  return {
    'backbone': get_backbone(module.backbone).name,
    'mask_support': module.mask_support,
    'precision': names[0],
    'presence_threshold': module.presence_threshold,
    **dataclasses.asdict(module.head),
  }


def load_model(
  path: str | os.PathLike | None,
  *,
  backbone: str | Backbone | None = None,
  precision: str | None = None,
) -> Model:
  """Loads a model from a checkpoint, one of the user's zoo, or one that comes with the package.

  Of a run with a moving average of the parameters that average is loaded, which its validations
  are of, from any of its checkpoints.

  Args:
    path: a checkpoint's folder, a run's, or a `.safetensors` that `write_model` wrote; or a name,
      'photos' (a folder of that name is './photos') or one of the zoo that `experiments.zoo` keeps.
      What has a slash is a path, and so is a name that a folder here has.
    backbone: the backbone it must have, by name or, where it is not in the table, itself; None
      takes any of the table.
    precision: as for `network`.

  Returns:
    The model.

  Raises:
    InputError: no path, no checkpoint there, a damaged one, one of another backbone, or one whose
      tensors are not those of its network.
  """
  if path is None:
    raise InputError('`checkpoint` is missing: name the folder of a checkpoint or of a run')
  name = backbone.name if isinstance(backbone, Backbone) else backbone
  file = _file_of(path)
  if file is not None:
    return _load_stored(file, backbone=backbone, precision=precision)
  path = find_checkpoint(path)
  checkpoint = load_checkpoint(path, backbone=name, average=True)
  own = backbone if isinstance(backbone, Backbone) else None
  try:
    module = network(checkpoint.config, backbone=own, precision=precision)
  except InputError as error:
    raise InputError(f'{path}: {error}') from None
  check_variables(checkpoint.variables, backbone=module.backbone, path=path, head=module.head)
  return Model(module, checkpoint.variables, checkpoint.config, path)


def _file_of(path: str | os.PathLike) -> pathlib.Path | None:
  """Returns the one file that a model is in; None where it is a checkpoint's folder."""
  if isinstance(path, str) and path in PACKAGED:
    return packaged_path(path)
  if str(path).endswith('.safetensors'):
    return pathlib.Path(path).expanduser()
  if not isinstance(path, str) or not is_name(path):
    return None
  # A crash leaves a checkpoint beside its place.
  here = pathlib.Path(path)
  return None if os.path.lexists(here) or staged(here).exists() else find_stored(path)


def _load_stored(
  path: pathlib.Path, *, backbone: str | Backbone | None, precision: str | None
) -> Model:
  """Loads a model that is one file."""
  own = backbone if isinstance(backbone, Backbone) else None
  variables, config = read_model(path, backbone=own)
  asked = own.name if own else backbone
  if asked not in (None, config['backbone']):
    raise InputError(f'{path}: of a network with {config["backbone"]}, not {asked}')
  module = network(config, backbone=own, precision=precision)
  check_finite({'/'.join(keys): leaf for keys, leaf in leaves(variables)}, source=str(path))
  return Model(module, variables, config, path)


def check_variables(
  variables: Mapping[str, Any],
  *,
  backbone: str | Backbone,
  path: pathlib.Path,
  head: Head = PUBLISHED,
) -> None:
  """Raises InputError unless a checkpoint's variables are those of its network, and are numbers.

  It lists the names that do not fit, or that hold NaN or infinity.

  Args:
    variables: {'params', 'backbone'}.
    backbone: of the network.
    path: of the checkpoint, for the message.
    head: what the network's head has beyond the published one.
  """
  named = functools.partial(to_torch, backbone=backbone, head=head)
  try:
    jax.eval_shape(named, {'params': {}, 'backbone': {}, **variables})
  except InputError as error:
    raise InputError(f'{path}: {error}') from None
  check_finite({'/'.join(keys): leaf for keys, leaf in leaves(variables)}, source=str(path))


def check_image_size(module: HSNet, variables: Any, size: int) -> None:
  """Raises what the network raises for images of a size that does not fit it; computes nothing.

  Args:
    module: the network.
    variables: its variables.
    size: side of the square images.

  Raises:
    InputError: the feature maps of such images do not fit one another.
  """
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  mask = jax.ShapeDtypeStruct((1, size, size), jnp.float32)
  jax.eval_shape(module.apply, variables, images, images, mask)


def describe_devices() -> str:
  """Describes the devices that computation runs on."""
  devices = jax.devices()
  return f'{len(devices)} x {devices[0].device_kind} ({devices[0].platform})'


def digest(tree: Mapping[str, Any]) -> str:
  """Computes the SHA-256 of the names and values of a tree of arrays."""
  hashed = hashlib.sha256()
  for path, leaf in sorted(leaves(tree), key=lambda item: item[0]):
    hashed.update('/'.join(path).encode() + np.asarray(leaf).tobytes())
  return hashed.hexdigest()


def count_parameters(tree: Any) -> int:
  """Counts the numbers that a tree of arrays holds."""
  return sum(leaf.size for leaf in jax.tree.leaves(tree))
