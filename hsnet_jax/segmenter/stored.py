"""Stores a network and the supports of a segmenter in one `.safetensors` file.

It is a network's file as `hsnet_jax.weights.stored` writes it, and whatever takes such a file takes
this one too. Beside the network lie the supports as it sees them, images and masks, `4 * S * S`
bytes each at image size S. Encoded they would be several times as large (of `photos` 1.9 MB in
place of 0.4), and of one version of the code.
"""

import os
import pathlib
from typing import Any

import numpy as np

from hsnet_jax.backbones.backbone import Backbone
from hsnet_jax.errors import InputError
from hsnet_jax.models import Model, describe_network, load_model
from hsnet_jax.segmenter.supports import Supports
from hsnet_jax.weights.stored import read_beside, write_model

_CLASSES = 'support_classes'  # In the record, beside what checkpoints have there.
_ARRAYS = ('images', 'masks', 'class_ids')


def write_segmenter(
  path: str | os.PathLike, model: Model, supports: Supports, *, settings: dict[str, Any]
) -> None:
  """Writes a network and supports as one file, whole or not at all.

  Args:
    path: the `.safetensors`; an existing one is replaced.
    model: the network.
    supports: what it is to find.
    settings: 'image_size', 'support_margin' and 'combine', which its record then has.

  Raises:
    InputError: another ending, or the file cannot be written.
  """
  own = model.module.backbone
  config = {**model.config, **describe_network(model.module), **settings}
  write_model(
    path,
    model.variables,
    config={**config, _CLASSES: list(supports.classes)},
    backbone=own if isinstance(own, Backbone) else None,
    beside={name: getattr(supports, name) for name in _ARRAYS},
  )


def read_segmenter(
  path: str | os.PathLike, *, backbone: Backbone | None = None
) -> tuple[Model, Supports]:
  """Reads what `write_segmenter` wrote.

  Args:
    path: the `.safetensors`.
    backbone: the backbone in it, where it is one of your own.

  Returns:
    The network, whose `config` has the settings, and the supports.

  Raises:
    InputError: the file is missing, damaged, of another kind, or holds a network alone.
  """
  path = pathlib.Path(path).expanduser()
  arrays = read_beside(path)
  model = load_model(path, backbone=backbone)
  if not arrays and _CLASSES not in model.config:
    raise InputError(
      f'{path}: a network without supports; give them: Segmenter.from_pretrained(path).fit(...)'
    )
  classes = model.config.get(_CLASSES)
  if not isinstance(classes, list) or not _is_sound(
    arrays, classes, model.config.get('image_size')
  ):
    raise InputError(f'{path}: its supports are damaged; fit and save it again')
  return model, Supports(tuple(classes), **arrays)


def _is_sound(arrays: dict[str, np.ndarray], classes: list[Any], size: Any) -> bool:
  """Says whether arrays and classes are supports as `write_segmenter` has them."""
  if sorted(arrays) != sorted(_ARRAYS):
    return False
  images, masks, class_ids = (arrays[name] for name in _ARRAYS)
  count = class_ids.size
  return (
    all(isinstance(name, str) for name in classes)
    and (images.dtype, masks.dtype, class_ids.dtype) == (np.uint8, np.uint8, np.int64)
    and (images.shape, masks.shape) == ((count, size, size, 3), (count, size, size))
    and class_ids.shape == (count,)
    and np.array_equal(np.unique(class_ids), np.arange(len(classes)))
    and bool(masks.any((1, 2)).all() and masks.max(initial=0) == 1)
  )
