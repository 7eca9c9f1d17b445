"""Opens images, files or their bytes in memory: decoded whole, or one error that says why not."""

import dataclasses
import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.reading.files import AnyPath
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Encoded:
  """Holds an image's file in memory, which every function here takes in place of a path.

  Attributes:
    data: the file's bytes.
    name: what messages call it.
  """

  data: bytes
  name: str

  def __str__(self) -> str:
    """Returns the name."""
    return self.name


# What is read: a file, or its bytes in memory.
PathLike = AnyPath | Encoded
# Where the file of an image or a mask of a benchmark is.
Source = Path | Encoded

# So many pixels are looked at twice; a byte holds no more than so many of a plain mask.
_MANY, _PER_BYTE = 4_000_000, 10_000
_TIFF_INTERPRETATION = 262
_WHITE_IS_ZERO = 0
_PNG = b'\x89PNG\r\n\x1a\n'
_LARGE_NOTE = 2**20
# What Pillow hands to Ghostscript, whatever the file is called.
_RUN = ('EPS',)
_HEIF_ENDINGS = ('.heic', '.heif', '.hif')


def open_image(path: PathLike) -> Image.Image:
  """Decodes a file whole, as it is shown: gray TIFF of 16 bits whose 0 is white is turned round.

  Raises:
    InputError: says what is wrong with the file.
  """
  try:
    return _decode(path)
  except InputError:
    raise
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    raise InputError(f'{path}: {_reason(path, error)}') from error


def _decode(path: PathLike) -> Image.Image:
  try:
    image = _load(path)
  except ValueError:
    # Pillow bounds what a PNG says beside its pixels; the pixels are sound without it.
    data = path.data if isinstance(path, Encoded) else Path(path).read_bytes()
    if not data.startswith(_PNG):
      raise
    image = _load(Encoded(_without_notes(data), str(path)))
  tags = getattr(image, 'tag_v2', {})
  if image.mode.startswith('I;16') and tags.get(_TIFF_INTERPRETATION) == _WHITE_IS_ZERO:
    return Image.fromarray(np.uint16(65535) - np.asarray(image).astype(np.uint16))
  return image


def _load(path: PathLike) -> Image.Image:
  with Image.open(io.BytesIO(path.data) if isinstance(path, Encoded) else path) as image:
    if image.format in _RUN:
      raise InputError(f'{path}: {image.format}, a program that would be run; save it as PNG')
    _check_plausible(image, path)
    image.load()
    return image


def _check_plausible(image: Image.Image, path: PathLike) -> None:
  """Raises OSError where a file cannot hold the pixels that its head promises, gigabytes maybe."""
  pixels = image.width * image.height
  if pixels > _MANY and pixels > _PER_BYTE * _length(path):
    raise OSError(f'{image.width} x {image.height} pixels in {_length(path)} bytes')


def _length(path: PathLike) -> int:
  return len(path.data) if isinstance(path, Encoded) else Path(path).stat().st_size


def _without_notes(data: bytes) -> bytes:
  """Returns a PNG without compressed or large texts and color profiles."""
  kept, start = [data[: len(_PNG)]], len(_PNG)
  while start + 8 <= len(data):
    size, kind = struct.unpack_from('>I4s', data, start)
    chunk = data[start : start + size + 12]
    is_note = kind in (b'zTXt', b'iCCP') or (kind in (b'iTXt', b'tEXt') and size > _LARGE_NOTE)
    if kind == b'iTXt':
      # Keyword, 0, then whether the text is compressed.
      is_note = is_note or chunk[8:].partition(b'\0')[2][:1] == b'\1'
    if not is_note:
      kept.append(chunk)
    start += size + 12
  return b''.join(kept)


def _reason(path: PathLike, error: Exception) -> str:
  if isinstance(error, OSError) and error.errno is not None:
    return f'cannot be read ({error.strerror}); check the path'
  if _length(path) == 0:
    return 'the file is empty; fetch or save the image again'
  if isinstance(error, Image.UnidentifiedImageError):
    if str(path).lower().endswith(_HEIF_ENDINGS):
      return 'HEIC is read where pillow-heif is installed; install it, or save the image as JPEG'
    return 'not an image of a known format; save it as JPEG or PNG'
  if isinstance(error, Image.DecompressionBombError):
    return 'the image has too many pixels; make it smaller'
  line = ' '.join(str(error).split())
  return f'the image is truncated or damaged ({line}); fetch or save it again'
