"""Reads the pictures of a folder, and nothing outside of it.

Only plain files that lie in the folder itself are listed, and links are none of them, wherever they
lead. A picture is opened by a name of that list, never by one that a request brings, and again
without following a link. Its bytes are read once, and all that is made of them is made of these.
"""

import contextlib
import errno
import functools
import hashlib
import io
import os
import pathlib
import stat
import struct
from collections.abc import Container, Iterator, Mapping
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from data_pipelines.reading.files import IMAGE_ENDINGS, pictures_alone
from data_pipelines.reading.images import Encoded, png_bytes, read_image
from experiments.labelling.database.files import GONE, File
from experiments.labelling.database.rows import Picture
from experiments.storage.results import is_marked
from hsnet_jax.errors import InputError

MOST_BYTES, LONGEST_SIDE = 2**29, 20_000
THUMBNAIL = 192
# What browsers show as it is stored, turned as EXIF says.
_SHOWN = {'JPEG': 'image/jpeg', 'MPO': 'image/jpeg', 'PNG': 'image/png', 'WEBP': 'image/webp'}
_NO_LINK = getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_NONBLOCK', 0)
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)
# Of what Pillow knows; others it would hand to programs, as EPS to Ghostscript.
_FORMATS = {'MPO', *(Image.registered_extensions()[ending] for ending in IMAGE_ENDINGS)}
_THUMBNAILS = 2000  # Kept in memory, of 5 kB each.


def list_pictures(folder: pathlib.Path, *, known: Container[str] = ()) -> dict[str, os.stat_result]:
  """Lists the pictures of a folder, hidden files, links, masks and results of others aside.

  Args:
    folder: the folder.
    known: names that are not looked into again, to find out whether they are results.

  Returns:
    What the system says of each file, by name.
  """
  with os.scandir(folder) as entries:
    files = {}
    for entry in entries:
      if _is_named_so(entry.name):
        with contextlib.suppress(FileNotFoundError):  # Gone since the folder was read.
          files[entry.name] = entry.stat(follow_symlinks=False)
  plain = {name: about for name, about in files.items() if stat.S_ISREG(about.st_mode)}
  paths = pictures_alone(folder / name for name in sorted(plain))
  stems = {path.stem for path in paths}
  masks = {f'{stem}_mask.png' for stem in stems} | {f'{path.name}_mask.png' for path in paths}
  return {
    path.name: plain[path.name]
    for path in paths
    if path.name in known or (path.name not in masks and not _is_result(path))
  }


def _is_result(path: pathlib.Path) -> bool:
  return path.suffix.lower() == '.png' and is_marked(path)


def _is_named_so(name: str) -> bool:
  """Says whether a name is a picture's, and one that can be written in an address."""
  try:
    name.encode()
  except UnicodeEncodeError:  # Bytes that are no UTF-8.
    return False
  return pathlib.PurePath(name).suffix.lower() in IMAGE_ENDINGS and not name.startswith('.')


def look(folder: pathlib.Path, known: Mapping[str, Picture]) -> tuple[list[File], list[str]]:
  """Looks at a folder for what has come, changed and gone.

  Args:
    folder: the folder.
    known: what is known of its pictures, by name.

  Returns:
    Files that are new or changed, and names of those that are gone.
  """
  there = list_pictures(folder, known=known)
  files = []
  for name, about in there.items():
    one = known.get(name)
    is_same = one is not None and (one.bytes, one.mtime) == (about.st_size, about.st_mtime_ns)
    # One that was gone, or could not be read, is looked at again.
    if one is None or not is_same or _is_gone(one) or one.width == 0:
      with contextlib.suppress(FileNotFoundError):  # The next look says that it is gone.
        files.append(look_at(folder, name, digest=one is not None and one.sha is not None))
  return files, [name for name, one in known.items() if name not in there and not _is_gone(one)]


def _is_gone(one: Picture) -> bool:
  return one.problem == GONE


def look_at(folder: pathlib.Path, name: str, *, digest: bool = False) -> File:
  """Looks at one file: its size, and that of its picture; the pixels are not decoded.

  Args:
    folder: where it lies.
    name: its name there.
    digest: whether its SHA-256 is asked for.
  """
  about = os.stat(folder / name, follow_symlinks=False)
  head = File(name, about.st_size, about.st_mtime_ns)
  try:
    with _opened(folder, name) as file:
      height, width = _size(file, name)
    sha = digest_of(read_file(folder, name)) if digest else None
  except InputError as error:
    line = ' '.join(str(error).split())[:500]
    return File(name, head.bytes, head.mtime, problem=line)
  return File(name, head.bytes, head.mtime, width, height, sha=sha)


