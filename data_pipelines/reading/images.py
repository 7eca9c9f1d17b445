"""Reads photographs, labels and masks of every kind that people have.

Photographs become uint8 RGB: gray ones are repeated over the channels, transparency is dropped,
CMYK is converted. Deeper color keeps its high byte. Deeper gray keeps the highest 8 of the bits
that it uses, counted as 8, 10, 12, 14 or 16: a camera of 12 bits stores no value above 4095 in a
file of 16. One warning names each file that does not use all 16, and its largest value. The arrays
are read-only.

EXIF orientation. A user's photograph is turned upright, as every viewer shows it. A benchmark's
photograph stays on the stored pixel grid, which is the one that the published numbers were made on.
In both cases the mask decides where its size fits one grid alone: `read_pair` keeps the two of them
aligned.
"""

import dataclasses
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from data_pipelines.reading.arrays import BOUNDARY, Pair
from data_pipelines.reading.files import AnyPath
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Encoded:
  """Holds an encoded image in memory, which every function here takes in place of a path.

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
# Where an encoded image or mask of a benchmark is.
Source = Path | Encoded

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
_LARGEST_CLASS = 20
# So many pixels are looked at twice; a byte holds no more than so many of a plain mask.
_MANY, _PER_BYTE = 50_000_000, 10_000
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
  image = _open(path)
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
  values = _values(_open(path), path)
  if values.size and values.max() > largest:
    remedy = 'save it with 8 bits' if largest == 255 else 'mend the label'
    raise InputError(f'{path}: the mask has values outside 0 to {largest}; {remedy}')
  return values.astype(np.uint8 if largest < 256 else np.uint16, copy=False)


def mask_values(path: PathLike) -> list[int]:
  """Lists the different values of a mask's pixels, ascending, for messages about it.

  Args:
    path: the mask.

  Returns:
    Palette indices or gray values.

  Raises:
    InputError: as `read_mask`.
  """
  return np.unique(_values(_open(path), path)).tolist()


def read_mask(path: PathLike, *, value: int | None = None) -> UInt8[np.ndarray, 'h w']:
  """Reads a mask that a user drew, in whichever of the usual forms.

  Every pixel that is not 0 is foreground, whatever its value, with two exceptions:

  - The outlines of PASCAL's labels. Beside palette indices, and beside gray values of which none
    is above 20, 255 is the boundary and so background.
  - Soft edges. Where white (255, or 65535 of 16 bits) is the commonest gray value but 0, the others
    are taken for its edges, and foreground starts at half of it. A JPEG, whose values are never
    exact, starts at half of its largest.

  Args:
    path: the mask.
    value: where given, this value alone is foreground, as in a label of several classes.

  Returns:
    1 for foreground, 0 for background. May be empty: whether that is an error is the caller's.

  Raises:
    InputError: the file cannot be read, is in color, or has negative values or fractions.
  """
  if value is not None:
    return (_values(_open(path), path) == value).astype(np.uint8)
  return read_outlined_mask(path)[0]


def read_outlined_mask(
  path: PathLike,
) -> tuple[UInt8[np.ndarray, 'h w'], UInt8[np.ndarray, 'h w']]:
  """Reads a mask that a user drew, and what its outline leaves open.

  Args:
    path: the mask.

  Returns:
    What `read_mask` returns, and 1 where a pixel is 255 without being foreground: an outline.

  Raises:
    InputError: as `read_mask`.
  """
  image = _open(path)
  values = _values(image, path)
  shown = _foreground(image, values)
  return shown, ((values == BOUNDARY) & (shown == 0)).astype(np.uint8)


def read_pair(
  image_path: PathLike,
  mask_path: PathLike,
  *,
  upright: bool = False,
  read: Callable[[PathLike], Integer[np.ndarray, 'h w']] = read_label,
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

  Returns:
    The image and the label.

  Raises:
    InputError: a file cannot be read, the mask is missing, or its size is not the image's.
  """
  image = _open(image_path)
  if not isinstance(mask_path, Encoded) and not Path(mask_path).exists():
    raise InputError(f'{mask_path}: no such file; the image {image_path} needs its mask there')
  mask = read(mask_path)
  stored, turn = image.size, _turn(image)
  turned = image.transpose(turn) if turn is not None else image
  size = mask.shape[1], mask.shape[0]
  if size not in (stored, turned.size):
    raise InputError(
      f'{mask_path}: the mask is {size[0]} x {size[1]}, its image {image_path} is'
      f' {stored[0]} x {stored[1]}; save the mask at the size of the image'
    )
  if upright and size != turned.size:
    mask = np.asarray(Image.fromarray(mask).transpose(turn)) if turn is not None else mask
  if upright or size != stored:
    image = turned
  return _rgb(image, image_path), mask


