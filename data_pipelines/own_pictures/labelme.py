"""Reads a user's own pictures with a LabelMe JSON file for each."""

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer
from PIL import Image, ImageDraw

from data_pipelines.own_pictures.layouts import check_size, inner_name, read_json
from data_pipelines.reading.images import Encoded, encode_png
from data_pipelines.reading.outlines import check_points, drawn_dtype
from hsnet_jax.errors import InputError

# The fewest points of each shape that has an inside.
SHAPES = {'polygon': 3, 'rectangle': 2, 'circle': 2, 'mask': 2}


class LabelMe:
  """Reads `name.json` beside each picture; labels sorted by name become the classes.

  An image is listed once for each class that it shows, one without shapes not at all. Objects are
  drawn from the largest to the smallest, so that the smaller one of two that overlap stays whole.
  The picture is the file that `imagePath` names, in the same folder; where it is not there, the
  copy in the JSON file.

  Args:
    data: the folder.
    paths: its JSON files.

  Raises:
    InputError: a file is damaged, has a shape that cannot be drawn, or no picture.
  """

  kind = 'labelme'
  boundary = None

  def __init__(self, data: Path, paths: Sequence[Path]):
    """Reads the JSON files; draws nothing and opens no picture."""
    self._data = data
    self._files: dict[str, str] = {}
    shown: dict[str, set[str]] = {}
    for path in paths:
      content = read_json(path)
      labels = {shape['label'] for shape in _shapes(path, content)}
      if not labels:
        continue
      name = _picture(path, content)
      if name in self._files:
        raise InputError(
          f'{self._files[name]} and {path.name} in {data}: both are of image {name}; keep one'
        )
      self._files[name], shown[name] = path.name, labels
    if not shown:
      raise InputError(f'{data}: no shape in any of its JSON files; draw outlines first')
    self.class_names = tuple(sorted(set().union(*shown.values())))
    numbers = {label: i for i, label in enumerate(self.class_names)}
    self.items = tuple(
      (name, class_id)
      for name in sorted(shown)
      for class_id in sorted(numbers[label] for label in shown[name])
    )

  def encoded(self, image_name: str) -> tuple[Path | Encoded, Encoded]:
    """See `Benchmark.encoded`: the photograph, and its label drawn."""
    path = self._data / self._files[image_name]
    content = read_json(path)
    image: Path | Encoded = self._data / image_name
    if image == path:
      image = Encoded(_bytes(path, content['imageData']), f'{path}: imageData')
    size = content['imageHeight'], content['imageWidth']
    check_size(str(path), size, image)
    label = _draw(path, content, self.class_names)
    if not label.any():
      raise InputError(f'{path}: its shapes hold no pixel; draw them again')
    return image, encode_png(label, name=f'{path}: shapes')


def _shapes(path: Path, content: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Checks the shapes of a file, and returns them."""
  shapes = content.get('shapes')
  if not isinstance(shapes, list):
    raise InputError(f"{path}: has no list of 'shapes'; save it with LabelMe again")
  if not all(type(content.get(k)) is int for k in ('imageHeight', 'imageWidth')):
    raise InputError(f'{path}: has no imageHeight and imageWidth; save it with LabelMe again')
  size = content['imageHeight'], content['imageWidth']
  for i, shape in enumerate(shapes):
    if not isinstance(shape, dict) or not isinstance(shape.get('label'), str):
      raise InputError(f'{path}: shape {i + 1} has no label; give it one in LabelMe')
    where = f'{path}: shape {i + 1} ({shape["label"]})'
    # Old files have polygons alone, and do not say so.
    kind = shape.get('shape_type') or 'polygon'
    if not isinstance(kind, str) or kind not in SHAPES:
      raise InputError(
        f'{where} is a {kind}, which cannot be drawn as a mask; draw a {", ".join(SHAPES)} instead'
      )
    try:
      points = check_points(shape.get('points'), size)
    except ValueError as error:
      raise InputError(f'{where} has {error}; draw it again') from error
    if len(points) < SHAPES[kind]:
      raise InputError(
        f'{where} is a {kind} of fewer than {SHAPES[kind]} points; draw it again or delete it'
      )
  return shapes


def _picture(path: Path, content: Mapping[str, Any]) -> str:
  """Names the image: its path in the folder, or the JSON file's where the copy there is it."""
  named = content.get('imagePath')
  name = inner_name(named)
  if name is not None and (path.parent / name).is_file():
    return name
  if isinstance(content.get('imageData'), str):
    return path.name
  why = 'leads out of the folder' if name is None else 'is not there'
  raise InputError(
    f'{path}: its image {named!r} {why} and is not in the file either; put it into {path.parent}'
    ' and write its name alone in imagePath'
  )


def _draw(
  path: Path, content: Mapping[str, Any], class_names: Sequence[str]
) -> Integer[np.ndarray, 'h w']:
  """Draws a label: 0 background, class_id + 1 a class."""
  size = content['imageHeight'], content['imageWidth']
  drawn = []
  for i, shape in enumerate(_shapes(path, content)):
    if shape['label'] not in class_names:
      raise InputError(f'{path}: changed while it was in use; start again')
    value = class_names.index(shape['label']) + 1
    kind, points = shape.get('shape_type') or 'polygon', check_points(shape['points'], size)
    low, high = points.min(axis=0), points.max(axis=0)
    mask = None
    if kind == 'polygon':
      x, y = points.T
      area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    elif kind == 'circle':
      radius = np.hypot(*(points[1] - points[0]))
      low, high = points[0] - radius, points[0] + radius
      area = np.pi * radius**2
    else:
      area = np.prod(high - low)
      mask = _mask(path, shape, i) if kind == 'mask' else None
    drawn.append((area, value, kind, points, (*low, *high), mask))
  label = Image.new('I', (size[1], size[0]))
  pen = ImageDraw.Draw(label)
  for _, value, kind, points, box, mask in sorted(drawn, key=lambda d: -d[0]):
    if kind == 'polygon':
      pen.polygon([tuple(p) for p in points.tolist()], fill=value)
    elif kind == 'circle':
      pen.ellipse(box, fill=value)
    elif kind == 'rectangle':
      pen.rectangle(box, fill=value)
    else:
      label.paste(value, (int(box[0]), int(box[1])), mask)
  return np.asarray(label).astype(drawn_dtype(len(class_names)))


def _mask(path: Path, shape: Mapping[str, Any], i: int) -> Image.Image:
  """Decodes the pixels of a shape of kind mask, which LabelMe keeps as a PNG of its box."""
  where = f'{path}: shape {i + 1} ({shape["label"]})'
  try:
    with Image.open(io.BytesIO(_bytes(path, shape.get('mask')))) as mask:
      pixels = np.asarray(mask)
      if pixels.ndim != 2:
        raise InputError(f'{where} has a mask in color; draw it again')
      return Image.fromarray((pixels > 0).astype(np.uint8) * 255)
  except InputError:
    raise
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    raise InputError(f'{where} has a damaged mask; draw it again') from error


def _bytes(path: Path, text: Any) -> bytes:
  try:
    return base64.b64decode(text, validate=True)
  except (binascii.Error, TypeError, ValueError) as error:
    raise InputError(f'{path}: damaged base64 data; save it with LabelMe again') from error
