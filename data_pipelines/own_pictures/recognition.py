"""Finds out how a user's pictures are laid out: one table of all layouts, one of what is not read.

A new layout is a row of `LAYOUTS`: what it is called, how a listing shows that it is there, and
what reads it. The first row that fits is taken. What fits none may fit a row of `FOREIGN`, which
says whose export it looks like and what to export in its place.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from data_pipelines.own_pictures.class_folders import ClassFolders, holds_masks
from data_pipelines.own_pictures.coco_json import KEYS, CocoJson
from data_pipelines.own_pictures.labelme import LabelMe
from data_pipelines.own_pictures.layouts import (
  Layout,
  read_any_json,
  read_json,
  visible,
)
from data_pipelines.own_pictures.tools.labelme_xml import LabelMeXml, is_labelme_xml
from data_pipelines.own_pictures.tools.supervisely import Supervisely, annotation_files
from data_pipelines.own_pictures.tools.via import Via, is_via
from data_pipelines.own_pictures.tools.voc import VocMasks, is_voc
from data_pipelines.own_pictures.tools.yolo import Yolo, is_yolo
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Seen:
  """Holds what a look at a folder shows; JSON is read once it is asked for.

  Attributes:
    data: the folder.
    inside: what it holds, sorted, without hidden files.
  """

  data: Path
  inside: tuple[Path, ...]

  @functools.cached_property
  def folders(self) -> list[Path]:
    """Lists the folders in it."""
    return [path for path in self.inside if path.is_dir()]

  @functools.cached_property
  def near(self) -> list[Path]:
    """Lists the files in it and in its folders, but for those where masks lie beside pictures."""
    deeper = [p for folder in self.folders if not holds_masks(folder) for p in visible(folder)]
    return [path for path in (*self.inside, *deeper) if not path.is_dir()]

  @functools.cached_property
  def jsons(self) -> list[Path]:
    """Lists the JSON files in it; else those in its `annotations`; else those of its folders.

    Where masks lie beside pictures, a JSON file there is what they were made of.
    """
    return _jsons_of(self.data) or [
      path for folder in self.folders if not holds_masks(folder) for path in _jsons_of(folder)
    ]

  @functools.cached_property
  def content(self) -> Any:
    """Reads the first JSON file; {} where there is none."""
    return read_any_json(self.jsons[0]) if self.jsons else {}

  @property
  def keys(self) -> set[str]:
    """Returns the keys of the first JSON file, or of the first entry where it is a list."""
    content = self.content[0] if isinstance(self.content, list) and self.content else self.content
    return set(content) if isinstance(content, dict) else set()

  def has_key(self, *keys: str) -> bool:
    """Tells whether the first JSON file is an object with one of these keys."""
    return isinstance(self.content, dict) and not self.keys.isdisjoint(keys)

  def lists(self, *keys: str) -> bool:
    """Tells whether the first JSON file is a list of objects with all of these keys."""
    return isinstance(self.content, list) and self.keys.issuperset(keys)

  def named(self, *endings: str) -> list[Path]:
    """Lists the files in it and in its folders whose names end so, in small letters."""
    return [path for path in self.near if path.name.lower().endswith(endings)]

  def begins(self, ending: str, *parts: str) -> bool:
    """Tells whether the first file of this ending has one of these texts in its first 4 kB."""
    for path in self.named(ending)[:1]:
      with open(path, 'rb') as file:
        head = file.read(4096)
      return any(part.encode() in head for part in parts)
    return False


def _jsons_in(folder: Path) -> list[Path]:
  inside = visible(folder) if folder.is_dir() else []
  return [path for path in inside if path.suffix.lower() == '.json' and path.is_file()]


def _jsons_of(folder: Path) -> list[Path]:
  return _jsons_in(folder) or _jsons_in(folder / 'annotations')


class Row(NamedTuple):
  """Describes a layout.

  Attributes:
    name: what people call it.
    fits: tells from a listing whether a folder is laid out so.
    read: reads such a folder.
  """

  name: str
  fits: Callable[[Seen], bool]
  read: Callable[[Seen], Layout]


class Foreign(NamedTuple):
  """Describes an export that is not read.

  Attributes:
    name: the tool, and what it calls the export.
    fits: tells from a listing whether a folder looks like it.
    fix: what to do.
  """

  name: str
  fits: Callable[[Seen], bool]
  fix: str


LAYOUTS = (
  Row('YOLO segmentation', lambda seen: is_yolo(seen.data), lambda seen: Yolo(seen.data)),
  Row(
    'Supervisely',
    lambda seen: bool(annotation_files(seen.data)),
    lambda seen: Supervisely(seen.data),
  ),
  Row("VOC's masks", lambda seen: is_voc(seen.data), lambda seen: VocMasks(seen.data)),
  Row('VIA', lambda seen: is_via(seen.content), lambda seen: Via(seen.data, seen.jsons)),
  Row(
    'LabelMe',
    lambda seen: seen.has_key('shapes'),
    lambda seen: LabelMe(seen.data, seen.jsons),
  ),
  Row('LabelMe XML', lambda seen: is_labelme_xml(seen.data), lambda seen: LabelMeXml(seen.data)),
  # Darwin and Datumaro have keys of the same names.
  Row(
    'COCO',
    lambda seen: seen.has_key(*KEYS) and not seen.has_key('item', 'items'),
    lambda seen: CocoJson(seen.data, seen.jsons, seen.content),
  ),
)

_COCO = 'which is not read: export COCO with polygons or masks in its place'
_BOXES = 'which holds boxes alone, and a box is no outline: draw outlines, and export '

FOREIGN = (
  Foreign('VIA 3 project', lambda seen: seen.has_key('view') and seen.has_key('metadata'), _COCO),
  Foreign(
    "Label Studio's own JSON",
    lambda seen: seen.lists('annotations', 'data') or seen.lists('annotator', 'lead_time'),
    _COCO,
  ),
  Foreign(
    'V7 Darwin JSON', lambda seen: seen.has_key('item', 'schema_ref') or seen.lists('item'), _COCO
  ),
  Foreign(
    'Datumaro JSON',
    lambda seen: seen.has_key('dm_format_version', 'items'),
    _COCO,
  ),
  Foreign('Scale JSON', lambda seen: seen.lists('task_id', 'response'), _COCO),
  Foreign(
    'Labelbox JSON', lambda seen: seen.lists('Labeled Data') or seen.lists('data_row'), _COCO
  ),
  Foreign('Labelbox or Scale NDJSON', lambda seen: bool(seen.named('.ndjson', '.jsonl')), _COCO),
  Foreign('VoTT JSON', lambda seen: seen.has_key('assets'), _COCO),
  Foreign(
    'CreateML JSON',
    lambda seen: (
      seen.lists('image', 'annotations') or bool(seen.named('_annotations.createml.json'))
    ),
    _BOXES + "'COCO Segmentation'",
  ),
  Foreign(
    'CVAT for video XML',
    lambda seen: seen.begins('.xml', '<track', '<mode>interpolation'),
    "which is not read: export 'COCO 1.0' or 'Segmentation mask 1.1' in its place",
  ),
  Foreign(
    'CVAT for images XML',
    lambda seen: seen.begins('.xml', '<annotations'),
    "which is not read: export 'COCO 1.0' or 'Segmentation mask 1.1' in its place",
  ),
  Foreign(
    'Pascal VOC XML',
    lambda seen: seen.begins('.xml', '<annotation'),
    _BOXES + "'Segmentation mask' or COCO",
  ),
  Foreign(
    'Darknet YOLO',
    lambda seen: bool(seen.named('obj.names', 'obj.data', '_darknet.labels')),
    _BOXES + "'Ultralytics YOLO Segmentation' or COCO",
  ),
  Foreign(
    'TFRecord',
    lambda seen: bool(seen.named('.tfrecord', '.record')),
    _BOXES + "'COCO Segmentation'",
  ),
  Foreign(
    "Roboflow's masks with _classes.csv",
    lambda seen: any((f / '_classes.csv').is_file() for f in (seen.data, *seen.folders)),
    "which is not read: export 'COCO Segmentation' in its place",
  ),
  Foreign(
    'CamVid masks',
    lambda seen: bool(seen.named('label_colors.txt')),
    "which are not read: export 'Segmentation mask 1.1' in their place",
  ),
  Foreign(
    'VIA CSV',
    lambda seen: seen.begins('.csv', 'region_shape_attributes'),
    'which is not read: export annotations as JSON in its place',
  ),
  Foreign(
    'a table of boxes (CSV)',
    lambda seen: (
      bool(seen.named('_annotations.csv')) or seen.begins('.csv', 'xmin', 'bbox', 'label_name')
    ),
    _BOXES + 'COCO or VGG JSON',
  ),
  Foreign(
    'a folder of images beside a folder of masks',
    lambda seen: (
      {f.name.lower() for f in seen.folders} >= {'images', 'masks'}
      or {f.name.lower() for f in seen.folders} >= {'imgs', 'masks'}
    ),
    'whose class has no name: make a folder of the class, with each mask beside its image as'
    ' name_mask.png',
  ),
)


def open_layout(data: Path) -> Layout:
  """Finds out how a folder is laid out, and reads it.

  Args:
    data: the folder, or one that holds nothing but it, as archives are unpacked.

  Returns:
    The layout.

  Raises:
    InputError: there is no such folder, it is empty or in none of the layouts.
  """
  if not data.is_dir():
    raise InputError(f'{data}: no such folder; `data_dir` must name the folder of your pictures')
  seen = Seen(data, tuple(visible(data)))
  row, inner = _fitting(seen), seen
  while row is None and len(inner.inside) == 1 and inner.folders:
    inner = Seen(inner.folders[0], tuple(visible(inner.folders[0])))
    row = _fitting(inner)
  if row is not None:
    return row.read(inner)
  if seen.jsons:
    read_json(seen.jsons[0])
    raise InputError(
      f'{seen.jsons[0]}: neither COCO (images, annotations, categories) nor LabelMe (shapes) nor'
      ' another known export; take it out of the folder or export it again'
    )
  if seen.folders:
    return ClassFolders(data)
  what = 'no class folder and no JSON file' if seen.inside else 'the folder is empty'
  raise InputError(
    f'{data}: {what}; it must hold a folder of images and masks for each class, or the export of an'
    ' annotation tool with its images (JSON, data.yaml or masks)'
  )


def _fitting(seen: Seen) -> Row | None:
  """Finds the row of a folder; InputError where it looks like what is not read."""
  for row in LAYOUTS:
    if row.fits(seen):
      return row
  for foreign in FOREIGN:
    if foreign.fits(seen):
      raise InputError(f'{seen.data}: looks like {foreign.name}, {foreign.fix}')
  return None
