"""Reads the JSON of the VGG Image Annotator (VIA 1 and 2), which MakeSense writes as VGG JSON too.

Coordinates count from the corner of the picture as the browser shows it. What lies within a circle
or an ellipse is told at the middle of each pixel.
"""

import json
import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.own_pictures.drawing import draw_label
from data_pipelines.own_pictures.layouts import (
  check_found,
  check_insides,
  classes_by_name,
  held_file,
  inner_name,
  read_any_json,
  shown_size,
  tell_left_out,
)
from data_pipelines.reading.images import Encoded
from data_pipelines.reading.outlines import Object, check_points, outlined, patched
from hsnet_jax.errors import InputError

# What each shape with an inside is described by.
_SHAPES = {
  'polygon': ('all_points_x', 'all_points_y'),
  'rect': ('x', 'y', 'width', 'height'),
  'circle': ('cx', 'cy', 'r'),
  'ellipse': ('cx', 'cy', 'rx', 'ry'),
}
_WITHOUT_INSIDE = ('point', 'polyline')
# Of several attributes, the one that names the class.
_CLASS = ('class', 'label', 'name')
# The class where no region has any attribute.
_OBJECT = 'object'


class Via:
  """Reads pictures that one or more JSON files of VIA describe.

  The class of a region is its one attribute, or that called class, label or name; where no region
  has any, all are of one class, 'object'. Points and polylines beside others are left out with a
  warning. Classes are sorted by name. A picture lies beside its
  JSON file or in an `images` there; one without regions is not listed.

  Args:
    data: the folder.
    paths: its JSON files.

  Raises:
    InputError: a file is damaged, a region cannot be drawn or has no class, a picture is missing.
  """

  kind = 'via'
  boundary: int | None = None

  def __init__(self, data: Path, paths: Iterable[Path]):
    """Reads the JSON files; opens no picture."""
    self._data = data
    paths = list(paths)
    found: dict[str, tuple[Path, list[tuple[int, dict[str, Any]]]]] = {}
    missing: list[str] = []
    left: list[str] = []
    for path in paths:
      for entry in _entries(path):
        regions = _regions(path, entry, left)
        if not regions:
          continue
        name = _picture(data, path, entry['filename'])
        if name is None:
          missing.append(f'{path}: image {entry["filename"]}')
        elif name in found:
          raise InputError(f'{path}: a second entry for image {name}; keep one')
        else:
          found[name] = path, regions
    check_found(missing, fix='no such file beside it or in images/ there; add it')
    tell_left_out(left)
    if not found:
      raise InputError(f'{paths[0]}: no region in any picture; draw outlines first')
    attribute = _class_attribute(paths[0], [r for _, regions in found.values() for _, r in regions])
    self._drawn: dict[str, tuple[str, bytes]] = {}
    shown: dict[str, set[str]] = {}
    for name, (path, regions) in sorted(found.items()):
      where = f'{path}: {name}'
      shapes = [
        (i, _class_of(f'{where}: region {i}', region, attribute), region['shape_attributes'])
        for i, region in regions
      ]
      shown[name] = {label for _, label, _ in shapes}
      # Text takes a tenth of the memory of what is parsed from it.
      self._drawn[name] = where, json.dumps(shapes).encode()
    self.class_names, self.items = classes_by_name(shown)

  def encoded(self, image_name: str) -> tuple[Path, Encoded]:
    """See `Benchmark.encoded`: the photograph, and its label drawn."""
    where, text = self._drawn[image_name]
    image = self._data / image_name
    size = shown_size(image)
    objects = []
    for i, label, shape in json.loads(text):
      try:
        objects.append(_object(self.class_names.index(label) + 1, shape, size))
      except InputError:
        raise
      except ValueError as error:
        raise InputError(f'{where}: region {i} has {error}; draw it again') from error
    return image, draw_label(where, objects, size=size, class_names=self.class_names)


def is_via(content: Any) -> bool:
  """Tells whether the content of a JSON file is VIA's: a project, or regions by picture."""
  if not isinstance(content, dict):
    return False
  first = next(iter(content.values()), None)
  return '_via_img_metadata' in content or (
    isinstance(first, dict) and {'filename', 'regions'} <= first.keys()
  )


def _entries(path: Path) -> list[dict[str, Any]]:
  content = read_any_json(path)
  if not is_via(content):
    raise InputError(f'{path}: no JSON of VIA, as others beside it are; take it out of the folder')
  entries = content.get('_via_img_metadata', content)
  found: list[Any] = list(entries.values()) if isinstance(entries, dict) else [entries]
  for i, entry in enumerate(found):
    if not isinstance(entry, dict) or not isinstance(entry.get('filename'), str):
      raise InputError(f'{path}: entry {i + 1} has no filename; save it with VIA again')
  return found


