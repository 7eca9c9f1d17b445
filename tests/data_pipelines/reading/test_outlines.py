"""Outlines of strangers: what would take all memory, or no number could hold, is refused first."""

import tracemalloc

import pytest

from data_pipelines.own_pictures.layouts import inner_name
from data_pipelines.reading.outlines import check_points, draw, run_lengths

BOX = [4, 4, 9, 4, 9, 9]


@pytest.mark.parametrize('size', [(10**6, 10**6), (40_000, 5000), (-5, 8), (10**30, 10**30)])
def test_a_picture_of_a_size_that_none_has_is_not_drawn(size):
  tracemalloc.start()
  with pytest.raises(ValueError, match=str(size[1])):
    run_lengths([BOX], size)
  with pytest.raises(ValueError, match=str(size[1])):
    draw(
      [(0, False, {'size': list(size), 'counts': [size[0] * size[1]]})], size=size, num_classes=1
    )
  assert tracemalloc.get_traced_memory()[1] < 1e6
  tracemalloc.stop()


def test_sides_and_points_that_are_no_numbers_are_refused():
  for points, size in ((BOX, (10**400, 8)), ([10**400] * 6, (8, 8)), ([[1, 2, 3]], (8, 8))):
    with pytest.raises(ValueError, match='pairs of numbers'):
      check_points(points, size)


@pytest.mark.parametrize(
  'name', ['x' * 256, 'a/' * 1500 + 'b', '\u00e9' * 128, '../a', '/a', 'C:\\a', 'a\0b', '', 7, None]
)
def test_a_name_that_no_file_of_the_folder_has_is_none(name):
  assert inner_name(name) is None


def test_a_name_within_the_folder_stays():
  assert inner_name('a\\b/\u00e9.jpg') == 'a/b/\u00e9.jpg'
  assert inner_name('x' * 255) == 'x' * 255
