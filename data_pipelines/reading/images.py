"""Reads photographs and labels of every kind that people have, and pairs of them and masks.

Photographs become uint8 RGB: gray ones are repeated over the channels, transparency is dropped,
CMYK is converted. Deeper color keeps its high byte. Deeper gray keeps the highest 8 of the bits
that it uses, counted as 8, 10, 12, 14 or 16: a camera of 12 bits stores no value above 4095 in a
file of 16. A few hot pixels far above all others do not count. Of fractions, 1 is white. Where a
picture has values below 0, its least is black. One warning names each file that does not use all of
16 bits or 0 to 1, and what it was taken for. The arrays are read-only.

EXIF orientation. A user's photograph is turned upright, as every viewer shows it. A benchmark's
photograph stays on the stored pixel grid, which is the one that the published numbers were made on.
In both cases the mask decides where its size fits one grid alone: `read_pair` keeps the two of them
aligned.
"""

import io
import os
import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from data_pipelines.reading.arrays import Pair
from data_pipelines.reading.masks import mask_values, read_mask, read_outlined_mask
from data_pipelines.reading.opened import Encoded, PathLike, Source, open_image
from data_pipelines.reading.shown import whole_values
from hsnet_jax.errors import InputError

__all__ = [
  'Encoded',
  'PathLike',
  'Source',
  'mask_values',
  'png_bytes',
  'read_image',
  'read_label',
  'read_mask',
  'read_outlined_mask',
  'read_pair',
]

_ORIENTATION = 0x0112
_UPRIGHT = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
_HOT = 1e-4  # The share of pixels that may be hot.
_BRIGHTEST = 16  # Of pictures in fractions, in which 1 is white or a little below the brightest.
_DEPTHS = (8, 10, 12, 14, 16)  # Bits of the sensors that files of 16 bits come from.


def read_image(path: PathLike, *, upright: bool = True) -> UInt8[np.ndarray, 'h w 3']:
  """Reads a photograph as RGB.

  Args:
    path: any image file that Pillow reads.
    upright: whether to turn it as its EXIF orientation says.

  Returns:
    The image, 0 to 255, read-only.

  Raises:
    InputError: the file is missing, empty, truncated or no image.
  """
  image = open_image(path)
  turn = _turn(image)
  if upright and turn is not None:
    image = image.transpose(turn)
  return _rgb(image, path)


def read_label(path: PathLike, *, largest: int = 255) -> Integer[np.ndarray, 'h w']:
  """Reads a label: the palette index or gray value of each pixel, unchanged.

  Args:
    path: a palette or gray image; a color image whose channels are equal counts as gray.
    largest: the largest value there may be; beyond 255, labels have 16 bits.

  Returns:
    The values, uint8 or uint16 by what `largest` needs; read-only.

  Raises:
    InputError: the file cannot be read, is in color, or has values above `largest` or fractions.
  """
  values = _values(open_image(path), path)
  if values.size and values.max() > largest:
    remedy = 'save it with 8 bits' if largest == 255 else 'mend the label'
    raise InputError(f'{path}: the mask has values outside 0 to {largest}; {remedy}')
  return values.astype(np.uint8 if largest < 256 else np.uint16, copy=False)


def read_pair(
  image_path: PathLike,
  mask_path: PathLike,
  *,
  upright: bool = False,
  read: Callable[[PathLike], Integer[np.ndarray, 'h w']] = read_label,
  any_size: bool = False,
) -> Pair:
  """Reads a photograph and what was drawn on it, on one pixel grid.

  Annotation tools differ in whether they follow the EXIF orientation. Where the mask's size fits
  only the stored grid or only the upright one, it was drawn on that; where it fits both, on the one
  that `upright` names.

  Args:
    image_path: the photograph.
    mask_path: its label or mask, of the same size.
    upright: the grid to return: upright, or as stored. Stored, as a benchmark's are, gives way to
      upright where only that fits the mask.
    read: `read_label`, or `read_mask` for {0, 1}.
    any_size: whether a mask may have another size; it keeps it, beside the stored grid.

  Returns:
    The image and the label, of one size unless `any_size`.

  Raises:
    InputError: a file cannot be read, the mask is missing, or has another size where it may not.
  """
  image = open_image(image_path)
  if not isinstance(mask_path, Encoded) and not os.path.exists(mask_path):
    raise InputError(f'{mask_path}: no such file; the image {image_path} needs its mask there')
  mask = read(mask_path)
  stored, turn = image.size, _turn(image)
  turned = image.transpose(turn) if turn is not None else image
  size = mask.shape[1], mask.shape[0]
  if size not in (stored, turned.size):
    if any_size:
      return _rgb(image, image_path), mask
    raise InputError(
      f'{mask_path}: the mask is {size[0]} x {size[1]}, its image {image_path} is'
      f' {stored[0]} x {stored[1]}; save the mask at the size of the image'
    )
  if upright and size != turned.size:
    mask = np.asarray(Image.fromarray(mask).transpose(turn)) if turn is not None else mask
  if upright or size != stored:
    image = turned
  return _rgb(image, image_path), mask