def _regions(
  path: Path, entry: Mapping[str, Any], left: list[str]
) -> list[tuple[int, dict[str, Any]]]:
  """Checks a picture's regions; returns those with an inside, numbered, puts others on `left`."""
  regions = entry.get('regions')
  regions = list(regions.values()) if isinstance(regions, dict) else regions
  if not isinstance(regions, list):
    raise InputError(f'{path}: {entry["filename"]} has no list of regions; save it with VIA again')
  found, without = [], []
  for i, region in enumerate(regions, 1):
    where = f'{path}: {entry["filename"]}: region {i}'
    shape = region.get('shape_attributes') if isinstance(region, dict) else None
    if not isinstance(shape, dict) or not isinstance(region.get('region_attributes', {}), dict):
      raise InputError(f'{where} has no shape_attributes; save it with VIA again')
    kind = shape.get('name')
    if kind in _WITHOUT_INSIDE:
      without.append(f'{where}, a {kind},')
    elif isinstance(kind, str) and kind in _SHAPES:
      _check_place(where, kind, shape)
      found.append((i, region))
    else:
      raise InputError(f'{where} is a {str(kind)[:40]!r}; draw a {", ".join(_SHAPES)}')
  check_insides(found, without, _SHAPES)
  left += without
  return found


def _check_place(where: str, kind: str, shape: Mapping[str, Any]) -> None:
  """Raises InputError unless a shape has all the numbers that say where it is."""
  values: list[Any] = [shape.get(key) for key in _SHAPES[kind]]
  if kind == 'polygon':
    if not all(isinstance(v, list) for v in values) or len(values[0]) != len(values[1]):
      raise InputError(f'{where} is a polygon without as many x as y; save it with VIA again')
    if len(values[0]) < 3:
      raise InputError(f'{where} is a polygon of fewer than 3 points; draw it again or delete it')
    values = [number for numbers in values for number in numbers]
  if not all(_is_number(value) for value in (*values, shape.get('theta', 0))):
    raise InputError(f'{where} has a {kind} whose place is no number; draw it again')


def _is_number(value: Any) -> bool:
  return type(value) in (int, float) and abs(value) < 1e9  # None of NaN and infinity.


def _picture(data: Path, path: Path, named: str) -> str | None:
  """Names the image: its path in the folder. VIA may have it with a place of another computer."""
  for name in (inner_name(named), inner_name(named.replace('\\', '/').rsplit('/', 1)[-1])):
    for place in (path.parent, path.parent / 'images'):
      if name is not None and (found := held_file(place / name)):
        return found.relative_to(data).as_posix()
  return None


def _values_of(region: Mapping[str, Any]) -> dict[str, list[str]]:
  """Returns the attributes of a region that have a value; a checkbox may have several."""
  found = {}
  for key, value in region.get('region_attributes', {}).items():
    chosen = [k for k, on in value.items() if on] if isinstance(value, dict) else [value]
    chosen = [str(c).strip() for c in chosen if isinstance(c, str | int | float)]
    if any(chosen):
      found[key] = [c for c in chosen if c]
  return found


def _class_attribute(path: Path, regions: Iterable[Mapping[str, Any]]) -> str | None:
  """Finds the attribute that names the class; None where no region has any."""
  keys = sorted({key for region in regions for key in _values_of(region)})
  if not keys:
    warnings.warn(
      f'{path}: no region has an attribute: all are taken for one class, {_OBJECT!r}', stacklevel=4
    )
    return None
  named = keys if len(keys) == 1 else [key for key in keys if key.strip().lower() in _CLASS]
  if len(named) != 1:
    raise InputError(
      f'{path}: regions have the attributes {", ".join(keys)}, and which is the class is not plain;'
      ' call that one class in VIA'
    )
  return named[0]


def _class_of(where: str, region: Mapping[str, Any], attribute: str | None) -> str:
  if attribute is None:
    return _OBJECT
  values = _values_of(region).get(attribute, [])
  if len(values) != 1:
    what = f'{len(values)} values' if values else 'no value'
    raise InputError(f'{where} has {what} of {attribute}, its class; give it one')
  return values[0]


def _object(value: int, shape: Mapping[str, Any], size: tuple[int, int]) -> Object:
  """Makes a checked shape an object to paint; ValueError where it does not fit its picture."""
  kind = shape['name']
  values = [shape[key] for key in _SHAPES[kind]]
  if kind == 'polygon':
    return outlined(value, [[float(v) for pair in zip(*values, strict=True) for v in pair]], size)
  if kind == 'rect':
    x, y, width, height = values
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return outlined(value, [corners], size)
  x, y, radii = values[0], values[1], (values[2], values[-1])
  if min(radii) <= 0:
    raise ValueError(f'a {kind} of radius {min(radii)}')
  check_points([x - max(radii), y - max(radii), x + max(radii), y + max(radii)], size)
  return patched(value, _ellipse(x, y, radii, float(shape.get('theta', 0)), size))


def _ellipse(
  x: float, y: float, radii: tuple[float, float], theta: float, size: tuple[int, int]
) -> np.ndarray:
  """Draws an ellipse whose first axis is turned by `theta`, row by row to take little memory."""
  mask = np.zeros(size, bool)
  across = np.arange(size[1]) + 0.5 - x
  cosine, sine = math.cos(theta), math.sin(theta)
  for row in range(max(0, int(y - max(radii))), min(size[0], int(y + max(radii)) + 1)):
    down = row + 0.5 - y
    with np.errstate(over='ignore'):  # A radius next to 0 has everything infinitely far outside.
      along = (across * cosine + down * sine) / radii[0]
      athwart = (down * cosine - across * sine) / radii[1]
      mask[row] = along**2 + athwart**2 <= 1
  return mask
