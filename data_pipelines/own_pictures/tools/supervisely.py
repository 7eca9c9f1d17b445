"""Reads projects in Supervisely's own form: `meta.json`, and data sets of `img` and `ann`.

Points are pixels, which belong to their outline; a hole takes away its own.
"""

import base64
import io
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from data_pipelines.own_pictures.drawing import draw_label
from data_pipelines.own_pictures.layouts import (
  check_found,
  check_insides,
  check_size,
  classes_by_name,
  files_below,
  read_json,
  tell_left_out,
)
from data_pipelines.reading.files import IMAGE_ENDINGS
from data_pipelines.reading.images import Encoded
from data_pipelines.reading.outlines import Object, Patch, check_points, patched
from hsnet_jax.errors import InputError

_SHAPES = ('polygon', 'rectangle', 'bitmap')
_WITHOUT_INSIDE = ('point', 'line', 'graph')


class Supervisely:
  """Reads `data_set/ann/a.jpg.json` of each `data_set/img/a.jpg`.

  Titles of classes, sorted, become the classes. Polygons with holes, rectangles and bitmaps are
  drawn; points, lines and keypoints beside others are left out with a warning. A picture without
  objects is not listed, and tags are passed over.

  Args:
    data: the folder of the project.

  Raises:
    InputError: a file is damaged, has an object that cannot be drawn, or no picture.
  """

  kind = 'supervisely'
  boundary: int | None = None

  def __init__(self, data: Path):
    """Reads the JSON files; opens no picture."""
    self._data = data
    self._files: dict[str, Path] = {}
    shown: dict[str, set[str]] = {}
    missing: list[str] = []
    left: list[str] = []
    for path in annotation_files(data):
      titles = {one['classTitle'] for _, one in _objects(path, read_json(path), left)}
      if not titles:
        continue
      picture = _picture(path)
      if picture is None:
        missing.append(str(path))
        continue
      name = picture.relative_to(data).as_posix()
      if name in self._files:
        raise InputError(f'{self._files[name]} and {path}: both are of image {name}; keep one')
      self._files[name], shown[name] = path, titles
    check_found(
      missing, fix='no image of this name in the img/ beside its ann/; export with images'
    )
    tell_left_out(left)
    if not shown:
      raise InputError(f'{data}: no object in any JSON file of its ann/; draw outlines first')
    self.class_names, self.items = classes_by_name(dict(sorted(shown.items())))

  def encoded(self, image_name: str) -> tuple[Path, Encoded]:
    """See `Benchmark.encoded`: the photograph, and its label drawn."""
    image, path = self._data / image_name, self._files[image_name]
    content = read_json(path)
    objects = _objects(path, content, [])
    size = content['size']['height'], content['size']['width']
    check_size(str(path), size, image)
    drawn = []
    for i, one in objects:
      title = one['classTitle']
      if title not in self.class_names:
        raise InputError(f'{path}: changed while it was in use; start again')
      try:
        drawn.append(_object(self.class_names.index(title) + 1, one, size))
      except ValueError as error:
        raise InputError(f'{path}: object {i} ({title}) has {error}; draw it again') from error
    return image, draw_label(str(path), drawn, size=size, class_names=self.class_names)


def annotation_files(data: Path) -> list[Path]:
  """Lists the JSON files in every `ann` of a project that has an `img` beside it."""
  paths = [p for p in files_below(data) if p.suffix.lower() == '.json' and p.parent.name == 'ann']
  beside = {folder for folder in {p.parent for p in paths} if (folder.parent / 'img').is_dir()}
  return [path for path in paths if path.parent in beside]


def _picture(path: Path) -> Path | None:
  """Finds the picture of `a.jpg.json`, or of `a.json` as older exports have it."""
  folder = path.parent.parent / 'img'
  endings = ('', *sorted(IMAGE_ENDINGS))
  paths = [folder / f'{path.stem}{ending}' for ending in endings]
  return next((path for path in paths if os.path.isfile(path)), None)


