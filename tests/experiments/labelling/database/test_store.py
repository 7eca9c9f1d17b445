"""The database: whole transactions, what another process sees, files that are none."""

import contextlib
import sqlite3
import threading

import pytest

from experiments.labelling.database import rows
from experiments.labelling.database.files import File
from experiments.labelling.database.opened import Database, is_full
from experiments.labelling.database.store import Refused, Store
from hsnet_jax.errors import InputError


@pytest.fixture
def store(tmp_path):
  store = Store(tmp_path / 'labels.sqlite')
  with contextlib.closing(store.database):
    store.list_files([File('a', 1, 1, 2, 2), File('b', 1, 1, 2, 2)], [])
    yield store


def test_what_fails_in_its_middle_changes_nothing(store):
  before = store.read(rows.find_all), store.revision()
  with pytest.raises(ZeroDivisionError), store.database.changing() as (connection, _):
    connection.execute('DELETE FROM pictures')
    raise ZeroDivisionError
  assert (store.read(rows.find_all), store.revision()) == before


def test_each_change_is_a_revision(store):
  before = store.revision()
  one = store.draw('a', b'1', {1: 1.0}, since=before)
  assert one.revision == before + 1 == store.revision()
  assert store.decide('a', 'accepted').revision == before + 2
  assert store.picture('b').revision == before


def test_what_is_drawn_is_there_for_another_process(store):
  store.draw('a', b'1', {1: 1.0}, since=store.revision())
  other = Store(store.database.path)
  with contextlib.closing(other.database):
    assert other.shown('a') == store.shown('a')


def test_only_what_a_person_drew_is_in_the_way(store):
  """What the network found since is no reason to refuse what a person drew."""
  seen = store.revision()
  store.draw('b', b'1', {1: 1.0}, since=seen)
  run, _ = store.read(rows.shown_run)
  store.keep_found(run, 'a', b'f', areas={}, confidence=0.0, presence=0.0, sha='x')
  store.decide('a', 'rejected')
  assert store.picture('a').revision > seen
  store.draw('a', b'2', {1: 1.0}, since=seen)
  with pytest.raises(Refused) as refused:
    store.draw('a', b'3', {1: 1.0}, since=seen)
  assert refused.value.status == 409 and refused.value.picture == store.picture('a')
  store.drop('a')
  with pytest.raises(Refused):
    store.draw('a', b'3', {1: 1.0}, since=refused.value.picture.revision)


def test_what_was_found_in_another_file_is_not_kept(store):
  store.draw('b', b'1', {1: 1.0}, since=store.revision())
  run, _ = store.read(rows.shown_run)
  figures = {'areas': {}, 'confidence': 0.0, 'presence': 0.0, 'sha': 'x'}
  seen = store.picture('a')
  store.list_files([File('a', 1, 2, 2, 2)], [])
  assert not store.keep_found(run, 'a', b'f', seen=seen, **figures)
  assert store.picture('a').state == 'waiting'
  assert store.keep_found(run, 'a', b'f', seen=store.picture('a'), **figures)
  assert store.picture('a').state == 'absent'


def test_what_is_rejected_is_no_support(store):
  store.draw('a', b'1', {1: 1.0}, since=store.revision())
  run, _ = store.read(rows.shown_run)
  assert not store.decide('a', 'rejected').is_support
  assert store.read(rows.supports) == []
  one = store.draw('a', b'2', {1: 1.0}, since=store.revision())
  assert one.is_support and one.decision is None
  store.decide('a', 'rejected')
  one = store.support('a', True)
  assert one.is_support and one.decision is None
  assert store.read(rows.shown_run)[0] > run


def test_a_full_disk_leaves_all_as_it_was(store):
  since = store.revision()
  store.draw('a', b'1', {1: 1.0}, since=since)
  with store.database.reading() as connection:
    (pages,) = connection.execute('PRAGMA page_count').fetchone()
    connection.execute(f'PRAGMA max_page_count = {pages}')
  before = store.read(rows.find_all), store.revision()
  with pytest.raises(sqlite3.Error) as error:
    store.draw('b', bytes(10**6), {1: 1.0}, since=since)
  assert is_full(error.value) and not is_full(ValueError())
  assert (store.read(rows.find_all), store.revision()) == before
  assert store.shown('a')[1] == b'1'
  with store.database.reading() as connection:
    connection.execute('PRAGMA max_page_count = 1000000')
  store.draw('b', bytes(10**6), {1: 1.0}, since=since)


def test_many_threads(store):
  """Each adds a class of its own; none is lost, no number is given twice."""

  def add(name):
    store.add_class(name, '#000000')

  threads = [threading.Thread(target=add, args=(f'class {i}',)) for i in range(20)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  found = store.read(rows.classes)
  assert [row['number'] for row in found] == list(range(1, 22))
  assert len({row['name'] for row in found}) == 21


def test_no_more_classes_than_a_label_holds(store):
  for i in range(254):
    store.add_class(f'class {i}', '#000000')
  with pytest.raises(Refused, match='255'):
    store.add_class('one more', '#000000')


def test_what_is_no_database_stays(tmp_path):
  path = tmp_path / 'labels.sqlite'
  path.write_bytes(b'something else' * 1000)
  with pytest.raises(InputError, match='damaged'):
    Database(path)
  assert path.read_bytes() == b'something else' * 1000
  with pytest.raises(InputError):
    Database(tmp_path / 'nowhere' / 'labels.sqlite')


def test_untouched_files_that_go_are_forgotten(store):
  store.draw('a', b'1', {1: 1.0}, since=store.revision())
  store.list_files([], ['a', 'b'])
  (one,) = store.read(rows.find_all)
  assert one.name == 'a' and one.problem and store.shown('a')[1] == b'1'
  assert store.read(rows.supports) == []


def test_the_least_certain_come_first(tmp_path):
  """As in `summary.csv`: a presence near one half, then a low confidence; decided ones later."""
  store = Store(tmp_path / 'labels.sqlite')
  found = {  # (presence, confidence)
    'sure': (0.99, 0.9),
    'absent': (0.02, 0.0),
    'doubtful': (0.55, 0.8),
    'more doubtful': (0.55, 0.6),
    'decided': (0.5, 0.5),
  }
  with contextlib.closing(store.database):
    store.list_files([File(name, 1, 1, 2, 2) for name in (*found, 'drawn', 'waiting')], [])
    store.draw('drawn', b'1', {1: 1.0}, since=store.revision())
    run, _ = store.read(rows.shown_run)
    for name, (presence, confidence) in found.items():
      areas = {} if name == 'absent' else {1: 0.5}
      figures = {'areas': areas, 'confidence': confidence, 'presence': presence}
      assert store.keep_found(run, name, b'f', sha='x', **figures)
    store.decide('decided', 'accepted')
    names = [one.name for one in store.read(rows.find_all, order='uncertain')]
    assert names[:5] == ['more doubtful', 'doubtful', 'absent', 'sure', 'decided']
    assert set(names[5:]) == {'drawn', 'waiting'}
    assert store.picture('absent').state == 'absent'
    assert store.picture('drawn').confidence is None
