"""Reads LabelMe's XML, as CVAT exports it under 'LabelMe 3.0' and the LabelMe of MIT saves it.

Each picture has a file with its objects: polygons, of which CVAT means what COCO does, and masks
of the whole picture in `Masks` beside the file.
"""

from pathlib import Path
from typing import NamedTuple, NoReturn
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool
from PIL import Image

from data_pipelines.own_pictures.drawing import draw_label
from data_pipelines.own_pictures.layouts import (
  check_found,
  check_size,
  classes_by_name,
  files_below,
  held_file,
  inner_name,
  shown_size,
)
from data_pipelines.reading.images import Encoded
from data_pipelines.reading.outlines import Object, outlined, patched
from hsnet_jax.errors import InputError

# What tells it from other XML, within so many bytes.
_MARKS = (b'<sourceAnnotation', b'<polygon>', b'<segm>')
_HEAD = 4096


class LabelMeXml:
  """Reads `a.xml` of each picture: `a.jpg` beside it, or `Images/a.jpg` of `Annotations/a.xml`.

  Names of objects, sorted, become the classes. An image is listed once for each class that it
  shows, one without objects not at all. Of objects that overlap, the one of fewer pixels is on top.

  Args:
    data: the folder.

  Raises:
    InputError: a file is damaged, has an object that cannot be drawn, or no picture.
  """

  kind = 'labelme_xml'
  boundary: int | None = None

  def __init__(self, data: Path):
    """Reads the XML files; opens no picture."""
    self._data = data
    self._files: dict[str, Path] = {}
    shown: dict[str, set[str]] = {}
    missing = []
    for path in (p for p in files_below(data) if p.suffix.lower() == '.xml'):
      file = _read(path)
      if not file.objects:
        continue
      name = self._picture(path, file.pictures)
      if name is None:
        missing.append(f'{path}: image {file.pictures[0]}')
      elif name in self._files:
        raise InputError(f'{self._files[name]} and {path}: both are of image {name}; keep one')
      else:
        self._files[name], shown[name] = path, {one.name for one in file.objects}
    check_found(missing, fix='no such file beside it; export with images, or add the image')
    if not shown:
      raise InputError(f'{data}: no object in any of its XML files; draw outlines first')
    self.class_names, self.items = classes_by_name(dict(sorted(shown.items())))

  def encoded(self, image_name: str) -> tuple[Path, Encoded]:
    """See `Benchmark.encoded`: the photograph, and its label drawn."""
    image, path = self._data / image_name, self._files[image_name]
    file = _read(path)
    size = file.size or shown_size(image)
    check_size(str(path), size, image)
    drawn = []
    for one in file.objects:
      if one.name not in self.class_names:
        raise InputError(f'{path}: changed while it was in use; start again')
      drawn.append(_object(path, one, self.class_names.index(one.name) + 1, size))
    return image, draw_label(str(path), drawn, size=size, class_names=self.class_names)

  def _picture(self, path: Path, names: tuple[str, ...]) -> str | None:
    """Finds the picture of a file, by its path in the folder."""
    parts = path.relative_to(self._data).parent.parts
    homes = [parts, tuple('Images' if part == 'Annotations' else part for part in parts)]
    for place in (Path(self._data, *home, name) for name in names for home in homes):
      if found := held_file(place):
        return found.relative_to(self._data).as_posix()
    return None


def is_labelme_xml(data: Path) -> bool:
  """Tells whether a folder holds such XML, by the first XML file in it or in its folders."""
  for path in files_below(data):
    if path.suffix.lower() == '.xml':
      with open(path, 'rb') as file:
        head = file.read(_HEAD)
      return any(mark in head for mark in _MARKS)
  return False


class _One(NamedTuple):
  """Holds an object of a file.

  Attributes:
    where: what messages call it.
    name: of its class.
    points: x and y in turn; empty where it is a mask.
    mask: the name of its file in `Masks`; '' where it is a polygon.
  """

  where: str
  name: str
  points: list[float]
  mask: str


