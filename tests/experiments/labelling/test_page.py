"""The page at work in a browser: what follows an outline, what is kept, who sees what."""

import json
import pathlib
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from tests.label_page import (
  Server,
  find_chromium,
  rectangle,
  save_pictures,
  wait_until,
)

pytestmark = pytest.mark.heavy

SIZE = (240, 320)
HTML = '<img src=x onerror=alert(1)>.jpg'
NAMES = [*(f'{i}.jpg' for i in range(10, 22)), HTML, '강아지 "1".jpg']


@pytest.fixture(scope='module')
def server(tmp_path_factory):
  find_chromium()
  folder = tmp_path_factory.mktemp('pictures')
  save_pictures(folder, NAMES, size=SIZE)
  server = Server(folder)
  yield server
  server.kill()


@pytest.fixture
def mortal(tmp_path):
  """A server of a test's own, to be killed."""
  find_chromium()
  save_pictures(tmp_path / 'pictures', ['a.jpg', 'b.jpg', 'c.jpg'], size=SIZE)
  server = Server(tmp_path / 'pictures')
  yield server
  server.kill()


def about(server, name):
  return json.loads(server.get(f'pictures/{urllib.parse.quote(name, safe="")}')[1])


def draw_box(page, a, b):
  """Draws a rectangle; returns its pixels."""
  page.press('t')
  points = page.drag(a, b)
  return rectangle(SIZE, points[0], points[-1])


def test_others_are_found_corrected_undone_decided_and_exported(mortal, open_page):
  page = open_page(mortal)
  page.open('a.jpg')
  drawn = draw_box(page, (70, 50), (160, 140))
  page.press('Enter')
  page.page.wait_for_function('() => document.querySelector("#name").textContent === "b.jpg"')
  # It shows in the picture that is open, without being opened again.
  wait_until(lambda: about(mortal, 'b.jpg')['state'] in ('found', 'absent'))
  np.testing.assert_array_equal(mortal.mask('a.jpg'), drawn)
  assert about(mortal, 'a.jpg')['is_support']
  page.page.wait_for_function('() => document.querySelector("#facts").textContent.includes("%")')
  found = mortal.mask('b.jpg')
  # Corrected, taken back, and corrected again.
  more = draw_box(page, (5, 200), (50, 235))
  np.testing.assert_array_equal(page.label('b.jpg'), found | more)
  page.press('Control+z')
  np.testing.assert_array_equal(page.label('b.jpg'), found)
  page.press('Control+y')
  np.testing.assert_array_equal(page.label('b.jpg'), found | more)
  page.press('a')
  page.page.wait_for_function('() => document.querySelector("#name").textContent === "c.jpg"')
  page.saved()
  wait_until(lambda: about(mortal, 'c.jpg')['state'] in ('found', 'absent'))
  page.press('r')
  page.saved()
  assert [about(mortal, name)['decision'] for name in ('a.jpg', 'b.jpg', 'c.jpg')] == [
    None,
    'accepted',
    'rejected',
  ]
  page.press('x')
  for box in page.page.locator('[name=format]').all():
    box.check()
  page.page.click('#export-now')
  page.page.wait_for_function('() => /\\d/.test(document.querySelector("#exported").textContent)')
  masks = list((mortal.folder / 'labels').rglob('b*.png'))
  assert masks
  assert any((np.asarray(Image.open(m)) > 0).sum() == (found | more).sum() for m in masks)
  assert not list((mortal.folder / 'labels').rglob('c*.png'))


def test_a_whole_segmentation_is_undone(mortal, open_page):
  page = open_page(mortal)
  page.open('a.jpg')
  draw_box(page, (70, 50), (160, 140))
  page.press('Enter')
  wait_until(lambda: about(mortal, 'c.jpg')['state'] in ('found', 'absent'))
  page.page.wait_for_selector('#undo-found:not([disabled])')
  page.press('u')
  wait_until(lambda: about(mortal, 'c.jpg')['state'] == 'waiting')
  page.page.wait_for_selector('#redo-found:not([disabled])')
  page.press('Shift+U')
  wait_until(lambda: about(mortal, 'c.jpg')['state'] in ('found', 'absent'))


def test_a_page_that_is_reloaded_at_once_loses_nothing(server, open_page):
  page = open_page(server)
  page.open('10.jpg')
  drawn = draw_box(page, (20, 30), (200, 160))
  page.page.reload()
  page.ready()
  page.open('10.jpg')
  np.testing.assert_array_equal(page.label('10.jpg'), drawn)
  more = draw_box(page, (250, 30), (300, 100))
  np.testing.assert_array_equal(page.label('10.jpg'), drawn | more)


