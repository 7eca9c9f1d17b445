"""The thread behind the page: in which order, what interrupts it, what it outlives."""

import threading

import numpy as np
import pytest

from experiments.labelling.database import rows
from tests.labelling import Client, FakeNetwork, label_of, save_pictures, served, wait_for

NAMES = tuple(f'{letter}.jpg' for letter in 'abcdef')


@pytest.fixture
def network():
  network = FakeNetwork()
  network.wait = threading.Semaphore(0)
  return network


@pytest.fixture
def served_page(tmp_path, network):
  folder = save_pictures(tmp_path / 'pictures', NAMES)
  with served(folder, network=network) as (page, port), Client(port) as client:
    page.client = client
    yield page


def states(page):
  return ''.join(one.state[0] for one in page.store.read(rows.find_all))


def at_rest(page):
  return page.client.get('/api/state').json()['work'] is None and 'w' not in states(page)


def go_on(page, network, count):
  """Lets so many pictures be done, and waits until they are."""
  before = sum(state in 'fa' for state in states(page))
  network.wait.release(count)
  wait_for(lambda: sum(state in 'fa' for state in states(page)) >= before + count)


def test_the_others_are_found(served_page, network):
  client = served_page.client
  client.draw('b.jpg', label_of()).raise_for_status()
  wait_for(lambda: client.get('/api/state').json()['work'])
  network.wait.release(5)
  wait_for(lambda: at_rest(served_page))
  assert states(served_page) == 'fdffff'
  one = client.picture('a.jpg')
  assert one['confidence'] == 0.5 and one['presence'] > 0
  assert one['areas'] == {'1': float(client.mask('a.jpg').mean())}
  np.testing.assert_array_equal(client.mask('b.jpg'), label_of())


def test_the_first_is_the_one_that_is_waited_for(served_page, network):
  served_page.client.draw('a.jpg', label_of(), first='d.jpg')
  go_on(served_page, network, 1)
  assert states(served_page) == 'dwwfww'


def test_by_default_it_is_the_next_by_name(served_page, network):
  served_page.client.draw('c.jpg', label_of())
  go_on(served_page, network, 1)
  assert states(served_page) == 'wwdfww'


def test_what_is_shown_comes_before_the_rest(served_page, network):
  client = served_page.client
  client.get('/api/pictures', params={'start': 4, 'count': 2})
  client.draw('a.jpg', label_of())
  go_on(served_page, network, 3)
  assert states(served_page) == 'dfwwff'


def test_another_outline_interrupts_it(served_page, network):
  client = served_page.client
  client.draw('a.jpg', label_of())
  go_on(served_page, network, 1)
  wait_for(lambda: len(network.seen) == 2)  # At one: what is found in it is of the past.
  network.value = 1
  client.draw('f.jpg', label_of())
  network.wait.release(1 + 4)
  wait_for(lambda: at_rest(served_page))
  assert network.fits == 2 and states(served_page) == 'dffffd'
  assert len(network.seen) == 2 + 4


def test_undo_and_redo_of_a_propagation(served_page, network):
  client = served_page.client
  client.post('/api/classes', json={'name': 'second'})
  client.draw('a.jpg', label_of())
  network.wait.release(5)
  wait_for(lambda: at_rest(served_page))
  first = {name: client.mask(name) for name in NAMES[1:]}
  network.value = 2
  revision = client.picture('c.jpg')['revision']
  client.draw('b.jpg', label_of())
  network.wait.release(4)
  wait_for(lambda: client.picture('f.jpg')['areas'].keys() == {'2'} and at_rest(served_page))
  for name in NAMES[2:]:
    np.testing.assert_array_equal(client.mask(name), 2 * first[name])
  state = client.post('/api/undo').json()
  assert state['can_undo'] and state['can_redo']
  for name in NAMES[2:]:
    np.testing.assert_array_equal(client.mask(name), first[name])
    assert client.picture(name)['revision'] > revision
  np.testing.assert_array_equal(client.mask('b.jpg'), label_of())  # A person's stays.
  assert not client.post('/api/undo').json()['can_undo']
  assert states(served_page) == 'ddwwww'
  assert not client.post('/api/redo').json()['counts']['waiting']
  assert not client.post('/api/redo').json()['can_redo']
  np.testing.assert_array_equal(client.mask('f.jpg'), 2 * first['f.jpg'])