class _File(NamedTuple):
  """Holds what a file says.

  Attributes:
    pictures: the names that its picture may have.
    size: (height, width) where it says so.
    objects: those that are not deleted.
  """

  pictures: tuple[str, ...]
  size: tuple[int, int] | None
  objects: list[_One]


class _NoDoctype(ElementTree.TreeBuilder):
  """Refuses declarations of a document's own: entities can be made to fill the memory."""

  def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
    """Raises ValueError at the first of them."""
    raise ValueError('it declares a DOCTYPE')


def _read(path: Path) -> _File:
  try:
    with open(path, 'rb') as file:
      root = ElementTree.parse(file, ElementTree.XMLParser(target=_NoDoctype())).getroot()
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror}); check the file') from error
  except (ElementTree.ParseError, ValueError, LookupError) as error:
    raise InputError(f'{path}: not valid XML ({error}); export it again') from error
  if root is None or root.tag != 'annotation':
    raise InputError(f'{path}: is no LabelMe XML; take it out of the folder or export it again')
  folder, file_name = _text(root, 'folder'), _text(root, 'filename')
  names = [inner_name(name) for name in (f'{folder}/{file_name}' if folder else '', file_name)]
  pictures = tuple(dict.fromkeys(name for name in names if name))
  if not pictures:
    raise InputError(f'{path}: names no image in its folder ({file_name!r}); export it again')
  sides = [_text(root, f'imagesize/{side}') for side in ('nrows', 'ncols')]
  known = all(side.isdecimal() and len(side) < 9 for side in sides)
  size = (int(sides[0]), int(sides[1])) if known else None
  objects = [
    _one(f'{path}: object {i}', element)
    for i, element in enumerate(root.iter('object'), 1)
    if _text(element, 'deleted') in ('', '0')
  ]
  return _File(pictures, size, objects)


def _text(element: ElementTree.Element, path: str) -> str:
  return (element.findtext(path) or '').strip()


def _one(where: str, element: ElementTree.Element) -> _One:
  name = _text(element, 'name')
  if not name:
    raise InputError(f'{where} has no name; give it one and export it again')
  where = f'{where} ({name})'
  if element.find('segm') is not None:
    mask = inner_name(_text(element, 'segm/mask'))
    if mask is None:
      raise InputError(f'{where} names no file of its mask; export it again')
    return _One(where, name, [], mask)
  try:
    points = [
      float(_text(point, side)) for point in element.iterfind('polygon/pt') for side in ('x', 'y')
    ]
  except ValueError as error:
    raise InputError(f'{where} has a point that is no pair of numbers; export it again') from error
  if len(points) < 6:
    raise InputError(
      f'{where} has {len(points) // 2} points, and an outline three or more; draw it again or'
      ' delete it'
    )
  return _One(where, name, points, '')


def _object(path: Path, one: _One, value: int, size: tuple[int, int]) -> Object:
  """Makes what is painted of an object."""
  if one.mask:
    mask = _mask(one.where, path.parent / 'Masks' / one.mask)
    if mask.shape != size:
      raise InputError(
        f'{one.where} has a mask of {mask.shape[1]} x {mask.shape[0]} pixels, not'
        f' {size[1]} x {size[0]}; export it again'
      )
    return patched(value, mask)
  try:
    return outlined(value, [one.points], size)
  except ValueError as error:
    raise InputError(f'{one.where} has {error}; draw it again') from error


def _mask(where: str, path: Path) -> Bool[np.ndarray, 'h w']:
  """Reads a mask, which has a color where the object is and is transparent elsewhere."""
  try:
    with Image.open(path) as image:
      colors = np.asarray(image.convert('RGBA'))
  except FileNotFoundError as error:
    raise InputError(f'{where}: its mask {path} is not there; export it again') from error
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    raise InputError(f'{where}: its mask {path} is damaged; export it again') from error
  return colors[..., :3].any(axis=2) & (colors[..., 3] > 0)
