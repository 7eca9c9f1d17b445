"""Reads what a user gives to predict from: a support set, and images to segment."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from data_pipelines import mask_values, read_mask, read_pair, resize_image, resize_mask
from data_pipelines.reading.files import IMAGE_ENDINGS
from hsnet_jax.errors import InputError

_VALUES = 12  # So many values of a mask make a message.


def find_queries(
  names: Sequence[str],
  *,
  output_dir: str | os.PathLike | None = None,
  supports: Sequence[str | os.PathLike] = (),
) -> list[pathlib.Path]:
  """Lists the query images.

  Args:
    names: files and folders; `~` is the user's home.
    output_dir: where the results will go.
    supports: files of the support set.

  Returns:
    The files, and of each folder those that are named as images, in the order of their names.

  Raises:
    InputError: nothing is named, a folder has no image or is where the results will go, the
      results of two queries would have the same name, or a result that of a query or a support.
      Whether the files are images is not looked at.
  """
  if not names:
    raise InputError('`query` is missing: name images or folders of images')
  found: list[pathlib.Path] = []
  for path in map(_path, names):
    inside = [path]
    if path.is_dir():
      if output_dir is not None and path.resolve() == _path(output_dir).resolve():
        raise InputError(
          f'{path}: a folder of `query` cannot be the `output_dir`, where masks would be taken for'
          ' queries next time; name another folder'
        )
      inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_ENDINGS)
      if not inside:
        raise InputError(f'{path}: no image in this folder (`query`)')
    found += inside
  stems: dict[str, pathlib.Path] = {}
  for path in found:
    other = stems.setdefault(path.stem, path)
    if other is not path:
      raise InputError(f'{other} and {path} would both be written to {path.stem}_mask.png')
  if output_dir is not None:
    given = {path.resolve() for path in (*found, *map(_path, supports))}
    for result in (r for path in found for r in result_paths(path, _path(output_dir))):
      if result.resolve() in given:
        raise InputError(
          f'{result}: is given as an input, and a result of that name would replace it; name'
          ' another `output_dir`'
        )
  return found


def result_paths(query: pathlib.Path, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
  """Returns where the mask and the overlay of a query go, in the folder of the results."""
  return folder / f'{query.stem}_mask.png', folder / f'{query.stem}_overlay.png'


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
  for image_path, mask_path in zip(map(_path, images), map(_path, masks), strict=True):
    image, mask = read_pair(
      image_path, mask_path, upright=True, read=lambda path: read_mask(path, value=value)
    )
    small = resize_mask(mask, size)
    if not small.any():
      why = f'loses its foreground at {size[0]} x {size[1]}' if mask.any() else _missing(value)
      values = mask_values(mask_path)
      held = ', '.join(map(str, values[:_VALUES])) + (' ...' if len(values) > _VALUES else '')
      raise InputError(
        f'{mask_path}: the support mask {why} (values in the file: {held}); draw the object in it'
      )
    resized.append((resize_image(image, size), small))
  return np.stack([image for image, _ in resized]), np.stack([mask for _, mask in resized])


def _path(name: str | os.PathLike) -> pathlib.Path:
  # Unlike a path's own method, this leaves a name such as ~a.jpg, where there is no user a.
  return pathlib.Path(os.path.expanduser(name))


def _missing(value: int | None) -> str:
  return 'has no foreground' if value is None else f'has no foreground of value {value}'
