"""Files underneath the page: strange names, links, and pictures that vanish, change or break."""

import itertools
import os
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from tests.labelling import (
  SIZE,
  Client,
  FakeNetwork,
  label_of,
  line,
  save_pictures,
  served,
  wait_for,
)

STRANGE = (
  'with space.jpg',
  '한국어 사진.png',
  '"quotes\' & <b>bold<b>.jpg',
  '<script>alert(1)<script>.png',
  'percent%2e%2e%2f.jpg',
  'still .. a name.jpg',
  'hash#question?.jpg',
)


def test_strange_names(tmp_path):
  folder = save_pictures(tmp_path / 'pictures', STRANGE)
  with served(folder) as (_, port), Client(port) as client:
    listed = client.get('/api/pictures').json()['pictures']
    assert sorted(one['name'] for one in listed) == sorted(STRANGE)
    for seed, name in enumerate(STRANGE):
      quoted = urllib.parse.quote(name, safe='')
      assert client.picture(quoted)['name'] == name
      client.draw(quoted, label_of(seed)).raise_for_status()
      answer = client.get(f'/api/pictures/{quoted}/image')
      assert answer.content == (folder / name).read_bytes()
      assert client.get(f'/api/pictures/{quoted}/thumbnail').status_code == 200
    for seed, name in enumerate(STRANGE):
      mask = client.mask(urllib.parse.quote(name, safe=''))
      np.testing.assert_array_equal(mask, label_of(seed))


OUTSIDE = (
  '..%2f..%2fsecret.jpg',
  '..%2fsecret.jpg',
  '%2e%2e%2fsecret.jpg',
  '../secret.jpg',
  '/secret.jpg',
  'link.jpg',
  'folder-link%2fsecret.jpg',
  '.hsnet%2flabels.sqlite',
  'labels.sqlite',
  'secret.jpg%00.jpg',
  '..%5csecret.jpg',
  'pipe.jpg',
)


def test_nothing_outside_of_the_folder(tmp_path):
  folder = save_pictures(tmp_path / 'pictures', ['a.jpg'])
  secret = save_pictures(tmp_path, ['secret.jpg']) / 'secret.jpg'
  (folder / 'link.jpg').symlink_to(secret)
  (folder / 'folder-link').symlink_to(tmp_path)
  os.mkfifo(folder / 'pipe.jpg')
  with served(folder) as (_, port), Client(port) as client:
    assert client.get('/api/pictures').json()['total'] == 1
    for name, what in itertools.product(OUTSIDE, ('', '/image', '/thumbnail', '/mask')):
      answer = client.get(f'/api/pictures/{name}{what}')
      assert answer.status_code == 404, name
      assert secret.read_bytes() not in answer.content
    assert client.draw('a.jpg', label_of()).status_code == 200


def test_a_picture_that_becomes_a_link_is_not_followed(client, folder):
  secret = save_pictures(folder.parent, ['secret.jpg']) / 'secret.jpg'
  (folder / 'a.jpg').unlink()
  (folder / 'a.jpg').symlink_to(secret)
  for what in ('image', 'thumbnail'):
    assert client.get(f'/api/pictures/a.jpg/{what}').status_code in (404, 422)


def test_thumbnails_are_kept_by_the_browser(client, folder):
  answer = client.get('/api/pictures/a.jpg/thumbnail')
  assert answer.headers['content-type'] == 'image/jpeg' and answer.content[:2] == b'\xff\xd8'
  tag = {'If-None-Match': answer.headers['etag']}
  assert client.get('/api/pictures/a.jpg/thumbnail', headers=tag).status_code == 304
  save_pictures(folder, ['x.jpg', 'a.jpg'])
  os.utime(folder / 'a.jpg', ns=(1, 1))
  assert client.get('/api/pictures/a.jpg/thumbnail', headers=tag).status_code == 200


def test_a_picture_that_vanishes(client, folder):
  client.draw('a.jpg', label_of())
  (folder / 'a.jpg').unlink()
  (folder / 'b.jpg').unlink()
  line(client.get('/api/pictures/a.jpg/image'), 422)
  line(client.get('/api/pictures/b.jpg/image'), 404)
  one = client.picture('a.jpg')
  assert 'gone' in one['problem'] and one['state'] == 'drawn'
  np.testing.assert_array_equal(client.mask('a.jpg'), label_of())
  client.draw('a.jpg', label_of(2)).raise_for_status()
  np.testing.assert_array_equal(client.mask('a.jpg'), label_of(2))
  assert client.get('/api/pictures').json()['total'] == 2
  save_pictures(folder, ['a.jpg'])
  client.post('/api/propagate')
  assert client.picture('a.jpg')['problem'] is None


