"""A user's own pictures with a COCO-style JSON file."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines.own_pictures.folder import Folder
from hsnet_jax.errors import InputError
from tests.own_pictures import SIZE, box, coco_content, polygon, save_coco, save_photo


@pytest.fixture
def coco():
  return coco_content()


@pytest.mark.parametrize(
  'places',
  [{}, {'images': 'images'}, {'images': 'images', 'json_at': 'annotations/instances_default.json'}],
)
def test_coco_outlines_become_labels(tmp_path, coco, places):
  with pytest.warns(UserWarning, match="left out categories without annotation: .'my-project'."):
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
    {'image_id': image, 'category_id': i, 'segmentation': [polygon(at)]}
    for i, image, at in [(i, 10 + i % 3 * 10, (0, i % 30, 9, 31)) for i in range(299)]
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
  with pytest.warns(UserWarning, match='left out categories'):
    folder = Folder(tmp_path)
  np.testing.assert_array_equal(folder.load('10.jpg')[1], np.rot90(box(1), -1))


def put(content, *keys, value):
  for key in keys[:-1]:
    content = content[key]
  content[keys[-1]] = value


@pytest.mark.parametrize(
  ('keys', 'value', 'says'),
  [
    (('images',), None, "labels.json: has no list of 'images'"),
    (('images', 0), {'id': 30}, r"images\[0\] has no 'file_name'"),
    (('images', 0, 'height'), '24', r'images\[0\] has a height or width that is no whole number'),
    (('images', 0, 'id'), [1], r'images\[0\] has an id that is no number'),
    (('images', 0, 'id'), 10, 'image id 10 twice'),
    (('images', 0, 'file_name'), 'x.jpg', 'image x.jpg: no such file'),
    (('images', 0, 'file_name'), '10.jpg', 'two entries for image 10.jpg'),
    (('images', 0, 'file_name'), '../10.jpg', "'../10.jpg' leads out of the folder"),
    (('images', 0, 'file_name'), '/10.jpg', "'/10.jpg' leads out of the folder"),
    (('images', 0, 'file_name'), '..\\10.jpg', 'leads out of the folder'),
    (('annotations',), [], 'labels.json: no annotation'),
    (('annotations', 0, 'image_id'), 99, 'annotation 1 has image_id 99, which is not in images'),
    (('annotations', 0, 'category_id'), 99, 'annotation 1 has category_id 99'),
    (('annotations', 0, 'segmentation'), [], 'annotation 1 of 10.jpg has no outline; draw'),
    (('annotations', 0, 'segmentation'), [[1, 2, 3, 4]], 'a polygon of fewer than 3 points'),
    (('annotations', 0, 'segmentation'), {'size': []}, 'run lengths without size or counts'),
    (('categories', 0, 'name'), 'root', 'two categories of one name'),
  ],
)
@pytest.mark.filterwarnings('ignore:.*left out categories')
def test_coco_that_contradicts_itself(tmp_path, coco, keys, value, says):
  put(coco, *keys, value=value)
  save_coco(tmp_path, coco)
  with pytest.raises(InputError, match=says) as raised:
    Folder(tmp_path)
  assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
  ('outline', 'says'),
  [
    ({'size': [9, 9], 'counts': '0'}, 'run lengths of size'),
    ({'size': list(SIZE), 'counts': [1, 2, 3]}, 'do not fill the image'),
    ({'size': list(SIZE), 'counts': [-1, 769]}, 'do not fill the image'),
    ({'size': list(SIZE), 'counts': '1000'}, 'do not fill the image'),
    ({'size': list(SIZE), 'counts': '1o'}, 'damaged run lengths'),
    ({'size': list(SIZE), 'counts': 'ooooooooooooooO'}, 'damaged run lengths'),
    ({'size': list(SIZE), 'counts': 'oooO'}, 'Invalid RLE'),
    ([[1, 2, 3, 4, 'a', 6]], 'points that are not pairs of numbers'),
    ([[[0, 0, 9], [5, 5, 9]] * 3], 'points that are not pairs of numbers'),
    ([[[1, 2], [3, 4, 5]] * 3], 'points that are not pairs of numbers'),
    ([[1, 2, 3, 4, 10**400, 6]], 'points that are not pairs of numbers'),
    ([[1, 2, 3, 4, 1e9, 6]], 'points far out of the image'),
    ([[1, 2, 3, 4, float('nan'), 6]], 'points far out of the image'),
    ([polygon((-9, -9, -5, -5))], 'its outlines hold no pixel'),
  ],
)
@pytest.mark.filterwarnings('ignore:.*left out categories')
def test_coco_outlines_that_are_damaged(tmp_path, coco, outline, says):
  coco['annotations'][0]['segmentation'] = outline
  folder = Folder(save_coco(tmp_path, coco))
  with pytest.raises(InputError, match=f'labels.json: 10.jpg: .*{says}'):
    folder.load('10.jpg')


@pytest.mark.filterwarnings('ignore:.*left out categories')
def test_coco_of_another_size(tmp_path, coco):
  coco['images'][1]['height'] = 10**7
  folder = Folder(save_coco(tmp_path, coco))
  with pytest.raises(InputError, match='outlines for 32 x 10000000 pixels, but .* has 32 x 24'):
    folder.load('10.jpg')


@pytest.mark.parametrize(
  ('text', 'says'),
  [('{"images": [', 'not valid JSON'), ('[]', 'holds no JSON object'), ('', 'not valid JSON')],
)
def test_damaged_json(tmp_path, text, says):
  save_coco(tmp_path, text)
  with pytest.raises(InputError, match=f'labels.json: {says}'):
    Folder(tmp_path)


def test_one_coco_file_alone(tmp_path, coco):
  save_coco(tmp_path, coco, json_at='more.json')
  save_coco(tmp_path, coco)
  with pytest.raises(InputError, match='labels.json and 1 other JSON files'):
    Folder(tmp_path)
