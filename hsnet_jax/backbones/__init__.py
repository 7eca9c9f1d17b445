"""Frozen backbones: pure functions from images to a tuple of feature maps, and the table of them.

A backbone is `init(key) -> weights` and `apply(weights, images, *, precision) -> features`, finest
first; the weights are nested dictionaries with the names of the weights' source. To add one, write
its file and its row here.
"""

import dataclasses
import functools
from collections.abc import Callable

from hsnet_jax.backbones import mobilenet, resnet, tiny, vgg
from hsnet_jax.errors import InputError

_IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


@dataclasses.dataclass(frozen=True)
class Backbone:
  """A row of the table.

  Attributes:
    name: as flags and checkpoints have it.
    init: `key -> weights`, random.
    apply: `(weights, normalised images [B, H, W, 3], *, precision='highest') -> features`, finest
      first; `precision` is that of the products.
    levels: how many feature maps each level of the pyramid has, finest first.
    mean: per channel, of pixel values 0 to 255; a normalised image is `(pixels - mean) / std`.
    std: per channel, likewise.
    hub: the Hugging Face repository of its ImageNet weights.
  """

  name: str
  init: Callable
  apply: Callable
  levels: tuple[int, int, int]
  mean: tuple[float, float, float] = _IMAGENET_MEAN
  std: tuple[float, float, float] = _IMAGENET_STD
  hub: str | None = None


def _resnet(name: str, levels: tuple[int, int, int]) -> Backbone:
  stages = resnet.STAGES[name]
  return Backbone(
    name,
    functools.partial(resnet.init, stages=stages),
    functools.partial(resnet.apply, stages=stages),
    levels,
    hub=f'timm/{name}.tv_in1k',
  )


_ROWS = (
  Backbone('vgg16', vgg.init, vgg.apply, (3, 3, 1), hub='timm/vgg16.tv_in1k'),
  _resnet('resnet50', (4, 6, 3)),
  _resnet('resnet101', (4, 23, 3)),
  Backbone(
    'mobilenet_v1_075',
    mobilenet.init,
    mobilenet.apply,
    (2, 6, 2),
    mean=(127.5,) * 3,
    std=(127.5,) * 3,
  ),
  Backbone('tiny', tiny.init, tiny.apply, tiny.LEVELS, mean=tiny.MEAN, std=tiny.STD),
)
BACKBONES: dict[str, Backbone] = {row.name: row for row in _ROWS}


def get_backbone(name: str) -> Backbone:
  """The row of a backbone.

  Args:
    name: as in `BACKBONES`.

  Returns:
    Its row.

  Raises:
    InputError: there is none of that name; the message lists the known ones.
  """
  if name not in BACKBONES:
    raise InputError(f'unknown backbone {name!r}; there are {", ".join(BACKBONES)}')
  return BACKBONES[name]
