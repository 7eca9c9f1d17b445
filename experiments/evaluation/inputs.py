"""Reads what a user gives to predict from: a support set."""

import pathlib
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import mask_values, read_pair, resize_image, resize_mask
from data_pipelines.reading.arrays import Pair, crop_to_object
from data_pipelines.reading.images import read_label
from data_pipelines.reading.masks import mask_doubts, read_drawn_mask
from experiments.evaluation.prediction.outlines import draw_outlines
from experiments.evaluation.prediction.queries import path_of
from hsnet_jax.errors import InputError

_VALUES = 12  # So many values of a mask make a message.


class Supports(NamedTuple):
  """Holds the support set.

  Attributes:
    images: as the network sees them, uint8 `[K, H, W, 3]`.
    masks: where the object is in them, uint8 {0, 1} `[K, H, W]`.
    uncut: the same in the whole pictures, each `[h, w]`.
  """

  images: np.ndarray
  masks: np.ndarray
  uncut: list[np.ndarray]


def read_supports(
  images: Sequence[str],
  masks: Sequence[str],
  *,
  size: tuple[int, int],
  value: int | None = None,
  class_name: str | None = None,
  margin: float | None = None,
) -> Supports:
  """Reads the support set.

  Args:
    images: files of the support images; `~` is the user's home.
    masks: files of their masks, each of its image's size; or of outlines, JSON of LabelMe or COCO.
    size: (height, width) that the network sees.
    value: the value of the masks that is the object; by default every value but 0, soft edges and
      PASCAL's boundaries aside (see `data_pipelines.read_mask`).
    class_name: the class of the outlines that is the object, where an image shows several.
    margin: how far beyond the object an image is cut off (see `crop_to_object`); None: nowhere.

  Returns:
    The `Supports`.

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
  drawn = [mask for mask in masks if _is_json(path_of(mask))]
  if class_name is not None and not drawn:
    raise InputError(
      '`support_class` is of JSON files; a mask is of one class, or give `mask_value`'
    )
  if value is not None and drawn:
    raise InputError(
      f'{drawn[0]}: outlines have no `mask_value`; give `support_class` in its place'
    )
  resized, uncut = [], []
  for image_path, mask_path in zip(map(path_of, images), map(path_of, masks), strict=True):
    (image, mask), doubt = _read(image_path, mask_path, value=value, class_name=class_name)
    uncut.append(mask)
    if margin is not None:
      image, mask = crop_to_object((image, mask), 0, margin=margin)
    small = resize_mask(mask, size)
    if not small.any():
      why = f'loses its foreground at {size[0]} x {size[1]}' if mask.any() else _missing(value)
      raise InputError(
        f'{mask_path}: the support mask {why}{_held(mask_path)}; draw the object in it'
      )
    if doubt:
      warnings.warn(f'{mask_path}: {doubt}', stacklevel=2)
    resized.append((resize_image(image, size), small))
  small_images, small_masks = (np.stack(each) for each in zip(*resized, strict=True))
  return Supports(small_images, small_masks, uncut)


def _read(
  image: pathlib.Path, path: pathlib.Path, *, value: int | None, class_name: str | None
) -> tuple[Pair, str]:
  """Reads an image and its mask, drawn or outlined, and says what is doubtful about the mask."""
  if _is_json(path):
    label, number = draw_outlines(path, image, class_name=class_name)

    def is_class(source: Any) -> np.ndarray:
      return (read_label(source, largest=65535) == number).astype(np.uint8)

    pair = read_pair(image, label, upright=True, read=is_class)
    return pair, mask_doubts(pair[1]) or ''
  doubts = []

  def read(source: Any) -> np.ndarray:
    drawn = read_drawn_mask(source, value=value)
    doubts.append(drawn.doubt)
    return drawn.mask

  return read_pair(image, path, upright=True, read=read), ''.join(doubts)


def _is_json(path: pathlib.Path) -> bool:
  return path.suffix.lower() == '.json'


def _held(path: pathlib.Path) -> str:
  if _is_json(path):
    return ''
  values = mask_values(path)
  more = ' ...' if len(values) > _VALUES else ''
  return f' (values in the file: {", ".join(map(str, values[:_VALUES]))}{more})'


def _missing(value: int | None) -> str:
  return 'has no foreground' if value is None else f'has no foreground of value {value}'
