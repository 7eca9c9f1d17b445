"""Decides which pixels of a mask that a user drew are the object, and what is doubtful about it."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from data_pipelines.reading.arrays import BOUNDARY
from data_pipelines.reading.opened import PathLike, open_image
from data_pipelines.reading.photographs import is_gradual, refuse_photograph
from data_pipelines.reading.pixels import (
  FEW,
  changes_often,
  core,
  count_values,
  grown,
  is_among,
)
from data_pipelines.reading.shown import CHOOSE, Shown, photograph, show
from hsnet_jax.errors import InputError

_LARGEST_CLASS = 20  # Of PASCAL, whose outlines are 255.
_WHITES = (255, 65535)
_NEARLY_BLACK = 4
_RIM = 5  # Pixels from PASCAL's objects to the far side of their outline.
_NOISE = 8  # A lossy file as dark as this shows nothing that its noise could not.
_LEAST_WHITE = 64  # Of a picture whose black is not 0.
_LISTED = 8  # Values in a message.


@dataclasses.dataclass(frozen=True)
class DrawnMask:
  """Holds a mask that a user drew.

  Attributes:
    mask: 1 for foreground, 0 for background.
    outline: 1 where a pixel is 255 without being foreground: an outline, as PASCAL's.
    doubt: what is doubtful about it, in words that follow the file's name; empty where nothing is.
  """

  mask: UInt8[np.ndarray, 'h w']
  outline: UInt8[np.ndarray, 'h w']
  doubt: str = ''


def mask_values(path: PathLike) -> list[int]:
  """Lists the different values of a mask's pixels, ascending, for messages about it.

  Args:
    path: the mask.

  Returns:
    Gray values, or indices of a palette of colors.

  Raises:
    InputError: as `read_mask`.
  """
  return count_values(show(open_image(path), path).values)[0].tolist()


def read_mask(path: PathLike, *, value: int | None = None) -> UInt8[np.ndarray, 'h w']:
  """Reads a mask that a user drew, in whichever of the usual forms.

  What a viewer shows counts: a palette of grays is a gray picture, transparency lies on black, one
  color on black is as white. Every pixel that is not black is foreground, whatever its value, with
  these exceptions:

  - The outlines of PASCAL's labels. Beside palette indices, and beside gray values of which none
    is above 20, 255 is the boundary and so background, where it lies round the objects. Where it
    is much the larger part, it is the object, and the small values are stray pixels.
  - Soft edges. Where white (255, or 65535 of 16 bits) is the commonest gray value but 0, or most of
    the bright pixels of many values have one, the others are taken for its edges, and foreground
    starts at half of it. A JPEG, whose values are never exact, starts at half of its largest.
  - Black that is not 0, such as 1 beside 255 or 16 beside 235: foreground starts half way.

  Args:
    path: the mask.
    value: where given, this value alone is foreground, as in a label of several classes.

  Returns:
    1 for foreground, 0 for background. May be empty: whether that is an error is the caller's.

  Raises:
    InputError: the file cannot be read, is a photograph or in several colors, has negative values
      or fractions, or does not tell the object from the background.
  """
  return read_drawn_mask(path, value=value).mask


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
  drawn = read_drawn_mask(path)
  return drawn.mask, drawn.outline


def read_drawn_mask(path: PathLike, *, value: int | None = None) -> DrawnMask:
  """Reads a mask that a user drew, with what is doubtful about it.

  Args:
    path: the mask.
    value: as `read_mask` takes it.

  Returns:
    The mask, its outline, and the doubt.

  Raises:
    InputError: as `read_mask`.
  """
  shown = show(open_image(path), path)
  if value is not None:
    mask, doubt = _chosen(shown, value), ''
  else:
    mask, doubt = _foreground(shown, path)
  outline = ((shown.values == BOUNDARY) & (mask == 0)).view(np.uint8)
  doubts = [text for text in (mask_doubts(mask), doubt) if text]
  return DrawnMask(mask, outline, '; '.join(doubts))


def mask_doubts(mask: UInt8[np.ndarray, 'h w']) -> str | None:
  """Says what makes a mask doubtful, though it may be right.

  Args:
    mask: 1 for foreground, 0 for background.

  Returns:
    Words that follow the file's name where the mask leaves no background, covers the whole border
    of the picture, or is a handful of pixels; None for any other, and for an empty one.
  """
  count = np.count_nonzero(mask)
  if not count:
    return None
  if count == mask.size:
    return 'the mask leaves no background: all of the picture is the object'
  if min(mask.shape) > 2:
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    if border.mean() >= 0.99:
      return (
        f'the mask covers the whole border of the picture and {count / mask.size:.0%} of it; it may'
        ' be inverted (the object is white, the background black)'
      )
  if count < mask.size / 1000 or (count < mask.size / 100 and not core(mask > 0).any()):
    return f'the mask is a handful of pixels: {count} of {mask.size}; they may be stray'
  return None


def _chosen(shown: Shown, value: int) -> UInt8[np.ndarray, 'h w']:
  chosen = (shown.values == value).view(np.uint8)
  if shown.indices is not None and not chosen.any():
    # A class of a label that shows no color, such as PASCAL's 7, gray, alone.
    return (shown.indices == value).view(np.uint8)
  return chosen


def _foreground(shown: Shown, path: PathLike) -> tuple[UInt8[np.ndarray, 'h w'], str]:
  """Tells foreground from background, and what is doubtful; `read_mask` says how."""
  values = shown.values
  present, counts = count_values(values)
  if shown.is_label:
    return _labels(shown, present, counts, path)
  if present.size <= FEW and changes_often(values):
    raise photograph(path, 'dots all over')
  if shown.is_lossy:
    return _graded(values, present, counts, path, is_lossy=True)
  small = present[(present > 0) & (present < BOUNDARY)]
  if present.max(initial=0) == BOUNDARY and 0 < small.max(initial=0) <= _LARGEST_CLASS:
    found = _beside_small_values(shown, present, counts, path)
    if found is not None:
      return found
    return (values == BOUNDARY).view(np.uint8), ''
  if _is_graded(present, counts) or is_gradual(values, present):
    return _graded(values, present, counts, path)
  refuse_photograph(values, present, path)
  return (values > 0).view(np.uint8), _several(present, counts)


def _labels(
  shown: Shown, present: np.ndarray, counts: np.ndarray, path: PathLike
) -> tuple[UInt8[np.ndarray, 'h w'], str]:
  if shown.unclear:
    raise InputError(f'{path}: {shown.unclear}')
  classes = ~np.isin(present, (*shown.background, BOUNDARY))
  if classes.any() and BOUNDARY in present and BOUNDARY not in shown.background:
    found = _beside_small_values(shown, present, counts, path)
    if found is None:
      return (shown.values == BOUNDARY).view(np.uint8), ''
    return found
  mask = ~is_among(shown.values, shown.background)
  return mask.view(np.uint8), _several(present[classes], counts[classes])


def _beside_small_values(
  shown: Shown, present: np.ndarray, counts: np.ndarray, path: PathLike
) -> tuple[UInt8[np.ndarray, 'h w'], str] | None:
  """Takes 255 beside classes for their outline, by its amount and place; None: it is the object."""
  values, white = shown.values, shown.values == BOUNDARY
  objects = ~(white | is_among(values, shown.background))
  classes = ~np.isin(present, (*shown.background, BOUNDARY))
  few, many = np.count_nonzero(objects), np.count_nonzero(white)
  empty = values.size - few - many
  is_thin = 2 * np.count_nonzero(grown(objects, _RIM) & white) > many
  is_full = empty <= values.size // (1000 if is_thin else 20)
  if not shown.is_label and classes.sum() == 1 and is_full:
    if present[classes][0] <= _NEARLY_BLACK:
      return None
    raise _unclear(path, present, counts)
  around = grown(objects, 1) & ~objects
  encloses = np.count_nonzero(around & white) >= 0.5 * np.count_nonzero(around)
  doubts = [_several(present[classes], counts[classes])]
  if 20 * few < many and not (encloses and is_thin):
    return None
  if not is_thin and not shown.is_label:
    doubts += [
      f'255 ({many} pixels) is taken for a boundary, though it is no thin outline; {CHOOSE}'
    ]
  if encloses or shown.is_label or (is_thin and many <= few):
    return objects.view(np.uint8), '; '.join(filter(None, doubts))
  raise _unclear(path, present, counts)


def _unclear(path: PathLike, present: np.ndarray, counts: np.ndarray) -> InputError:
  return InputError(
    f'{path}: not plain what is the object: {_listing(present, counts)}; save it as white on black,'
    f' or {CHOOSE}'
  )


def _is_graded(present: np.ndarray, counts: np.ndarray) -> bool:
  """Tells whether gray values are brightness: white with soft edges, or black that is not 0."""
  bright = present > 0
  if not bright.any():
    return False
  top, rest = present[-1], counts[bright]
  if top in _WHITES and counts[-1] == rest.max():
    return True
  if present[0] > 0:
    return _has_gray_black(present, counts)
  peak = present[counts == rest.max()][-1]
  return bool(
    rest.size > _LISTED and peak >= max(_LEAST_WHITE, 0.75 * top) and 2 * rest.max() >= rest.sum()
  )


def _has_gray_black(present: np.ndarray, counts: np.ndarray) -> bool:
  """Tells whether nearly all pixels have one of two values, a dark and a bright one."""
  low, high = _levels(present, counts)
  near = (np.abs(present - low) <= high / 16) | (np.abs(present - high) <= high / 16)
  return bool(high >= _LEAST_WHITE and low <= high / 4 and counts[near].sum() >= 0.9 * counts.sum())


def _levels(present: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
  """Returns the commonest dark and the commonest bright value; 0 for dark where none is so dark."""
  present = present.astype(np.int64)
  dark = present <= present[-1] // 2
  high = int(present[~dark][np.argmax(counts[~dark])])
  low = int(present[dark][np.argmax(counts[dark])]) if dark.any() else 0
  return (low if low <= high / 4 else 0), high


def _graded(
  values: np.ndarray, present: np.ndarray, counts: np.ndarray, path: PathLike, *, is_lossy=False
) -> tuple[UInt8[np.ndarray, 'h w'], str]:
  """Cuts brightness half way between black and white."""
  top = int(present.max(initial=0))
  if top == 0:
    return np.zeros(values.shape, np.uint8), ''
  if is_lossy and top < _NOISE:
    raise InputError(
      f'{path}: no value above {top}, which the noise of its format may be; save the mask as PNG'
    )
  low, high = _levels(present, counts)
  between = refuse_photograph(values, present, path)
  if high >= 0.65 * top:  # Noise may go beyond black and white.
    inside = (present > low + (high - low) / 8) & (present < high - (high - low) / 8)
    between = min(between, int(counts[inside].sum()))
  doubt = ''
  mask = values >= (low + top) / 2
  least = min(np.count_nonzero(mask), np.count_nonzero(~mask))
  if between > max((0.1 if is_lossy else 0.02) * least, values.size / 2000):
    doubt = (
      f'{between} pixels are gray, neither black nor white nor a narrow edge; from'
      f' {(low + top) / 2:g} on they are taken for the object; if gray is a class of its own, save'
      f' one class alone, as PNG, or {CHOOSE}'
    )
  return mask.view(np.uint8), doubt


def _several(present: np.ndarray, counts: np.ndarray) -> str:
  """Doubts that several values are one object, where none of them is most of it."""
  counts, present = counts[present > 0], present[present > 0]
  if present.size < 2 or counts.max() >= 0.95 * counts.sum():
    return ''
  if present[0] >= BOUNDARY - _NEARLY_BLACK and present[-1] <= BOUNDARY:
    return ''  # All of it is nearly white.
  return (
    f'{_listing(present, counts)} are all taken for the object; save one class alone, or {CHOOSE}'
  )


def _listing(present: np.ndarray, counts: np.ndarray) -> str:
  listed = [f'{v} ({n} pixels)' for v, n in zip(present[:_LISTED], counts, strict=False)]
  return 'values ' + ', '.join(listed) + (' ...' if present.size > _LISTED else '')