def encode_png(array: Integer[np.ndarray, 'h w *channels'], *, name: str) -> Encoded:
  """Encodes an RGB image, or a label of up to 16 bits, without loss.

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


def _open(path: PathLike) -> Image.Image:
  """Decodes a file whole, or raises one InputError that says what is wrong with it."""
  try:
    with Image.open(io.BytesIO(path.data) if isinstance(path, Encoded) else path) as image:
      _check_plausible(image, path)
      image.load()
      return image
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    raise InputError(f'{path}: {_reason(path, error)}') from error


def _check_plausible(image: Image.Image, path: PathLike) -> None:
  """Raises OSError where a file cannot hold the pixels that its head promises, gigabytes maybe."""
  pixels = image.width * image.height
  if pixels > _MANY and pixels > _PER_BYTE * _length(path):
    raise OSError(f'{image.width} x {image.height} pixels in {_length(path)} bytes')


def _length(path: PathLike) -> int:
  return len(path.data) if isinstance(path, Encoded) else Path(path).stat().st_size


def _reason(path: PathLike, error: Exception) -> str:
  if isinstance(error, OSError) and error.errno is not None:
    return f'cannot be read ({error.strerror}); check the path'
  if _length(path) == 0:
    return 'the file is empty; fetch or save the image again'
  if isinstance(error, Image.UnidentifiedImageError):
    return 'not an image of a known format; save it as JPEG or PNG'
  if isinstance(error, Image.DecompressionBombError):
    return 'the image has too many pixels; make it smaller'
  line = ' '.join(str(error).split())
  return f'the image is truncated or damaged ({line}); fetch or save it again'


def _turn(image: Image.Image) -> Image.Transpose | None:
  """Finds what turns the image upright; None where it is, or where its EXIF block is damaged."""
  try:
    return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
  except Exception:  # The pixels are sound: a broken note about them is no reason to refuse them.
    return None


def _foreground(image: Image.Image, values: np.ndarray) -> np.ndarray:
  """Tells foreground from background; `read_mask` says how."""
  present, counts = np.unique(values[values > 0], return_counts=True)
  others = present[present != BOUNDARY]
  if image.format == 'JPEG':
    soft = present.size > 0
  elif image.mode in ('P', 'PA') or others.max(initial=0) <= _LARGEST_CLASS:
    outlined = others.size > 0
    return ((values > 0) & ~(outlined & (values == BOUNDARY))).astype(np.uint8)
  else:
    soft = present[-1] in (255, 65535) and counts[-1] == counts.max()
  return (values >= (present[-1] / 2 if soft else 1)).astype(np.uint8)


def _rgb(image: Image.Image, path: PathLike) -> np.ndarray:
  if image.mode == 'RGB':
    return np.asarray(image)
  if image.mode == 'F' or image.mode.startswith('I'):
    # Pillow's own conversion to 8 bits would clip at 255.
    return np.repeat(_eight_bits(np.asarray(image), path)[..., None], 3, axis=2)
  try:
    return np.asarray(image.convert('RGB'))
  except ValueError as error:
    raise InputError(f'{path}: colors of kind {image.mode}; save the image as RGB') from error


def _eight_bits(values: np.ndarray, path: PathLike) -> np.ndarray:
  """Makes deep gray uint8: the highest 8 of the bits in use; of fractions, 1 is white."""
  fractions = values.dtype.kind == 'f'
  if fractions:
    values = np.nan_to_num(values)
    values = np.rint(np.clip(values * 255 if values.max() <= 1 else values, 0, 2**31))
  values = np.maximum(values.astype(np.int64), 0)
  largest = int(values.max())
  depth = next((d for d in _DEPTHS if largest < 2**d), largest.bit_length())
  if depth != 16 and not (fractions and depth == 8):
    warnings.warn(f'{path}: gray values up to {largest}, taken as {depth} bits', stacklevel=1)
  return (values >> (depth - 8)).astype(np.uint8)


def _values(image: Image.Image, path: PathLike) -> np.ndarray:
  """Returns the palette indices or gray values of a mask, whole and not negative."""
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
  if values.dtype.kind == 'f' and not np.all(np.isfinite(values) & (values == np.rint(values))):
    raise InputError(f'{path}: the mask has fractions; save it with 8 bits')
  if values.size and values.min() < 0:
    raise InputError(f'{path}: the mask has values outside 0 to 255; save it with 8 bits')
  return values