def _size(file: BinaryIO, name: str) -> tuple[int, int]:
  """Returns (height, width) of a picture turned upright; its pixels are not decoded."""
  try:
    is_turned = _may_be_turned(file)
    file.seek(0)
    with Image.open(file) as image:
      if image.format not in _FORMATS:
        raise InputError(f'{name}: not an image of a known format; save it as JPEG or PNG')
      width, height = image.size
      if is_turned and image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE:
        width, height = height, width
  except InputError:
    raise
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    what = 'too many pixels' if isinstance(error, Image.DecompressionBombError) else 'damaged'
    what = 'no image' if isinstance(error, Image.UnidentifiedImageError) else what
    raise InputError(f'{name}: cannot be read ({what}); save it again') from error
  if max(height, width) > LONGEST_SIDE:
    raise InputError(f'{name}: {width} x {height}; pictures may have {LONGEST_SIDE:,} a side')
  return height, width


def _may_be_turned(file: BinaryIO) -> bool:
  """Says whether a file may say how it is turned.

  Of a PNG that is known without its pixels, which Pillow would decode to find it out.
  """
  if file.read(8) != b'\x89PNG\r\n\x1a\n':
    return True
  while len(head := file.read(8)) == 8:
    size, kind = struct.unpack('>I4s', head)
    if kind in (b'eXIf', b'tEXt', b'zTXt', b'iTXt'):
      return True
    file.seek(size + 4, os.SEEK_CUR)
  return False


@contextlib.contextmanager
def _opened(folder: pathlib.Path, name: str) -> Iterator[BinaryIO]:
  """Opens a picture's file, never through a link; raises `InputError` where it is none."""
  if name != os.path.basename(name) or name in ('', '.', '..'):
    raise InputError(f'{name}: no name of a file')
  try:
    handle = os.open(folder / name, os.O_RDONLY | _NO_LINK | getattr(os, 'O_BINARY', 0))
    with open(handle, 'rb') as file:
      about = os.fstat(handle)
      if not stat.S_ISREG(about.st_mode):
        raise InputError(f'{name}: no plain file')
      if about.st_size > MOST_BYTES:
        raise InputError(f'{name}: {about.st_size / 2**20:.0f} MB; at most 512 MB are read')
      yield file
  except OSError as error:
    if error.errno == errno.ELOOP:
      raise InputError(f'{name}: a link, which is not followed') from error
    raise InputError(f'{name}: cannot be read ({error.strerror or error})') from error


def read_file(folder: pathlib.Path, name: str) -> Encoded:
  """Reads the bytes of a picture's file.

  Args:
    folder: where it lies.
    name: its name there, of the list.

  Raises:
    InputError: it is gone, a link, no plain file, too large, or cannot be read.
  """
  with _opened(folder, name) as file:
    return Encoded(file.read(MOST_BYTES + 1)[:MOST_BYTES], name)


def read_picture(data: Encoded) -> UInt8[np.ndarray, 'h w 3']:
  """Decodes a picture, upright; `InputError` where it is none, damaged or too large."""
  _size(io.BytesIO(data.data), data.name)
  return read_image(data)


def digest_of(data: Encoded) -> str:
  """Returns the SHA-256 of a file."""
  return hashlib.sha256(data.data).hexdigest()


def for_browsers(data: Encoded) -> tuple[bytes, str]:
  """Returns what a browser shows, and its type: the file itself where it knows the format."""
  try:
    with Image.open(io.BytesIO(data.data)) as image:
      kind, is_deep = image.format, image.mode.startswith(('I', 'F'))
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    raise InputError(f'{data}: no image of a known format') from error
  if kind in _SHOWN and not is_deep:
    return data.data, _SHOWN[kind]
  return png_bytes(read_picture(data), name=str(data)).data, 'image/png'


def thumbnail(folder: pathlib.Path, one: Picture) -> bytes:
  """Makes a small JPEG of a picture; `InputError` where it cannot be read."""
  return _thumbnail(folder, one.name, one.bytes, one.mtime)


@functools.lru_cache(_THUMBNAILS)
def _thumbnail(folder: pathlib.Path, name: str, size: int, mtime: int) -> bytes:
  del size, mtime  # Of the file: another one has another thumbnail.
  data = read_file(folder, name)
  _size(io.BytesIO(data.data), data.name)
  small = _drafted(data)
  if small is None:
    small = Image.fromarray(read_image(data))
  small.thumbnail((THUMBNAIL, THUMBNAIL))
  out = io.BytesIO()
  small.save(out, 'JPEG', quality=80)
  return out.getvalue()


def _drafted(data: Encoded) -> Image.Image | None:
  """Decodes a JPEG at an eighth of its size or so; None where it is no such file."""
  try:
    with Image.open(io.BytesIO(data.data)) as image:
      if image.format not in ('JPEG', 'MPO'):
        return None
      image.draft('RGB', (2 * THUMBNAIL, 2 * THUMBNAIL))
      image.load()
      return ImageOps.exif_transpose(image).convert('RGB')
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    raise InputError(f'{data}: truncated or damaged') from error
