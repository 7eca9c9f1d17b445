"""Writes masks as annotation tools have them: COCO, LabelMe, YOLO and VOC, with their pictures.

All are made of the masks' own files, once these are done: so they are the same whatever stopped the
work meanwhile, and a later run may ask for another format and computes nothing.
"""

import functools
import io
import itertools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_pipelines.reading.files import IMAGE_ENDINGS
from experiments.evaluation.prediction.borders import polygons as polygons_of
from experiments.evaluation.prediction.queries import Query, read_query
from experiments.evaluation.prediction.summary import Result
from experiments.storage.folders import Source, write_export

# Of LabelMe's polygons alone, which people correct by hand; the others are exact.
_TOLERANCE = 0.4


class Labeled(NamedTuple):
  """Holds a picture of an export.

  Attributes:
    stem: what its files are called, without what they end in.
    file: what the picture is called.
    source: what it is a copy of, or what makes it.
    label: reads what is where in it, uint8 `[h, w]`: 0 is background, i + 1 the class i.
    score: how sure of it the network is; None where a person drew it.
  """

  stem: str
  file: str
  source: Source
  label: Callable[[], np.ndarray]
  score: float | None


def export(
  results: Sequence[Result],
  folder: pathlib.Path,
  kind: str,
  *,
  of: Mapping[str, Any],
  class_name: str = 'object',
  polygons: bool = False,
) -> pathlib.Path:
  """Writes all masks in one format, into a folder of its own that is read as it is.

  Args:
    results: what was found.
    folder: where the format's folder is made.
    kind: coco, labelme, yolo or voc.
    of: what they are results of.
    class_name: what the object is called.
    polygons: whether COCO's outlines are polygons, not run lengths.

  Returns:
    The format's folder: `folder/kind`, or with a number where something else lies.
  """
  files = files_of_format(_pictures(results), kind, class_names=(class_name,), polygons=polygons)
  of = {**of, **({'polygons': True} if polygons and kind == 'coco' else {})}
  return write_export(folder / kind, files, of=of)


def files_of_format(
  pictures: Sequence[Labeled],
  kind: str,
  *,
  class_names: Sequence[str],
  polygons: bool = False,
) -> dict[str, Source]:
  """Makes the files of one format, the pictures among them.

  Args:
    pictures: with their labels.
    kind: coco, labelme, yolo or voc.
    class_names: what is called what, the label's 1 first.
    polygons: whether COCO's outlines are polygons, not run lengths.

  Returns:
    What makes each file, or what it is a copy of, by its path in the format's folder.
  """
  if kind == 'coco':
    place, files = 'images', _coco(pictures, class_names, polygons)
  else:
    place, make = _KINDS[kind]
    files = make(pictures, class_names)
  copies = {pathlib.PurePosixPath(place, one.file).as_posix(): one.source for one in pictures}
  return {**copies, **files}


def _shown(
  label: UInt8[np.ndarray, 'h w'], class_names: Sequence[str]
) -> list[tuple[int, UInt8[np.ndarray, 'h w']]]:
  """Lists the classes that a label shows, from 0, each with its mask."""
  present = np.bincount(label.ravel(), minlength=256)
  ids = [i for i in range(len(class_names)) if present[i + 1]]
  return [(i, (label == i + 1).astype(np.uint8)) for i in ids]


def _read_mask(path: pathlib.Path) -> UInt8[np.ndarray, 'h w']:
  """Reads the mask of a result, {0, 1}."""
  with Image.open(path) as image:
    return (np.asarray(image) > 0).astype(np.uint8)


def _pictures(results: Sequence[Result]) -> list[Labeled]:
  """Names each picture by its result, those of folders in one row: not all tools look deeper."""
  found: list[Labeled] = []
  taken: set[str] = set()
  for result in results:
    flat = result.query.name.as_posix().replace('/', '_')
    names = (flat if n == 1 else f'{flat}-{n}' for n in itertools.count(1))
    stem = next(name for name in names if name.casefold() not in taken)
    taken.add(stem.casefold())
    path = result.query.path
    alone = result.query.page is None and path.suffix.lower() in IMAGE_ENDINGS
    source: Source = path if alone else functools.partial(_page, result.query)
    file = stem + (path.suffix if alone else '.png')
    label = functools.partial(_read_mask, result.mask)
    found.append(Labeled(stem, file, source, label, result.confidence))
  return found


def _page(query: Query) -> bytes:
  return _png(Image.fromarray(read_query(query)))


def _png(image: Image.Image) -> bytes:
  out = io.BytesIO()
  image.save(out, 'PNG')
  return out.getvalue()


