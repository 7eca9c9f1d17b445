"""Draws the mask of one support image from a JSON file of outlines, LabelMe's or COCO's."""

import pathlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from data_pipelines.own_pictures.coco_json import KEYS, CocoJson
from data_pipelines.own_pictures.labelme import LabelMe
from data_pipelines.own_pictures.layouts import read_json
from data_pipelines.reading.images import Encoded
from hsnet_jax.errors import InputError

_NAMED = 5  # So many pictures of a file make a message.


def draw_outlines(
  path: pathlib.Path, image: pathlib.Path, *, class_name: str | None = None
) -> tuple[Encoded, int]:
  """Draws the label of a picture, and finds the class in it.

  Args:
    path: LabelMe's JSON file of the picture, or a COCO file that has it among others.
    image: the picture.
    class_name: the class; needed where the picture shows several.

  Returns:
    The label, and the value that the class has in it.

  Raises:
    InputError: the file is neither, is of other pictures, or is damaged; or the picture shows
      several classes, or not the one that is named.
  """
  content = read_json(path)
  if 'shapes' in content:
    layout, name = _labelme(path, image)
  elif content.keys() >= KEYS.keys():
    layout, name = _coco(path, content, image)
  else:
    raise InputError(
      f"{path}: neither LabelMe's JSON nor COCO's; give a mask, or export the outlines as COCO"
    )
  shown = {layout.class_names[class_id]: class_id for _, class_id in layout.items}
  if class_name is None and len(shown) > 1:
    raise InputError(
      f'{path}: {image.name} shows several classes; choose one with `support_class`, of'
      f' {", ".join(shown)}'
    )
  if class_name is not None and class_name not in shown:
    raise InputError(
      f'{path}: {image.name} shows no {class_name!r} (`support_class`), but {", ".join(shown)}'
    )
  return layout.encoded(name)[1], shown[class_name or next(iter(shown))] + 1


def _labelme(path: pathlib.Path, image: pathlib.Path) -> tuple[LabelMe, str]:
  layout = LabelMe(path.parent, [path])
  ((name, *_), *_) = layout.items
  # A file that holds its picture itself goes by its own name.
  if pathlib.PurePath(name).name not in (image.name, path.name):
    raise InputError(f'{path}: its outlines are of {name}, not of {image.name}; name its own image')
  return layout, name


def _coco(
  path: pathlib.Path, content: Mapping[str, Any], image: pathlib.Path
) -> tuple[CocoJson, str]:
  """Reads what a COCO file says of one picture, wherever the two lie."""
  there = image.parent / path.name
  folder = image.parent.parent if image.parent.name == 'annotations' else image.parent
  name = image.relative_to(folder).as_posix()
  try:
    return CocoJson(folder, [there], _narrowed(path, content, image, name)), name
  except InputError as error:
    raise InputError(str(error).replace(str(there), str(path))) from error


def _narrowed(
  path: pathlib.Path, content: Mapping[str, Any], image: pathlib.Path, name: str
) -> dict[str, Any]:
  """Returns a COCO file's content of one picture alone, which gets a name."""
  rows = {
    key: [row for row in content[key] if isinstance(row, dict)]
    if isinstance(content[key], list)
    else []
    for key in KEYS
  }
  found = [row for row in rows['images'] if image.name in _names(row)]
  # Pictures of one name in several folders are told apart by these.
  ends = str(image.absolute().as_posix())
  several = len(found) > 1
  found = [row for row in found if not several or ends.endswith(f'/{row.get("file_name")}')]
  if len(found) != 1:
    known = [str(row.get('file_name')) for row in rows['images']]
    names = ', '.join(known[:_NAMED]) + (', ...' if len(known) > _NAMED else '')
    raise InputError(
      f'{path}: has {"several pictures" if several else "no picture"} of the name {image.name};'
      f' it has {names or "none"}'
    )
  drawn = [row for row in rows['annotations'] if _same(row.get('image_id'), found[0].get('id'))]
  if not drawn:
    raise InputError(f'{path}: has no outline in {image.name}; draw one, or take another picture')
  used = [
    row
    for row in rows['categories']
    if any(_same(row.get('id'), one.get('category_id')) for one in drawn)
  ]
  images = [{**found[0], 'file_name': name}]
  return {**content, 'images': images, 'annotations': drawn, 'categories': used}


def _names(row: Mapping[str, Any]) -> tuple[str, str]:
  """Returns the file's name that an entry has, as it is and as it is in an address."""
  name = str(row.get('file_name')).replace('\\', '/').rsplit('/', 1)[-1]
  return name, unquote(name)


def _same(one: Any, other: Any) -> bool:
  """Returns whether two ids are one; some tools write one as a text, the other as a number."""
  one, other = (int(x) if isinstance(x, float) and x.is_integer() else x for x in (one, other))
  return one is not None and str(one) == str(other)