def png_bytes(array: Integer[np.ndarray, 'h w *channels'], *, name: str) -> Encoded:
  """Makes a PNG of an RGB image, or of a label of up to 16 bits, without loss.

  Args:
    array: uint8 [h, w, 3], or whole numbers from 0 to 65535 [h, w].
    name: what messages call the result.

  Returns:
    The PNG; `read_image` or `read_label` (with `largest=65535`) gives the array back.
  """
  narrow = array.ndim == 3 or not array.size or array.max() < 256
  out = io.BytesIO()
  Image.fromarray(array.astype(np.uint8 if narrow else np.uint16)).save(out, 'PNG')
  return Encoded(out.getvalue(), name)


def _turn(image: Image.Image) -> Image.Transpose | None:
  """Finds what turns the image upright; None where it is, or where its EXIF block is damaged."""
  try:
    return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
  except Exception:  # The pixels are sound: a broken note about them is no reason to refuse them.
    return None


def _rgb(image: Image.Image, path: PathLike) -> np.ndarray:
  if image.mode == 'RGB':
    return np.asarray(image)
  if image.mode.startswith(('F', 'I')):
    # Pillow's own conversion to 8 bits would clip at 255.
    return np.repeat(_eight_bits(np.asarray(image), path)[..., None], 3, axis=2)
  try:
    return np.asarray(image.convert('RGB'))
  except ValueError as error:
    raise InputError(f'{path}: colors of kind {image.mode}; save the image as RGB') from error


def _eight_bits(values: np.ndarray, path: PathLike) -> np.ndarray:
  """Makes deep gray uint8; the module says how."""
  fractions = values.dtype.kind == 'f'
  if fractions:
    values = np.nan_to_num(values)
  least, top, largest = _range(values)
  if least < 0:
    warnings.warn(
      f'{path}: gray values {least:g} to {top:g}, taken as black to white', stacklevel=1
    )
    return _scaled(values, least, top)
  if fractions and top <= _BRIGHTEST:
    if top > 1:
      warnings.warn(f'{path}: gray values up to {top:g}, taken as white', stacklevel=1)
    return _scaled(values, 0, max(top, 1))
  # What is deeper keeps its type: a wider one would cost eight bytes a pixel.
  values = np.clip(np.rint(values), 0, 2**31).astype(np.int64) if fractions else values.clip(0)
  top = int(top)
  depth = next((d for d in _DEPTHS if top < 2**d), top.bit_length())
  if (depth != 16 and not (fractions and depth == 8)) or top < largest:
    hot = f' (and hot pixels up to {largest:g})' if top < largest else ''
    warnings.warn(f'{path}: gray values up to {top}{hot}, taken as {depth} bits', stacklevel=1)
  return np.minimum(values >> (depth - 8), 255).astype(np.uint8)


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
  span = max(white - black, 1e-9)
  return np.rint(np.clip((values - black) * (255 / span), 0, 255)).astype(np.uint8)


def _range(values: np.ndarray) -> tuple[float, float, float]:
  """Returns the least value, the largest without hot pixels, and the largest of all.

  Pixels are hot, or dead, if they are very few and far beyond all others.
  """
  few = 3 + int(values.size * _HOT)
  if values.size < 16 * few:
    return values.min(), values.max(), values.max()
  ordered = np.partition(values, (few, values.size - 1 - few), axis=None)
  low, high = float(ordered[few]), float(ordered[values.size - 1 - few])
  least, largest = float(values.min()), float(values.max())
  span = max(high - low, 1e-9)
  return (
    least if low - least <= span / 2 else low,
    largest if largest - high <= span / 2 else high,
    largest,
  )


def _values(image: Image.Image, path: PathLike) -> np.ndarray:
  """Returns the palette indices or gray values of a label, whole and not negative."""
  values = np.asarray(image)
  if values.ndim == 3:
    colors = values[..., :1] if image.mode in ('LA', 'PA') else values[..., :3]
    if image.mode not in ('LA', 'PA', 'RGB', 'RGBA') or np.any(colors != colors[..., :1]):
      raise InputError(
        f'{path}: the mask is in color ({image.mode}); save it as a palette or gray image'
      )
    values = colors[..., 0]
  if values.dtype == bool:
    return values.astype(np.uint8)
  return whole_values(values, path)
