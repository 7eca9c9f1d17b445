"""Finds what an image file in a mask's place shows: gray values, or the labels of a palette.

What a viewer shows counts, not how it is stored: a palette of grays is a gray picture, transparency
lies on black, one color on black is the brightness of that color. A palette of colors is labels, by
index, as in PASCAL. Photographs and pictures of several colors are refused.
"""

import dataclasses

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageChops

from data_pipelines.reading.opened import PathLike
from data_pipelines.reading.pixels import FEW, changes_often
from hsnet_jax.errors import InputError

# Formats that change values slightly, as they may be saved.
_LOSSY = frozenset(('JPEG', 'MPO', 'WEBP', 'JPEG2000', 'AVIF', 'HEIF', 'JXL'))
_EIGHT_BITS = ('L', '1')
_DEEP = ('I', 'F')
CHOOSE = "choose the object's value by experiments.predict's `mask_value`"
_FIX = 'give the mask of it, white on black'


@dataclasses.dataclass(frozen=True)
class Shown:
  """Holds what a mask file shows.

  Attributes:
    values: gray values, or indices of a palette of colors; whole and not negative.
    background: the values that are background where `is_label`.
    is_label: whether values are names of classes rather than brightness.
    is_lossy: whether the format may have changed values slightly.
    unclear: why the labels do not tell the background; empty where they do.
    indices: of gray values that came from a palette, its indices.
  """

  values: Integer[np.ndarray, 'h w']
  background: tuple[int, ...] = (0,)
  is_label: bool = False
  is_lossy: bool = False
  unclear: str = ''
  indices: UInt8[np.ndarray, 'h w'] | None = None


def show(image: Image.Image, path: PathLike) -> Shown:
  """Finds what a file shows.

  Args:
    image: the file, decoded.
    path: the file, for messages.

  Returns:
    The gray values, or the labels.

  Raises:
    InputError: it is a photograph, in several colors, or has negative values or fractions; or
      nothing can be seen in it once transparency is black.
  """
  lossy = image.format in _LOSSY
  if image.mode == 'PA':
    image = _without_alpha(image)
  if image.mode == 'P':
    return _show_palette(image, path)
  if image.mode.startswith(_DEEP):
    return Shown(_opaque_values(whole_values(np.asarray(image), path), image), is_lossy=lossy)
  if image.mode not in (*_EIGHT_BITS, 'RGB') or 'transparency' in image.info:
    image = _on_black(image, path)
  if image.mode == '1':
    return Shown(np.asarray(image).astype(np.uint8))
  return Shown(_brightness(image, path, lossy), is_lossy=lossy)


def whole_values(values: np.ndarray, path: PathLike) -> Integer[np.ndarray, 'h w']:
  """Returns values as whole numbers; raises InputError for fractions and those below 0."""
  if values.dtype.kind == 'f':
    if not np.all(np.isfinite(values) & (values == np.rint(values))):
      raise InputError(f'{path}: the mask has fractions; save it with 8 bits')
    values = values.astype(np.int64)
  if values.size and values.min() < 0:
    raise InputError(f'{path}: the mask has values outside 0 to 255; save it with 8 bits')
  # Some files have the bytes of a value the other way round.
  return values.astype(values.dtype.newbyteorder('='), copy=False)


def photograph(path: PathLike, what: str) -> InputError:
  """Returns the error that a picture in a mask's place is."""
  return InputError(f'{path}: looks like a photograph, not like a mask ({what}); {_FIX}')


def _opaque_values(values: np.ndarray, image: Image.Image) -> np.ndarray:
  clear = image.info.get('transparency')
  return np.where(values == clear, 0, values) if isinstance(clear, int) else values


def _on_black(image: Image.Image, path: PathLike) -> Image.Image:
  """Makes an image gray or RGB, what is transparent black."""
  if 'transparency' in image.info:
    image = image.convert('RGBA' if image.mode == 'RGB' else 'LA')
  elif image.mode in ('La', 'RGBa'):
    image = image.convert('LA' if image.mode == 'La' else 'RGBA')
  try:
    opaque = image.convert('L' if image.mode in ('L', 'LA') else 'RGB')
  except ValueError as error:
    raise InputError(f'{path}: colors of kind {image.mode}; save the mask as gray') from error
  if not image.mode.endswith('A'):
    return opaque
  alpha = image.getchannel('A')
  if _is_constant(alpha):
    return opaque
  flat = ImageChops.multiply(opaque, alpha if opaque.mode == 'L' else alpha.convert('RGB'))
  if flat.getbbox() is None:
    raise _nothing_seen(path)
  return flat


