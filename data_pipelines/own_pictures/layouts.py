"""Says what a layout is, a way in which people lay out their own pictures, and what all share.

Layouts know which classes there are and where their pictures are;
`data_pipelines.own_pictures.folder` makes folds of them. This module has the plainest one, a folder
for each class; `data_pipelines.own_pictures.recognition` has the table of all.
"""

import io
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from jaxtyping import Integer
from PIL import Image

from data_pipelines.reading import images
from data_pipelines.reading.files import IMAGE_ENDINGS
from data_pipelines.reading.images import Source
from hsnet_jax.errors import InputError

# Of pixels that a user's mask leaves open, as PASCAL's do. No class_id + 1 comes near it.
OPEN = 65535
_MASK = '_mask'
_HIDDEN = ('.', '__MACOSX')


class Layout(Protocol):
  """Describes a layout: what it says of a folder.

  Attributes:
    kind: the name that prepared sets record; it never changes.
    class_names: the name of each class_id.
    boundary: `OPEN` where labels may hold pixels that are left open, else None.
    items: (image name, class_id), once for each class that an image shows.
  """

  kind: str
  class_names: tuple[str, ...]
  boundary: int | None
  items: tuple[tuple[str, int], ...]

  def encoded(self, image_name: str) -> tuple[Source, Source]:
    """See `Benchmark.encoded`; called from several threads at once."""
    ...


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
  boundary = OPEN

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


def decode_mask(path: images.PathLike, class_id: int) -> Integer[np.ndarray, 'h w']:
  """Reads a user's mask as a label.

  Args:
    path: a mask in any form that `images.read_mask` takes.
    class_id: the class that it is of.

  Returns:
    uint16: class_id + 1 on the object, `OPEN` where a 255 beside the object's own value is a
    boundary, else 0.

  Raises:
    InputError: as `images.read_mask`; also a mask without foreground.
  """
  shown, outline = images.read_outlined_mask(path)
  if not shown.any():
    values = ', '.join(map(str, images.mask_values(path)))
    raise InputError(
      f'{path}: the mask has no foreground (values in the file: {values}); draw the object in it,'
      ' or take the picture out'
    )
  label = shown * np.uint16(class_id + 1)
  label[outline > 0] = OPEN
  return label


def check_size(where: str, size: tuple[int, int], image: Source) -> None:
  """Raises InputError unless an image has the size that a JSON file says.

  Only the image's head is read. Its sides may be swapped: EXIF data may turn it.

  Args:
    where: the JSON file, for the message.
    size: (height, width).
    image: the photograph.
  """
  try:
    with Image.open(
      io.BytesIO(image.data) if isinstance(image, images.Encoded) else image
    ) as opened:
      width, height = opened.size
  except Exception:  # Pillow's readers raise nearly anything; this names what is wrong.
    height, width = images.read_image(image).shape[:2]
  if size not in ((height, width), (width, height)):
    raise InputError(
      f'{where}: outlines for {size[1]} x {size[0]} pixels, but {image} has {width} x {height};'
      ' export them again for this picture'
    )


def read_text(path: Path) -> str:
  """Reads a text file in UTF-8; InputError where it cannot be read or is no such thing."""
  try:
    return path.read_text(encoding='utf-8-sig')
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror}); check the file') from error
  except ValueError as error:
    raise InputError(f'{path}: no text in UTF-8; export or save it again') from error


def read_any_json(path: Path) -> Any:
  """Reads a JSON file, whatever it holds; InputError where it cannot be read or is damaged."""
  try:
    return json.loads(read_text(path))
  except (ValueError, RecursionError) as error:
    raise InputError(f'{path}: not valid JSON ({error}); export or save it again') from error


def read_json(path: Path) -> dict[str, Any]:
  """Reads a JSON object.

  Raises:
    InputError: the file cannot be read or holds no JSON object.
  """
  content = read_any_json(path)
  if not isinstance(content, dict):
    raise InputError(f'{path}: holds no JSON object; export or save it again')
  return content


def inner_name(name: Any) -> str | None:
  """Tidies a path that a JSON file names; None where it leads out of the folder or is no path."""
  path = PurePosixPath(str(name).replace('\\', '/'))
  outside = path.is_absolute() or '..' in path.parts or ':' in str(path) or '\0' in str(path)
  return None if outside or not isinstance(name, str) or not path.name else str(path)


def check_found(missing: list[str], *, fix: str) -> None:
  """Raises InputError with the first of what is missing and how many more there are."""
  if missing:
    more = f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''
    raise InputError(f'{missing[0]}{more}: {fix}')


def visible(folder: Path) -> list[Path]:
  """Lists what a folder holds, sorted, without hidden files and those that systems leave behind."""
  with os.scandir(folder) as entries:
    names = [e.name for e in entries if not e.name.startswith(_HIDDEN)]
  return [folder / name for name in sorted(names)]


def _misplaced(data: Path) -> list[Path]:
  """Finds pictures that are beside the class folders, or in folders of those."""
  found = []
  for path, folders, names in os.walk(data):
    folders[:] = sorted(n for n in folders if not n.startswith(_HIDDEN))
    if Path(path) == data or Path(path).parent != data:
      shown = sorted(n for n in names if not n.startswith(_HIDDEN))
      found += [p for p in (Path(path, n) for n in shown) if p.suffix.lower() in IMAGE_ENDINGS]
  return found


def _pairs(folder: Path) -> dict[str, str]:
  """Maps each photograph of a class to its mask, by their names in the folder."""
  files = [p for p in visible(folder) if p.suffix.lower() in IMAGE_ENDINGS]
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
