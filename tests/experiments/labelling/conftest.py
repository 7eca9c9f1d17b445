"""The page of three small pictures, served in a thread."""

import pytest

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
