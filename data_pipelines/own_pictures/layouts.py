"""Says what a layout is, a way in which people lay out their own pictures, and what all share.

Layouts know which classes there are and where their pictures are. `folder` makes folds of them,
`recognition` has the table of all.
"""

import io
import json
import os
import unicodedata
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from PIL import Image

from data_pipelines.reading import images
from data_pipelines.reading.files import IMAGE_ENDINGS
from data_pipelines.reading.images import Source
from hsnet_jax.errors import InputError

# Of pixels that a user's mask leaves open, as PASCAL's do. No class_id + 1 comes near it.
OPEN = 65535
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap height and width.
_LONGEST_NAME, _LONGEST_PATH = 255, 2000
_HIDDEN = ('.', '__MACOSX')


class Layout(Protocol):
  """Describes a layout: what it says of a folder.

  Attributes:
    kind: the name that prepared sets record; it never changes.
    class_names: the name of each class_id.
    boundary: `OPEN` where labels may hold pixels that are left open, else None.
    items: (image name, class_id), once for each class that an image shows.
  """

  kind: str
  class_names: tuple[str, ...]
  items: tuple[tuple[str, int], ...]

  @property
  def boundary(self) -> int | None:
    """Returns `OPEN`, or None."""
    ...

  def encoded(self, image_name: str) -> tuple[Source, Source]:
    """See `Benchmark.encoded`; called from several threads at once."""
    ...


def check_size(where: str, size: tuple[int, int], image: Source) -> None:
  """Raises InputError unless an image has the size that a JSON file says.

  Only the image's head is read. Its sides may be swapped: EXIF data may turn it.

  Args:
    where: the JSON file, for the message.
    size: (height, width).
    image: the photograph.
  """
  height, width = shown_size(image)
  if size not in ((height, width), (width, height)):
    raise InputError(
      f'{where}: outlines for {size[1]} x {size[0]} pixels, but {image} has {width} x {height};'
      ' export them again for this picture'
    )


def shown_size(image: Source) -> tuple[int, int]:
  """Returns (height, width) of a photograph as viewers show it, of which only the head is read."""
  try:
    with Image.open(
      io.BytesIO(image.data) if isinstance(image, images.Encoded) else image
    ) as opened:
      width, height = opened.size
      turned = opened.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
  except Exception:  # Pillow's readers raise nearly anything; this names what is wrong.
    height, width = images.read_image(image).shape[:2]
    turned = False
  return (width, height) if turned else (height, width)


def used_classes(where: str, names: Mapping[int, str], used: Collection[int]) -> dict[int, int]:
  """Gives the classes that a picture shows their class_ids, in the order of their numbers.

  Args:
    where: what names them, for messages.
    names: the name of each number.
    used: the numbers that are drawn somewhere.

  Returns:
    {number: class_id}; a warning names the classes that are left out.

  Raises:
    InputError: nothing is drawn, or two classes have one name.
  """
  if not used:
    raise InputError(f'{where}: no object in any picture; draw outlines and export them again')
  if unused := [name for number, name in names.items() if number not in used]:
    warnings.warn(f'{where}: left out classes that no picture shows: {unused}', stacklevel=4)
  if len({names[number] for number in used}) < len(used):
    raise InputError(f'{where}: two classes of one name; rename one or merge them')
  return {number: class_id for class_id, number in enumerate(sorted(used))}


def classes_by_name(
  shown: Mapping[str, Collection[str]],
) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
  """Numbers classes in the order of their names, and lists each image under those that it shows.

  Args:
    shown: the classes' names by image, in the order that images are to be listed in.

  Returns:
    `class_names` and `items` of a `Layout`.
  """
  class_names = tuple(sorted(set().union(*shown.values())))
  numbers = {name: class_id for class_id, name in enumerate(class_names)}
  items = [
    (image, class_id)
    for image, names in shown.items()
    for class_id in sorted(numbers[name] for name in names)
  ]
  return class_names, tuple(items)


def pictures_below(folder: Path) -> dict[str, list[str]]:
  """Lists the pictures in a folder and in all folders of it: paths, by the same without ending."""
  found: dict[str, list[str]] = {}
  for path in files_below(folder):
    if path.suffix.lower() in IMAGE_ENDINGS:
      name = path.relative_to(folder)
      found.setdefault(name.with_suffix('').as_posix(), []).append(name.as_posix())
  return found


