import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from data_pipelines.reading import arrays as reading
from data_pipelines.reading.images import Encoded, png_bytes, read_pair
from tests.facts import refused


@pytest.mark.parametrize(
  'source, target',
  [
    ('mask', 'mask_nearest'),
    ('mask', 'mask_nearest_down'),
    ('nearest0_mask', 'nearest0_out'),
    ('nearest1_mask', 'nearest1_out'),
  ],
)
def test_resize_mask_matches_the_published_pixels(golden, source, target):
  with np.load(golden / 'resize.npz') as data:
    mask, expected = data[source][0, 0], data[target][0, 0]
  np.testing.assert_array_equal(reading.resize_mask(mask, expected.shape), expected)


@pytest.mark.parametrize('size', [(40, 30), (17, 60), (50, 70)])
def test_resize_image_is_pillows_bilinear(size):
  image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
  expected = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
  resized = reading.resize_image(image, size)
  assert resized.dtype == np.uint8 and resized.shape == (*size, 3)
  np.testing.assert_array_equal(resized, np.asarray(expected))


def test_class_mask_counts_the_boundary_as_background_and_as_ignored():
  label = np.array([[0, 3, 255], [4, 255, 3]], np.uint8)
  mask, ignore = reading.class_mask(label, 2)
  np.testing.assert_array_equal(mask, [[0, 1, 0], [0, 0, 1]])
  np.testing.assert_array_equal(ignore, [[0, 0, 1], [0, 1, 0]])
  assert mask.dtype == ignore.dtype == np.uint8


def test_episode_arrays_find_the_boundary_after_the_resize():
  rng = np.random.default_rng(0)
  images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((33, 45), (21, 60))]
  labels = [rng.choice([0, 7, 8, 255], image.shape[:2]).astype(np.uint8) for image in images]
  arrays = reading.episode_arrays(
    (images[0], labels[0]),
    [(images[1], labels[1]), (images[0], labels[0])],
    class_id=6,
    size=(24, 32),
  )
  resized = [reading.resize_mask(label, (24, 32)) for label in labels]
  np.testing.assert_array_equal(arrays['query_mask'], resized[0] == 7)
  np.testing.assert_array_equal(arrays['query_ignore'], resized[0] == 255)
  np.testing.assert_array_equal(arrays['support_masks'], [resized[1] == 7, resized[0] == 7])
  np.testing.assert_array_equal(arrays['support_images'][1], arrays['query_image'])
  assert {name: (a.shape, a.dtype.name) for name, a in arrays.items()} == {
    'query_image': ((24, 32, 3), 'uint8'),
    'query_mask': ((24, 32), 'uint8'),
    'query_ignore': ((24, 32), 'uint8'),
    'support_images': ((2, 24, 32, 3), 'uint8'),
    'support_masks': ((2, 24, 32), 'uint8'),
  }


@pytest.mark.parametrize('given, expected', [(200, (200, 200)), ((3, 4), (3, 4)), ([5, 6], (5, 6))])
def test_image_size_is_a_side_or_two(given, expected):
  assert reading.image_hw(given) == expected


@pytest.mark.parametrize('bad', [0, -1, (3,), (3, 4, 5), (0, 4)])
def test_other_image_sizes_are_refused(bad):
  with refused(repr(bad)):
    reading.image_hw(bad)


def nearest_by_the_letter(label, size):
  """The published resize of masks: each source index in float32, one by one."""
  rows, columns = (
    [
      min(int(np.floor(np.float32(i) * (np.float32(n_in) / np.float32(n_out)))), n_in - 1)
      for i in range(n_out)
    ]
    for n_in, n_out in zip(label.shape, size, strict=True)
  )
  return np.array([[label[row, column] for column in columns] for row in rows])


SIDES = st.integers(1, 700)


@settings(deadline=None, max_examples=40)
@example(height=336, width=336, size=(400, 40), seed=0)
@example(height=375, width=500, size=(400, 400), seed=0)
@example(height=700, width=1, size=(1, 400), seed=0)
@given(
  height=SIDES,
  width=SIDES,
  size=st.one_of(st.tuples(st.just(400), st.integers(1, 40)), st.tuples(st.integers(1, 40), SIDES)),
  seed=st.integers(0, 99),
)
def test_preprocessing_is_pillows_and_numpys_at_any_size(height, width, size, seed):
  rng = np.random.default_rng(seed)
  # Coarse noise: files stay small, and edges are as sharp as any.
  pixels = rng.integers(0, 256, (height // 9 + 1, width // 9 + 1, 4), dtype=np.uint8)
  pixels = pixels.repeat(9, 0).repeat(9, 1)[:height, :width]
  label = np.array([0, 7, 8, 255], np.uint8)[pixels[..., 3] % 4]
  jpeg = io.BytesIO()
  Image.fromarray(pixels[..., :3]).save(jpeg, 'JPEG')
  pair = read_pair(Encoded(jpeg.getvalue(), 'a.jpg'), png_bytes(label, name='a.png'))
  arrays = reading.episode_arrays(pair, [pair], class_id=6, size=size)

  photograph = Image.open(jpeg).convert('RGB')
  expected = np.array(photograph.resize(size[::-1], Image.Resampling.BILINEAR))
  np.testing.assert_array_equal(arrays['query_image'], expected)
  np.testing.assert_array_equal(arrays['support_images'], expected[None])
  resized = nearest_by_the_letter(label, size)
  np.testing.assert_array_equal(arrays['query_mask'], resized == 7)
  np.testing.assert_array_equal(arrays['query_ignore'], resized == 255)
  np.testing.assert_array_equal(arrays['support_masks'], (resized == 7)[None])
