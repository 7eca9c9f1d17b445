"""Support masks from JSON files of outlines, against drawings of Pillow and pycocotools."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_masks

from experiments.evaluation.inputs import read_supports
from hsnet_jax.errors import InputError
from tests.experiments.evaluation.given import mask, picture

SIZE = (45, 60)
FACE = [[10.0, 8.0], [50.5, 9.0], [40.0, 40.0], [12.0, 30.25]]
EYE = [[20.0, 15.0], [26.0, 15.0], [26.0, 20.0], [20.0, 20.0]]


def labelme(path, *, image='a.jpg', shapes=(('face', FACE), ('eye', EYE))):
  content = {
    'version': '5.5.0',
    'flags': {},
    'shapes': [
      {'label': label, 'points': points, 'shape_type': 'polygon', 'group_id': None, 'flags': {}}
      for label, points in shapes
    ],
    'imagePath': image,
    'imageData': None,
    'imageHeight': SIZE[0],
    'imageWidth': SIZE[1],
  }
  path.write_text(json.dumps(content))
  return path


def coco(path, names=('a.jpg', 'b.jpg')):
  content = {
    'images': [
      {'id': i, 'file_name': name, 'height': SIZE[0], 'width': SIZE[1]}
      for i, name in enumerate(names)
    ],
    'categories': [{'id': 7, 'name': 'face'}, {'id': 9, 'name': 'eye'}, {'id': 11, 'name': 'tail'}],
    'annotations': [
      {'id': 1, 'image_id': 0, 'category_id': 7, 'segmentation': [sum(FACE, [])], 'iscrowd': 0},
      {'id': 2, 'image_id': 0, 'category_id': 9, 'segmentation': [sum(EYE, [])], 'iscrowd': 0},
      {'id': 3, 'image_id': '1', 'category_id': 7.0, 'segmentation': [sum(FACE, [])]},
    ],
  }
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))
  return path


def of_labelme(points):
  drawn = Image.new('L', SIZE[::-1])
  ImageDraw.Draw(drawn).polygon([tuple(p) for p in points], fill=1, outline=1)
  return np.asarray(drawn)


def of_coco(points):
  return coco_masks.decode(coco_masks.frPyObjects([sum(points, [])], *SIZE))[..., 0]


def read(image, path, **options):
  return read_supports([str(image)], [str(path)], size=SIZE, **options)[1][0]


@pytest.mark.parametrize('place', ['a.json', 'annotations/instances.json', 'elsewhere/a.json'])
def test_a_coco_file_with_the_picture_in_it(tmp_path, place):
  path = coco(tmp_path / 'set' / place)
  images = [picture(tmp_path / 'set' / name) for name in ('a.jpg', 'b.jpg')]
  face, eye = of_coco(FACE), of_coco(EYE)
  np.testing.assert_array_equal(read(images[0], path, class_name='eye'), eye)
  np.testing.assert_array_equal(read(images[0], path, class_name='face'), face & ~eye & 1)
  np.testing.assert_array_equal(read(images[1], path), face)
  with pytest.raises(InputError, match=r'(a|instances)\.json: a\.jpg .*`support_class`.*face, eye'):
    read(images[0], path)
  with pytest.raises(InputError, match=r"b\.jpg .*'tail' \(`support_class`\).*face"):
    read(images[1], path, class_name='tail')
  other = picture(tmp_path / 'other.jpg')
  with pytest.raises(InputError, match=r'json: .*other\.jpg.*a\.jpg, b\.jpg'):
    read(other, path)


def test_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path):
  path = coco(tmp_path / 'all.json', names=('x/a.jpg', 'y/a.jpg'))
  for name in 'xyz':
    (tmp_path / name).mkdir()
    picture(tmp_path / name / 'a.jpg')
  np.testing.assert_array_equal(read(tmp_path / 'y' / 'a.jpg', path), of_coco(FACE))
  with pytest.raises(InputError, match=r'all\.json: .*several.*a\.jpg'):
    read(tmp_path / 'z' / 'a.jpg', path)


def test_a_damaged_coco_file_is_named_where_it_lies(tmp_path):
  path = coco(tmp_path / 'elsewhere' / 'a.json')
  image = picture(tmp_path / 'a.jpg')
  content = json.loads(path.read_text())
  content['annotations'][0]['segmentation'] = []
  path.write_text(json.dumps(content))
  with pytest.raises(InputError, match=str(path)):
    read(image, path, class_name='face')
  path.write_text(json.dumps({**content, 'images': 3}))
  with pytest.raises(InputError, match=str(path)):
    read(image, path, class_name='face')


def test_a_labelme_file_of_the_picture(tmp_path):
  image, path = picture(tmp_path / 'a.jpg'), labelme(tmp_path / 'a.json')
  face, eye = of_labelme(FACE), of_labelme(EYE)
  np.testing.assert_array_equal(read(image, path, class_name='eye'), eye)
  np.testing.assert_array_equal(read(image, path, class_name='face'), face & ~eye & 1)
  with pytest.raises(InputError, match=r'a\.json: a\.jpg .*`support_class`.*eye, face'):
    read(image, path)
  labelme(path, shapes=[('face', FACE)])
  np.testing.assert_array_equal(read(image, path), face)
  other = picture(tmp_path / 'b.jpg')
  with pytest.raises(InputError, match=r'a\.json: .*a\.jpg.*b\.jpg'):
    read(other, path)


def test_masks_and_outlines_may_be_mixed_and_have_flags_of_their_own(tmp_path):
  image, drawn = picture(tmp_path / 'a.jpg'), mask(tmp_path / 'a.png')
  path = labelme(tmp_path / 'a.json', shapes=[('face', FACE)])
  both = read_supports([str(image)] * 2, [str(drawn), str(path)], size=SIZE)[1]
  assert both[0].sum() == 30 * 20 and both[1].sum() == of_labelme(FACE).sum()
  with pytest.raises(InputError, match='`support_class`.*`mask_value`'):
    read(image, drawn, class_name='face')
  with pytest.raises(InputError, match=r'a\.json: .*`mask_value`.*`support_class`'):
    read(image, path, value=1)
  path.write_text('{"labels": []}')
  with pytest.raises(InputError, match=r'a\.json: .*LabelMe.*COCO'):
    read(image, path)
