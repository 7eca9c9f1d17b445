"""Reads pictures and masks in any form that people hold them in: files, Pillow's images, arrays.

Pictures become uint8 RGB: gray ones are repeated over the channels, transparency is dropped, CMYK
is converted; a file or Pillow's image is turned upright as its EXIF orientation says. Gray of more
than 8 bits is refused: how many of them count is for `data_pipelines.read_image` to find.

In a mask everything but 0 is the object: in an array every value, in a file or Pillow's image
every pixel that is shown in anything but black, transparency being black. What
`experiments.predict` does beyond that, cutting soft edges at half and leaving PASCAL's boundaries
out, is not done here; a JPEG, whose black is never exactly 0, is refused.
"""

import os
import sys
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hsnet_jax.errors import InputError
from hsnet_jax.resize import Size, nearest_indices

# A path, a Pillow image or an array; checked when it is read.
Picture = Any

_ORIENTATION = 0x0112  # Of EXIF's tags.
_UPRIGHT = {
  2: lambda x: x[:, ::-1],
  3: lambda x: x[::-1, ::-1],
  4: lambda x: x[::-1],
  5: lambda x: x.swapaxes(0, 1),
  6: lambda x: x[::-1].swapaxes(0, 1),
  7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
  8: lambda x: x[:, ::-1].swapaxes(0, 1),
}
_DEEP = ('I', 'F')  # What Pillow's modes of more than 8 bits begin with.
_LOSSY = ('JPEG', 'MPO')


def is_picture(value: Any) -> bool:
  """Says whether a value is one picture by its type, rather than several of them."""
  return isinstance(value, str | os.PathLike) or _is_pillow(value)


def read_picture(picture: Picture, *, name: str) -> UInt8[np.ndarray, 'h w 3']:
  """Reads a picture, upright.

  Args:
    picture: a path, a Pillow image, or uint8 `[h, w]`, `[h, w, 3]` or `[h, w, 4]`.
    name: what messages call it where it is no file.

  Returns:
    RGB, 0 to 255.

  Raises:
    InputError: it cannot be read, or is none of these.
  """
  return _oriented(*_read_stored(picture, name))


def read_mask(mask: Picture, *, name: str) -> UInt8[np.ndarray, 'h w']:
  """Reads a mask; the module says what is the object in it.

  Args:
    mask: a path, a Pillow image, or bool or whole numbers `[h, w]`.
    name: what messages call it where it is no file.

  Returns:
    1 on the object, 0 elsewhere.

  Raises:
    InputError: it cannot be read, or is none of these.
  """
  name = name_of(mask, name)
  if is_picture(mask):
    return _shown(_opened(mask, name), name).view(np.uint8)
  values = np.asarray(mask)
  if values.ndim != 2 or values.dtype.kind not in 'biu' or not values.size:
    raise InputError(
      f'{name}: {_kind(mask, values)} is no mask; give a path, a Pillow image, or bool or whole'
      ' numbers [h, w], 0 on the background'
    )
  return (values != 0).view(np.uint8)


def read_support(
  picture: Picture, mask: Picture, *, at: int
) -> tuple[UInt8[np.ndarray, 'h w 3'], UInt8[np.ndarray, 'h w']]:
  """Reads a support with its mask, on one pixel grid.

  Some tools draw on a photograph as it is stored: a mask whose size fits that alone is turned
  upright with it.

  Args:
    picture: as `read_picture` takes it.
    mask: as `read_mask` takes it.
    at: which support, for messages.

  Returns:
    The picture, upright, and its mask.

  Raises:
    InputError: either cannot be read, or their sizes differ.
  """
  stored, orientation = _read_stored(picture, f'`images`[{at}]')
  found, drawn = _oriented(stored, orientation), read_mask(mask, name=f'`masks`[{at}]')
  if drawn.shape != found.shape[:2] and drawn.shape == stored.shape[:2]:
    drawn = _oriented(drawn, orientation)
  if drawn.shape != found.shape[:2]:
    names = name_of(mask, f'`masks`[{at}]'), name_of(picture, f'`images`[{at}]')
    sizes = [f'{x.shape[1]} x {x.shape[0]}' for x in (drawn, found)]
    raise InputError(
      f'{names[0]}: the mask is {sizes[0]}, its image {names[1]} is {sizes[1]}; give a mask of the'
      ' size of its image'
    )
  return found, drawn


def name_of(picture: Picture, name: str) -> str:
  """Returns what messages call a picture: its file, or else the name."""
  return os.fspath(picture) if isinstance(picture, str | os.PathLike) else name


