"""Folders of files that belong together are written over themselves alone."""

import pytest

from experiments.storage.folders import is_export, write_export

OF = {'command': 'predict', 'step': 3}


@pytest.fixture
def source(tmp_path):
  path = tmp_path / 'a.jpg'
  path.write_bytes(b'picture')
  return path


def files(source, text=b'text'):
  return {'images/a.jpg': source, 'labels/a.txt': lambda: text}


def test_who_changes_a_copy_does_not_change_the_picture(tmp_path, source):
  link = tmp_path / 'link.jpg'
  link.symlink_to(source)
  for path in (source, link):
    copy = write_export(tmp_path / path.stem, files(path), of=OF) / 'images' / 'a.jpg'
    assert copy.read_bytes() == b'picture'
    copy.write_bytes(b'changed')
    assert source.read_bytes() == b'picture'


def test_an_export_says_that_it_is_one(tmp_path, source):
  assert not is_export(tmp_path) and not is_export(tmp_path / 'no')
  assert is_export(write_export(tmp_path / 'x', files(source), of=OF))


@pytest.mark.parametrize('what', ['text', 'settings', 'picture', 'a folder', 'a file', 'nothing'])
def test_only_what_was_written_is_replaced(tmp_path, source, what):
  place = tmp_path / 'x'
  of, own = OF, None
  if what == 'a file':
    own = place
  elif what == 'nothing':
    place.mkdir()
  elif what == 'a folder':
    own = place / 'labels' / 'a.txt'
    own.parent.mkdir(parents=True)
  else:
    write_export(place, files(source), of=OF)
    of = {**OF, 'step': 4} if what == 'settings' else OF
    own = {'picture': place / 'images' / 'a.jpg'}.get(what, place / 'labels' / 'a.txt')
  if own:
    own.write_bytes(b'mine')
  found = write_export(place, files(source, b'other'), of=of)
  assert found == (place if what == 'nothing' else tmp_path / 'x-2')
  assert (found / 'labels' / 'a.txt').read_bytes() == b'other'
  assert own is None or own.read_bytes() == b'mine'


def test_the_same_again_takes_its_place(tmp_path, source):
  place = write_export(tmp_path / 'x', files(source), of=OF)
  assert write_export(tmp_path / 'x', files(source, b'other'), of=OF) == place
  assert (place / 'labels' / 'a.txt').read_bytes() == b'other'
  assert write_export(tmp_path / 'x', files(source), of={**OF, 'step': 4}) == tmp_path / 'x-2'
