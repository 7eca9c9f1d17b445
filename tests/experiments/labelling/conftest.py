"""The page of three small pictures, served in a thread; a browser, for the tests that drive one."""

import pytest

from tests.label_page import Page, find_chromium
from tests.labelling import Client, save_pictures, served


@pytest.fixture
def folder(tmp_path):
  return save_pictures(tmp_path / 'pictures')


@pytest.fixture
def page(folder):
  with served(folder) as (page, port):
    page.port = port
    yield page


@pytest.fixture
def client(page):
  with Client(page.port) as client:
    yield client


@pytest.fixture(scope='session')
def browser():
  """Returns a Chromium."""
  path = find_chromium()
  from playwright.sync_api import sync_playwright

  with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=path, args=['--no-sandbox'])
    yield browser
    browser.close()


@pytest.fixture
def contexts(browser):
  """Returns a function that makes a browser's context: cookies and storage of its own."""
  made = []

  def make(**options):
    size = {'width': 1300, 'height': 800}
    made.append(browser.new_context(**{'viewport': size, **options}))
    made[-1].set_default_timeout(60_000)
    return made[-1]

  yield make
  for context in made:
    context.close()


@pytest.fixture
def open_page(contexts):
  """Returns a function that opens the page of a server, in a browser of its own."""
  opened = []

  def open_in(server, context=None, **options):
    page = Page(server, (context or contexts(**options)).new_page())
    opened.append(page)
    return page

  yield open_in
  assert [error for page in opened for error in page.errors] == []
