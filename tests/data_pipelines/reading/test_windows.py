"""Supports that are cut to a window around their object."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.loading.loader import eval_batches, train_batches
from data_pipelines.reading.arrays import crop_to_object, episode_arrays
from hsnet_jax.errors import InputError
from hsnet_jax.extensions import windows
from tests.data_pipelines.loading.test_loader import OPTIONS


def numbered(height, width):
  """Returns an image whose pixels tell where they come from: (row, column, 0)."""
  rows, columns = np.mgrid[:height, :width]
  return np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)


def boxed(height, width, box):
  """Returns a label of class 3 in a box (top, left, bottom, right)."""
  top, left, bottom, right = box
  label = np.zeros((height, width), np.uint8)
  label[top:bottom, left:right] = 4
  return label


def window(height, width, box, margin):
  """Cuts a numbered image; returns the window as (top, left, bottom, right), and its label."""
  image, label = crop_to_object(
    (numbered(height, width), boxed(height, width, box)), 3, margin=margin
  )
  top, left = (int(x) for x in image[0, 0, :2])
  bottom, right = (int(x) + 1 for x in image[-1, -1, :2])
  assert image.shape == (bottom - top, right - left, 3) and label.shape == image.shape[:2]
  return (top, left, bottom, right), label


def test_a_window_is_of_the_images_shape_and_wider_than_the_object():
  found, label = window(200, 250, (50, 100, 150, 150), 0.1)
  # 1.2 times 100 rows of 200 is 0.6 of the sides, around (100, 125).
  assert found == (40, 50, 160, 200)
  assert (label == 4).sum() == 100 * 50


@pytest.mark.parametrize(
  'box, expected',
  [((0, 0, 100, 20), (0, 0, 120, 150)), ((100, 230, 200, 250), (80, 100, 200, 250))],
)
def test_a_window_ends_where_the_image_does(box, expected):
  assert window(200, 250, box, 0.1)[0] == expected


def test_a_small_object_is_seen_at_no_more_than_its_pixels():
  top, left, bottom, right = window(200, 250, (100, 120, 104, 124), 0.1)[0]
  assert 64 <= bottom - top <= 65 and 80 <= right - left <= 81
  assert top < 100 and bottom > 104 and left < 120 and right > 124


@given(st.data())
def test_no_pixel_of_the_object_is_lost(data):
  height, width = (data.draw(st.integers(1, 150)) for _ in range(2))
  top, left = (data.draw(st.integers(0, n - 1)) for n in (height, width))
  bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
  box, margin = (top, left, bottom, right), data.draw(st.floats(0, 3))
  (at, start, end, stop), label = window(height, width, box, margin)
  assert (label == 4).sum() == (bottom - top) * (right - left)
  assert at <= top and start <= left and end >= bottom and stop >= right
  # No pixel more than there are, and the whole image where the object fills it.
  assert 0 <= at < end <= height and 0 <= start < stop <= width


def test_where_the_class_is_not_shown_nothing_is_cut():
  image, label = numbered(90, 120), boxed(90, 120, (10, 10, 30, 30))
  for got, given_ in zip(
    crop_to_object((image, label), 7, margin=0.1), (image, label), strict=True
  ):
    assert got is given_


def test_a_label_of_another_size_is_cut_at_the_same_place():
  image, label = numbered(200, 240), boxed(100, 120, (30, 40, 70, 80))
  cut, drawn = crop_to_object((image, label), 3, margin=0.0)
  assert cut.shape == (80, 96, 3) and drawn.shape == (80, 96)
  assert tuple(cut[0, 0, :2]) == (60, 72) and drawn[0, 8] == 4 and drawn[0, 7] == 0


def test_supports_alone_are_cut():
  query = (numbered(200, 250), boxed(200, 250, (50, 100, 150, 150)))
  arrays = episode_arrays(query, [query], class_id=3, size=(100, 100), support_margin=0.0)
  whole = episode_arrays(query, [query], class_id=3, size=(100, 100))
  for name in ('query_image', 'query_mask', 'query_ignore'):
    np.testing.assert_array_equal(arrays[name], whole[name])
  # Half of the rows and of the columns, and a pixel: nearly four times the object's pixels.
  assert arrays['support_masks'].sum() > 3.8 * whole['support_masks'].sum()


@pytest.mark.parametrize('make', [functools.partial(train_batches, epochs=1), eval_batches])
def test_loaders_cut_supports(toy, make, monkeypatch):
  monkeypatch.setattr(windows, 'LEAST_SIDE', 1)
  cut, whole = (next(iter(make(toy, **more, **OPTIONS))) for more in ({'support_margin': 0.0}, {}))
  assert cut['support_masks'].mean() > whole['support_masks'].mean()
  np.testing.assert_array_equal(cut['query_image'], whole['query_image'])
  with pytest.raises(InputError, match='`support_margin`'):
    make(toy, support_margin=-0.1, **OPTIONS)
