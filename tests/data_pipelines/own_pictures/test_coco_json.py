"""A user's own pictures with a COCO-style JSON file."""

import json

import numpy as np
import pytest
from PIL import Image

from data_pipelines.own_pictures.folder import Folder
from tests.facts import refused, warned
from tests.own_pictures import SIZE, box, coco_content, polygon, save_coco, save_photo


@pytest.fixture
def coco():
  return coco_content()


@pytest.mark.parametrize(
  'places',
  [{}, {'images': 'images'}, {'images': 'images', 'json_at': 'annotations/instances_default.json'}],
)
def test_coco_outlines_become_labels(tmp_path, coco, places):
  with warned("'my-project'"):
    folder = Folder(save_coco(tmp_path, coco, **places))
  assert folder.class_names == ('root', 'cell') and folder.boundary is None
  names = [f'{places["images"]}/{i}.jpg' if places else f'{i}.jpg' for i in (10, 20, 30)]
  assert sorted(folder.image_names()) == names
  expected = [box(2), box(1), np.where(box(1, at=(6, 8, 9, 12)), box(2), box(1))]
  for name, label in zip(names, expected, strict=True):
    np.testing.assert_array_equal(folder.load(name)[1], label)
  # Shows both: listed under each.
  assert (names[2], 0) in folder.split(0, 'val').items
  assert (names[2], 1) in folder.split(0, 'trn').items


