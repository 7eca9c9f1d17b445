"""Reads and writes labels as PNGs: a class number at each pixel, 0 on the background."""

import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hsnet_jax.errors import InputError

# Of classes: Okabe and Ito's, which color-blind people tell apart.
COLORS = tuple('#0072b2 #e69f00 #cc79a7 #009e73 #d55e00 #56b4e9 #f0e442 #000000'.split())
_PNG = b'\x89PNG\r\n\x1a\n'


def read_label(data: bytes, *, size: tuple[int, int]) -> UInt8[np.ndarray, 'h w']:
  """Reads a label that a browser sends.

  Args:
    data: a PNG: gray of 8 bits, or in color, with the class number in red.
    size: (height, width) that it must have; it is looked at before any pixel is decoded.

  Returns:
    The class numbers.

  Raises:
    InputError: it is no such PNG, damaged, of another size, or its colors are mixed.
  """
  if not data.startswith(_PNG):
    raise InputError('the mask is no PNG')
  try:
    with Image.open(io.BytesIO(data), formats=('PNG',)) as image:
      if image.size != (size[1], size[0]):
        width, height = image.size
        raise InputError(
          f'the mask is {width} x {height}, its picture {size[1]} x {size[0]}; send it at that size'
        )
      if image.mode not in ('L', 'RGB', 'RGBA'):
        raise InputError(f'the mask is of kind {image.mode}; send gray of 8 bits, or RGBA')
      values = np.asarray(image)
  except InputError:
    raise
  except Exception as error:  # Pillow's readers raise nearly anything on a damaged file.
    raise InputError(f'the mask is damaged ({" ".join(str(error).split())[:200]})') from error
  if values.ndim == 2:
    return values
  if values.shape[2] == 4:
    alpha = values[..., 3]
    # A canvas keeps colors multiplied by their opacity, so that they do not come back.
    if not ((alpha == 0) | (alpha == 255)).all():
      raise InputError('the mask has pixels that are half transparent; paint without soft edges')
    return np.where(alpha > 0, values[..., 0], 0).astype(np.uint8)
  return values[..., 0]


def write_label(label: UInt8[np.ndarray, 'h w']) -> bytes:
  """Makes a PNG of a label, gray of 8 bits."""
  out = io.BytesIO()
  Image.fromarray(label).save(out, 'PNG', compress_level=3)
  return out.getvalue()


def decode_label(data: bytes) -> UInt8[np.ndarray, 'h w']:
  """Reads a label that `write_label` made."""
  with Image.open(io.BytesIO(data)) as image:
    return np.asarray(image)


def areas_of(label: UInt8[np.ndarray, 'h w']) -> dict[int, float]:
  """Returns the share of the picture that each class takes which it shows."""
  counts = np.bincount(label.ravel(), minlength=256)
  shown = np.flatnonzero(counts[1:]) + 1
  return {int(number): float(counts[number] / label.size) for number in shown}


def size_of(data: bytes) -> tuple[int, int]:
  """Returns (height, width) of a label that `write_label` made."""
  with Image.open(io.BytesIO(data)) as image:
    return image.height, image.width


def next_color(classes: Iterable[Mapping[str, Any]]) -> str:
  """Returns the first of `COLORS` that no class has; where all are taken, they come again."""
  used = [one['color'].lower() for one in classes]
  return next((one for one in COLORS if one not in used), COLORS[len(used) % len(COLORS)])
