"""Reads a user's own pictures with a LabelMe JSON file for each, as LabelMe 4 and later save it."""

import base64
import binascii
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from data_pipelines.own_pictures.drawing import draw_label, no_class
from data_pipelines.own_pictures.layouts import (
  OPEN,
  check_size,
  classes_by_name,
  held_file,
  inner_name,
  read_json,
  tell_left_out,
  whole_number,
)
from data_pipelines.reading.images import Encoded
from data_pipelines.reading.outlines import Object, check_points, patched
from hsnet_jax.errors import InputError

# How many points each shape with an inside has; the last one is X-AnyLabeling's.
SHAPES: Mapping[str, tuple[int, ...]] = {
  'polygon': (),
  'rectangle': (2, 4),
  'circle': (2,),
  'mask': (2,),
  'oriented_rectangle': (4,),
  'rotation': (4,),
}
WITHOUT_INSIDE = ('line', 'linestrip', 'point', 'points')


class LabelMe:
  """Reads `name.json` beside each picture; labels sorted by name become the classes.

  An image is listed once for each class that it shows, one without shapes not at all. Shapes are
  drawn as LabelMe draws them; of those that overlap, the one of fewer pixels is on top. Pixels of
  `__ignore__` are left open, `_background_` is none of the classes. Lines and points beside other
  shapes are left out with a warning. The picture is the file that `imagePath` names, in the folder
  of the JSON file or elsewhere in `data`; where it is not there, the copy in the JSON file.

  Args:
    data: the folder that nothing outside of is read.
    paths: its JSON files, which may lie in folders of it.

  Raises:
    InputError: a file is damaged, has a shape that cannot be drawn, or no picture.
  """

  kind = 'labelme'

  def __init__(self, data: Path, paths: Sequence[Path]):
    """Reads the JSON files; draws nothing and opens no picture."""
    # Of each image its JSON file, and its own, which is the same where the copy there is it.
    self._files: dict[str, tuple[Path, Path]] = {}
    # Names count from the folder of the JSON files, where there is one alone.
    home = data if len({path.parent for path in paths}) > 1 else paths[0].parent
    self.boundary: int | None = None
    shown: dict[str, set[str]] = {}
    left: list[str] = []
    for path in paths:
      content = read_json(path)
      shapes = _shapes(path, content, left)
      labels = {shape.label for shape in shapes if no_class(shape.label) is None}
      if not labels:
        continue
      picture = _picture(data, path, content)
      name = picture.relative_to(home if picture.is_relative_to(home) else data).as_posix()
      if name in self._files:
        other = self._files[name][0]
        raise InputError(f'{other} and {path}: both are of image {name}; keep one')
      self._files[name], shown[name] = (path, picture), labels
      if any(no_class(shape.label) == OPEN for shape in shapes):
        self.boundary = OPEN
    if not shown:
      raise InputError(f'{data}: no shape of a class in any of its JSON files; draw outlines first')
    tell_left_out(left)
    self.class_names, self.items = classes_by_name(dict(sorted(shown.items())))

  def encoded(self, image_name: str) -> tuple[Path | Encoded, Encoded]:
    """See `Benchmark.encoded`: the photograph, and its label drawn."""
    path, picture = self._files[image_name]
    content = read_json(path)
    image: Path | Encoded = picture
    if picture == path:
      image = Encoded(_bytes(path, content['imageData']), f'{path}: imageData')
    size = _size(path, content)
    check_size(str(path), size, image)
    objects = []
    for shape in _shapes(path, content, []):
      value = no_class(shape.label)
      if value is None:
        if shape.label not in self.class_names:
          raise InputError(f'{path}: changed while it was in use; start again')
        value = self.class_names.index(shape.label) + 1
      objects.append(_drawn(shape, value, size))
    return image, draw_label(str(path), objects, size=size, class_names=self.class_names)


class _Shape(NamedTuple):
  """Holds a shape that has an inside, checked.

  Attributes:
    where: what messages call it.
    label: its label.
    kind: one of `SHAPES`.
    points: x and y of each.
    mask: the base64 text of its mask, if it has one.
  """

  where: str
  label: str
  kind: str
  points: Float[np.ndarray, 'n 2']
  mask: Any


def _size(path: Path, content: Mapping[str, Any]) -> tuple[int, int]:
  height, width = (whole_number(content.get(k)) for k in ('imageHeight', 'imageWidth'))
  if height is None or width is None:
    raise InputError(f'{path}: has no imageHeight and imageWidth; save it with LabelMe again')
  return height, width


def _shapes(path: Path, content: Mapping[str, Any], left: list[str]) -> list[_Shape]:
  """Checks the shapes of a file, and returns those with an inside.

  Lines and points are an error where they are all that there is; else they are put on `left`.
  """
  shapes = content.get('shapes')
  if not isinstance(shapes, list):
    raise InputError(f"{path}: has no list of 'shapes'; save it with LabelMe again")
  size = _size(path, content)
  found: list[_Shape] = []
  without: list[str] = []
  for i, shape in enumerate(shapes):
    if not isinstance(shape, dict) or not isinstance(shape.get('label'), str):
      raise InputError(f'{path}: shape {i + 1} has no label; give it one in LabelMe')
    where = f'{path}: shape {i + 1} ({shape["label"]})'
    # Old files have polygons alone, and do not say so.
    kind = shape.get('shape_type') or 'polygon'
    if kind in WITHOUT_INSIDE:
      without.append(f'{where}, a {kind},')
      continue
    if not isinstance(kind, str) or kind not in SHAPES:
      raise InputError(f'{where} is a {kind}, which cannot be drawn; draw one of {list(SHAPES)}')
    points = _points(where, kind, shape.get('points'), size)
    found.append(_Shape(where, shape['label'], kind, points, shape.get('mask')))
  if without and not found:
    raise InputError(f'{without[0]} which has no inside; draw a polygon in its place')
  left += without
  return found