def test_a_picture_that_changes_underneath(client, folder):
  client.draw('a.jpg', label_of())
  client.draw('b.jpg', label_of())
  save_pictures(folder, ['x.jpg', 'y.jpg', 'a.jpg'])
  (folder / 'x.jpg').unlink()
  (folder / 'y.jpg').unlink()
  one = client.picture('a.jpg')
  assert 'changed' in one['problem']
  np.testing.assert_array_equal(client.mask('a.jpg'), label_of())
  accepted = client.post('/api/pictures/a.jpg/decision', json={'decision': 'accepted'}).json()
  assert accepted['problem'] is None
  save_pictures(folder, ['b.jpg'], size=(20, 20))
  one = client.picture('b.jpg')
  assert 'size' in one['problem'] and (one['width'], one['height']) == (20, 20)
  assert client.get('/api/pictures/b.jpg/mask').status_code == 204
  answer = client.post('/api/pictures/b.jpg/decision', json={'decision': 'accepted'})
  assert 'size' in answer.json()['problem']
  assert client.draw('b.jpg', label_of(size=(20, 20))).json()['problem'] is None


def test_a_touched_file_has_not_changed(client, folder):
  client.draw('a.jpg', label_of())
  os.utime(folder / 'a.jpg', ns=(1, 1))
  assert client.picture('a.jpg')['problem'] is None


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_pictures_that_cannot_be_read_are_named(tmp_path):
  folder = save_pictures(tmp_path / 'pictures')
  (folder / 'empty.jpg').write_bytes(b'')
  (folder / 'text.png').write_text('no picture')
  (folder / 'half.jpg').write_bytes((folder / 'a.jpg').read_bytes()[:200])
  Image.new('L', (20_001, 1)).save(folder / 'wide.png')
  Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(SIZE)).save(folder / 'deep.png')
  with served(folder, network=FakeNetwork()) as (_, port), Client(port) as client:
    client.draw('a.jpg', label_of())
    wait_for(lambda: client.get('/api/state').json()['counts']['waiting'] == 4)
    wait_for(lambda: client.get('/api/state').json()['work'] is None)
    found = {one['name']: one for one in client.get('/api/pictures').json()['pictures']}
    for name in ('empty.jpg', 'text.png', 'half.jpg', 'wide.png'):
      assert found[name]['problem'] and found[name]['state'] == 'waiting'
      line(client.get(f'/api/pictures/{name}/thumbnail'), 422)
    assert '20,000' in found['wide.png']['problem']
    assert found['deep.png']['state'] in ('found', 'absent')
    answer = client.get('/api/pictures/deep.png/image')
    assert answer.headers['content-type'] == 'image/png'
    assert client.draw('wide.png', label_of()).status_code == 422


def other(folder, name):
  """Puts another picture in a picture's place."""
  pixels = np.random.default_rng(99).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
  Image.fromarray(pixels).save(folder / name)


@pytest.mark.parametrize('is_seen', [False, True])
def test_a_stroke_on_a_picture_that_was_changed_is_refused(client, folder, is_seen):
  seen = client.draw('a.jpg', label_of()).json()
  other(folder, 'a.jpg')
  if is_seen:  # By another browser.
    client.picture('a.jpg')
  answer = client.draw('a.jpg', label_of(1), since=seen['revision'])
  assert answer.status_code == 409 and 'changed' in answer.json()['problem']
  assert answer.json()['file'] != seen['file']
  np.testing.assert_array_equal(client.mask('a.jpg'), label_of())
  one = client.draw('a.jpg', label_of(1), since=answer.json()['revision']).json()
  assert one['problem'] is None


def test_a_mask_that_is_accepted_is_of_the_new_file(client, folder):
  client.draw('a.jpg', label_of())
  other(folder, 'a.jpg')
  client.picture('a.jpg')
  client.post('/api/pictures/a.jpg/decision', json={'decision': 'accepted'})
  os.utime(folder / 'a.jpg', ns=(1, 1))
  assert client.picture('a.jpg')['problem'] is None
  save_pictures(folder, ['a.jpg'])
  assert 'changed' in client.picture('a.jpg')['problem']


def test_the_bytes_of_before_fit_the_mask_of_before(client, folder):
  client.draw('a.jpg', label_of())
  before = (folder / 'a.jpg').read_bytes()
  save_pictures(folder, ['a.jpg'], size=(20, 20))
  assert 'size' in client.picture('a.jpg')['problem']
  (folder / 'a.jpg').write_bytes(before)
  assert client.picture('a.jpg')['problem'] is None


def test_an_export_looks_at_the_files_again(client, folder):
  for name in ('a.jpg', 'b.jpg', 'c.jpg'):
    client.draw(name, label_of())
  other(folder, 'a.jpg')
  (folder / 'b.jpg').unlink()
  client.post('/api/export', json={'formats': ['png']}).raise_for_status()
  exported = [path.name for path in (folder / 'labels' / 'png').glob('*.png')]
  assert exported == ['c.png']
