"""What a browser is answered: every route, two browsers at once, what is wrong in one line."""

import json
import sqlite3
import threading

import numpy as np
import pytest
from PIL import Image

from tests.labelling import (
  SIZE,
  Client,
  label_of,
  line,
  png,
  save_pictures,
  served,
)


def test_the_state_of_a_new_folder(client, folder):
  state = client.get('/api/state').json()
  assert state['folder'] == str(folder)
  assert state['classes'] == [{'number': 1, 'name': 'object', 'color': '#0072b2'}]
  assert state['counts']['all'] == state['counts']['waiting'] == 3
  assert {'png', 'coco', 'labelme', 'yolo', 'voc'} <= set(state['formats'])
  assert not state['can_undo'] and not state['can_redo']
  assert state['work'] is state['message'] is None


def test_a_picture_before_anything(client):
  listed = client.get('/api/pictures').json()
  assert listed['total'] == 3
  assert [one['name'] for one in listed['pictures']] == ['a.jpg', 'b.jpg', 'c.jpg']
  one = client.picture('a.jpg')
  assert one in listed['pictures']
  assert (one['width'], one['height'], one['state']) == (40, 30, 'waiting')
  assert one['areas'] == {} and one['confidence'] is None and not one['is_support']
  answer = client.get('/api/pictures/a.jpg/mask')
  assert answer.status_code == 204 and answer.headers['x-revision'] == str(one['revision'])


def test_what_is_drawn_comes_back_to_the_pixel(client):
  client.post('/api/classes', json={'name': 'second'})
  label = label_of(classes=2)
  before = client.get('/api/state').json()['revision']
  one = client.draw('b.jpg', label).json()
  assert one['state'] == 'drawn' and one['is_support'] and one['revision'] > before
  assert one['areas'] == {str(n): float((label == n).mean()) for n in (1, 2)}
  np.testing.assert_array_equal(client.mask('b.jpg'), label)
  color = np.zeros((*SIZE, 4), np.uint8)
  color[..., 0], color[..., 3] = label[::-1], 255
  given = {'If-Match': f'"{one["revision"]}"'}
  client.put('/api/pictures/b.jpg/mask', content=png(color), headers=given).raise_for_status()
  np.testing.assert_array_equal(client.mask('b.jpg'), label[::-1])


def test_one_that_is_no_support_and_one_that_is_empty(client):
  assert not client.draw('a.jpg', label_of(), support=0).json()['is_support']
  one = client.draw('b.jpg', np.zeros(SIZE, np.uint8)).json()
  assert one['state'] == 'drawn' and one['areas'] == {} and not one['is_support']
  assert not client.mask('b.jpg').any()
  assert not client.get('/api/state').json()['can_undo']
  assert (client.draw('c.jpg', np.ones(SIZE, np.uint8)).json())['areas'] == {'1': 1.0}


def test_of_two_browsers_the_second_is_told(page, client):
  with Client(page.port) as other:
    seen = other.picture('a.jpg')['revision']
    first = client.draw('a.jpg', label_of(1)).json()
    answer = other.draw('a.jpg', label_of(2), since=seen)
    assert answer.status_code == 409 and answer.json() == first
    np.testing.assert_array_equal(other.mask('a.jpg'), label_of(1))
    other.draw('a.jpg', label_of(2), since=first['revision']).raise_for_status()
    np.testing.assert_array_equal(client.mask('a.jpg'), label_of(2))


def test_many_browsers_at_once_lose_nothing(page):
  """All draw the same picture from one revision: one is first, the others are told."""
  answers = []

  def draw(seed):
    with Client(page.port) as client:
      answers.append((seed, client.draw('a.jpg', label_of(seed), since=since).status_code))

  with Client(page.port) as client:
    since = client.picture('a.jpg')['revision']
    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(8)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    assert sorted(status for _, status in answers) == [200] + [409] * 7
    (winner,) = [seed for seed, status in answers if status == 200]
    np.testing.assert_array_equal(client.mask('a.jpg'), label_of(winner))


def test_both_browsers_see_each_change(page, client):
  with Client(page.port) as other, other.stream('GET', '/api/events') as events:
    assert events.headers['content-type'].startswith('text/event-stream')
    lines = (text for text in events.iter_lines() if text.startswith('data: '))
    first = json.loads(next(lines)[6:])
    one = client.draw('a.jpg', label_of()).json()
    told = json.loads(next(lines)[6:])
  assert told['revision'] >= one['revision'] > first['revision'] and 'work' in told


def test_a_revision_must_be_given(client):
  for since in (None, '', 'x', '-1', '1.5'):
    headers = {} if since is None else {'If-Match': since}
    answer = client.put('/api/pictures/a.jpg/mask', content=png(label_of()), headers=headers)
    assert 'If-Match' in line(answer, 428)


NO_MASKS = (
  b'',
  b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
  png(label_of())[:-60],
  png(label_of(size=(30, 41))),
  png(label_of(size=(1, 20_000))),
  png(label_of(classes=2)),
)


def test_what_is_no_mask_of_the_picture_changes_nothing(client):
  client.draw('a.jpg', label_of())
  before = client.picture('a.jpg')
  for body in NO_MASKS:
    given = {'If-Match': str(before['revision'])}
    answer = client.put('/api/pictures/a.jpg/mask', content=body, headers=given)
    assert 'mask' in line(answer, 422)
    assert client.picture('a.jpg') == before
  np.testing.assert_array_equal(client.mask('a.jpg'), label_of())


def test_what_was_drawn_may_be_dropped(client):
  client.draw('a.jpg', label_of())
  one = client.delete('/api/pictures/a.jpg/mask').json()
  assert one['state'] == 'waiting' and not one['is_support']
  assert client.get('/api/pictures/a.jpg/mask').status_code == 204
  assert client.delete('/api/pictures/a.jpg/mask').status_code == 200