def _json(content: Mapping[str, Any]) -> bytes:
  return (json.dumps(content) + '\n').encode()


def _coco(
  pictures: Sequence[Labeled], class_names: Sequence[str], polygons: bool
) -> dict[str, Source]:
  """Makes one file of all pictures, with an annotation for each class that each shows."""

  def make() -> bytes:
    from pycocotools import mask as coder

    images, annotations = [], []
    for number, one in enumerate(pictures, 1):
      label = one.label()
      height, width = label.shape
      images.append({'id': number, 'file_name': one.file, 'width': width, 'height': height})
      for class_id, mask in _shown(label, class_names):
        encoded: Any = coder.encode(np.asfortranarray(mask))
        outline: Any = {'size': [height, width], 'counts': encoded['counts'].decode()}
        if polygons:
          outline = [points.ravel().tolist() for points in polygons_of(mask)]
        annotations.append(
          {
            'id': len(annotations) + 1,
            'image_id': number,
            'category_id': class_id + 1,
            'segmentation': outline,
            'area': int(coder.area(encoded)),
            'bbox': coder.toBbox(encoded).tolist(),
            'iscrowd': 0,
            **({} if one.score is None else {'score': one.score}),
          }
        )
    categories = [
      {'id': number, 'name': name, 'supercategory': ''}
      for number, name in enumerate(class_names, 1)
    ]
    return _json({'images': images, 'annotations': annotations, 'categories': categories})

  return {'annotations/instances.json': make}


def _labelme(pictures: Sequence[Labeled], class_names: Sequence[str]) -> dict[str, Source]:
  """Makes a file a picture, a polygon for each object."""

  def make(one: Labeled) -> bytes:
    label = one.label()
    shapes = [
      {
        'label': class_names[class_id],
        'points': points.tolist(),
        'group_id': None,
        'description': '',
        'shape_type': 'polygon',
        'flags': {},
      }
      for class_id, mask in _shown(label, class_names)
      for points in polygons_of(mask, centers=True, tolerance=_TOLERANCE)
    ]
    head = {'version': '5.5.0', 'flags': {}, 'shapes': shapes}
    size = {'imageHeight': label.shape[0], 'imageWidth': label.shape[1]}
    return _json({**head, 'imagePath': one.file, 'imageData': None, **size})

  return {f'{one.stem}.json': functools.partial(make, one) for one in pictures}


def _yolo(pictures: Sequence[Labeled], class_names: Sequence[str]) -> dict[str, Source]:
  """Makes a file a picture, a line for each object: its class and its corners as fractions."""

  def make(one: Labeled) -> bytes:
    label = one.label()
    sides = np.array(label.shape[::-1], np.float64)
    outlines = [
      (class_id, (points / sides).ravel().tolist())
      for class_id, mask in _shown(label, class_names)
      for points in polygons_of(mask)
    ]
    lines = (f'{class_id} {" ".join(f"{c:.6f}" for c in line)}\n' for class_id, line in outlines)
    return ''.join(lines).encode()

  # A name in quotes may be any text, a number or `no` too.
  names = ''.join(
    f'  {class_id}: {json.dumps(name, ensure_ascii=False)}\n'
    for class_id, name in enumerate(class_names)
  )
  table = f'train: images\nval: images\nnames:\n{names}'
  labels = {f'labels/{one.stem}.txt': functools.partial(make, one) for one in pictures}
  return {'data.yaml': table.encode, **labels}


def _voc(pictures: Sequence[Labeled], class_names: Sequence[str]) -> dict[str, Source]:
  """Makes a PNG a picture, of PASCAL's palette: 0 is background, the class i is i + 1."""
  # Bits 0, 3 and 6 of a number are the highest of its red, bits 1, 4, 7 of its green, and so on.
  palette = [
    sum((number >> 3 * bit + channel & 1) << 7 - bit for bit in range(8))
    for number in range(256)
    for channel in range(3)
  ]

  def make(one: Labeled) -> bytes:
    image = Image.fromarray(one.label())
    image.putpalette(palette)
    return _png(image)

  names = ''.join(f'{name}\n' for name in ('_background_', *class_names))
  masks = {f'SegmentationClass/{one.stem}.png': functools.partial(make, one) for one in pictures}
  return {'class_names.txt': names.encode, **masks}


# Where pictures lie in the folder, and what makes the other files.
_KINDS: Mapping[
  str, tuple[str, Callable[[Sequence[Labeled], Sequence[str]], dict[str, Source]]]
] = {
  'labelme': ('', _labelme),
  'yolo': ('images', _yolo),
  'voc': ('JPEGImages', _voc),
}
