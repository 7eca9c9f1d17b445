"""Reads a user's own pictures with one COCO-style JSON file, as CVAT and others export it."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.own_pictures.layouts import check_found, check_size, inner_name
from data_pipelines.reading import outlines
from data_pipelines.reading.images import Encoded, encode_png
from hsnet_jax.errors import InputError

KEYS = {
  'images': ('id', 'file_name', 'height', 'width'),
  'annotations': ('image_id', 'category_id', 'segmentation'),
  'categories': ('id', 'name'),
}


class CocoJson:
  """Reads images in a folder or in its `images`, their outlines in one JSON file.

  Categories with an annotation become the classes, in the order of their ids; an image is listed
  once for each class that it shows. Objects are drawn from the largest to the smallest, so that the
  smaller one of two that overlap stays whole. Regions of a crowd count as their class, under every
  single object.

  Args:
    data: the folder.
    path: the JSON file.
    content: what it holds.

  Raises:
    InputError: the file lacks something, contradicts itself, or names an image that is not there.
  """

  kind = 'coco'
  boundary = None

  def __init__(self, data: Path, path: Path, content: Mapping[str, Any]):
    """Checks the annotations; draws nothing and opens no picture."""
    self._data, self._path = data, path
    rows = {key: _rows(path, content, key) for key in KEYS}
    images = _by_id(path, rows['images'], 'image')
    categories = _by_id(path, rows['categories'], 'category')
    found: dict[Any, list[dict[str, Any]]] = {}
    used = set()
    for i, row in enumerate(rows['annotations']):
      _check_annotation(path, row, i, images, categories)
      used.add(row['category_id'])
      found.setdefault(row['image_id'], []).append(row)
    if not used:
      raise InputError(f'{path}: no annotation; draw outlines and export it again')
    # Exports often have a category more, the data set itself or a class not drawn yet.
    unused = [str(c['name']) for key, c in categories.items() if key not in used]
    if unused:
      warnings.warn(f'{path}: left out categories without annotation: {unused}', stacklevel=3)
    ids = sorted(used, key=lambda key: (isinstance(key, str), key))
    self.class_names = tuple(str(categories[key]['name']) for key in ids)
    numbers = {key: class_id for class_id, key in enumerate(ids)}
    if len(set(self.class_names)) < len(ids):
      raise InputError(f'{path}: two categories of one name; rename one or merge them')
    self._images: dict[str, bytes] = {}
    items = []
    for name, image in self._names({key: images[key] for key in images if key in found}).items():
      drawn = [
        (numbers[a['category_id']], bool(a.get('iscrowd')), a['segmentation'])
        for a in found[image['id']]
      ]
      # Text takes a tenth of the memory of what is parsed from it.
      self._images[name] = json.dumps([image['height'], image['width'], drawn]).encode()
      items += [(name, class_id) for class_id in sorted({d[0] for d in drawn})]
    self.items = tuple(items)

  def encoded(self, image_name: str) -> tuple[Path, Encoded]:
    """See `Benchmark.encoded`: the photograph, and its label drawn."""
    height, width, drawn = json.loads(self._images[image_name])
    image, where = self._data / image_name, f'{self._path}: {image_name}'
    check_size(where, (height, width), image)
    try:
      label = outlines.draw(drawn, size=(height, width), num_classes=len(self.class_names))
    except InputError:
      raise
    except Exception as error:  # pycocotools raises nearly anything on a damaged outline.
      raise InputError(f'{where}: {error}; draw this outline again') from error
    if not label.any():
      raise InputError(f'{where}: its outlines hold no pixel; draw them again or take them out')
    return image, encode_png(label, name=f'{self._path}: outlines of {image_name}')

  def _names(self, images: Mapping[Any, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Maps each path in the folder to its entry, from entries by their ids."""
    named: dict[str, Mapping[str, Any]] = {}
    missing = []
    for image in images.values():
      name = inner_name(image['file_name'])
      if name is None:
        raise InputError(
          f'{self._path}: file_name {image["file_name"]!r} leads out of the folder; put the images'
          f' into {self._data} or its images/ and write their names alone'
        )
      name = next((n for n in (name, f'images/{name}') if (self._data / n).is_file()), name)
      if not (self._data / name).is_file():
        missing.append(f'{self._path}: image {name}')
      elif name in named:
        raise InputError(f'{self._path}: two entries for image {name}; keep one')
      named[name] = image
    check_found(
      missing, fix=f'no such file in {self._data} or its images/; add it or take its entry out'
    )
    return dict(sorted(named.items()))


def _rows(path: Path, content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
  rows = content.get(key)
  if not isinstance(rows, list):
    raise InputError(
      f'{path}: has no list of {key!r}; a COCO file has {", ".join(KEYS)}: export it again'
    )
  for i, row in enumerate(rows):
    lacking = [k for k in KEYS[key] if not isinstance(row, dict) or k not in row]
    if lacking:
      raise InputError(f'{path}: {key}[{i}] has no {lacking[0]!r}; export it again')
    if not all(isinstance(row[k], int | str) for k in KEYS[key] if k.endswith('id')):
      raise InputError(f'{path}: {key}[{i}] has an id that is no number; export it again')
    if key == 'images' and not all(type(row[k]) is int for k in ('height', 'width')):
      raise InputError(f'{path}: images[{i}] has a height or width that is no whole number')
  return rows


def _by_id(path: Path, rows: Sequence[dict[str, Any]], what: str) -> dict[Any, dict[str, Any]]:
  found = {row['id']: row for row in rows}
  if len(found) < len(rows):
    ids = [row['id'] for row in rows]
    twice = next(i for i in ids if ids.count(i) > 1)
    raise InputError(f'{path}: {what} id {twice!r} twice; ids must differ: export it again')
  return found


def _check_annotation(
  path: Path, row: dict[str, Any], i: int, images: Mapping[Any, Any], categories: Mapping[Any, Any]
) -> None:
  where = f'{path}: annotation {row.get("id", f"number {i}")}'
  for key, known, many in (
    ('image_id', images, 'images'),
    ('category_id', categories, 'categories'),
  ):
    if row[key] not in known:
      raise InputError(f'{where} has {key} {row[key]!r}, which is not in {many}; export it again')
  try:
    outlines.check_polygons(row['segmentation'])
  except ValueError as error:
    image = images[row['image_id']]['file_name']
    raise InputError(
      f'{where} of {image} has {error}; draw the outline of the object (a box is not enough)'
    ) from error