def test_more_classes_than_a_byte_counts(tmp_path, coco):
  coco['categories'] = [{'id': i, 'name': str(i)} for i in range(300)]
  coco['annotations'] = [
    {'image_id': 10 + i % 3 * 10, 'category_id': i, 'segmentation': [polygon((y, x, y + 1, x + 1))]}
    for i, y, x in [(i, i // 3 // 30, i // 3 % 30) for i in range(299)]
  ]
  last = {'image_id': 20, 'category_id': 299, 'segmentation': [polygon((10, 0, 12, 5))]}
  coco['annotations'].append(last)
  folder = Folder(save_coco(tmp_path, coco))
  label = folder.load('20.jpg')[1]
  assert folder.num_classes == 300
  np.testing.assert_array_equal(label == 300, box(1, at=(10, 0, 12, 5)) > 0)


def test_coco_outlines_of_a_turned_photograph(tmp_path, coco):
  coco['annotations'] = coco['annotations'][:1]
  save_coco(tmp_path, coco)
  exif = Image.Exif()
  exif[0x0112] = 6
  save_photo(tmp_path / '10.jpg', exif=exif)
  with warned("'my-project'"):
    folder = Folder(tmp_path)
  np.testing.assert_array_equal(folder.load('10.jpg')[1], np.rot90(box(1), -1))


def put(content, *keys, value):
  for key in keys[:-1]:
    content = content[key]
  content[keys[-1]] = value


@pytest.mark.parametrize(
  ('keys', 'value', 'facts'),
  [
    (('images',), None, ["'images'"]),
    (('images', 0), {'id': 30}, ['images[0]', "'file_name'"]),
    (('images', 0, 'height'), '24', ['images[0]', 'height']),
    (('images', 0, 'id'), [1], ['images[0]', 'id']),
    (('images', 0, 'id'), 10, ['id 10']),
    (('images', 0, 'file_name'), 'x.jpg', ['x.jpg']),
    (('images', 0, 'file_name'), '10.jpg', ['10.jpg']),
    (('images', 0, 'file_name'), '../x.jpg', ["'../x.jpg'", 'out of the folder']),
    (('images', 0, 'file_name'), '../10.jpg', ['10.jpg', 'two entries']),
    (('images', 0, 'file_name'), '..\\x.jpg', ['out of the folder']),
    (('images', 0, 'file_name'), '/data/local-files/?d=..', ['out of the folder']),
    (('images', 0, 'file_name'), None, ['None']),
    (('images', 0, 'file_name'), 'x' * 300, ['xxx']),
    (('annotations',), [], ['no annotation']),
    (('annotations', 0, 'image_id'), 99, ['annotation 1', 'image_id 99']),
    (('annotations', 0, 'category_id'), 99, ['annotation 1', 'category_id 99']),
    (('annotations', 0, 'segmentation'), [], ['annotation 1', '10.jpg', 'outline']),
    (('annotations', 0, 'segmentation'), [[1, 2, 3, 4]], ['annotation 1', '3 points']),
    (('annotations', 0, 'segmentation'), {'size': []}, ['annotation 1', 'size or counts']),
    (('categories', 0, 'name'), 'root', ['two categories']),
  ],
)
@pytest.mark.filterwarnings('ignore:.*left out categories')
def test_coco_that_contradicts_itself(tmp_path, coco, keys, value, facts):
  put(coco, *keys, value=value)
  save_coco(tmp_path, coco)
  with refused('labels.json', *facts):
    Folder(tmp_path)


@pytest.mark.parametrize(
  ('outline', 'fact'),
  [
    ({'size': [9, 9], 'counts': '0'}, '[9, 9]'),
    ({'size': list(SIZE), 'counts': [1, 2, 3]}, 'run lengths'),
    ({'size': list(SIZE), 'counts': [-1, 769]}, 'run lengths'),
    ({'size': list(SIZE), 'counts': '1000'}, 'run lengths'),
    ({'size': list(SIZE), 'counts': '1o'}, 'run lengths'),
    ({'size': list(SIZE), 'counts': 'ooooooooooooooO'}, 'run lengths'),
    ({'size': list(SIZE), 'counts': 'oooO'}, 'RLE'),
    ([[1, 2, 3, 4, 'a', 6]], 'pairs'),
    ([[[0, 0, 9], [5, 5, 9]] * 3], 'pairs'),
    ([[[1, 2], [3, 4, 5]] * 3], 'pairs'),
    ([[1, 2, 3, 4, 10**400, 6]], 'pairs'),
    ([[1, 2, 3, 4, 1e9, 6]], '32 x 24'),
    ([[1, 2, 3, 4, float('nan'), 6]], '32 x 24'),
    ([polygon((-9, -9, -5, -5))], 'no pixel'),
  ],
)
@pytest.mark.filterwarnings('ignore:.*left out categories')
def test_coco_outlines_that_are_damaged(tmp_path, coco, outline, fact):
  coco['annotations'][0]['segmentation'] = outline
  folder = Folder(save_coco(tmp_path, coco))
  with refused('labels.json: 10.jpg', fact):
    folder.load('10.jpg')


@pytest.mark.filterwarnings('ignore:.*left out categories')
def test_coco_of_another_size(tmp_path, coco):
  coco['images'][1]['height'] = 10**7
  folder = Folder(save_coco(tmp_path, coco))
  with refused('labels.json: 10.jpg', '32 x 10000000', '32 x 24'):
    folder.load('10.jpg')


@pytest.mark.parametrize(
  ('text', 'fact'), [('{"images": [', 'JSON'), ('[]', 'JSON object'), ('', 'JSON')]
)
def test_damaged_json(tmp_path, text, fact):
  save_coco(tmp_path, text)
  with refused('labels.json', fact):
    Folder(tmp_path)


def test_an_image_in_two_coco_files(tmp_path, coco):
  save_coco(tmp_path, coco, json_at='more.json')
  save_coco(tmp_path, coco)
  with refused('labels.json', 'more.json', '10.jpg'):
    Folder(tmp_path)


@pytest.mark.parametrize(
  ('written', 'held'),
  [
    ('caf\u00e9.jpg', 'cafe\u0301.jpg'),
    ('cafe\u0301.jpg', 'caf\u00e9.jpg'),
    ('my%20pic%231.jpg', 'my pic#1.jpg'),
    ('100%20.jpg', '100%20.jpg'),
  ],
)
def test_names_are_found_in_another_form(tmp_path, coco, written, held):
  save_coco(tmp_path, coco)
  (tmp_path / '10.jpg').rename(tmp_path / held)
  coco['images'][[i['id'] for i in coco['images']].index(10)]['file_name'] = written
  next(tmp_path.glob('*.json')).write_text(json.dumps(coco))
  with warned("'my-project'"):
    folder = Folder(tmp_path)
  assert held in folder.image_names()
  np.testing.assert_array_equal(folder.load(held)[1], box(2))


@pytest.mark.parametrize('name', [None, ''])
def test_a_category_without_a_name_is_named(tmp_path, coco, name):
  coco['categories'][0]['name'] = name
  with refused('.json', f'category {coco["categories"][0]["id"]}', 'name'):
    Folder(save_coco(tmp_path, coco))
