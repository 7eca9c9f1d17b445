"""Reads YOLO segmentation, as Ultralytics, Roboflow, CVAT and Label Studio write it.

A text file for each picture has a line for each object: the number of its class and the corners of
its outline, x and y in turn, as fractions of width and height of the picture as viewers show it.
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data_pipelines.own_pictures.class_folders import holds_masks
from data_pipelines.own_pictures.drawing import draw_label
from data_pipelines.own_pictures.layouts import (
  check_found,
  files_below,
  only_picture,
  pictures_below,
  read_text,
  shown_size,
  used_classes,
)
from data_pipelines.reading.files import IMAGE_ENDINGS
from data_pipelines.reading.images import Encoded
from data_pipelines.reading.outlines import outlined
from hsnet_jax.errors import InputError

_NAMES = ('data.yaml', 'data.yml', 'dataset.yaml', 'classes.txt', 'labels.txt')
_LARGEST_YAML = 1 << 18
_MOST_BRACKETS = 500  # The reader's time grows with the square of their depth.
# Of numbers that were rounded, or divided by a size that was.
_ROUNDING = 1e-3
# Text files that tools put beside the labels.
_NO_LABELS = re.compile(r'(readme.*|classes|labels|names|train|val|valid|test|autosplit_.*)\.txt')


class Yolo:
  """Reads pictures with a text file of outlines for each.

  The text file of `images/a.jpg` is `labels/a.txt`, with folders of subsets around or inside both
  (`train/images`, `images/train`), or `a.txt` beside the picture. All subsets are read: folds
  divide classes. What `data.yaml` says of paths is passed over, since exports are
  moved. A picture without objects is not listed.

  Args:
    data: the folder.

  Raises:
    InputError: a line is no outline, a number no class, or a text file has no picture.
  """

  kind = 'yolo'
  boundary: int | None = None

  def __init__(self, data: Path):
    """Reads the text files; opens no picture."""
    self._data = data
    source, names = _class_names(data)
    self._files: dict[str, str] = {}
    shown: dict[str, set[int]] = {}
    sides = set()
    missing = []
    pictures = pictures_below(data)
    for path in label_files(data):
      drawn = _read_lines(path, names, source)
      name = only_picture(str(path), pictures.get(_stem_of_picture(data, path), ()))
      if name is None:
        missing.append(str(path))
      elif drawn:
        self._files[name] = path.relative_to(data).as_posix()
        shown[name] = {number for number, _ in drawn}
        sides |= {len(corners) // 2 for _, corners in drawn}
    check_found(
      missing,
      fix='no image of this name in the images/ beside its labels/; add the image, export with'
      ' images, or take the file out',
    )
    numbers = used_classes(str(source), names, set().union(*shown.values()))
    if sides == {4}:
      warnings.warn(
        f'{data}: every outline has four corners; if these are boxes, oriented ones, draw outlines',
        stacklevel=3,
      )
    self._numbers, self._names, self._source = numbers, names, source
    self.class_names = tuple(names[number] for number in numbers)
    self.items = tuple(
      (name, class_id)
      for name in sorted(shown)
      for class_id in sorted(numbers[number] for number in shown[name])
    )

  def encoded(self, image_name: str) -> tuple[Path, Encoded]:
    """See `Benchmark.encoded`: the photograph, and its label drawn."""
    image, path = self._data / image_name, self._data / self._files[image_name]
    height, width = size = shown_size(image)
    objects = []
    for number, corners in _read_lines(path, self._names, self._source):
      if number not in self._numbers:
        raise InputError(f'{path}: changed while it was in use; start again')
      scaled = [c * (height if i % 2 else width) for i, c in enumerate(corners)]
      objects.append(outlined(self._numbers[number] + 1, [scaled], size))
    return image, draw_label(str(path), objects, size=size, class_names=self.class_names)


def is_yolo(data: Path) -> bool:
  """Tells whether a folder holds YOLO labels: by its YAML file, or by numbers in text files."""
  names = names_file(data)
  if names is not None and names.suffix != '.txt' and 'names' in _read_yaml(names):
    return True
  texts = label_files(data)
  if names is None:
    texts = [p for p in texts if p.parent == data or 'labels' in p.relative_to(data).parts]
  return any(_begins_with_number(path) for path in texts[:10])


def label_files(data: Path) -> list[Path]:
  """Lists the text files of outlines in a folder: those in a `labels`, or beside their pictures."""
  files = files_below(data)
  texts = [
    p for p in files if p.suffix.lower() == '.txt' and not _NO_LABELS.fullmatch(p.name.lower())
  ]
  within = [p for p in texts if 'labels' in p.relative_to(data).parts[:-1]]
  if within:
    return within
  stems = {p.with_suffix('') for p in files if p.suffix.lower() in IMAGE_ENDINGS}
  beside = [p for p in texts if p.with_suffix('') in stems]
  # Where masks lie there too, they are what is meant.
  masked = {folder for folder in {p.parent for p in beside} if holds_masks(folder)}
  return [p for p in beside if p.parent not in masked]


def names_file(data: Path) -> Path | None:
  """Finds the file with the names of the classes; None where there is none."""
  for name in _NAMES:
    if (data / name).is_file():
      return data / name
  for path in sorted(data.glob('*.y*ml')):
    if path.suffix in ('.yaml', '.yml') and 'names' in _read_yaml(path):
      return path
  return None


def _begins_with_number(path: Path) -> bool:
  with open(path, 'rb') as file:
    words = file.read(64).split()
  return bool(words) and words[0].replace(b'.', b'', 1).isdigit()


def _stem_of_picture(data: Path, path: Path) -> str:
  """Names the picture of a text file, without its ending: the last `labels` becomes `images`."""
  parts = list(path.relative_to(data).with_suffix('').parts)
  folders = parts[:-1]
  if 'labels' in folders:
    parts[len(folders) - 1 - folders[::-1].index('labels')] = 'images'
  return '/'.join(parts)


def _class_names(data: Path) -> tuple[Path, dict[int, str]]:
  """Returns the file with the names of the classes, and the name of each number."""
  path = names_file(data)
  if path is None:
    raise InputError(
      f"{data}: text files of YOLO's outlines, but no names of classes; add the export's data.yaml,"
      ' or classes.txt with a name in each line'
    )
  if path.suffix == '.txt':
    lines = [line.strip() for line in read_text(path).splitlines()]
    return path, {i: line for i, line in enumerate(lines) if line}
  content = _read_yaml(path)
  if 'kpt_shape' in content:
    raise InputError(
      f'{path}: of keypoints (kpt_shape), which are no outlines; export segmentation'
    )
  names = content.get('names')
  if isinstance(names, list):
    names = dict(enumerate(names))
  if not isinstance(names, dict) or not all(isinstance(n, str) and n for n in names.values()):
    raise InputError(f'{path}: names is no list of the names of the classes; export it again')
  try:
    return path, {int(number): name for number, name in names.items()}
  except (TypeError, ValueError) as error:
    raise InputError(f'{path}: names has a key that is no number; export it again') from error


def _read_yaml(path: Path) -> dict[Any, Any]:
  """Reads a YAML file of names; all scalars stay text, so that a class may be called no."""
  text = read_text(path)
  brackets = text.count('[') + text.count('{')
  if len(text) > _LARGEST_YAML or brackets > _MOST_BRACKETS:
    raise InputError(
      f'{path}: {len(text)} characters with {brackets} brackets are no list of classes; export it'
      ' again'
    )
  try:
    content = yaml.load(text, yaml.BaseLoader)  # noqa: S506
  except (yaml.YAMLError, RecursionError, ValueError) as error:
    line = ' '.join(str(error).split())
    raise InputError(f'{path}: not valid YAML ({line}); export it again') from error
  return content if isinstance(content, dict) else {}


def _read_lines(
  path: Path, names: Mapping[int, str], source: Path
) -> list[tuple[int, list[float]]]:
  """Reads (number of the class, corners) of each object of a text file."""
  drawn = []
  for i, line in enumerate(read_text(path).splitlines(), 1):
    words = line.split('#', 1)[0].split()
    if not words:
      continue
    where = f'{path}: line {i}'
    try:
      number, corners = float(words[0]), [float(word) for word in words[1:]]
    except ValueError as error:
      raise InputError(f'{where} is not numbers; export it again') from error
    if number not in names:
      raise InputError(
        f'{where} has class {words[0]}, which {source} does not name; export both again'
      )
    if len(corners) in (4, 5):
      raise InputError(
        f'{where} is a box, which is no outline; draw the outline of the object and export'
        ' segmentation'
      )
    if len(corners) < 6 or len(corners) % 2:
      raise InputError(
        f'{where} has {len(corners)} numbers after its class; an outline has x and y of three'
        ' corners or more'
      )
    if not all(-_ROUNDING <= c <= 1 + _ROUNDING for c in corners):
      wrong = next(c for c in corners if not -_ROUNDING <= c <= 1 + _ROUNDING)
      raise InputError(
        f'{where} has {wrong:g}; corners are fractions of the sides, 0 to 1: export it again'
      )
    drawn.append((int(number), [min(max(c, 0.0), 1.0) for c in corners]))
  return drawn
