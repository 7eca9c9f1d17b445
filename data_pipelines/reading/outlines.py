"""Converts outlines as COCO's JSON has them to run lengths and masks, and paints labels of objects.

The files come from strangers, and pycocotools believes what it is given: wrong run lengths would
give memory that was never written, far points a great deal of it. So outlines are checked first.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8

from data_pipelines.reading.arrays import BOUNDARY
from hsnet_jax.errors import InputError

# Of no larger picture is an outline drawn: none is read either.
_MOST_PIXELS = 180_000_000
# Six bits a character from '0' on; the sixth says that a number goes on.
_COMPRESSED = re.compile('(?:[P-o]{0,6}[0-O])*')


class Patch(NamedTuple):
  """Holds the pixels of an object as a mask of the box around them.

  Attributes:
    top: the first row of the box.
    left: its first column.
    mask: where the object is in it.
  """

  top: int
  left: int
  mask: Bool[np.ndarray, 'h w']


class Object(NamedTuple):
  """Holds an object that is to be painted.

  Attributes:
    value: what it is in the label.
    pixels: how many it has.
    shape: where it is: run lengths as `run_lengths` gives them, or a patch.
    below: whether it lies under all others, as COCO's crowds do.
  """

  value: int
  pixels: int
  shape: dict[str, Any] | Patch
  below: bool = False


def check_polygons(segmentation: Any) -> None:
  """Raises ValueError unless an outline is polygons of three points or more, or run lengths."""
  if isinstance(segmentation, dict):
    if not {'size', 'counts'} <= segmentation.keys():
      raise ValueError('run lengths without size or counts')
  elif not isinstance(segmentation, list) or not segmentation:
    raise ValueError('no outline')
  elif not all(isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0 for p in segmentation):
    raise ValueError('a polygon of fewer than 3 points')


def check_points(points: Any, size: tuple[int, int]) -> Float[np.ndarray, 'n 2']:
  """Makes an array [n, 2] of x and y; ValueError where points are none or far out of the image.

  Args:
    points: pairs of numbers, or the numbers of all pairs in a row.
    size: (height, width) of the image; an outline may pass its edges by no more than its sides.
  """
  try:
    array = np.asarray(points, np.float64)
    # Pairs are pairs already: to divide triples anew would draw another outline.
    array = array.reshape(-1, 2) if array.ndim == 1 else array
    sides = np.asarray([size[1], size[0]], np.float64)
  except (TypeError, ValueError, OverflowError) as error:
    raise ValueError('points that are not pairs of numbers') from error
  if array.ndim != 2 or array.shape[1] != 2:
    raise ValueError('points that are not pairs of numbers')
  if not np.all((array >= -sides) & (array <= 2 * sides)):
    raise ValueError(f'points far out of the image of {size[1]} x {size[0]}')
  return array


def run_lengths(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
  """Encodes one outline as compressed run lengths.

  Args:
    segmentation: a list of polygons [x, y, x, y ...], or run lengths {size, counts}, compressed
      (a string) or not (a list).
    size: (height, width) of the image.

  Returns:
    The run lengths as pycocotools has them.

  Raises:
    ValueError: the outline is damaged, or of another size.
  """
  coder = _coder()
  if not 0 <= size[0] * size[1] <= _MOST_PIXELS:
    raise ValueError(f'an image of {size[1]} x {size[0]}')
  check_polygons(segmentation)
  if isinstance(segmentation, list):
    polygons = [check_points(p, size).ravel().tolist() for p in segmentation]
    return coder.merge(coder.frPyObjects(polygons, *size))
  counts = segmentation['counts']
  if list(segmentation['size']) != list(size):
    raise ValueError(f'run lengths of size {segmentation["size"]}, not {list(size)}')
  if isinstance(counts, list):
    if not all(isinstance(c, int) and c >= 0 for c in counts) or sum(counts) != size[0] * size[1]:
      raise ValueError('run lengths that do not fill the image')
    return coder.frPyObjects({'size': list(size), 'counts': counts}, *size)
  if not isinstance(counts, str) or not _COMPRESSED.fullmatch(counts):
    raise ValueError('damaged run lengths')
  rle = {'size': list(size), 'counts': counts.encode()}
  # What is too short is found so: its end, once decoded, is whatever the memory held.
  if coder.encode(np.asfortranarray(coder.decode(rle)))['counts'] != rle['counts']:
    raise ValueError('run lengths that do not fill the image')
  return rle


def union(encoded: Sequence[dict[str, Any]]) -> UInt8[np.ndarray, 'h w']:
  """Joins several outlines: 1 where any of them is, 0 elsewhere.

  Args:
    encoded: what `run_lengths` gives, all of one size.
  """
  coder = _coder()
  return coder.decode(coder.merge(list(encoded)))


def outlined(
  value: int, segmentation: Any, size: tuple[int, int], *, below: bool = False
) -> Object:
  """Makes an object of an outline.

  Args:
    value: what it is in the label.
    segmentation: see `run_lengths`.
    size: (height, width) of the image.
    below: whether it lies under all others.

  Raises:
    ValueError: see `run_lengths`.
  """
  encoded = run_lengths(segmentation, size)
  return Object(value, int(_coder().area(encoded)), encoded, below)


def patched(value: int, mask: Bool[np.ndarray, 'h w'], *, top: int = 0, left: int = 0) -> Object:
  """Makes an object of a mask of the image, or of a part of it.

  Args:
    value: what it is in the label.
    mask: where it is.
    top: the first row of the part.
    left: its first column.
  """
  rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
  if not rows.size:
    return Object(value, 0, Patch(0, 0, np.zeros((0, 0), bool)))
  box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
  shape = Patch(top + int(rows[0]), left + int(columns[0]), box)
  return Object(value, int(np.count_nonzero(box)), shape)


def paint(
  objects: Iterable[Object], *, size: tuple[int, int], dtype: type[np.unsignedinteger]
) -> Integer[np.ndarray, 'h w']:
  """Paints a label, from the object of the most pixels to the one of the fewest.

  So the smaller one of two that overlap stays whole, however large its box is.

  Args:
    objects: in any order.
    size: (height, width).
    dtype: of the label.

  Returns:
    0 where there is no object, else the value of the uppermost.
  """
  lowest_first = sorted(objects, key=lambda o: (not o.below, -o.pixels, o.value))
  label = np.zeros(size, dtype)
  # Neighbors of one class together: a picture of many cells is decoded once.
  for value, group in itertools.groupby(lowest_first, key=lambda o: o.value):
    for view, mask in _masks(label, [o.shape for o in group]):
      view[mask] = value
  return label


def over(label: Integer[np.ndarray, 'h w'], objects: Iterable[Object]) -> Integer[np.ndarray, ' n']:
  """Returns what a label has where objects are, pixel by pixel in no certain order."""
  found = [view[mask] for view, mask in _masks(label, [o.shape for o in objects])]
  return np.concatenate([*found, label[:0, 0]])


def draw(
  drawn: Sequence[tuple[int, bool, Any]], *, size: tuple[int, int], num_classes: int
) -> Integer[np.ndarray, 'h w']:
  """Draws the label of one image.

  Args:
    drawn: (class_id, whether it is a crowd, outline) of each object.
    size: (height, width).
    num_classes: of all, which decides how deep the label is.

  Returns:
    0 background, class_id + 1 a class.

  Raises:
    ValueError: an outline is damaged.
  """
  objects = [outlined(class_id + 1, s, size, below=crowd) for class_id, crowd, s in drawn]
  return paint(objects, size=size, dtype=drawn_dtype(num_classes))


def drawn_dtype(num_classes: int) -> type[np.unsignedinteger]:
  """Returns the type of drawn labels, one for all of a folder's."""
  return np.uint8 if num_classes < BOUNDARY else np.uint16


def _masks(
  label: Integer[np.ndarray, 'h w'], shapes: Sequence[dict[str, Any] | Patch]
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Pairs views of a label with masks of where shapes are in them."""
  encoded = [shape for shape in shapes if not isinstance(shape, Patch)]
  pairs = [(label, union(encoded) > 0)] if encoded else []
  for shape in shapes:
    if isinstance(shape, Patch):
      height, width = shape.mask.shape
      view = label[shape.top : shape.top + height, shape.left : shape.left + width]
      pairs.append((view, shape.mask))
  return pairs


def _coder() -> ModuleType:
  """Imports the library of outlines, only where masks are drawn."""
  try:
    from pycocotools import mask
  except ImportError as error:
    raise InputError(
      'masks are drawn from COCO JSON with pycocotools, which is not installed; run'
      ' `pip install pycocotools`'
    ) from error
  return mask