def test_decisions(client):
  path = '/api/pictures/a.jpg/decision'
  assert 'accept' in line(client.post(path, json={'decision': 'accepted'}), 422)
  client.draw('a.jpg', label_of())
  for decision in ('accepted', 'rejected', None):
    answer = client.post(path, json={'decision': decision})
    assert answer.json()['decision'] == decision == client.picture('a.jpg')['decision']
    counts = client.get('/api/state').json()['counts']
    for name in ('accepted', 'rejected'):
      assert counts[name] == (decision == name)
  assert 'decision' in line(client.post(path, json={'decision': 'x'}), 422)
  assert 'decision' in line(client.post(path, json={}), 422)


def test_supports(client):
  assert 'draw' in line(client.post('/api/pictures/a.jpg/support', json={'is_support': True}), 422)
  client.draw('a.jpg', label_of())
  for value in (False, True):
    answer = client.post('/api/pictures/a.jpg/support', json={'is_support': value})
    assert answer.json()['is_support'] == value


def test_classes(client):
  state = client.post('/api/classes', json={'name': ' 고양이 '}).json()
  assert [one['name'] for one in state['classes']] == ['object', '고양이']
  assert state['classes'][0]['color'] != state['classes'][1]['color']
  state = client.patch('/api/classes/1', json={'name': 'cat & dog'}).json()
  assert state['classes'][0] == {'number': 1, 'name': 'cat & dog', 'color': '#0072b2'}
  state = client.patch('/api/classes/1', json={'color': '#000000'}).json()
  assert state['classes'][0] == {'number': 1, 'name': 'cat & dog', 'color': '#000000'}
  assert 'no class' in line(client.patch('/api/classes/9', json={'name': 'x'}), 404)
  assert 'already' in line(client.post('/api/classes', json={'name': 'CAT & DOG'}), 422)


def test_names_that_no_folder_may_have(client):
  slashes = ('../x', 'a/b', 'a\\b', '..', '.hidden', 'a.')
  for name in ('', ' ', *slashes, 'a\nb', '<b>', 'background', 'x' * 61):
    line(client.post('/api/classes', json={'name': name}), 422)
    line(client.patch('/api/classes/1', json={'name': name}), 422)
  assert len(client.get('/api/state').json()['classes']) == 1


def test_colors_are_colors(client):
  for color in ('red', '#12345', '#12345g', 'url(x)', '#1234567'):
    line(client.post('/api/classes', json={'name': 'x', 'color': color}), 422)


def test_lists(client):
  client.draw('b.jpg', label_of())
  client.post('/api/pictures/b.jpg/decision', json={'decision': 'accepted'})
  for state, names in {
    'drawn': 'b',
    'accepted': 'b',
    'waiting': 'ac',
    'all': 'abc',
    'found': '',
  }.items():
    listed = client.get('/api/pictures', params={'state': state}).json()
    assert [one['name'][0] for one in listed['pictures']] == list(names)
    assert listed['total'] == len(names)
  listed = client.get('/api/pictures', params={'start': 1, 'count': 1}).json()
  assert [one['name'] for one in listed['pictures']] == ['b.jpg'] and listed['total'] == 3
  for wrong in ({'order': 'x'}, {'state': 'x'}, {'start': -1}, {'count': 10**9}, {'start': 'x'}):
    line(client.get('/api/pictures', params=wrong), 422)


def test_static_files_are_those_of_the_page(client):
  assert client.get('/').headers['content-type'].startswith('text/html')
  for path in ('/../server.py', '/%2e%2e/server.py', '/..%2fserver.py', '/docs', '/openapi.json'):
    assert client.get(path).status_code == 404


def test_what_is_shown_of_other_formats(tmp_path):
  folder = save_pictures(tmp_path / 'pictures', ['a.bmp', 'b.webp', 'c.gif'])
  Image.new('L', SIZE[::-1], 255).save(folder / 'fake.svg.png')
  with served(folder) as (_, port), Client(port) as client:
    kinds = {}
    for one in client.get('/api/pictures').json()['pictures']:
      answer = client.get(f'/api/pictures/{one["name"]}/image')
      kinds[one['name']] = answer.headers['content-type']
    assert kinds == {
      'a.bmp': 'image/png',
      'b.webp': 'image/webp',
      'c.gif': 'image/png',
      'fake.svg.png': 'image/png',
    }


@pytest.mark.parametrize('error', [OSError(5, 'strange'), sqlite3.OperationalError('strange')])
def test_what_nobody_expected_is_printed(page, client, monkeypatch, caplog, error):
  def fail():
    raise error

  monkeypatch.setattr(page, 'look_again', fail)
  assert 'strange' not in line(client.post('/api/propagate'), 500)
  (record,) = [one for one in caplog.records if one.name.endswith('labelling.server')]
  assert record.exc_info[1] is error


def test_nothing_to_do(client):
  line(client.post('/api/propagate'), 422)
  line(client.post('/api/undo'), 409)
  line(client.post('/api/redo'), 409)
  line(client.post('/api/export', json={'formats': ['png']}), 422)
  line(client.post('/api/export', json={'formats': ['exe']}), 422)
  line(client.post('/api/export', content=b'{', headers={'Content-Type': 'application/json'}), 422)


def test_what_is_not_there(client):
  for path in ('/api/pictures/none.jpg', '/api/nowhere', '/api/state/x'):
    for method in ('GET', 'PUT', 'POST', 'DELETE', 'PATCH'):
      assert client.request(method, path).status_code in (404, 405)
