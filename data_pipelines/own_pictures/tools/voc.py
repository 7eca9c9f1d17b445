"""Reads masks laid out as PASCAL VOC's: CVAT's 'Segmentation mask 1.1', labelme2voc's, one's own.

A mask is a picture in which each color, or each number, is a class. `labelmap.txt` names the
colors, `class_names.txt` the numbers.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from PIL import Image

from data_pipelines.own_pictures.layouts import (
  OPEN,
  check_found,
  files_below,
  only_picture,
  pictures_below,
  read_text,
  used_classes,
)
from data_pipelines.reading import images
from data_pipelines.reading.arrays import BOUNDARY
from data_pipelines.reading.images import Encoded, png_bytes
from hsnet_jax.errors import InputError

_FOLDERS = ('SegmentationClass', 'SegmentationClassPNG')
_PICTURES = ('JPEGImages', 'images', '.')
_ROW = re.compile(r'(.+?)\s*:\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?::.*)?')
_BACKGROUND = ('background', '_background_')
_LEFT_OPEN = ('__ignore__', 'ignored')
_BORDER = (224, 224, 192)  # What number 255 is in PASCAL's colors.
_UNKNOWN = OPEN - 1


class VocMasks:
  """Reads a mask in `SegmentationClass` for each picture in `JPEGImages`.

  Where there is a `labelmap.txt`, the colors of masks are looked up in it, be they of a palette or
  not; its label `background`, and black, are no class. Other masks hold numbers: the lines of
  `class_names.txt`, or classes without a name; 0 is background. 255 beside them, and what has
  PASCAL's own color of it, is left open. Masks of objects (`SegmentationObject`) and lists
  (`ImageSets`) are passed over. A picture whose mask is background alone is not listed.

  Args:
    data: the folder.

  Raises:
    InputError: a mask cannot be read, has a color or number that is no class, or no picture.
  """

  kind = 'voc'
  boundary: int | None = OPEN

  def __init__(self, data: Path):
    """Reads the names and all masks, since they alone tell which classes a picture shows."""
    self._data = data
    self._source, self._names, self._colors = _read_names(data)
    folder = next(data / name for name in _FOLDERS if mask_files(data / name))
    place = next(name for name in _PICTURES if (data / name).is_dir())
    pictures = pictures_below(data / place)
    self._masks: dict[str, Path] = {}
    shown: dict[str, set[int]] = {}
    missing = []
    for path in mask_files(folder):
      stem = path.relative_to(folder).with_suffix('').as_posix()
      picture = only_picture(str(path), pictures.get(stem, ()))
      if picture is None:
        missing.append(str(path))
        continue
      found = np.flatnonzero(np.bincount(self._read(path).ravel())).tolist()
      if numbers := set(found).difference((0, OPEN)):
        name = Path(place, picture).as_posix()
        self._masks[name], shown[name] = path, numbers
    check_found(missing, fix='no image of this name in JPEGImages/; add it, or export with images')
    used = set().union(*shown.values())
    if not self._names:
      warnings.warn(
        f'{data}: no labelmap.txt and no class_names.txt: classes are called by their numbers',
        stacklevel=3,
      )
    names = self._names or {number: f'class {number}' for number in sorted(used)}
    self._numbers = used_classes(str(self._source), names, used)
    self.class_names = tuple(names[number] for number in self._numbers)
    self.items = tuple(
      (name, class_id)
      for name in sorted(shown)
      for class_id in sorted(self._numbers[number] for number in shown[name])
    )

  def encoded(self, image_name: str) -> tuple[Path, Encoded]:
    """See `Benchmark.encoded`: the photograph, and its label by class_id."""
    path = self._masks[image_name]
    numbers = self._read(path)
    table = np.full(OPEN + 1, _UNKNOWN, np.uint16)
    table[0], table[OPEN] = 0, OPEN
    for number, class_id in self._numbers.items():
      table[number] = class_id + 1
    label = table[numbers]
    if (label == _UNKNOWN).any():
      raise InputError(f'{path}: changed while it was in use; start again')
    return self._data / image_name, png_bytes(label, name=str(path))

  def _read(self, path: Path) -> UInt16[np.ndarray, 'h w']:
    """Reads a mask as numbers: 0 background, `OPEN`, or a key of the names."""
    if self._colors and _mode(path) in ('P', 'PA', 'RGB', 'RGBA'):
      return _by_color(path, images.read_image(path, upright=False), self._colors, self._source)
    values = images.read_label(path, largest=OPEN)
    present = np.flatnonzero(np.bincount(values.ravel())).tolist()
    if not self._colors and BOUNDARY in present and {0, BOUNDARY}.issuperset(present):
      raise InputError(
        f'{path}: holds 255 alone, which is a boundary beside numbers of classes; save the class'
        ' with its number, or name the color in a labelmap.txt'
      )
    numbers = _numbers_of(path, present, self._colors, self._names, self._source)
    table = np.zeros(OPEN + 1, np.uint16)
    table[present] = numbers
    return table[values]


def mask_files(folder: Path) -> list[Path]:
  """Lists the masks in a folder of VOC's."""
  return [path for path in files_below(folder) if path.suffix.lower() == '.png']