def _points(where: str, kind: str, given: Any, size: tuple[int, int]) -> Float[np.ndarray, 'n 2']:
  try:
    points = check_points(given, size)
  except ValueError as error:
    raise InputError(f'{where} has {error}; draw it again') from error
  wanted = SHAPES[kind]
  if len(points) not in wanted if wanted else len(points) < 3:
    text = ' or '.join(map(str, wanted)) or '3 or more'
    raise InputError(
      f'{where} is a {kind} of {len(points)} points, not of {text}; draw it again or delete it'
    )
  return points


def _picture(data: Path, path: Path, content: Mapping[str, Any]) -> Path:
  """Finds the image of a JSON file: the file itself where the copy in it is all there is."""
  named = content.get('imagePath')
  inner = inner_name(named)
  picture = path.parent / inner if inner is not None else _beside(data, path.parent, named)
  if found := picture and held_file(picture):
    return found
  if isinstance(content.get('imageData'), str):
    return path
  # Where the picture has moved since, one of the file's own name beside it is meant.
  last = inner_name(str(named).replace('\\', '/').rsplit('/', 1)[-1])
  if last and Path(last).stem == path.stem and (found := held_file(path.parent / last)):
    return found
  why = 'is not there' if picture is not None else f'leads out of the folder {data}'
  raise InputError(
    f'{path}: its image {named!r} {why} and is not in the file either; put it into {path.parent}'
    ' and write its name alone in imagePath'
  )


def _beside(data: Path, folder: Path, named: Any) -> Path | None:
  """Follows a path such as `../images/a.jpg`, as LabelMe's `--output` makes it, within a folder."""
  if not isinstance(named, str) or '\0' in named:
    return None
  picture = Path(os.path.abspath(folder / named.replace('\\', '/')))
  base = Path(os.path.abspath(data))
  return data / picture.relative_to(base) if picture.is_relative_to(base) else None


def _drawn(shape: _Shape, value: int, size: tuple[int, int]) -> Object:
  """Draws a shape as LabelMe does, its outline with it."""
  if shape.kind == 'mask':
    return _placed(value, _mask(shape), shape.points, size)
  image = Image.new('L', (size[1], size[0]))
  pen = ImageDraw.Draw(image)
  (left, top), (right, bottom) = shape.points.min(axis=0), shape.points.max(axis=0)
  corners = set(map(tuple, shape.points.tolist()))
  if shape.kind == 'circle':
    (x, y), (on_x, on_y) = shape.points.tolist()
    radius = math.sqrt((x - on_x) ** 2 + (y - on_y) ** 2)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
  elif shape.kind == 'rectangle' and corners <= {
    (x, y) for x in (left, right) for y in (top, bottom)
  }:
    pen.rectangle((left, top, right, bottom), fill=1, outline=1)
  else:
    pen.polygon([tuple(p) for p in shape.points.tolist()], fill=1, outline=1)
  box = image.getbbox()
  if box is None:
    return patched(value, np.zeros((0, 0), bool))
  return patched(value, np.asarray(image.crop(box)) > 0, top=box[1], left=box[0])


def _placed(
  value: int, mask: Bool[np.ndarray, 'h w'], points: Float[np.ndarray, '2 2'], size: tuple[int, int]
) -> Object:
  """Puts the mask of a box into the image; whole corners crop it, others are rounded."""
  low, high = points.min(axis=0), points.max(axis=0)
  x, y = np.round(low).astype(int).tolist()
  if np.array_equal(points, np.round(points)):
    width, height = (high - low + 1).astype(int).tolist()
    mask = mask[:height, :width]
  top, left = max(y, 0), max(x, 0)
  mask = mask[top - y : max(size[0] - y, 0), left - x : max(size[1] - x, 0)]
  return patched(value, mask, top=top, left=left)


def _mask(shape: _Shape) -> Bool[np.ndarray, 'h w']:
  """Decodes the pixels of a shape of kind mask, which LabelMe keeps as a PNG of its box."""
  try:
    with Image.open(io.BytesIO(_bytes(shape.where, shape.mask))) as mask:
      pixels = np.asarray(mask)
  except InputError:
    raise
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    raise InputError(f'{shape.where} has a damaged mask; draw it again') from error
  if pixels.ndim != 2:
    raise InputError(f'{shape.where} has a mask in color; draw it again')
  return pixels > 0


def _bytes(where: Path | str, text: Any) -> bytes:
  try:
    return base64.b64decode(text, validate=True)
  except (binascii.Error, TypeError, ValueError) as error:
    raise InputError(f'{where}: damaged base64 data; save it with LabelMe again') from error
