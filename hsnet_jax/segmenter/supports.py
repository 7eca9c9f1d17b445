"""Makes support sets of pictures and masks: every one is checked before anything is computed."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from hsnet_jax.errors import InputError
from hsnet_jax.extensions.windows import object_slices
from hsnet_jax.resize import Size
from hsnet_jax.segmenter.pictures import (
  is_picture,
  name_of,
  read_support,
  resize_mask,
  resize_picture,
)

_ONE_CLASS = 'object'
_MOST_CLASSES = 255  # A label is uint8, and 0 is the background.


class Supports(NamedTuple):
  """Holds supports as the network sees them.

  Attributes:
    classes: the names, sorted.
    images: of all classes.
    masks: of the images, {0, 1}.
    class_ids: the class of each image, from 0; each has one at least.
  """

  classes: tuple[str, ...]
  images: UInt8[np.ndarray, 'K H W 3']
  masks: UInt8[np.ndarray, 'K H W']
  class_ids: Int[np.ndarray, ' K']


def read_supports(
  images: Any, masks: Any, *, classes: Any = None, size: Size, margin: float | None
) -> Supports:
  """Reads supports, and brings them to what the network sees.

  Args:
    images: several pictures, as `read_picture` takes them.
    masks: as many masks, as `read_mask` takes them.
    classes: the name of each one's class; None for one class.
    size: (height, width) that the network sees.
    margin: of `object_slices`, to which they are cut; None leaves them whole.

  Returns:
    The supports, in the order given.

  Raises:
    InputError: there are none, not as many masks or classes, one that cannot be read, a mask of
      another size than its image's, or one without an object.
  """
  images, masks = _listed(images, 'images'), _listed(masks, 'masks')
  if not images or len(images) != len(masks):
    raise InputError(
      f'{len(images)} `images` and {len(masks)} `masks`: give at least one, and each its mask'
    )
  named = _checked_classes(classes, len(images))
  names = tuple(sorted(set(named)))
  read = [
    _read(*pair, at=at, size=size, margin=margin)
    for at, pair in enumerate(zip(images, masks, strict=True))
  ]
  ids = np.array([names.index(name) for name in named], np.int64)
  return Supports(names, np.stack([x for x, _ in read]), np.stack([y for _, y in read]), ids)


def _read(
  picture: Any, mask: Any, *, at: int, size: Size, margin: float | None
) -> tuple[np.ndarray, np.ndarray]:
  """Reads a support, and cuts and resizes it."""
  image, drawn = read_support(picture, mask, at=at)
  name = name_of(mask, f'`masks`[{at}]')
  if drawn.all():
    warnings.warn(
      f'{name}: the mask leaves no background: all of the picture is the object', stacklevel=4
    )
  window = None if margin is None else object_slices(drawn, margin=margin)
  if window is not None:
    image, drawn = image[window], drawn[window]
  small = resize_mask(drawn, size)
  if not small.any():
    why = f'loses its foreground at {size[0]} x {size[1]}' if drawn.any() else 'has no foreground'
    raise InputError(f'{name}: the mask {why}; draw the object in it')
  return resize_picture(image, size), small


def _listed(pictures: Any, argument: str) -> list[Any]:
  if is_picture(pictures):
    raise InputError(f'`{argument}` is one picture; give a list, of one or more')
  try:
    return list(pictures)
  except TypeError as error:
    raise InputError(f'`{argument}` is {type(pictures).__name__}; give a list') from error


def _checked_classes(classes: Any, count: int) -> Sequence[str]:
  """Returns the name of each support's class."""
  if classes is None:
    return [_ONE_CLASS] * count
  named = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else []
  if len(named) != count or not all(isinstance(name, str) for name in named):
    raise InputError(f'`classes` must be {count} names, the class of each support')
  if len(set(named)) > _MOST_CLASSES:
    raise InputError(f'`classes` has {len(set(named))} names; a label holds {_MOST_CLASSES}')
  return named