def only_picture(where: str, names: Sequence[str]) -> str | None:
  """Returns the one picture of a name, None where there is none; InputError for two."""
  if len(names) > 1:
    raise InputError(f'{where}: {names[0]} or {names[1]}? two images of one name; rename one')
  return names[0] if names else None


def tell_left_out(left: Sequence[str]) -> None:
  """Warns of shapes that have no inside: names the first, and says how many more there are."""
  if left:
    more = f' (and {len(left) - 1} more)' if len(left) > 1 else ''
    warnings.warn(f'{left[0]} is left out{more}: lines and points have no inside', stacklevel=5)


def check_insides(drawn: Collection[Any], without: Sequence[str], shapes: Collection[str]) -> None:
  """Raises InputError where a picture has shapes, and none of them has an inside.

  Args:
    drawn: those that have one.
    without: descriptions of those that have none.
    shapes: the kinds that have one, for the message.
  """
  if without and not drawn:
    raise InputError(f'{without[0]} has no inside; draw a {", ".join(shapes)} in its place')


def files_below(folder: Path) -> list[Path]:
  """Lists the files in a folder and in all folders of it, sorted, hidden ones aside.

  Links to folders are followed, each folder once.
  """
  found, known = [], set()
  for path, folders, names in os.walk(folder, followlinks=True):
    real = os.path.realpath(path)
    folders[:] = [] if real in known else sorted(n for n in folders if not n.startswith(_HIDDEN))
    if real not in known:
      found += [Path(path, n) for n in sorted(names) if not n.startswith(_HIDDEN)]
    known.add(real)
  return found


def read_text(path: Path) -> str:
  """Reads a text file in UTF-8; InputError where it cannot be read or is no such thing."""
  try:
    return path.read_text(encoding='utf-8-sig')
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror}); check the file') from error
  except ValueError as error:
    raise InputError(f'{path}: no text in UTF-8; export or save it again') from error


def read_any_json(path: Path) -> Any:
  """Reads a JSON file, whatever it holds; InputError where it cannot be read or is damaged."""
  try:
    return json.loads(path.read_bytes())  # Tells UTF-8 and 16, with a mark or without, by itself.
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror}); check the file') from error
  except (ValueError, RecursionError) as error:
    raise InputError(f'{path}: not valid JSON ({error}); export or save it again') from error


def read_json(path: Path) -> dict[str, Any]:
  """Reads a JSON object.

  Raises:
    InputError: the file cannot be read or holds no JSON object.
  """
  content = read_any_json(path)
  if not isinstance(content, dict):
    raise InputError(f'{path}: holds no JSON object; export or save it again')
  return content


def whole_number(given: Any) -> int | None:
  """Returns a number of JSON as a whole one, as 640.0 is; None for anything else."""
  if type(given) is int or (type(given) is float and given.is_integer()):
    return int(given)
  return None


def inner_name(name: Any) -> str | None:
  """Tidies a path that a JSON file names; None where it leads out of the folder or is no path."""
  path = PurePosixPath(str(name).replace('\\', '/'))
  lengths = [len(part.encode(errors='replace')) for part in path.parts]
  if max(lengths, default=0) > _LONGEST_NAME or len(str(path)) > _LONGEST_PATH:
    return None  # Systems refuse to look for it.
  outside = path.is_absolute() or '..' in path.parts or ':' in str(path) or '\0' in str(path)
  return None if outside or not isinstance(name, str) or not path.name else str(path)


def held_file(path: Path) -> Path | None:
  """Finds a file, also where its name has é in one sign and the disk in two, as Macs write it.

  Args:
    path: the file; what can be no name is not there.

  Returns:
    The path as the disk has it, or None.
  """
  forms = (path.name, *(unicodedata.normalize(form, path.name) for form in ('NFC', 'NFD')))
  paths = (path.with_name(name) for name in forms)
  # A path's own method raises for what can be no name.
  return next((found for found in paths if os.path.isfile(found)), None)


def check_found(missing: list[str], *, fix: str) -> None:
  """Raises InputError with the first of what is missing and how many more there are."""
  if missing:
    more = f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''
    raise InputError(f'{missing[0]}{more}: {fix}')


def visible(folder: Path) -> list[Path]:
  """Lists what a folder holds, sorted, without hidden files and those that systems leave behind."""
  with os.scandir(folder) as entries:
    names = [e.name for e in entries if not e.name.startswith(_HIDDEN)]
  return [folder / name for name in sorted(names)]
