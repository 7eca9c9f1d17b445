"""Reads a user's own pictures with COCO-style JSON, as CVAT, Roboflow and others export it."""

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from data_pipelines.own_pictures.drawing import draw_label
from data_pipelines.own_pictures.layouts import (
  check_found,
  check_size,
  held_file,
  inner_name,
  read_json,
  whole_number,
)
from data_pipelines.reading import outlines
from data_pipelines.reading.images import Encoded
from hsnet_jax.errors import InputError

KEYS = {
  'images': ('id', 'file_name', 'height', 'width'),
  'annotations': ('image_id', 'category_id', 'segmentation'),
  'categories': ('id', 'name'),
}
# How annotations that are no outlines are told, and what they are.
_OTHERS = {'caption': 'captions', 'segments_info': 'panoptic segments', 'keypoints': 'keypoints'}
# What tools put before a subset's name in that of its file.
_TASK = re.compile('(instances|person_keypoints|stuff|annotations|coco|labels)[_-]')


class CocoJson:
  """Reads images and their outlines in one JSON file, or in one for each of several subsets.

  Images lie in the folder, in its `images`, in a folder of the subset's name in either, or beside
  the file itself. Several files become one benchmark, their categories joined by name. Categories
  with an annotation become the classes, in the order of their ids; an image is listed once for each
  class that it shows. Of objects that overlap, the one of fewer pixels is on top. `iscrowd` says in
  an export of a tool how a shape is stored, and nothing of what it is.

  Args:
    data: the folder.
    paths: the JSON files.
    first: what the first of them holds, where it is read already.

  Raises:
    InputError: a file lacks something, contradicts itself or another, or names an image that is not
      there.
  """

  kind = 'coco'
  boundary: int | None = None

  def __init__(self, data: Path, paths: Sequence[Path], first: Mapping[str, Any] | None = None):
    """Checks the annotations; draws nothing and opens no picture."""
    self._data = data
    # Text takes a tenth of the memory of what is parsed from it.
    self._images: dict[str, tuple[Path, bytes]] = {}
    order: dict[str, tuple[bool, Any]] = {}
    shown: dict[str, set[str]] = {}
    unused: set[str] = set()
    read: list[Path] = []
    for path in _instances(paths):
      content = read_json(path) if first is None or path != paths[0] else first
      if kind := _other_kind(content):
        if len(paths) == 1:
          raise InputError(f'{path}: holds {kind}, no outlines; export the instances in its place')
        continue
      file = _File(path, content)
      read.append(path)
      for category, key in file.used.items():
        order[category] = min(order.get(category, key), key)
      unused.update(file.unused)
      for name, entry in self._named(file).items():
        if name in self._images:
          other = self._images[name][0]
          raise InputError(f'{other} and {path}: both have image {name}; keep one of them')
        self._images[name] = path, json.dumps(entry).encode()
        shown[name] = {category for category, _ in entry[2]}
    if not order:
      raise InputError(f'{paths[0]}: no annotation with an outline; draw some and export it again')
    # Exports often have a category more, the data set itself or a class not drawn yet.
    if left := sorted(unused.difference(order)):
      warnings.warn(f'{paths[0]}: left out categories without annotation: {left}', stacklevel=4)
    _tell(data, paths, read, len(self._images))
    self.class_names = tuple(sorted(order, key=lambda name: (order[name], name)))
    self._numbers = {name: class_id for class_id, name in enumerate(self.class_names)}
    self.items = tuple(
      (name, class_id)
      for name in sorted(shown)
      for class_id in sorted(self._numbers[category] for category in shown[name])
    )

  def encoded(self, image_name: str) -> tuple[Path, Encoded]:
    """See `Benchmark.encoded`: the photograph, and its label drawn."""
    path, entry = self._images[image_name]
    height, width, drawn = json.loads(entry)
    image, where, size = self._data / image_name, f'{path}: {image_name}', (height, width)
    check_size(where, size, image)
    try:
      objects = [outlines.outlined(self._numbers[name] + 1, s, size) for name, s in drawn]
    except InputError:
      raise
    except Exception as error:  # pycocotools raises nearly anything on a damaged outline.
      raise InputError(f'{where}: {error}; draw this outline again') from error
    return image, draw_label(where, objects, size=size, class_names=self.class_names)

  def _named(self, file: '_File') -> dict[str, Any]:
    """Maps the path in the folder of each image with annotations to (height, width, outlines)."""
    named: dict[str, Any] = {}
    missing = []
    for key, drawn in file.drawn.items():
      image = file.images[key]
      inner = inner_name(image['file_name'])
      # Label Studio and others write where the picture lay on their own machine.
      names = _last_parts(image['file_name']) if inner is None else [inner, unquote(inner)]
      places = [p + n for n in dict.fromkeys(names) for p in self._folders(file.path)]
      found = [held for place in places if (held := held_file(self._data / place))]
      if not found and inner is None:
        raise InputError(
          f'{file.path}: file_name {image["file_name"]!r} leads out of the folder, and no such'
          f' image is in it; put the images into {self._data} or its images/'
        )
      if not found:
        missing.append(f'{file.path}: image {inner}')
        continue
      name = found[0].relative_to(self._data).as_posix()
      if name in named:
        raise InputError(f'{file.path}: two entries for image {name}; keep one')
      named[name] = (*_size(image), drawn)
    check_found(
      missing,
      fix=f'no such file in {self._data} or its images/ or beside the JSON file; add it or take its'
      ' entry out',
    )
    return named

  def _folders(self, path: Path) -> list[str]:
    """Lists where the images of a JSON file may lie, each with its slash, from the folder on."""
    home = path.parent.parent if path.parent.name == 'annotations' else path.parent
    base = '' if home == self._data else f'{home.relative_to(self._data).as_posix()}/'
    subset = _TASK.sub('', path.stem)
    inside = ['', 'images/', f'images/{subset}/', f'{subset}/', f'{subset}/images/', 'data/']
    return [base + folder for folder in inside]