def test_a_page_that_is_left_at_once_loses_nothing(server, open_page):
  page = open_page(server)
  page.open('11.jpg')
  drawn = draw_box(page, (20, 30), (200, 160))
  page.page.goto('about:blank')
  wait_until(lambda: server.mask('11.jpg') is not None)
  np.testing.assert_array_equal(server.mask('11.jpg'), drawn)


def test_a_server_that_is_killed_loses_nothing(mortal, open_page):
  page = open_page(mortal)
  page.open('a.jpg')
  before = draw_box(page, (20, 30), (100, 90))
  page.saved()
  mortal.kill()
  during = draw_box(page, (150, 100), (300, 200))
  page.page.wait_for_selector('#saving[data-state=offline]')
  mortal.start()
  np.testing.assert_array_equal(page.label('a.jpg'), before | during)


def test_neither_do_both_at_once(mortal, open_page):
  """The server is killed, then the page is closed: the browser keeps what was drawn."""
  page = open_page(mortal)
  page.open('b.jpg')
  before = draw_box(page, (20, 30), (100, 90))
  page.saved()
  mortal.kill()
  during = draw_box(page, (150, 100), (300, 200))
  page.page.wait_for_selector('#saving[data-state=offline]')
  context = page.page.context
  page.page.close()
  mortal.start()
  np.testing.assert_array_equal(mortal.mask('b.jpg'), before)
  page = open_page(mortal, context)
  np.testing.assert_array_equal(page.label('b.jpg'), before | during)


def test_two_browsers_see_each_other(server, open_page):
  one, two = open_page(server), open_page(server)
  one.open('12.jpg')
  two.open('12.jpg')
  drawn = draw_box(one, (20, 30), (200, 160))
  one.saved()
  two.page.wait_for_selector('#drop:not([disabled])')
  two.page.wait_for_selector('.item[aria-selected=true][data-state=drawn]')
  more = draw_box(two, (250, 30), (300, 100))
  np.testing.assert_array_equal(two.label('12.jpg'), drawn | more)
  assert one.page.is_hidden('#conflict') and two.page.is_hidden('#conflict')


@pytest.mark.parametrize('name, stays', [('13.jpg', 'mine'), ('14.jpg', 'theirs')])
def test_a_conflict_is_a_persons_to_decide(server, open_page, name, stays):
  one, two = open_page(server), open_page(server)
  one.open(name)
  two.open(name)
  two.page.context.set_offline(True)
  mine = draw_box(two, (20, 30), (100, 100))
  theirs = draw_box(one, (150, 30), (300, 100))
  np.testing.assert_array_equal(one.label(name), theirs)
  two.page.context.set_offline(False)
  two.page.wait_for_selector('#conflict:not([hidden])')
  two.page.wait_for_selector('#saving[data-state=held]')
  np.testing.assert_array_equal(server.mask(name), theirs)
  two.page.check('[name=whose][value=theirs]')
  two.page.check('[name=whose][value=mine]')
  two.page.click('#keep-mine' if stays == 'mine' else '#take-theirs')
  np.testing.assert_array_equal(two.label(name), mine if stays == 'mine' else theirs)
  two.page.wait_for_selector('#conflict', state='hidden')
  # Whoever stays, drawing goes on.
  more = draw_box(two, (200, 150), (300, 200))
  expected = (mine if stays == 'mine' else theirs) | more
  np.testing.assert_array_equal(two.label(name), expected)


def test_names_are_words_not_html(server, open_page):
  page = open_page(server)
  for name in (HTML, '강아지 "1".jpg'):
    page.open(name)
    drawn = draw_box(page, (20, 30), (200, 160))
    np.testing.assert_array_equal(page.label(name), drawn)
  assert page.page.locator('img[src="x"]').count() == 0
  assert page.dialogs == []


def test_no_request_leaves_the_server(server, open_page):
  page = open_page(server)
  page.open('15.jpg')
  page.press('?', 'Escape', 'x', 'Escape')
  page.page.select_option('#language', 'ko')
  page.page.wait_for_selector('.item img')
  hosts = {urllib.parse.urlsplit(url).netloc for url in page.requests if url.startswith('http')}
  assert hosts == {f'127.0.0.1:{server.port}'}
  assert all(url.startswith(('http:', 'blob:', 'data:')) for url in page.requests)


def test_the_languages_say_the_same_things(server, open_page):
  page = open_page(server)
  words = page.page.evaluate("import('/words.js').then(({WORDS}) => WORDS)")
  assert words['en'].keys() == words['ko'].keys()
  for word, text in words['en'].items():
    values = {part.split('}')[0] for part in text.split('{')[1:]}
    assert values == {part.split('}')[0] for part in words['ko'][word].split('{')[1:]}, word
  page.page.select_option('#language', 'ko')
  assert page.page.text_content('#accept span') == words['ko']['accept']
  page.page.reload()
  page.ready()
  assert page.page.text_content('#accept span') == words['ko']['accept']
  assert page.page.get_attribute('html', 'lang') == 'ko'


