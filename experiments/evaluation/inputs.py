"""Reads what a user gives to predict from: a support set."""

import functools
import warnings
from collections.abc import Sequence

import numpy as np

from data_pipelines import mask_values, read_pair, resize_image, resize_mask
from data_pipelines.reading.images import PathLike
from data_pipelines.reading.masks import read_drawn_mask
from experiments.evaluation.prediction.queries import path_of
from hsnet_jax.errors import InputError

_VALUES = 12  # So many values of a mask make a message.


def read_supports(
  images: Sequence[str], masks: Sequence[str], *, size: tuple[int, int], value: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Reads the support set.

  Args:
    images: files of the support images; `~` is the user's home.
    masks: files of their masks, each of its image's size.
    size: (height, width) that the network sees.
    value: the value of the masks that is the object; by default every value but 0, soft edges and
      PASCAL's boundaries aside (see `data_pipelines.read_mask`).

  Returns:
    Images uint8 `[K, H, W, 3]` and masks uint8 {0, 1} `[K, H, W]`.

  Raises:
    InputError: there are none, or not as many masks; a file cannot be read; a mask is not of its
      image's size, or has no foreground.
  """
  if not images:
    raise InputError('`support_images` is missing: name at least one image')
  if len(images) != len(masks):
    raise InputError(
      f'{len(images)} `support_images` but {len(masks)} `support_masks`: each image needs one'
    )
  resized = []
  for image_path, mask_path in zip(map(path_of, images), map(path_of, masks), strict=True):
    doubts: list[str] = []
    read = functools.partial(_read_mask, value=value, doubts=doubts)
    image, mask = read_pair(image_path, mask_path, upright=True, read=read)
    small = resize_mask(mask, size)
    if not small.any():
      why = f'loses its foreground at {size[0]} x {size[1]}' if mask.any() else _missing(value)
      values = mask_values(mask_path)
      held = ', '.join(map(str, values[:_VALUES])) + (' ...' if len(values) > _VALUES else '')
      raise InputError(
        f'{mask_path}: the support mask {why} (values in the file: {held}); draw the object in it'
      )
    for doubt in doubts:
      warnings.warn(doubt, stacklevel=2)
    resized.append((resize_image(image, size), small))
  return np.stack([image for image, _ in resized]), np.stack([mask for _, mask in resized])


def _read_mask(path: PathLike, value: int | None, doubts: list[str]) -> np.ndarray:
  """Reads a mask, and lists what is doubtful about it."""
  drawn = read_drawn_mask(path, value=value)
  if drawn.doubt:
    doubts.append(f'{path}: {drawn.doubt}')
  return drawn.mask


def _missing(value: int | None) -> str:
  return 'has no foreground' if value is None else f'has no foreground of value {value}'