class _File:
  """Holds what one JSON file says, checked.

  Attributes:
    path: the file.
    images: its entries by id.
    drawn: (name of the category, outline) of every annotation by the id of its image.
    used: the place in the order of classes of each category that has an annotation, by name.
    unused: the names of the others.
  """

  def __init__(self, path: Path, content: Mapping[str, Any]):
    self.path = path
    info = content.get('info')
    # V7 wrote width and height where COCO has height and width, for years.
    turned = isinstance(info, dict) and info.get('description') == 'Exported from Darwin'
    rows = {key: _rows(path, content, key) for key in KEYS}
    self.images = _by_id(path, rows['images'], 'image')
    categories = _by_id(path, rows['categories'], 'category')
    for key, row in categories.items():
      if row['name'] in (None, ''):
        raise InputError(f'{path}: category {key} has no name; give it one')
    self.drawn: dict[str, list[tuple[str, Any]]] = {}
    used: set[str] = set()
    for i, row in enumerate(rows['annotations']):
      image, category = _key(row['image_id']), _key(row['category_id'])
      outline = _outline(path, row, i, self.images, categories)
      size = list(_size(self.images[image]))
      if turned and isinstance(outline, dict) and outline['size'] == size[::-1]:
        outline = {**outline, 'size': size}
      used.add(category)
      self.drawn.setdefault(image, []).append((str(categories[category]['name']), outline))
    self.unused = {str(c['name']) for key, c in categories.items() if key not in used}
    ids = {key: categories[key]['id'] for key in used}
    self.used = {
      str(categories[key]['name']): (isinstance(given, str), given) for key, given in ids.items()
    }
    if len(self.used) < len(ids):
      raise InputError(f'{path}: two categories of one name; rename one or merge them')


def _instances(paths: Sequence[Path]) -> Sequence[Path]:
  """Takes the instances where COCO's tasks lie beside one another: they tell the same images."""
  return [path for path in paths if path.name.startswith('instances')] or paths


def _tell(data: Path, paths: Sequence[Path], read: Sequence[Path], images: int) -> None:
  """Warns of files that are left out, and of several that become one benchmark."""
  if left := [str(path.relative_to(data)) for path in paths if path not in read]:
    warnings.warn(f'{data}: left out {left}, which hold no outlines of their own', stacklevel=5)
  if len(read) > 1:
    files = ', '.join(
      [str(path.relative_to(data)) for path in read[:3]] + ['...'] * (len(read) > 3)
    )
    warnings.warn(
      f'{data}: {len(read)} files ({files}) become one benchmark of {images} images, whose folds'
      ' are made of its classes',
      stacklevel=5,
    )