def test_undo_stops_what_is_under_way(served_page, network):
  client = served_page.client
  client.draw('a.jpg', label_of())
  go_on(served_page, network, 2)
  state = client.post('/api/undo').json()
  assert state['counts']['waiting'] == 5
  network.wait.release(10)
  wait_for(lambda: client.get('/api/state').json()['work'] is None)
  assert states(served_page) == 'dwwwww' and len(network.seen) <= 4


def test_what_is_accepted_or_a_support_stays(served_page, network):
  client = served_page.client
  client.draw('a.jpg', label_of())
  network.wait.release(5)
  wait_for(lambda: at_rest(served_page))
  kept = {name: client.mask(name) for name in ('b.jpg', 'c.jpg')}
  client.post('/api/pictures/b.jpg/decision', json={'decision': 'accepted'})
  client.post('/api/classes', json={'name': 'second'})
  network.value = 2
  network.wait.release(20)
  assert client.post('/api/pictures/c.jpg/support', json={'is_support': True}).json()['is_support']
  wait_for(lambda: client.picture('f.jpg')['areas'].keys() == {'2'} and at_rest(served_page))
  for path in (None, '/api/undo', '/api/undo', '/api/redo', '/api/redo'):
    if path is not None:
      client.post(path).raise_for_status()
    for name, mask in kept.items():
      np.testing.assert_array_equal(client.mask(name), mask)
  client.post('/api/pictures/b.jpg/decision', json={'decision': None})
  client.post('/api/propagate').raise_for_status()
  wait_for(lambda: client.picture('b.jpg')['areas'].keys() == {'2'})


def test_what_a_person_drops_is_found(served_page, network):
  client = served_page.client
  network.wait.release(100)
  client.draw('a.jpg', label_of())
  client.draw('b.jpg', label_of(1))
  wait_for(lambda: at_rest(served_page))
  client.delete('/api/pictures/b.jpg/mask')
  wait_for(lambda: client.picture('b.jpg')['state'] == 'found')


def test_a_failure_is_told_and_outlived(served_page, network, monkeypatch):
  client = served_page.client
  network.wait.release(100)
  fit = network.fit

  def fail(store, folder):
    raise MemoryError('as much as a house')

  monkeypatch.setattr(network, 'fit', fail)
  client.draw('a.jpg', label_of())
  message = wait_for(lambda: client.get('/api/state').json()['message'])
  assert 'memory' in message and len(message.splitlines()) == 1
  np.testing.assert_array_equal(client.mask('a.jpg'), label_of())
  monkeypatch.setattr(network, 'fit', fit)
  client.post('/api/propagate').raise_for_status()
  wait_for(lambda: at_rest(served_page))
  assert client.get('/api/state').json()['message'] is None


def test_one_picture_that_fails_leaves_the_others(served_page, network, monkeypatch):
  client = served_page.client
  network.wait.release(100)
  (served_page.folder / 'c.jpg').write_bytes((served_page.folder / 'd.jpg').read_bytes()[:300])
  client.draw('a.jpg', label_of())
  wait_for(lambda: states(served_page) == 'dfwfff')
  assert wait_for(lambda: client.picture('c.jpg')['problem'])


def test_what_could_not_be_segmented_is_tried_again(served_page, network):
  client, store = served_page.client, served_page.store
  network.wait.release(100)
  client.draw('a.jpg', label_of())
  wait_for(lambda: at_rest(served_page))
  for again in (lambda: client.post('/api/propagate').raise_for_status(), store.try_again):
    store.note('c.jpg', problem='cannot be segmented: no reason')
    again()
    served_page.wake()
    wait_for(lambda: client.picture('c.jpg')['problem'] is None and at_rest(served_page))
    assert store.read(rows.shown_run)[1] and not store.read(rows.to_do, 1)


def test_another_server_goes_on_where_one_was(tmp_path):
  folder = save_pictures(tmp_path / 'pictures', NAMES)
  network = FakeNetwork()
  network.wait = threading.Semaphore(0)
  with served(folder, network=network) as (page, port), Client(port) as client:
    client.draw('a.jpg', label_of())
    page.client = client
    go_on(page, network, 2)
  done = len(network.seen)
  network = FakeNetwork()
  with served(folder, network=network) as (page, port), Client(port) as client:
    page.client = client
    wait_for(lambda: at_rest(page))
    np.testing.assert_array_equal(client.mask('a.jpg'), label_of())
    assert len(network.seen) == 5 - min(done, 5)
    save_pictures(folder, ['0.jpg'])
  with served(folder, network=network) as (page, port), Client(port) as client:
    page.client = client
    wait_for(lambda: client.picture('0.jpg')['state'] == 'found')
    assert client.get('/api/state').json()['counts']['all'] == 7
