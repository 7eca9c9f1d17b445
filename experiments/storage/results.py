"""Marks what commands write, so that none replaces what a person made, changed or compares.

A mark says what a file is a result of (which checkpoint, which supports, which flags: a few plain
values) and what was in it. A PNG carries its mark with it, as a text field with a digest of its
pixels, wherever it is copied to. Marks of other files are in `.hsnet-results.json` of their folder,
with digests of their bytes.

A command may write to a path where nothing is, and over its own unchanged result of the same. Where
anything else lies, its result gets the next number: `a_overlay-2.png`, `evaluation-2`.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

import hsnet_jax
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import replacing, writable_folder, write_text

# What the folder's file of marks is called.
MARKS = '.hsnet-results.json'
_FIELD = 'hsnet_jax'
_SOFTWARE = 'Software'
_STRIP = 2**22  # Pixels that are looked at together.

Of = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Mark:
  """Holds what a file's mark says, and whether it is still true.

  Attributes:
    of: what the file is a result of.
    unchanged: whether the file holds what the program wrote.
    found: what was found beside what the file shows; empty where nothing is said.
  """

  of: dict[str, Any]
  unchanged: bool
  found: dict[str, Any] = dataclasses.field(default_factory=dict)


def write_png(
  path: str | os.PathLike, image: Image.Image, *, of: Of, found: Mapping[str, Any] | None = None
) -> None:
  """Writes a PNG with its mark, whole or not at all.

  Args:
    path: the file.
    image: what it shows.
    of: what it is a result of: names to plain values, as JSON holds them.
    found: what was found beside what it shows, likewise, for `find_mark` to give back.
  """
  says = {'pixels': _pixels(image), 'of': dict(of), **({'found': dict(found)} if found else {})}
  fields = PngInfo()
  fields.add_text(_SOFTWARE, f'hsnet_jax {hsnet_jax.__version__}')
  fields.add_text(_FIELD, json.dumps(says))
  with replacing(path) as part:
    image.save(part, 'PNG', pnginfo=fields)


def mark(path: str | os.PathLike, *, of: Of) -> None:
  """Marks a file that has just been written, of any kind but PNG, in its folder's marks.

  Args:
    path: the file.
    of: what it is a result of, as for `write_png`.
  """
  path = Path(path)
  marks = _marks(path.parent)
  marks[path.name] = {'bytes': bytes_digest(path), 'of': dict(of)}
  software = f'hsnet_jax {hsnet_jax.__version__}'
  content = {_SOFTWARE: software, 'files': {name: marks[name] for name in sorted(marks)}}
  write_text(path.parent / MARKS, json.dumps(content, indent=2) + '\n')


def write_marked(path: str | os.PathLike, text: str, *, of: Of) -> Path:
  """Writes a text under the first number at which it replaces nothing else, and marks it.

  Args:
    path: the file.
    text: what is in it.
    of: what it is a result of, as for `write_png`.

  Returns:
    The file, perhaps with a number.
  """
  path = Path(path)
  # What holds these very words is this result, too: written just before something was killed.
  places = (numbered(path, number) for number in itertools.count(1))
  place = next(one for one in places if _holds(one, text) or may_write(one, of=of))
  write_text(place, text)
  mark(place, of=of)
  return place


def is_marked(path: str | os.PathLike) -> bool:
  """Returns whether a file says that the program wrote it; it may have been changed since."""
  return _mark(Path(path)) is not None


def find_mark(path: str | os.PathLike) -> Mark | None:
  """Finds what a file is a result of.

  Args:
    path: the file.

  Returns:
    Its mark; None where there is no file, or the program did not write it.
  """
  found = _mark(Path(path))
  if found is None:
    return None
  beside = found.get('found')
  unchanged = _is_unchanged(Path(path), found)
  return Mark(found['of'], unchanged, beside if isinstance(beside, dict) else {})


def is_unchanged(path: str | os.PathLike) -> bool:
  """Returns whether a file is one that the program wrote, as it wrote it."""
  found = find_mark(path)
  return found is not None and found.unchanged


def may_write(path: str | os.PathLike, *, of: Of) -> bool:
  """Says whether a result may be written to a path: nothing is there but the same one, unchanged.

  Args:
    path: the file.
    of: what the new one would be of.
  """
  path = Path(path)
  if not os.path.lexists(path):
    return True
  found = _mark(path)
  # What it is of is told by its head; only then is all of it looked at.
  same = json.loads(json.dumps(dict(of)))
  return found is not None and found['of'] == same and _is_unchanged(path, found)


def numbered(path: Path, number: int) -> Path:
  """Returns a path with a number before its ending: of 1 as it is, of 2 `name-2.png`."""
  return path if number == 1 else path.with_name(f'{path.stem}-{number}{path.suffix}')


def find_place(paths_of: Callable[[int], Sequence[Path]], *, of: Of) -> int:
  """Finds where results that belong together may be written.

  Args:
    paths_of: number to the files' paths, such as `lambda n: [numbered(mask, n), ...]`, or those in
      a folder of that number.
    of: what they would be of.

  Returns:
    The first number, from 1, at which each path may be written to.
  """
  return next(n for n in itertools.count(1) if all(may_write(p, of=of) for p in paths_of(n)))


@contextlib.contextmanager
def empty_folder(output_dir: str | None) -> Iterator[Path]:
  """Gives the folder that everything goes to: the one named, or a temporary one.

  Args:
    output_dir: the folder's name; None for one that goes when it is done.

  Yields:
    The folder, empty.

  Raises:
    InputError: it holds files already, or cannot be written to.
  """
  if output_dir:
    folder = writable_folder(output_dir, argument='output_dir')
    if any(folder.iterdir()):
      raise InputError(f'{folder}: holds files already; name an empty folder with `output_dir`')
    yield folder
  else:
    with tempfile.TemporaryDirectory(prefix='hsnet') as name:
      yield Path(name)


def _mark(path: Path) -> dict[str, Any] | None:
  """Returns {'of', 'pixels' or 'bytes'} of a file that was marked."""
  if path.suffix.lower() != '.png':
    return _marks(path.parent).get(path.name) if path.is_file() else None
  try:
    with Image.open(path, formats=('PNG',)) as image:
      found = json.loads(image.info[_FIELD])
  except Exception:  # Pillow raises nearly anything for what is no sound image; it is not ours.
    return None
  return found if _is_mark(found) else None


def _marks(folder: Path) -> dict[str, dict[str, Any]]:
  """Returns the marks that lie in a folder, by the files' names."""
  try:
    found = json.loads((folder / MARKS).read_text(encoding='utf-8'))['files']
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    return {}
  files = found if isinstance(found, dict) else {}
  return {name: one for name, one in files.items() if _is_mark(one)}


def _is_mark(found: Any) -> bool:
  return isinstance(found, dict) and isinstance(found.get('of'), dict)


def _is_unchanged(path: Path, found: Mapping[str, Any]) -> bool:
  """Returns whether a file holds what its mark says."""
  try:
    if path.suffix.lower() != '.png':
      return found.get('bytes') == bytes_digest(path)
    with Image.open(path) as image:
      image.load()
      # A title, a comment or a camera's data is a person's, too.
      own = set(image.info) <= {_FIELD, _SOFTWARE}
      return own and found.get('pixels') == _pixels(image)
  except Exception:  # As above: what cannot be read is not what was written.
    return False


def _pixels(image: Image.Image) -> str:
  """Returns a digest of what an image shows."""
  width, height = image.size
  digest = hashlib.sha256(f'{image.mode} {width} {height} '.encode())
  rows = max(1, _STRIP // max(width, 1))
  for top in range(0, height, rows):
    digest.update(image.crop((0, top, width, min(top + rows, height))).tobytes())
  return digest.hexdigest()


def _holds(path: Path, text: str) -> bool:
  try:
    return path.read_bytes() == text.encode()
  except OSError:
    return False


def bytes_digest(path: Path) -> str:
  """Returns a digest of a file's bytes."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
