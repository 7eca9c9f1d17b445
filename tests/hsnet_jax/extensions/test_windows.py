"""The window around an object; how pictures are cut to it, tests/data_pipelines/reading has."""

import numpy as np
import pytest

from hsnet_jax.extensions.windows import object_slices


def boxed(height, width, box, value=1, dtype=np.uint8):
  top, left, bottom, right = box
  mask = np.zeros((height, width), dtype)
  mask[top:bottom, left:right] = value
  return mask


@pytest.mark.parametrize('dtype, value', [(bool, True), (np.uint8, 255), (np.int64, -3)])
def test_whatever_is_not_0_is_the_object(dtype, value):
  # 1.2 times 100 rows of 200 is 0.6 of the sides, around (100, 125).
  mask = boxed(200, 250, (50, 100, 150, 150), value, dtype)
  assert object_slices(mask, margin=0.1) == (slice(40, 160), slice(50, 200))


def test_without_an_object_there_is_no_window():
  assert object_slices(np.zeros((9, 7), np.uint8), margin=0.1) is None


@pytest.mark.parametrize('size', [(1, 1), (64, 64), (300, 200)])
def test_what_fills_the_picture_leaves_it_whole(size):
  height, width = size
  assert object_slices(np.ones(size, bool), margin=0.0) == (slice(0, height), slice(0, width))


def test_one_pixel_is_seen_with_what_lies_around_it():
  rows, columns = object_slices(boxed(200, 200, (199, 0, 200, 1)), margin=5.0)
  assert (rows, columns) == (slice(136, 200), slice(0, 64))
