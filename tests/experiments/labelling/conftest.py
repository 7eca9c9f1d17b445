"""Gives the tests of the page a browser and pages of it."""

import pytest

from tests.label_page import Page, find_chromium


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
    context = browser.new_context(**{'viewport': {'width': 1300, 'height': 800}, **options})
    context.set_default_timeout(60_000)
    made.append(context)
    return context

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
  for page in opened:
    assert page.errors == []