def _objects(
  path: Path, content: Mapping[str, Any], left: list[str]
) -> list[tuple[int, dict[str, Any]]]:
  """Checks the objects of a file; returns those with an inside, numbered, puts others on `left`."""
  size, objects = content.get('size'), content.get('objects')
  if not isinstance(size, dict) or not all(type(size.get(k)) is int for k in ('height', 'width')):
    raise InputError(f'{path}: has no size with height and width; export it again')
  if not isinstance(objects, list):
    raise InputError(f"{path}: has no list of 'objects'; export it again")
  found, without = [], []
  for i, one in enumerate(objects, 1):
    if not isinstance(one, dict) or not isinstance(one.get('classTitle'), str):
      raise InputError(f'{path}: object {i} has no classTitle; export it again')
    where, kind = f'{path}: object {i} ({one["classTitle"]})', _kind(one)
    if kind in _WITHOUT_INSIDE:
      without.append(f'{where}, a {kind},')
    elif kind in _SHAPES:
      found.append((i, one))
    else:
      raise InputError(f'{where} is a {str(kind)[:40]!r}; draw a {", ".join(_SHAPES)}')
  check_insides(found, without, _SHAPES)
  left += without
  return found


def _kind(one: Mapping[str, Any]) -> Any:
  """Names the geometry of an object; old exports do not say it."""
  return one.get('geometryType') or ('bitmap' if one.get('bitmap') else 'polygon')


def _object(value: int, one: Mapping[str, Any], size: tuple[int, int]) -> Object:
  """Makes an object of a file one to paint; ValueError where it is damaged."""
  if _kind(one) == 'bitmap':
    return _bitmap(value, one.get('bitmap'), size)
  points = one.get('points')
  if not isinstance(points, dict):
    raise ValueError('no points')
  mask = Image.new('1', (size[1], size[0]))
  pen = ImageDraw.Draw(mask)
  outer = check_points(points.get('exterior'), size)
  if _kind(one) == 'rectangle':
    if len(outer) != 2:
      raise ValueError(f'{len(outer)} corners, not 2')
    pen.rectangle((*outer.min(axis=0).tolist(), *outer.max(axis=0).tolist()), fill=1)
    return patched(value, np.asarray(mask))
  holes = points.get('interior') or []
  if not isinstance(holes, list):
    raise ValueError('holes that are no list')
  for fill, corners in [(1, outer), *((0, check_points(hole, size)) for hole in holes)]:
    if len(corners) < 3:
      raise ValueError('an outline of fewer than 3 points')
    pen.polygon([tuple(corner) for corner in corners.tolist()], fill=fill)
  return patched(value, np.asarray(mask))


def _bitmap(value: int, bitmap: Any, size: tuple[int, int]) -> Object:
  """Decodes a bitmap and puts it at its origin."""
  bitmap = bitmap if isinstance(bitmap, dict) else {}
  origin = check_points(bitmap.get('origin'), size)
  if len(origin) != 1:
    raise ValueError('a bitmap without origin')
  left, top = origin[0].astype(int).tolist()
  mask = _decode(bitmap.get('data'), size)
  height, width = mask.shape
  if left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
    raise ValueError(f'a bitmap of {width} x {height} that does not fit at {left}, {top}')
  return Object(value, int(np.count_nonzero(mask)), Patch(top, left, mask))


def _decode(text: Any, size: tuple[int, int]) -> np.ndarray:
  """Decodes a PNG within zlib within base64: where it is not 0, or not transparent if it can be."""
  try:
    data = base64.b64decode(text, validate=True)
    # Some writers leave out zlib.
    if not data.startswith(b'\x89PNG'):
      # A PNG of the picture's size takes no more, however it is stored.
      data = zlib.decompressobj().decompress(data, 4 * size[0] * size[1] + (1 << 16))
    with Image.open(io.BytesIO(data), formats=['PNG']) as image:
      found = image.width, image.height
      fits = found[0] <= size[1] and found[1] <= size[0]
      mask = _opaque(image) if fits else None
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    raise ValueError('a damaged bitmap') from error
  if mask is None:
    raise ValueError(f'a bitmap of {found[0]} x {found[1]}, larger than its picture')
  return mask


def _opaque(image: Image.Image) -> np.ndarray:
  if 'A' in image.getbands() or 'transparency' in image.info:
    return np.asarray(image.convert('RGBA'))[..., 3] > 0
  pixels = np.asarray(image.convert('RGB') if image.mode == 'P' else image)
  return np.any(pixels.reshape(*pixels.shape[:2], -1), axis=-1)