def _is_constant(alpha: Image.Image) -> bool:
  """Tells whether all pixels are equally opaque, and not wholly transparent."""
  levels = np.flatnonzero(alpha.histogram())
  return bool(levels.size == 1 and levels[0] > 0)


def _nothing_seen(path: PathLike) -> InputError:
  return InputError(
    f'{path}: what is opaque in the mask is black, so nothing is seen on black; save the object as'
    ' white on black, without transparency'
  )


def _brightness(image: Image.Image, path: PathLike, lossy: bool) -> UInt8[np.ndarray, 'h w']:
  """Returns the gray values, or how bright the one color on black is."""
  if image.mode == 'L':
    return np.asarray(image)
  red, green, blue = image.split()
  spread = ImageChops.lighter(
    ImageChops.lighter(ImageChops.difference(red, green), ImageChops.difference(green, blue)),
    ImageChops.difference(red, blue),
  )
  colorful = sum(spread.histogram()[33 if lossy else 1 :])
  if colorful <= (image.width * image.height // 1000 if lossy else 0):
    return np.asarray(image.convert('L') if lossy else red)
  bright = ImageChops.lighter(ImageChops.lighter(red, green), blue)
  if _is_one_color(np.asarray(image), np.asarray(bright), lossy):
    return np.asarray(bright)
  colors = image.getcolors(256)
  if colors is None:
    raise photograph(path, 'hundreds of colors' + ', or some, saved with loss' * lossy)
  raise InputError(
    f'{path}: the mask is in color ({len(colors)} colors); save it as a palette or gray image, or'
    ' as one color on black'
  )


def _is_one_color(image: np.ndarray, bright: np.ndarray, lossy: bool) -> bool:
  """Tells whether a picture is shades of one color, black among them."""
  most = int(bright.max())
  color = image[bright >= 0.9 * most].mean(axis=0) if lossy else image[bright == most][0]
  if bright.min() > most // 4:
    return False
  tolerance, allowed = (64, bright.size // 100) if lossy else (2, 0)
  off = 0
  for rows, shades in zip(np.array_split(image, 16), np.array_split(bright, 16), strict=True):
    expected = shades[..., None] * (color.astype(np.float32) / most)
    off += np.count_nonzero(np.abs(rows - expected).max(axis=-1, initial=0) > tolerance)
  return bool(off <= allowed)


def _without_alpha(image: Image.Image) -> Image.Image:
  """Makes an image of palette and alpha one of a palette alone, or RGBA where alpha varies."""
  if not _is_constant(image.getchannel('A')):
    return image.convert('RGBA')
  indexed = image.getchannel(0)
  indexed.putpalette(image.getpalette() or [])
  return indexed


def _palette_colors(image: Image.Image, path: PathLike) -> Integer[np.ndarray, '256 3']:
  """Returns the colors of a palette as they are seen on black."""
  image = image.copy()
  # What a file says of colors that its palette has not is passed over.
  held = len(image.getpalette() or []) // 3
  transparency = image.info.get('transparency')
  if isinstance(transparency, bytes):
    image.info['transparency'] = transparency[:held]
  elif isinstance(transparency, int) and transparency >= held:
    del image.info['transparency']
  image.apply_transparency()
  colors = np.zeros((256, 4), np.int64)
  held = np.asarray(image.getpalette('RGBA'), np.int64).reshape(-1, 4)[:256]
  colors[: len(held)] = held
  used = np.asarray(image.histogram()[:256]) > 0
  alpha = colors[used, 3]
  if np.ptp(alpha) > 0 or not alpha.any():
    colors[:, :3] = (colors[:, :3] * colors[:, 3:] + 127) // 255
    if not colors[used, :3].any():
      raise _nothing_seen(path)
  return colors[:, :3]


def _show_palette(image: Image.Image, path: PathLike) -> Shown:
  colors = _palette_colors(image, path)
  used = np.flatnonzero(image.histogram()[:256])
  indices, shades = np.asarray(image), colors[used]
  if np.all(shades == shades[:, :1]):
    return Shown(colors[:, 0].astype(np.uint8)[indices], indices=indices)
  if used.size > FEW and changes_often(indices):
    raise photograph(path, f'{used.size} colors')
  black = tuple(used[~shades.any(axis=1)].tolist())
  bright = colors.max(axis=1).astype(np.uint8)
  if used.size > 4 and black and _is_one_color(shades[None], bright[used][None], False):
    return Shown(bright[indices], indices=indices)  # One color on black, with soft edges.
  unclear = ''
  if black and used[0] == 0 and 0 not in black and used.size > 2:
    unclear = (
      f'its palette has black at {black[0]} and a color at 0, either may be the background; save it'
      f' as white on black, or {CHOOSE}'
    )
  return Shown(indices, background=black or (0,), is_label=True, unclear=unclear)