def test_everything_has_a_name_for_a_screen_reader(server, open_page):
  page = open_page(server)
  nameless = page.page.evaluate("""[...document.querySelectorAll('button, select, input,'
    + '[role=img], [role=listbox], [role=toolbar], [role=application]')].filter(
    (one) => !one.closest('dialog') && !one.getAttribute('aria-label') && !one.textContent.trim()
      && !one.closest('label')?.textContent.trim()).map((one) => one.outerHTML)""")
  assert nameless == []
  assert page.page.get_attribute('#said', 'aria-live') == 'polite'
  page.press('b')
  assert 'Brush' in page.page.text_content('#said')


def test_on_a_phone(server, open_page):
  page = open_page(server, viewport={'width': 390, 'height': 780}, has_touch=True, is_mobile=True)
  assert page.page.evaluate('document.documentElement.scrollWidth') <= 390
  for one in ('#list', '#stage', '#accept', '#reject', '#done', '#next', '#export'):
    box = page.page.locator(one).bounding_box()
    assert box['x'] >= 0 and box['x'] + box['width'] <= 391, one
    assert box['y'] + box['height'] <= 780, one
  name = page.page.text_content('#name')
  page.page.tap('button[data-tool=rectangle]')
  send = page.page.context.new_cdp_session(page.page).send

  def touch(kind, *points):
    places = [dict(zip('xy', page.at(*point), strict=True), id=i) for i, point in enumerate(points)]
    send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': places})

  page.passed()
  touch('touchStart', (60, 60))
  touch('touchMove', (150, 120))
  touch('touchMove', (200, 160))
  touch('touchEnd')
  points = [(x, y) for _, x, y in page.passed()]
  drawn = rectangle(SIZE, points[0], points[-1])
  assert drawn.sum() > 5000
  np.testing.assert_array_equal(page.label(name), drawn)
  # Two fingers move and zoom, and draw nothing.
  scale = page.view[2]
  touch('touchStart', (100, 100))
  touch('touchStart', (100, 100), (150, 150))
  touch('touchMove', (60, 60), (190, 190))
  touch('touchEnd')
  wait_until(lambda: page.view[2] > scale * 1.3)
  np.testing.assert_array_equal(page.label(name), drawn)


def test_thousands_of_pictures_are_not_loaded(tmp_path, open_page):
  find_chromium()
  count = 3000
  folder = pathlib.Path(tmp_path / 'pictures')
  save_pictures(folder, ['0000.jpg'], size=(24, 32))
  content = (folder / '0000.jpg').read_bytes()
  for i in range(1, count):
    (folder / f'{i:04}.jpg').write_bytes(content)
  server = Server(folder)
  try:
    page = open_page(server)
    assert 5 < page.page.locator('.item').count() < 40
    page.page.evaluate('document.querySelector("#list").scrollTop = 1e9')
    page.page.wait_for_selector(f'.item[data-name="{count - 1:04}.jpg"]')
    assert page.page.locator('.item').count() < 40
    thumbnails = {url for url in page.requests if url.endswith('/thumbnail')}
    assert len(thumbnails) < 100
    page.open(f'{count - 1:04}.jpg')
    page.press('ArrowUp')
    page.page.wait_for_function(
      f'() => document.querySelector("#name").textContent === "{count - 2:04}.jpg"'
    )
  finally:
    server.kill()


@pytest.mark.parametrize('seed', [1])
def test_nothing_is_lost_whatever_happens(mortal, open_page, seed):
  """The server is killed, the page is reloaded or left, at any moment between strokes."""
  random = np.random.default_rng(seed)
  page, names, drawn = open_page(mortal), ('a.jpg', 'b.jpg', 'c.jpg'), {}
  for _ in range(40):
    match random.integers(8):
      case 0 if mortal.is_alive:
        mortal.kill()
      case 1 if mortal.is_alive:
        page.page.reload()
        page.ready()
      case 2 if mortal.is_alive:
        page.page.goto('about:blank')
        page.enter()
      case 3 | 4 if mortal.is_alive:
        page.open(str(random.choice(names)))
      case 5 | 6 if not mortal.is_alive:
        mortal.start()
    name = page.page.text_content('#name')
    box = draw_box(page, *(random.uniform(0, 1, (2, 2)) * SIZE[::-1]))
    before = drawn.get(name, np.zeros(SIZE, bool))
    drawn[name] = before | box
    if (box & ~before).any() and random.integers(4) == 0:
      page.press('Control+z')
      drawn[name] = before
    page.page.wait_for_timeout(int(random.choice([0, 100, 500])))
  if not mortal.is_alive:
    mortal.start()
  page.saved()
  for name, expected in drawn.items():
    np.testing.assert_array_equal(mortal.mask(name), expected)
