"""Makes photographs of any size the arrays of an episode, as the published protocol does it.

Pixels stay uint8; they are normalized on the device, by the backbone's own mean and deviation.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image

from hsnet_jax.errors import InputError
from hsnet_jax.extensions.windows import object_slices
from hsnet_jax.resize import nearest_indices

# A photograph and its label; of one size, but for labels that were published at another.
Pair = tuple[UInt8[np.ndarray, 'h w 3'], Integer[np.ndarray, 'H W']]

BOUNDARY = 255  # The label of pixels that the annotation leaves open, such as PASCAL's outlines.


def image_hw(image_size: int | Sequence[int]) -> tuple[int, int]:
  """Makes (height, width) of one number for both or of the two of them.

  Raises:
    InputError: it is neither, or not positive.
  """
  given = image_size if isinstance(image_size, Sequence | np.ndarray) else (image_size, image_size)
  sides = [int(side) for side in given if isinstance(side, int | np.integer) and side > 0]
  if len(given) != 2 or len(sides) != 2:
    raise InputError(f'image size {image_size!r}: give a positive number or a height and a width')
  return sides[0], sides[1]


def resize_image(
  image: UInt8[np.ndarray, 'h w 3'], size: tuple[int, int]
) -> UInt8[np.ndarray, 'H W 3']:
  """Resizes with Pillow's bilinear filter (which averages when it shrinks), whatever the aspect.

  Args:
    image: RGB.
    size: (height, width) of the result.
  """
  if image.shape[:2] == tuple(size):
    return image
  resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
  return np.asarray(resized)


def resize_mask(
  mask: Integer[np.ndarray, 'h w'], size: tuple[int, int]
) -> Integer[np.ndarray, 'H W']:
  """Resizes a mask or a label to (height, width) by the library's `nearest_indices`.

  No new value appears.
  """
  if mask.shape == tuple(size):
    return mask
  rows, columns = (nearest_indices(*pair) for pair in zip(mask.shape, size, strict=True))
  return mask[rows][:, columns]


def class_mask(
  label: Integer[np.ndarray, 'h w'], class_id: int, *, boundary: int | None = BOUNDARY
) -> tuple[UInt8[np.ndarray, 'h w'], UInt8[np.ndarray, 'h w']]:
  """Finds where a label shows the class, and where it leaves open what it shows.

  Args:
    label: 0 background, class_id + 1 a class, `boundary` left open.
    class_id: the class, from 0.
    boundary: the value of open pixels; None where the benchmark has none.

  Returns:
    mask, 1 on the class; ignore, 1 where the label is open. An open pixel is background in the
    mask: that is how the loss and the supports take it, while the metrics leave it out.
  """
  ignore = np.zeros(label.shape, bool) if boundary is None else label == boundary
  return (label == class_id + 1).view(np.uint8), ignore.view(np.uint8)


def class_pixels(
  label: Integer[np.ndarray, 'h w'], classes: Iterable[int]
) -> Bool[np.ndarray, 'h w']:
  """Marks the pixels that show one of the classes.

  Args:
    label: 0 background, class_id + 1 a class, `[h, w]`.
    classes: class_ids, from 0.

  Returns:
    True on them, `[h, w]`.
  """
  return np.isin(label, [class_id + 1 for class_id in classes])


def crop_to_object(pair: Pair, class_id: int, *, margin: float) -> Pair:
  """Cuts an image and its label to the `object_window` of a class.

  Args:
    pair: the image [h, w, 3] and its label [H, W].
    class_id: the class, from 0.
    margin: of the window, a share of the class's own extent.

  Returns:
    The window of both, the label at its image's size; all of them where it does not show the class.
  """
  image, label = pair
  label = resize_mask(label, image.shape[:2])
  window = object_slices(label == class_id + 1, margin=margin)
  return pair if window is None else (image[window], label[window])


def episode_arrays(
  query: Pair,
  supports: Sequence[Pair],
  *,
  class_id: int,
  size: tuple[int, int],
  boundary: int | None = BOUNDARY,
  support_margin: float | None = None,
) -> dict[str, UInt8[np.ndarray, '...']]:
  """Makes the arrays of one episode.

  Args:
    query: the query's image [h, w, 3] and label [h, w], at any size.
    supports: the image and label of each of the K supports, each at any size.
    class_id: the class to segment.
    size: (height, width) of the arrays.
    boundary: the label of open pixels, as `class_mask` takes it.
    support_margin: of `crop_to_object`, for the supports; None leaves them whole, as published.

  Returns:
    query_image [H, W, 3], query_mask and query_ignore [H, W], support_images [K, H, W, 3],
    support_masks [K, H, W]; all uint8, masks in {0, 1}.
  """
  mask, ignore = class_mask(resize_mask(query[1], size), class_id, boundary=boundary)
  if support_margin is not None:
    supports = [crop_to_object(pair, class_id, margin=support_margin) for pair in supports]
  return {
    'query_image': resize_image(query[0], size),
    'query_mask': mask,
    'query_ignore': ignore,
    'support_images': np.stack([resize_image(image, size) for image, _ in supports]),
    'support_masks': np.stack(
      [class_mask(resize_mask(label, size), class_id)[0] for _, label in supports]
    ),
  }