def _other_kind(content: Mapping[str, Any]) -> str:
  """Says what a file holds in place of outlines; '' where it has outlines or no annotation."""
  rows = content.get('annotations')
  first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
  if not content.keys() & KEYS.keys():
    return 'no COCO data'
  return '' if 'segmentation' in first else next((w for k, w in _OTHERS.items() if k in first), '')


def _rows(path: Path, content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
  rows = content.get(key)
  if not isinstance(rows, list):
    raise InputError(
      f'{path}: has no list of {key!r}; a COCO file has {", ".join(KEYS)}: export it again'
    )
  for i, row in enumerate(rows):
    lacking = [k for k in KEYS[key] if not isinstance(row, dict) or k not in row]
    # An annotation without an outline is told with the image that it is of.
    if lacking and lacking != ['segmentation']:
      raise InputError(f'{path}: {key}[{i}] has no {lacking[0]!r}; export it again')
    if not all(isinstance(row[k], int | str | float) for k in KEYS[key] if k.endswith('id')):
      raise InputError(f'{path}: {key}[{i}] has an id that is no number; export it again')
    if key == 'images' and None in _size(row):
      raise InputError(f'{path}: images[{i}] has a height or width that is no whole number')
  return rows


def _size(image: Mapping[str, Any]) -> tuple[int | None, int | None]:
  """Returns (height, width); None for what is no whole number."""
  return whole_number(image['height']), whole_number(image['width'])


def _key(given: int | str | float) -> str:
  """Returns an id as text: some tools write 3 in one place, '3' or 3.0 in another."""
  return str(int(given)) if isinstance(given, float) and given.is_integer() else str(given)


def _by_id(path: Path, rows: Sequence[dict[str, Any]], what: str) -> dict[str, dict[str, Any]]:
  found: dict[str, dict[str, Any]] = {}
  for row in rows:
    if found.setdefault(_key(row['id']), row) is not row:
      raise InputError(f'{path}: {what} id {row["id"]!r} twice; ids must differ: export it again')
  return found


def _outline(
  path: Path, row: dict[str, Any], i: int, images: Mapping[str, Any], categories: Mapping[str, Any]
) -> Any:
  """Checks an annotation; returns its outline as `outlines.run_lengths` takes it."""
  where = f'{path}: annotation {row.get("id", f"number {i}")}'
  for key, known, many in (
    ('image_id', images, 'images'),
    ('category_id', categories, 'categories'),
  ):
    if _key(row[key]) not in known:
      raise InputError(f'{where} has {key} {row[key]!r}, which is not in {many}; export it again')
  outline = _plain(row.get('segmentation'))
  try:
    outlines.check_polygons(outline)
  except ValueError as error:
    image = images[_key(row['image_id'])]['file_name']
    raise InputError(
      f'{where} of {image} has {error}; draw the outline of the object (a box is not enough)'
    ) from error
  return outline


def _plain(outline: Any) -> Any:
  """Brings polygons to COCO's form: a list of lists of x, y, x, y.

  VIA and others write the one polygon flat, some in pairs, Supervisely once put run lengths into a
  list. What has two points beside polygons has no inside, and goes.
  """
  if not isinstance(outline, list) or not outline:
    return outline
  if all(isinstance(n, int | float) for n in outline):
    return [outline]
  if len(outline) == 1 and isinstance(outline[0], dict):
    return outline[0]
  if len(outline) > 2 and _are_pairs(outline):
    return [_flat(outline)]
  polygons = [_flat(p) for p in outline]
  return [p for p in polygons if not isinstance(p, list) or len(p) > 4] or polygons


def _are_pairs(polygon: Any) -> bool:
  return isinstance(polygon, list) and all(isinstance(p, list) and len(p) == 2 for p in polygon)


def _flat(polygon: Any) -> Any:
  return [n for pair in polygon for n in pair] if _are_pairs(polygon) else polygon


def _last_parts(name: Any) -> list[str]:
  """Names a picture that lies elsewhere: the last part of its path, as it is and unquoted."""
  path = str(name).replace('\\', '/').split('?d=')[-1].split('?')[0]
  names = (inner_name(p) for p in (path.rsplit('/', 1)[-1], unquote(path).rsplit('/', 1)[-1]))
  return list(dict.fromkeys(name for name in names if name is not None))
