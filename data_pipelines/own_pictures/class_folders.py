"""Reads a folder for each class, in which every picture lies beside its mask."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from data_pipelines.own_pictures.layouts import OPEN, check_found, files_below, visible
from data_pipelines.reading import images, masks
from data_pipelines.reading.files import IMAGE_ENDINGS, pictures_alone
from hsnet_jax.errors import InputError

_MASK = '_mask'


class ClassFolders:
  """Reads `class_name/name.jpg` with its mask: `name.png`, or `name_mask.png` beside any picture.

  A PNG photograph needs the second form. Hidden files, and files of kinds that are no photograph,
  are passed over; so are, with a warning, pictures beside the class folders or deeper than in them.

  Args:
    data: the folder of class folders.

  Raises:
    InputError: an image has no mask, a mask no image, or which is which is not plain.
  """

  kind = 'classes'
  boundary: int | None = OPEN

  def __init__(self, data: Path):
    """Lists the folders; opens no picture."""
    folders = [p for p in visible(data) if p.is_dir()]
    self.class_names = tuple(p.name for p in folders)
    self._masks: dict[str, str] = {}
    self._data = data
    items = []
    for class_id, folder in enumerate(folders):
      pairs = _pairs(folder)
      if not pairs:
        raise InputError(
          f'{folder}: no image in this folder; each folder of {data} is a class: fill it, or move'
          ' it elsewhere'
        )
      for photo, mask in pairs.items():
        self._masks[f'{folder.name}/{photo}'] = f'{folder.name}/{mask}'
        items.append((f'{folder.name}/{photo}', class_id))
    self.items = tuple(items)
    left = _misplaced(data)
    if left:
      warnings.warn(
        f'{data}: left out {len(left)} picture{"s" if len(left) > 1 else ""} that no class folder'
        f' holds directly, {left[0]} first; move what you need into the folder of its class',
        stacklevel=3,
      )

  def encoded(self, image_name: str) -> tuple[Path, Path]:
    """See `Benchmark.encoded`: the photograph and the mask as the user drew it."""
    return self._data / image_name, self._data / self._masks[image_name]


def decode_mask(
  path: images.PathLike, class_id: int, *, tell: Callable[[str], object] = warnings.warn
) -> Integer[np.ndarray, 'h w']:
  """Reads a user's mask as a label.

  Args:
    path: a mask in any form that `masks.read_mask` takes.
    class_id: the class that it is of.
    tell: called with what is doubtful about the mask, if anything is.

  Returns:
    uint16: class_id + 1 on the object, `OPEN` where a 255 beside the object's own value is a
    boundary, else 0.

  Raises:
    InputError: as `masks.read_mask`; also a mask without foreground.
  """
  drawn = masks.read_drawn_mask(path)
  if not drawn.mask.any():
    values = ', '.join(map(str, masks.mask_values(path)))
    raise InputError(
      f'{path}: the mask has no foreground (values in the file: {values}); draw the object in it,'
      ' or take the picture out'
    )
  if drawn.doubt:
    tell(f'{path}: {drawn.doubt}')
  label = drawn.mask * np.uint16(class_id + 1)
  label[drawn.outline > 0] = OPEN
  return label


def holds_masks(folder: Path) -> bool:
  """Tells from its names whether a folder has masks beside pictures, as that of a class has."""
  files = pictures_alone(visible(folder))
  pngs = {path.stem for path in files if path.suffix.lower() == '.png'}
  others = {path.stem for path in files if path.suffix.lower() != '.png'}
  bases = {stem.removesuffix(_MASK) for stem in pngs if stem.endswith(_MASK)}
  return bool(others & pngs) or bool(bases & (pngs | others))


def _misplaced(data: Path) -> list[Path]:
  """Finds pictures that are beside the class folders, or in folders of those."""
  return [
    p
    for p in files_below(data)
    if p.suffix.lower() in IMAGE_ENDINGS and (p.parent == data or p.parent.parent != data)
  ]


def _pairs(folder: Path) -> dict[str, str]:
  """Maps each photograph of a class to its mask, by their names in the folder."""
  files = pictures_alone(visible(folder))
  pngs = {p.stem: p for p in files if p.suffix.lower() == '.png'}
  photos = _by_stem(p for p in files if p.suffix.lower() != '.png')
  masks: dict[str, str] = {}
  alone = []
  for stem, png in pngs.items():
    base = stem.removesuffix(_MASK)
    owners = [photos[stem]] if stem in photos else []
    if base != stem:
      owners += [p for p in (photos.get(base), pngs.get(base)) if p and p not in owners]
    if not owners and stem + _MASK not in pngs:
      alone.append(png)
    for owner in owners:
      if len(owners) > 1 or owner.name in masks:
        raise InputError(
          f'{png}: not plain whose mask this is, with'
          f' {", ".join(p.name for p in owners)} beside it; keep one mask for each image, named'
          ' name.png or name_mask.png'
        )
      masks[owner.name] = png.name
  for name in set(masks).intersection(masks.values()):
    raise InputError(f'{folder / name}: an image or a mask? both could be; rename it and its mask')
  check_found(
    [str(p) for p in alone],
    fix='a mask without its image, or a PNG image without its mask; add the image as name.jpg or'
    ' its mask as name_mask.png',
  )
  check_found(
    [str(p) for p in photos.values() if p.name not in masks],
    fix='no mask for this image; save it beside the image as name.png or name_mask.png',
  )
  return dict(sorted(masks.items()))


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
  found: dict[str, Path] = {}
  for path in paths:
    other = found.setdefault(path.stem, path)
    if other is not path:
      raise InputError(f'{other} and {path}: two images of one name; rename one and its mask')
  return found
