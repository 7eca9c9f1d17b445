"""What the server has not got: kept in the browser, said where it cannot be, asked about."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.label_page import Server, find_chromium, rectangle, save_pictures, wait_until

pytestmark = pytest.mark.heavy

SIZE = (240, 320)
ASKS = """() => {
  const event = new Event('beforeunload', { cancelable: true });
  window.dispatchEvent(event);
  return event.defaultPrevented;
}"""


@pytest.fixture
def server(tmp_path):
  find_chromium()
  save_pictures(tmp_path / 'pictures', ['a.jpg', 'b.jpg', 'c.jpg'], size=SIZE)
  server = Server(tmp_path / 'pictures')
  yield server
  server.kill()


def about(server, name):
  return json.loads(server.get(f'pictures/{name}')[1])


def draw_box(page, a, b):
  page.press('t')
  points = page.drag(a, b)
  return rectangle(SIZE, points[0], points[-1])


def test_decisions_and_examples_alone_are_kept(server, open_page):
  page = open_page(server)
  page.open('a.jpg')
  draw_box(page, (20, 30), (100, 90))
  page.saved()
  assert not about(server, 'a.jpg')['is_support']
  server.kill()
  page.press('s')
  page.page.wait_for_selector('#saving[data-state=offline]')
  assert not page.page.evaluate(ASKS)
  context = page.page.context
  page.page.close()
  server.start()
  page = open_page(server, context)
  page.saved()
  wait_until(lambda: about(server, 'a.jpg')['is_support'])
  page.open('a.jpg')
  server.kill()
  page.press('r')
  page.page.wait_for_selector('#saving[data-state=offline]')
  page.page.close()
  server.start()
  page = open_page(server, context)
  page.saved()
  one = about(server, 'a.jpg')
  assert one['decision'] == 'rejected' and not one['is_support']


def test_what_cannot_be_kept_is_said_and_asked_about(server, open_page):
  page = open_page(server)
  page.open('a.jpg')
  assert not page.page.evaluate(ASKS)
  page.page.evaluate('void (Storage.prototype.setItem = () => { throw new Error("full"); })')
  page.page.context.set_offline(True)
  drawn = draw_box(page, (20, 30), (200, 160))
  page.page.wait_for_selector('#saving[data-state=unkept]')
  assert page.page.evaluate(ASKS)
  page.page.context.set_offline(False)
  np.testing.assert_array_equal(page.label('a.jpg'), drawn)
  assert not page.page.evaluate(ASKS)


def test_what_was_drawn_on_another_file_is_asked_about(server, open_page):
  page = open_page(server)
  page.open('b.jpg')
  page.page.context.set_offline(True)
  drawn = draw_box(page, (20, 30), (200, 160))
  page.page.wait_for_selector('#saving[data-state=offline]')
  Image.new('RGB', SIZE[::-1], (0, 90, 0)).save(server.folder / 'b.jpg')
  page.page.context.set_offline(False)
  page.page.wait_for_selector('#conflict:not([hidden])')
  assert server.mask('b.jpg') is None
  page.page.click('#keep-mine')
  np.testing.assert_array_equal(page.label('b.jpg'), drawn)
  more = draw_box(page, (220, 30), (300, 160))
  np.testing.assert_array_equal(page.label('b.jpg'), drawn | more)
