"""A user's own pictures with LabelMe's JSON files."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from data_pipelines.own_pictures.folder import Folder
from tests.facts import refused
from tests.own_pictures import (
  CORNERS,
  SIZE,
  SQUARE,
  box,
  save_all_labelme,
  save_labelme,
  save_photo,
  shape,
)


@pytest.fixture
def labelme(tmp_path):
  return save_all_labelme(tmp_path / 'own')


def test_labelme_shapes_become_labels(labelme):
  folder = Folder(labelme)
  assert folder.class_names == ('cell', 'root') and folder.boundary is None
  assert sorted(folder.image_names()) == ['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg']
  small = box(1, at=(6, 8, 9, 12))
  y, x = np.mgrid[: SIZE[0], : SIZE[1]]
  expected = {
    'a.jpg': box(2),
    'b.jpg': np.where(small, small, box(2)),
    'c.jpg': (np.hypot(x - 16, y - 12) <= 7.5).astype(np.uint8),
    'd.jpg': box(2),
  }
  for name, label in expected.items():
    found = folder.load(name)[1]
    # A circle's edge is Pillow's.
    assert np.count_nonzero(found != label) <= (8 if name == 'c.jpg' else 0), name
    assert set(np.unique(found)) == set(np.unique(label))
  assert ('b.jpg', 0) in folder.split(0, 'val').items
  assert ('b.jpg', 1) in folder.split(0, 'trn').items


@pytest.mark.parametrize('written', ['..\\old\\a.jpg', 'D:\\me\\a.jpg', '/srv/a.jpg'])
def test_a_picture_that_has_moved_is_the_one_of_the_files_own_name_beside_it(labelme, written):
  content = json.loads((labelme / 'a.json').read_text())
  content['imagePath'] = written
  (labelme / 'a.json').write_text(json.dumps(content))
  np.testing.assert_array_equal(Folder(labelme).load('a.jpg')[1], box(2))
  content['imagePath'] = written.replace('a.jpg', 'c.jpg')
  (labelme / 'a.json').write_text(json.dumps(content))
  with refused('a.json', 'c.jpg'):
    Folder(labelme)


def test_labelme_takes_its_own_copy_where_the_picture_is_not_there(labelme):
  data = base64.b64encode((labelme / 'a.jpg').read_bytes()).decode()
  # A path out of the folder is not followed, though there is a picture.
  save_photo(labelme.parent / 'a.jpg')
  content = json.loads((labelme / 'a.json').read_text())
  content |= {'imagePath': '..\\a.jpg', 'imageData': data}
  (labelme / 'a.json').write_text(json.dumps(content))
  folder = Folder(labelme)
  image, label = folder.load('a.json')
  np.testing.assert_array_equal(image, np.asarray(Image.open(labelme / 'a.jpg')))
  np.testing.assert_array_equal(label, box(2))


@pytest.mark.parametrize(
  ('shapes', 'changes', 'facts'),
  [
    ([shape('x', [[1, 2], [3, 4]], 'line')], {}, ['shape 1 (x)', 'line']),
    ([shape('x', [[1, 2], [3, 4]])], {}, ['shape 1 (x)', 'polygon of 2', '3 or more']),
    ([shape('x', SQUARE[:3], 'circle')], {}, ['shape 1 (x)', 'circle of 3', 'not of 2']),
    ([shape('x', SQUARE[:3], 'rectangle')], {}, ['shape 1 (x)', 'rectangle of 3', '2 or 4']),
    ([shape('x', SQUARE, 'cuboid')], {}, ['shape 1 (x)', 'cuboid']),
    ([shape('x', SQUARE, ['polygon'])], {}, ['shape 1 (x)', "['polygon']"]),
    ([shape('x', SQUARE, {'a': 1})], {}, ['shape 1 (x)', "{'a': 1}"]),
    ([shape('x', [[2, 3, 9], [7, 7, 9]])], {}, ['shape 1 (x)', 'pairs']),
    ([shape('x', [[[2, 3]], [[7, 7]]])], {}, ['shape 1 (x)', 'pairs']),
    ([shape('x', None)], {}, ['shape 1 (x)', 'pairs']),
    ([shape('x', [[1, 2], [3, 4], [1e9, 5]])], {}, ['shape 1 (x)', '32 x 24']),
    ([{'points': SQUARE}], {}, ['shape 1', 'label']),
    ([], {'shapes': None}, ["'shapes'"]),
    ([], {'imageHeight': None}, ['imageHeight']),
    ([shape('x', SQUARE)], {}, ["'f.jpg'"]),
    ([shape('x', SQUARE)], {'imagePath': '../a.jpg'}, ["'../a.jpg'", 'out of the folder']),
    ([shape('x', SQUARE)], {'imagePath': None}, ['None']),
    ([shape('x', SQUARE)], {'imagePath': 'a.jpg'}, ['a.json', 'a.jpg']),
  ],
)
def test_labelme_that_cannot_be_drawn(labelme, shapes, changes, facts):
  save_labelme(labelme, 'f', *shapes, **changes)
  with refused('f.json', *facts):
    Folder(labelme)


def color():
  png = io.BytesIO()
  Image.new('RGB', (14, 10), 'white').save(png, 'PNG')
  return base64.b64encode(png.getvalue()).decode()


@pytest.mark.parametrize(
  ('shapes', 'changes', 'facts'),
  [
    (
      [shape('x', CORNERS, 'mask', mask=color())],
      {'imagePath': 'e.jpg'},
      ['shape 1 (x)', 'color'],
    ),
    ([shape('x', SQUARE)], {'imageData': '!'}, ['base64']),
    ([shape('x', CORNERS, 'mask', mask='AAAA')], {'imagePath': 'e.jpg'}, ['shape 1 (x)', 'mask']),
    ([shape('x', CORNERS, 'mask')], {'imagePath': 'e.jpg'}, ['base64']),
    ([shape('x', SQUARE)], {'imagePath': 'e.jpg', 'imageWidth': 99}, ['99 x 24', 'e.jpg']),
    ([shape('x', [[-9, -9], [-5, -9], [-5, -5]])], {'imagePath': 'e.jpg'}, ['no pixel']),
  ],
)
def test_labelme_found_damaged_when_it_is_read(labelme, shapes, changes, facts):
  save_labelme(labelme, 'f', *shapes, **changes)
  folder = Folder(labelme)
  with refused('f.json', *facts):
    folder.load(changes.get('imagePath', 'f.json'))


def test_labelme_without_any_shape(tmp_path):
  with refused(tmp_path / 'own'):
    Folder(save_labelme(tmp_path / 'own', 'a'))
