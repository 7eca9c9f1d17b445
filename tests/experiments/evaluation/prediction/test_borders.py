"""Polygons of masks, drawn by those who read them, are the masks."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from pycocotools import mask as coder

from experiments.evaluation.prediction.borders import polygons


def drawn_by_coco(found, size):
  if not found:
    return np.zeros(size, np.uint8)
  return coder.decode(coder.merge(coder.frPyObjects([p.ravel().tolist() for p in found], *size)))


def drawn_by_labelme(found, size):
  label = np.zeros(size, np.uint8)
  for points in found:
    image = Image.new('L', size[::-1])
    ImageDraw.Draw(image).polygon([tuple(p) for p in points.tolist()], fill=1, outline=1)
    label |= np.asarray(image)
  return label


def dilated(mask):
  """What lies within one pixel of a mask."""
  padded = np.pad(mask, 1)
  height, width = mask.shape
  return np.max([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)


def blobs(seed):
  """Noise, smooth or not, cut at any level: objects in holes of objects."""
  rng = np.random.default_rng(seed)
  noise = Image.fromarray(rng.integers(0, 256, rng.integers(1, 50, 2), np.uint8))
  smooth = np.asarray(noise.filter(ImageFilter.GaussianBlur(1.5 * (seed % 3))))
  return (smooth > np.quantile(smooth, rng.random())).astype(np.uint8)


def parse(text):
  return np.array([[int(c == '#') for c in line] for line in text.split()], np.uint8)


MASKS = {
  'one pixel': parse('#'),
  'a corner': parse('#. ..'),
  'full': np.ones((4, 6), np.uint8),
  'a line': parse('..... .###. .....'),
  'a stair': parse('##... .##.. ..##.'),
  'touching corners': parse('#.# .#. #.#'),
  'a hole': parse('##### #...# #.#.# #...# #####'),
  'two holes in a row': parse('####### #..#..# #######'),
  'a hole that opens at a corner': parse('###. #.## ##.# .###'),
} | {f'blobs {seed}': blobs(seed) for seed in range(24)}


@pytest.mark.parametrize('mask', MASKS.values(), ids=MASKS)
def test_polygons_are_the_mask(mask):
  size = mask.shape
  np.testing.assert_array_equal(drawn_by_coco(polygons(mask), size), mask)
  np.testing.assert_array_equal(drawn_by_labelme(polygons(mask, centers=True), size), mask)
  few = drawn_by_labelme(polygons(mask, centers=True, tolerance=0.4), size)
  assert (few <= dilated(mask)).all() and (few >= 1 - dilated(1 - mask)).all()


def test_an_empty_mask_has_none():
  assert polygons(np.zeros((3, 5), np.uint8)) == []
  assert polygons(np.zeros((0, 0), np.uint8)) == []


def test_objects_are_one_by_one_and_of_few_points():
  (square,) = polygons(parse('.... .##. .##. ....'))
  assert sorted(map(tuple, square.tolist())) == [(1, 1), (1, 3), (3, 1), (3, 3)]
  assert len(polygons(MASKS['touching corners'])) == 5
  assert len(polygons(MASKS['a hole'])) == 2, 'a ring, and what lies in it'
  y, x = np.mgrid[:200, :200]
  disc = ((y - 100) ** 2 + (x - 100) ** 2 < 80**2).astype(np.uint8)
  (every,), (few,) = polygons(disc), polygons(disc, centers=True, tolerance=0.4)
  assert len(few) < len(every) / 2
