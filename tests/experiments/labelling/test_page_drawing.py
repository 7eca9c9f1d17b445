"""What is painted in a browser is what is stored, to the pixel."""

import numpy as np
import pytest

from tests.label_page import (
  Server,
  find_chromium,
  polygon,
  rectangle,
  save_pictures,
  stroke,
)

pytestmark = pytest.mark.heavy

NAMES = [f'{name}.png' for name in 'abcdefghijkl']
SIZE = (199, 301)


@pytest.fixture(scope='module')
def server(tmp_path_factory):
  find_chromium()
  folder = tmp_path_factory.mktemp('pictures')
  save_pictures(folder, NAMES, size=SIZE)
  server = Server(folder)
  yield server
  server.kill()


def brush_size(page):
  return float(page.page.text_content('#size-value'))


def test_a_rectangle(server, open_page):
  page = open_page(server)
  page.open('a.png')
  page.press('t')
  points = page.drag((40.2, 30.7), (150.4, 120.1))
  expected = rectangle(SIZE, points[0], points[-1])
  assert expected.sum() > 5000
  np.testing.assert_array_equal(page.label('a.png'), expected)


def test_a_brush_and_an_eraser(server, open_page):
  page = open_page(server)
  page.open('b.png')
  page.press('b')
  size = brush_size(page)
  drawn = stroke(SIZE, page.drag((30, 40), (120, 60), (200, 150)), size / 2)
  page.press('e', '[', '[')
  assert brush_size(page) < size
  wiped = stroke(SIZE, page.drag((100, 20), (110, 130)), brush_size(page) / 2)
  expected = drawn & ~wiped
  assert 0 < expected.sum() < drawn.sum()
  np.testing.assert_array_equal(page.label('b.png'), expected)


def test_a_brush_beyond_the_edge(server, open_page):
  page = open_page(server)
  page.open('c.png')
  page.press('b', ']', ']', ']')
  points = page.drag((-8, 100), (10, -6), (309, 60))
  expected = stroke(SIZE, points, brush_size(page) / 2)
  assert expected[0].any() and expected[:, -1].any()
  np.testing.assert_array_equal(page.label('c.png'), expected)


@pytest.mark.parametrize('name, ends', [('d.png', 'key'), ('e.png', 'first point')])
def test_a_polygon(server, open_page, name, ends):
  page = open_page(server)
  page.open(name)
  corners = [(50.3, 20.1), (250.8, 60.2), (200.1, 170.9), (140.5, 80.2), (60.7, 150.4)]
  points = page.click(*corners)
  if ends == 'key':
    page.press('Enter')
  else:
    page.click(corners[0])
  np.testing.assert_array_equal(page.label(name), polygon(SIZE, points))


def test_a_polygon_that_crosses_itself_loses_a_point_and_is_dropped(server, open_page):
  page = open_page(server)
  page.open('f.png')
  page.click((10, 10), (60, 60), (10, 60))
  page.press('Escape')
  points = page.click((50, 20), (250, 170), (250, 20), (50, 170), (20, 100))
  page.press('Backspace', 'Enter')
  np.testing.assert_array_equal(page.label('f.png'), polygon(SIZE, points[:4]))


def test_fill_stops_at_an_outline(server, open_page):
  page = open_page(server)
  page.open('g.png')
  page.press('b')
  ring = page.drag((60, 40), (200, 40), (200, 150), (60, 150), (60, 40))
  page.press('f')
  page.click((130, 90))
  expected = stroke(SIZE, ring, brush_size(page) / 2)
  expected |= rectangle(SIZE, (60, 40), (200, 150))
  np.testing.assert_array_equal(page.label('g.png'), expected)


def test_zoomed_and_moved(server, open_page):
  page = open_page(server)
  page.open('h.png')
  before = page.view[2]
  page.page.mouse.move(*page.at(150, 100))
  page.page.mouse.wheel(0, -900)
  page.page.wait_for_function(
    '(scale) => parseFloat(document.querySelector("#stage").dataset.view) > scale', arg=before * 2
  )
  page.press('h')
  page.drag((150, 100), (140, 95))
  page.press('t')
  points = page.drag((141.3, 91.2), (160.8, 104.9))
  np.testing.assert_array_equal(page.label('h.png'), rectangle(SIZE, points[0], points[-1]))
  page.press('0')


def test_undo_and_redo(server, open_page):
  page = open_page(server)
  page.open('i.png')
  page.press('t')
  one = page.drag((20, 20), (100, 100))
  one = rectangle(SIZE, one[0], one[-1])
  two = page.drag((60, 60), (180, 150))
  two = rectangle(SIZE, two[0], two[-1])
  np.testing.assert_array_equal(page.label('i.png'), one | two)
  page.press('Control+z')
  np.testing.assert_array_equal(page.label('i.png'), one)
  page.press('Control+Shift+Z')
  np.testing.assert_array_equal(page.label('i.png'), one | two)
  page.press('Control+z', 'Control+z', 'Control+z')
  assert not page.label('i.png').any()


def test_undo_in_a_picture_that_one_comes_back_to(server, open_page):
  page = open_page(server)
  page.open('l.png')
  page.press('t')
  one = page.drag((20, 20), (100, 100))
  page.drag((60, 60), (180, 150))
  page.open('a.png')
  page.open('l.png')
  page.press('Control+z')
  np.testing.assert_array_equal(page.label('l.png'), rectangle(SIZE, one[0], one[-1]))


def test_several_classes(server, open_page):
  page = open_page(server)
  page.open('j.png')
  page.page.fill('#new-class', 'second')
  page.page.press('#new-class', 'Enter')
  page.page.wait_for_selector('.class[data-number="2"] input[type=radio]:checked')
  page.page.focus('#stage')
  page.press('t')
  two = page.drag((30, 30), (120, 120))
  page.press('1')
  one = page.drag((90, 90), (200, 150))
  expected = np.where(rectangle(SIZE, two[0], two[-1]), 2, 0)
  expected[rectangle(SIZE, one[0], one[-1])] = 1
  np.testing.assert_array_equal(page.label('j.png'), expected)
  page.page.fill('.class[data-number="2"] input[type=text]', 'another name')
  page.page.press('.class[data-number="2"] input[type=text]', 'Enter')
  page.page.wait_for_selector('.class[data-number="2"] input[title="another name"]')


def test_by_keys_alone(server, open_page):
  """From the list to a stored rectangle, without a pointer."""
  page = open_page(server)
  page.page.focus('#list')
  while page.page.text_content('#name') != 'k.png':
    before = page.page.text_content('#name')
    page.press('ArrowDown')
    page.page.wait_for_function(
      '(name) => document.querySelector("#name").textContent !== name', arg=before
    )
    page.page.wait_for_selector('#stage:not([aria-busy])')
  page.press('t', 'k', 'Space', 'ArrowRight', 'ArrowRight', 'ArrowDown', 'Shift+ArrowDown', 'Space')
  label = page.label('k.png')
  rows, columns = np.nonzero(label)
  assert label.max() == 1
  assert label.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
  assert np.ptp(columns) > np.ptp(rows) > 1
  page.press('k', 'Control+z')
  assert not page.label('k.png').any()
