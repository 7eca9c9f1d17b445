"""Finds the pictures that predict is to segment, says what is left out and why, and reads them.

A folder holds more than photographs: masks that were drawn for them, results of an earlier
prediction, what systems leave behind. None of it is taken for a query unless it is named itself.
"""

import collections
import dataclasses
import hashlib
import io
import os
import pathlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from typing import NoReturn

import numpy as np
from PIL import Image

from data_pipelines.reading.files import IMAGE_ENDINGS, predicted_from
from data_pipelines.reading.images import Encoded, read_image
from experiments.storage.folders import is_export
from experiments.storage.results import MARKS, is_marked
from hsnet_jax.errors import InputError

# Whose further pictures are pages or frames; a camera's MPO holds another view, for 3D.
_PAGED = ('TIFF', 'GIF', 'WEBP', 'PNG', 'AVIF')
_SUBFILE, _NO_PAGE = 254, 0b101  # TIFF's tag of copies of fewer pixels, and of masks.
_MASK, _RESULTS = 'masks beside pictures', 'results'
_COLORS = 256  # A picture with more is no mask.
_NAMED = 3  # So many files of a kind make a message.


@dataclasses.dataclass(frozen=True)
class Query:
  """Names a picture to segment.

  Attributes:
    path: its file.
    name: of its results: the path in the output folder, without `_predicted.png`.
    page: of a file of several pictures, which, from 1.
    pixels: how many it has, as its head says; 0 if that cannot be read.
  """

  path: pathlib.Path
  name: pathlib.PurePath
  page: int | None = None
  pixels: int = 0

  def __str__(self) -> str:
    """Returns what messages call it."""
    return str(self.path) if self.page is None else f'{self.path}, page {self.page}'


class LeftOut:
  """Counts what is passed over in folders, by reason."""

  def __init__(self) -> None:
    """Begins with nothing."""
    self._found: dict[str, list[pathlib.Path]] = collections.defaultdict(list)

  def add(self, reason: str, paths: Iterable[pathlib.Path]) -> None:
    """Counts files, or folders, that are passed over.

    Args:
      reason: what they are, in the plural.
      paths: the files.
    """
    self._found[reason] += paths

  def __str__(self) -> str:
    """Returns all in a line, the first few by name; empty if nothing was left out."""
    told = []
    for reason, paths in self._found.items():
      names = [path.name for path in paths[:_NAMED]] + ['...'] * (len(paths) > _NAMED)
      if paths:
        told.append(f'{reason}: {len(paths)} ({", ".join(names)})')
    return '; '.join(told)


def find_queries(
  names: Sequence[str],
  *,
  output_dir: str | os.PathLike | None = None,
  masks: Sequence[str | os.PathLike] = (),
  recursive: bool = False,
) -> tuple[list[Query], LeftOut]:
  """Lists the pictures to segment.

  Args:
    names: files and folders; `~` is the user's home.
    output_dir: where the results will go; what is named as a result there is no query.
    masks: files of the support masks, which are no queries.
    recursive: whether to go into folders of folders.

  Returns:
    The pictures, those of each folder in the order of their names, every page of a file that has
    several; and what was left out. No two have the same name.

  Raises:
    InputError: nothing is named, a file is not there, or a folder has no picture. Whether files
      are pictures is not looked at.
  """
  if not names:
    raise InputError('`query` is missing: name images or folders of images')
  own = {path_of(mask).resolve() for mask in masks}
  results = path_of(output_dir).resolve() if output_dir is not None else None
  left = LeftOut()
  found: dict[pathlib.Path, tuple[pathlib.Path, pathlib.PurePath]] = {}
  for path in map(path_of, names):
    inside = [(path, pathlib.PurePath())]
    if path.is_dir():
      inside = list(_walk(path, left, own=own, results=results, recursive=recursive))
      if not inside:
        why = f'; left out: {left}' if str(left) else ''
        raise InputError(f'{path}: no image in this folder (`query`){why}')
    elif not path.exists():
      raise InputError(f'{path}: no such file or folder; check `query`')
    for file, folder in inside:
      found.setdefault(file.resolve(), (file, folder))
  queries = []
  for file, name in _named(list(found.values())):
    pixels, pages = _head(file, left)
    several = len(pages) > 1
    queries += [
      Query(file, name.with_name(f'{name.name}-page{page}') if several else name, page, pixels)
      for page in pages
    ]
  return queries, left


def read_query(query: Query) -> np.ndarray:
  """Reads a picture, upright.

  Args:
    query: which.

  Returns:
    uint8 `[h, w, 3]`.

  Raises:
    InputError: it cannot be read.
  """
  if query.page is None:
    return read_image(query.path)
  out = io.BytesIO()
  try:
    with Image.open(query.path) as image:
      image.seek(query.page - 1)
      # A picture of its own, of the same kind, which is then read as all others are.
      image.copy().save(out, 'TIFF', compression='raw')
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    line = ' '.join(str(error).split())
    raise InputError(f'{query}: cannot be read ({line}); save it as a file of its own') from error
  return read_image(Encoded(out.getvalue(), str(query)))


def digest_of(query: Query) -> str:
  """Returns a digest of a picture's file, and the page in it."""
  with open(query.path, 'rb') as file:
    found = hashlib.file_digest(file, 'sha256').hexdigest()
  return found if query.page is None else f'{found} page {query.page}'


