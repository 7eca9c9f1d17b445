"""Labels that there are already: of tools, of folders of masks, of a flat folder."""

import os

import numpy as np
import pytest

from experiments.labelling.database import rows
from experiments.labelling.importing import take_in
from hsnet_jax.errors import InputError
from tests.labelling import SIZE, Client, label_of, save_pictures, served
from tests.own_pictures import save_mask


def blocks():
  label = np.zeros(SIZE, np.uint8)
  label[2:20, 3:15] = 1
  label[2, 3] = 0
  label[5:25, 20:38] = 2
  return label


@pytest.mark.parametrize('kind', ['png', 'coco', 'voc', 'folder', 'labelme', 'yolo'])
def test_every_export_is_taken_in_again(tmp_path, kind):
  folder = save_pictures(tmp_path / 'pictures')
  with served(folder) as (_, port), Client(port) as client:
    client.post('/api/classes', json={'name': '고양이'})
    client.draw('a.jpg', blocks())
    client.draw('b.jpg', np.where(blocks() == 1, 1, 0).astype(np.uint8))
    client.post('/api/export', json={'formats': [kind]}).raise_for_status()
  other = save_pictures(tmp_path / 'other')
  with served(other) as (page, port), Client(port) as client:
    said = take_in(page.store, page.folder, str(folder / 'labels' / kind))
    assert '2 labels' in said
    names = [one['name'] for one in client.get('/api/state').json()['classes']]
    assert names == ['object', '고양이']
    found = client.mask('a.jpg')
    if kind in ('labelme', 'yolo'):
      assert (found != blocks()).mean() < 0.1
    else:
      np.testing.assert_array_equal(found, blocks())
    assert client.picture('a.jpg')['is_support'] and client.picture('b.jpg')['areas'].keys() == {
      '1'
    }
    assert client.picture('c.jpg')['state'] == 'waiting'
    assert page.store.read(rows.shown_run) == (1, False)


def test_flat_masks(page, client, tmp_path):
  masks = tmp_path / 'masks'
  masks.mkdir()
  save_mask(masks / 'a.png', label_of() * np.uint8(255))
  save_mask(masks / 'b.jpg.png', label_of(1) * np.uint8(3))
  save_mask(masks / 'c.png', label_of(2, size=(9, 9)))
  save_mask(masks / 'none.png', label_of(3))
  assert '2 left out' in take_in(page.store, page.folder, str(masks))
  np.testing.assert_array_equal(client.mask('a.jpg'), label_of())
  names = {one['number']: one['name'] for one in client.get('/api/state').json()['classes']}
  (number,) = client.picture('b.jpg')['areas']
  assert names[int(number)] == 'class 3'
  assert client.picture('c.jpg')['state'] == 'waiting'


def test_what_is_drawn_stays(page, client, tmp_path):
  masks = tmp_path / 'masks'
  masks.mkdir()
  save_mask(masks / 'a.png', label_of(1))
  client.draw('a.jpg', label_of(2))
  assert '0 labels' in take_in(page.store, page.folder, str(masks))
  np.testing.assert_array_equal(client.mask('a.jpg'), label_of(2))


def test_a_few_become_supports(tmp_path):
  names = [f'{i}.jpg' for i in range(9)]
  folder = save_pictures(tmp_path / 'pictures', names)
  (tmp_path / 'masks').mkdir()
  for i, _ in enumerate(names):
    save_mask(tmp_path / 'masks' / f'{i}.png', label_of(i))
  with served(folder) as (page, _):
    take_in(page.store, page.folder, str(tmp_path / 'masks'))
    assert len(page.store.read(rows.supports)) == 5
    assert page.store.read(rows.count)['drawn'] == 9


def test_what_cannot_be_taken_in(page, tmp_path):
  for folder in (tmp_path / 'none', tmp_path):
    with pytest.raises(InputError):
      take_in(page.store, page.folder, str(folder / 'empty'))


def test_only_classes_that_are_shown_are_added(page, client, tmp_path):
  (tmp_path / 'masks').mkdir()
  save_mask(tmp_path / 'masks' / 'a.png', label_of() * np.uint8(2))
  (tmp_path / 'masks' / 'class_names.txt').write_text('cat\ndog\n')
  take_in(page.store, page.folder, str(tmp_path / 'masks'))
  classes = client.get('/api/state').json()['classes']
  assert [one['name'] for one in classes] == ['object', 'dog']
  assert classes[0]['color'] != classes[1]['color']
  assert client.picture('a.jpg')['areas'].keys() == {'2'}


def test_a_name_that_none_may_have_changes_nothing(page, tmp_path):
  (tmp_path / 'masks').mkdir()
  save_mask(tmp_path / 'masks' / 'a.png', label_of())
  save_mask(tmp_path / 'masks' / 'b.png', label_of() * np.uint8(2))
  (tmp_path / 'masks' / 'class_names.txt').write_text('cat\na/b\n')
  before = page.store.read(rows.find_all), page.store.read(rows.classes)
  with pytest.raises(InputError, match='a/b'):
    take_in(page.store, page.folder, str(tmp_path / 'masks'))
  assert (page.store.read(rows.find_all), page.store.read(rows.classes)) == before


def test_what_is_taken_in_is_of_its_file(page, client, tmp_path):
  (tmp_path / 'masks').mkdir()
  save_mask(tmp_path / 'masks' / 'a.png', label_of())
  take_in(page.store, page.folder, str(tmp_path / 'masks'))
  os.utime(page.folder / 'a.jpg', ns=(1, 1))  # Touched, the same.
  assert client.picture('a.jpg')['problem'] is None
  (page.folder / 'b.jpg').rename(page.folder / 'a.jpg')
  assert 'changed' in client.picture('a.jpg')['problem']