def resize_picture(image: UInt8[np.ndarray, 'h w 3'], size: Size) -> UInt8[np.ndarray, 'H W 3']:
  """Resizes with Pillow's bilinear filter, as what is trained on and predicted from is resized."""
  if image.shape[:2] == size:
    return image
  pillow = _pillow('resizing pictures')
  by = pillow.Resampling.BILINEAR
  return np.asarray(pillow.fromarray(image).resize((size[1], size[0]), by))


def resize_mask(mask: UInt8[np.ndarray, 'h w'], size: Size) -> UInt8[np.ndarray, 'H W']:
  """Resizes a mask by `nearest_indices`; no new value appears."""
  rows, columns = (nearest_indices(*pair) for pair in zip(mask.shape, size, strict=True))
  return mask[rows][:, columns]


def _read_stored(picture: Picture, name: str) -> tuple[np.ndarray, int]:
  """Reads RGB as it is stored, and its orientation; 1 is upright."""
  name = name_of(picture, name)
  if is_picture(picture):
    image = _opened(picture, name)
    return _rgb(image, name), _orientation(image)
  values = np.asarray(picture)
  channels = values.shape[2:]
  if values.dtype != np.uint8 or channels not in ((), (3,), (4,)) or values.ndim < 2:
    raise InputError(
      f'{name}: {_kind(picture, values)} is no picture; give a path, a Pillow image, or uint8'
      ' [h, w, 3], 0 to 255'
    )
  if not values.size:
    raise InputError(f'{name}: {_kind(picture, values)} has no pixels')
  if channels:
    return np.ascontiguousarray(values[..., :3]), 1
  return np.repeat(values[..., None], 3, axis=2), 1


def _oriented(stored: np.ndarray, orientation: int) -> np.ndarray:
  turn = _UPRIGHT.get(orientation)
  return stored if turn is None else np.ascontiguousarray(turn(stored))


def _orientation(image: Any) -> int:
  try:
    return image.getexif().get(_ORIENTATION, 1)
  except Exception:  # The pixels are sound: a broken note about them is no reason to refuse them.
    return 1


def _opened(picture: Picture, name: str) -> Any:
  """Decodes a file, or what Pillow has opened and not read yet."""
  try:
    if _is_pillow(picture):
      picture.load()
      return picture
    with _pillow('reading picture files').open(os.path.expanduser(picture)) as image:
      if image.format == 'EPS':  # Pillow hands it to Ghostscript, whatever the file is called.
        raise InputError(f'{name}: EPS, a program that would be run; save it as PNG')
      image.load()
      return image
  except InputError:
    raise
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    if isinstance(error, OSError) and error.errno is not None:
      raise InputError(f'{name}: cannot be read ({error.strerror}); check the path') from error
    line = ' '.join(str(error).split()) or type(error).__name__
    raise InputError(f'{name}: no picture, or a damaged one ({line}); save it again') from error


def _rgb(image: Any, name: str) -> np.ndarray:
  if image.mode.startswith(_DEEP):
    raise InputError(
      f'{name}: gray of more than 8 bits ({image.mode}); save it with 8 bits, or give the array'
      ' that data_pipelines.read_image makes of it'
    )
  try:
    return np.asarray(image.convert('RGB'))
  except ValueError as error:
    raise InputError(f'{name}: colors of kind {image.mode}; save the image as RGB') from error


def _shown(image: Any, name: str) -> np.ndarray:
  """Returns where a mask shows anything but black."""
  if image.format in _LOSSY:
    raise InputError(f'{name}: in a JPEG black is not exactly 0; save the mask as PNG')
  if image.mode.startswith(_DEEP) or image.mode in ('L', '1'):
    return np.asarray(image) != 0
  try:
    shown = np.asarray(image.convert('RGBA'))
  except ValueError as error:
    raise InputError(f'{name}: colors of kind {image.mode}; save the mask as gray') from error
  return shown[..., :3].any(-1) & (shown[..., 3] > 0)


def _is_pillow(value: Any) -> bool:
  module = sys.modules.get('PIL.Image')  # Who has such an image has imported it.
  return module is not None and isinstance(value, module.Image)


def _pillow(what: str) -> Any:
  try:
    from PIL import Image  # here, since the library does without it
  except ImportError:
    raise InputError(f'{what} needs Pillow (pip install pillow)') from None
  return Image


def _kind(given: Any, values: np.ndarray) -> str:
  if values.dtype == object or values.dtype.kind in 'US':
    return f'a {type(given).__name__}'
  return f'{values.dtype} of shape {list(values.shape)}'