def path_of(name: str | os.PathLike) -> pathlib.Path:
  """Returns a path whose `~` is the user's home."""
  # Unlike a path's own method, this leaves a name such as ~a.jpg, where there is no user a.
  return pathlib.Path(os.path.expanduser(name))


def _walk(
  folder: pathlib.Path,
  left: LeftOut,
  *,
  own: Container[pathlib.Path],
  results: pathlib.Path | None,
  recursive: bool,
) -> Iterator[tuple[pathlib.Path, pathlib.PurePath]]:
  """Yields the photographs of a folder, and the folder in it that each is in."""

  def fail(error: OSError) -> NoReturn:
    raise error

  for at, folders, files in os.walk(folder, onerror=fail):
    inside = pathlib.Path(at)
    paths = [inside / name for name in sorted(files)]
    kinds = _kinds(paths)
    among_results = results is not None and inside.resolve().is_relative_to(results)
    for path in paths:
      reason = _reason(path, kinds) or (_MASK if path.resolve() in own else '')
      if not reason and among_results and predicted_from(path):
        reason = _RESULTS  # Changed so that its mark is lost.
      if reason:
        left.add(reason, [path])
      else:
        yield path, inside.relative_to(folder)
    deeper = [inside / name for name in sorted(folders) if not name.startswith('.')]
    exports = [path for path in deeper if is_export(path)]
    left.add('exports', exports)
    deeper = [path for path in deeper if path not in exports]
    entered = [path for path in deeper if recursive and not path.is_symlink()]
    folders[:] = [path.name for path in entered]
    left.add(
      'links to folders' if recursive else 'subfolders (--recursive goes into them)',
      [path for path in deeper if path not in entered],
    )


def _kinds(paths: Iterable[pathlib.Path]) -> dict[str, set[str]]:
  """Returns the endings of the pictures of a folder, by their names without them."""
  found: dict[str, set[str]] = collections.defaultdict(set)
  for path in paths:
    if path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith('.'):
      found[path.stem].add(path.suffix.lower())
      found[path.name].add(path.suffix.lower())
  return dict(found)


def _reason(path: pathlib.Path, kinds: Mapping[str, Set[str]]) -> str:
  """Says why a file of a folder is no query; empty if it is one."""
  if path.name == MARKS or (path.suffix == '.csv' and is_marked(path)):
    return _RESULTS
  if path.name.startswith('.'):
    return 'hidden files'
  if path.suffix.lower() not in IMAGE_ENDINGS or not path.is_file():
    return 'files of other kinds'
  is_png = path.suffix.lower() == '.png'
  # An editor may have lost the mark, but not the name.
  if predicted_from(path) in kinds or (is_png and is_marked(path)):
    return _RESULTS
  if path.stem.endswith('_mask') and path.stem.removesuffix('_mask') in kinds:
    return _MASK
  if is_png and len(kinds[path.stem]) > 1 and _has_few_colors(path):
    return _MASK
  return ''


def _has_few_colors(path: pathlib.Path) -> bool:
  """Returns whether a picture may be a mask; a photograph is in color, and has more of them."""
  try:
    with Image.open(path) as image:
      return image.mode not in ('RGB', 'RGBA') or image.getcolors(_COLORS) is not None
  except Exception:  # Pillow's readers raise nearly anything; what is beside a picture is not it.
    return True


def _named(
  found: Sequence[tuple[pathlib.Path, pathlib.PurePath]],
) -> list[tuple[pathlib.Path, pathlib.PurePath]]:
  """Names the results of each file: without its ending, or by more where that would clash."""
  names = [folder / file.stem for file, folder in found]
  for longer in (lambda file: file.name, lambda file: f'{file.parent.name}_{file.name}'):
    times = collections.Counter(str(name).casefold() for name in names)
    names = [
      name if times[str(name).casefold()] == 1 else folder / longer(file)
      for name, (file, folder) in zip(names, found, strict=True)
    ]
  seen: dict[str, int] = collections.Counter()
  for i, name in enumerate(names):
    seen[str(name).casefold()] += 1
    number = seen[str(name).casefold()]
    names[i] = name if number == 1 else name.with_name(f'{name.name}-{number}')
  return [(file, name) for (file, _), name in zip(found, names, strict=True)]


def _head(path: pathlib.Path, left: LeftOut) -> tuple[int, list[int | None]]:
  """Returns a file's pixels and its pages; None stands for the only one.

  What is no image, and what is damaged, is met when it is read.
  """
  try:
    with Image.open(path) as image:
      pixels = image.width * image.height
      count = getattr(image, 'n_frames', 1) if image.format in _PAGED else 1
      if count == 1:
        return pixels, [None]
      pages: list[int | None] = []
      for number in range(count):
        image.seek(number)
        tags = getattr(image, 'tag_v2', {})
        if not tags.get(_SUBFILE, 0) & _NO_PAGE:
          pages.append(number + 1)
      left.add('smaller copies and masks in a TIFF', [path] * (count - len(pages)))
      return pixels, pages or [None]
  except Exception:  # Pillow's readers raise nearly anything.
    return 0, [None]
