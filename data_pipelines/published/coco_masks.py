"""Draws masks from COCO's own annotations, an `instances_*.json`."""

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from data_pipelines.reading import outlines
from data_pipelines.reading.images import Encoded, png_bytes
from hsnet_jax.errors import InputError

# COCO counts 80 categories from 1 to 90; a class_id is the place in this list.
CATEGORIES = tuple(i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))


class DrawnMasks:
  """Draws the labels of the images of one `instances_*.json` when they are asked for.

  The file is read once, when first needed, by whichever thread comes first; a copy in another
  process reads it anew. What is kept of it is little more than its text.

  Args:
    path: the JSON file.
  """

  def __init__(self, path: Path):
    """Reads nothing yet."""
    self._path = path
    self._lock = threading.Lock()
    self._images: Mapping[str, bytes] | InputError | None = None

  def __getstate__(self) -> dict[str, Path]:
    """Gives a worker process the path."""
    return {'_path': self._path}

  def __setstate__(self, state: dict[str, Path]) -> None:
    """Starts with a lock of its own, and nothing read."""
    self.__init__(state['_path'])

  def check(self, file_names: Iterable[str]) -> None:
    """Raises InputError where the file does not know an image."""
    for file_name in file_names:
      self._entry(file_name)

  def encoded(self, file_name: str) -> Encoded:
    """Draws the label of an image, and makes a PNG of it.

    Args:
      file_name: of the image, such as 'COCO_val2014_000000507081.jpg'.

    Returns:
      A PNG as the published ones: 0 background, class_id + 1 a class. Objects are drawn from the
      largest to the smallest, so that the smaller one of two that overlap stays whole; regions of a
      crowd come before all of them.

    Raises:
      InputError: the file cannot be read, does not know the image, or has it wrong.
    """
    name = f'{self._path}: mask of {file_name}'
    height, width, objects = json.loads(self._entry(file_name))
    try:
      label = outlines.draw(objects, size=(height, width), num_classes=len(CATEGORIES))
    except InputError:
      raise
    except Exception as error:  # pycocotools raises nearly anything on a damaged outline.
      raise InputError(f'{name}: the annotation is damaged ({error}); fetch it again') from error
    return png_bytes(label, name=name)

  def _entry(self, file_name: str) -> bytes:
    with self._lock:
      if self._images is None:
        try:
          self._images = _read_instances(self._path)
        except InputError as error:
          self._images = error  # Else a damaged file would be read anew for every image.
    if isinstance(self._images, InputError):
      raise InputError(*self._images.args)
    if file_name not in self._images:
      raise InputError(f'{self._path}: has no image {file_name}; complete it or narrow the lists')
    return self._images[file_name]


def _read_instances(path: Path) -> dict[str, bytes]:
  """Maps each file name to the JSON of (height, width, [(class_id, is a crowd, outline)])."""
  try:
    content = json.loads(path.read_bytes())
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror}); check the path') from error
  except (ValueError, RecursionError) as error:
    raise InputError(f'{path}: truncated or damaged ({error}); fetch it again') from error
  try:
    names = {image['id']: image['file_name'] for image in content['images']}
    entries = {i['file_name']: (i['height'], i['width'], []) for i in content['images']}
    if len(entries) < len(content['images']):
      raise InputError(f'{path}: two images have one file name or id; fetch the file again')
    for a in content['annotations']:
      if a['category_id'] not in CATEGORIES:
        raise InputError(
          f'{path}: annotation {a.get("id")} has the unknown category {a["category_id"]!r};'
          ' COCO has 80 from 1 to 90'
        )
      class_id = CATEGORIES.index(a['category_id'])
      found = (class_id, bool(a.get('iscrowd', 0)), a['segmentation'])
      entries[names[a['image_id']]][2].append(found)
  except (KeyError, TypeError) as error:
    raise InputError(
      f'{path}: not the instances of COCO ({type(error).__name__}: {error}); fetch it again'
    ) from error
  # Text takes a tenth of the memory of what is parsed from it.
  return {name: json.dumps(entry).encode() for name, entry in entries.items()}
