"""Lists the backbones: a name and the file that has all of it, a line each.

A file is read when one of its backbones is first asked for; the names alone cost nothing. To add a
backbone, write its file, with a `ROWS` of `Backbone`s by name, and a line here.
"""

import importlib
from collections.abc import Iterator, MutableMapping

from hsnet_jax.backbones.backbone import Backbone
from hsnet_jax.errors import InputError

_FILES = {
  'vgg16': 'vgg',
  'resnet50': 'resnet',
  'resnet101': 'resnet',
  'mobilenet_v1_075': 'mobilenet',
  'efficientnet_lite0': 'efficientnet',
  'efficientnet_lite1': 'efficientnet',
  'efficientnet_lite2': 'efficientnet',
  'convnext_tiny': 'huggingface.convnext',
  'convnext_base': 'huggingface.convnext',
  'dinov2_small': 'huggingface.dinov2',
  'dinov2_base': 'huggingface.dinov2',
  'dinov2_small_pyramid': 'huggingface.dinov2',
  'dinov2_base_pyramid': 'huggingface.dinov2',
  'dinov3_small': 'huggingface.dinov3',
  'dinov3_base': 'huggingface.dinov3',
  'dinov3_small_pyramid': 'huggingface.dinov3',
  'dinov3_base_pyramid': 'huggingface.dinov3',
  'tiny': 'tiny',
}


class _Table(MutableMapping[str, Backbone]):
  """Maps names to backbones, each read from its file when it is asked for."""

  def __init__(self, files: dict[str, str]):
    self._files: dict[str, str | None] = dict(files)
    self._rows: dict[str, Backbone] = {}

  def __getitem__(self, name: str) -> Backbone:
    if name not in self._rows:
      module = importlib.import_module(f'hsnet_jax.backbones.{self._files[name]}')
      self._rows[name] = module.ROWS[name]
    return self._rows[name]

  def __setitem__(self, name: str, row: Backbone) -> None:
    self._files.setdefault(name, None)
    self._rows[name] = row

  def __delitem__(self, name: str) -> None:
    del self._files[name]
    self._rows.pop(name, None)

  def __contains__(self, name: object) -> bool:
    return name in self._files

  def __iter__(self) -> Iterator[str]:
    return iter(self._files)

  def __len__(self) -> int:
    return len(self._files)

  def __repr__(self) -> str:
    return f'BACKBONES({", ".join(self)})'


BACKBONES: MutableMapping[str, Backbone] = _Table(_FILES)


def get_backbone(backbone: str | Backbone) -> Backbone:
  """Finds a backbone of the table; one of your own comes back as it is.

  Args:
    backbone: a name in `BACKBONES`, or a `Backbone`.

  Returns:
    Its description.

  Raises:
    InputError: there is none of that name; the message lists the known ones.
  """
  if isinstance(backbone, Backbone):
    return backbone
  if not isinstance(backbone, str):
    raise InputError(
      f'`backbone` is a {type(backbone).__name__}; give a name of the table '
      f'({", ".join(BACKBONES)}) or a hsnet_jax.Backbone(name, init, apply, levels)'
    )
  if backbone not in BACKBONES:
    raise InputError(f'unknown backbone {backbone!r}; there are {", ".join(BACKBONES)}')
  return BACKBONES[backbone]