def is_voc(data: Path) -> bool:
  """Tells whether a folder holds masks as VOC's does."""
  return any(mask_files(data / name) for name in _FOLDERS)


def _read_names(data: Path) -> tuple[Path, dict[int, str], dict[tuple[int, int, int], int]]:
  """Returns what names the classes, the name of each number, the number of each color."""
  path = data / 'class_names.txt'
  if (data / 'labelmap.txt').is_file():
    return _read_labelmap(data / 'labelmap.txt')
  if not path.is_file():
    return data, {}, {}
  lines = [line.strip() for line in read_text(path).splitlines()]
  lines = [line for line in lines if line and line != '__ignore__']
  if not lines or lines[0] not in _BACKGROUND:
    raise InputError(f'{path}: its first line is not _background_, which value 0 is; add it')
  return path, dict(enumerate(lines[1:], 1)), {}


def _read_labelmap(
  path: Path,
) -> tuple[Path, dict[int, str], dict[tuple[int, int, int], int]]:
  names: dict[int, str] = {}
  colors: dict[tuple[int, int, int], int] = {}
  for i, line in enumerate(read_text(path).splitlines(), 1):
    row = _ROW.fullmatch(line.strip())
    if row is None:
      if line.strip() and not line.startswith('#'):
        raise InputError(f'{path}: line {i} is not name:red,green,blue::; export it again')
      continue
    name, color = row[1], (int(row[2]), int(row[3]), int(row[4]))
    if max(color) > 255:
      raise InputError(f'{path}: line {i} has {max(color)} in a color, which has 255 at most')
    if color in colors:
      raise InputError(f'{path}: line {i} has the color of an earlier one; give it its own')
    is_background = name.lower() in _BACKGROUND
    if not any(color) and not is_background:
      raise InputError(
        f'{path}: line {i} gives black to {name!r}, and black is background; give it another color'
      )
    number = 0 if is_background else OPEN if name.lower() in _LEFT_OPEN else i
    colors[color] = number
    if number == i:
      names[number] = name
  if not names:
    raise InputError(f'{path}: names no class; export it again')
  return path, names, colors


def _numbers_of(
  path: Path,
  values: Sequence[int],
  colors: Mapping[tuple[int, int, int], int],
  names: Mapping[int, str],
  source: Path,
) -> list[int]:
  """Returns the number that each value of a gray mask, or of a palette without colors, means."""
  if colors:
    # Values are the labelmap's rows, of which the first is background then; or colors.
    rows = list(colors.values())
    by_row = dict(enumerate(rows)) if rows[0] == 0 else {}
    by_color = {0: 0} | {red: n for (red, green, blue), n in colors.items() if red == green == blue}
    readings = [by_row, by_color]
  else:
    known = names or range(BOUNDARY)
    readings = [{0: 0, BOUNDARY: OPEN} | {number: number for number in known}]
  found = [[table[v] for v in values] for table in readings if table.keys() >= set(values)]
  if not found:
    wrong = next(v for v in values if v not in readings[0])
    raise InputError(f'{path}: value {wrong} is no class of {source}; mend the mask')
  if found[0] != found[-1]:
    raise InputError(
      f'{path}: a gray mask whose values may be colors of {source} or its lines; save it in color'
    )
  return found[0]


def _mode(path: Path) -> str:
  """Returns how an image keeps its pixels, from its head; '' where that is damaged."""
  try:
    with Image.open(path) as image:
      return image.mode
  except Exception:  # Whoever reads it says what is wrong.
    return ''


def _by_color(
  path: Path,
  pixels: np.ndarray,
  colors: Mapping[tuple[int, int, int], int],
  source: Path,
) -> UInt16[np.ndarray, 'h w']:
  """Looks up the number of each pixel's color."""
  table = np.full(1 << 24, _UNKNOWN, np.uint16)
  for (red, green, blue), number in {(0, 0, 0): 0, _BORDER: OPEN, **colors}.items():
    table[red << 16 | green << 8 | blue] = number
  packed = pixels[..., 0].astype(np.uint32) << 16
  packed |= pixels[..., 1].astype(np.uint32) << 8
  packed |= pixels[..., 2]
  numbers = table[packed]
  wrong = np.flatnonzero(numbers == _UNKNOWN)
  if wrong.size:
    y, x = divmod(int(wrong[0]), numbers.shape[1])
    color = ','.join(map(str, pixels[y, x].tolist()))
    raise InputError(
      f'{path}: color {color} ({wrong.size} pixels, the first at {x}, {y}) is not in {source};'
      ' add its line or mend the mask'
    )
  return numbers
