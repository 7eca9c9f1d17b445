"""Describes a backbone: one frozen row, made in its family's file or by a researcher."""

import dataclasses
import inspect
import numbers
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hsnet_jax.errors import InputError

IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)

Weights = dict[str, Any]  # nested dictionaries of arrays, named as the weights' source names them


@dataclasses.dataclass(frozen=True)
class Backbone:
  """Holds all that the project must know of a backbone; one of your own needs the first four alone.

  Attributes:
    name: as flags and checkpoints have it.
    init: `key -> weights`, random: nested dictionaries of arrays, `{}` where it has none.
    apply: `(weights, normalized images [B, H, W, 3], *, precision='highest') -> features`, finest
      first; `precision` is that of the products. Families whose kernels have several forms take
      `implementation` as well.
    levels: how many feature maps each level of the pyramid has, finest first; one level or more.
    mean: per channel, of pixel values 0 to 255; a normalized image is `(pixels - mean) / std`.
    std: per channel, likewise.
    hub: the Hugging Face repository of its weights.
    gated: whether the Hub gives them only to those who have accepted their license there.
    packaged: the file of its weights in this folder, where they come with the package.
    keras: the .h5 file of the Keras application that has its weights.
    pip: the Python package that has its weights, as a .pth.
    stride: pixels from one position of the finest map to the next, for messages.
    fold: `weights -> weights` that `apply` takes too, for less work on each image: those of norms
      inside of those of convolutions. None for those that stay as they are.
    depthwise: pattern of the layers whose kernels `[k, l, C, 1]` are depthwise.
    unused: pattern of what files of its weights hold beside the network: classifiers.
    aliases: patterns in other names that files may have for its tensors, each with what stands in
      its place in the tree's.
  """

  name: str
  init: Callable[..., Weights]
  apply: Callable[..., Sequence[Any]]
  levels: Sequence[int]
  mean: Sequence[float] = IMAGENET_MEAN
  std: Sequence[float] = IMAGENET_STD
  hub: str | None = None
  gated: bool = dataclasses.field(default=False, kw_only=True)
  packaged: str | None = dataclasses.field(default=None, kw_only=True)
  keras: str | None = dataclasses.field(default=None, kw_only=True)
  pip: str | None = dataclasses.field(default=None, kw_only=True)
  stride: int = dataclasses.field(default=8, kw_only=True)
  fold: Callable[[Weights], Weights] | None = dataclasses.field(default=None, kw_only=True)
  depthwise: str = dataclasses.field(default='', kw_only=True)
  # Of torchvision (fc, classifier) and timm (fc, pre_logits, head).
  unused: str = dataclasses.field(default=r'(fc|classifier|pre_logits|head)\..*', kw_only=True)
  aliases: Sequence[tuple[str, str]] = dataclasses.field(default=(), kw_only=True)

  def __post_init__(self) -> None:
    """Makes it hashable, and raises InputError for what no network can be built on."""
    for name in ('levels', 'mean', 'std'):
      value = getattr(self, name)
      object.__setattr__(self, name, tuple(value) if isinstance(value, Iterable) else value)
    object.__setattr__(self, 'aliases', tuple(tuple(pair) for pair in self.aliases))
    if not _are_counts(self.levels):
      raise InputError(
        f'backbone {self.name}: `levels` is {self.levels}; it says how many feature maps each level'
        ' has, such as (4, 6, 3): one positive number a level, finest first'
      )
    for name in ('mean', 'std'):
      value = getattr(self, name)
      if not isinstance(value, tuple) or len(value) != 3:
        raise InputError(
          f'backbone {self.name}: `{name}` is {value}; it has one number for each of 3 channels'
        )
    for name in ('init', 'apply'):
      if not callable(getattr(self, name)):
        raise InputError(
          f'backbone {self.name}: `{name}` is {getattr(self, name)!r}, which is no function'
        )
    if not takes_keyword(self.apply, 'precision'):
      raise InputError(
        f'backbone {self.name}: `apply` takes no keyword `precision`; it is called as '
        "apply(weights, images, precision='highest')"
      )

  def is_depthwise(self, layer: str) -> bool:
    """Says whether a layer's kernel is depthwise."""
    return bool(self.depthwise) and re.fullmatch(self.depthwise, layer) is not None

  def own_name(self, name: str) -> str:
    """Returns the tree's name of a tensor that a file may call otherwise."""
    for pattern, replacement in self.aliases:
      name = re.sub(pattern, replacement, name)
    return name


def _are_counts(levels: object) -> bool:
  """Says whether levels are one positive whole number or more."""
  if not isinstance(levels, tuple) or not levels:
    return False
  return all(isinstance(n, numbers.Integral) and int(n) > 0 for n in levels)


def takes_keyword(function: Callable, name: str) -> bool:
  """Says whether a function can be given a keyword; True where it does not tell its parameters."""
  try:
    parameters = inspect.signature(function).parameters.values()
  except (TypeError, ValueError):
    return True
  return any(p.kind is p.VAR_KEYWORD or p.name == name for p in parameters)
