"""Outlines in every form that COCO files have them, and files that are not alone."""

import json

import numpy as np
import pytest
from pycocotools import mask as coder

from data_pipelines.own_pictures.folder import Folder
from tests.coco_files import HOOK, LEAF, SPOT, drawn, image, layered, runs, save
from tests.facts import refused, warned
from tests.own_pictures import SIZE, box, polygon, save_photo


def content(*outlines, **more):
  """A file of one picture with objects of a class of its own each."""
  return {
    'images': [image(1, 'a.jpg')],
    'categories': [{'id': i, 'name': f'c{i}'} for i in range(len(outlines))],
    'annotations': [
      {'image_id': 1, 'category_id': i, 'segmentation': outline, **more}
      for i, outline in enumerate(outlines)
    ],
  }


def pairs(flat):
  return [list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]


COMPRESSED = {
  'size': list(SIZE),
  'counts': coder.encode(np.asfortranarray(HOOK))['counts'].decode(),
}


@pytest.mark.parametrize(
  ('outline', 'expected'),
  [
    (SPOT, drawn(SPOT)),
    (pairs(LEAF), drawn(LEAF)),
    ([pairs(LEAF), SPOT], drawn(LEAF, SPOT)),
    ([LEAF, [1, 2, 3, 4], SPOT], drawn(LEAF, SPOT)),
    ([LEAF, []], drawn(LEAF)),
    (COMPRESSED, HOOK),
    ([COMPRESSED], HOOK),
    ({'size': list(SIZE), 'counts': runs(HOOK)}, HOOK),
    ({'size': list(SIZE), 'counts': runs(1 - HOOK)}, 1 - HOOK),
  ],
)
def test_outlines_of_every_form(tmp_path, outline, expected):
  save(tmp_path / 'a.json', content(outline), tmp_path / 'a.jpg')
  np.testing.assert_array_equal(Folder(tmp_path).load('a.jpg')[1], expected)


@pytest.mark.parametrize(
  ('outline', 'facts'),
  [
    (None, ['no outline', 'box']),
    ([], ['no outline', 'box']),
    ([[1, 2, 3, 4]], ['3 points']),
    ([1, 2, 3, 4], ['3 points']),
    ({'counts': [1]}, ['size or counts']),
  ],
)
def test_annotations_without_an_outline_are_named(tmp_path, outline, facts):
  save(tmp_path / 'a.json', content([LEAF], outline), tmp_path / 'a.jpg')
  with refused('a.json', 'a.jpg', *facts):
    Folder(tmp_path)
  rows = content([LEAF], outline)
  if outline is None:
    del rows['annotations'][1]['segmentation']
    save(tmp_path / 'a.json', rows)
    with refused('a.json', 'a.jpg', *facts):
      Folder(tmp_path)


@pytest.mark.parametrize('size', [[SIZE[1], SIZE[0]], [9, 9], 5, None])
def test_run_lengths_of_another_size_are_refused(tmp_path, size):
  save(tmp_path / 'a.json', content({'size': size, 'counts': runs(HOOK)}), tmp_path / 'a.jpg')
  with refused('a.json', 'a.jpg'):
    Folder(tmp_path).load('a.jpg')


@pytest.mark.parametrize('crowd', [0, 1, '0', '1', True, None])
def test_a_crowd_of_ones_own_is_an_object(tmp_path, crowd):
  """What a tool says with `iscrowd` is how the shape was stored."""
  save(tmp_path / 'a.json', content([polygon()], COMPRESSED, iscrowd=crowd), tmp_path / 'a.jpg')
  label = layered((1, box(1)), (2, HOOK))
  np.testing.assert_array_equal(Folder(tmp_path).load('a.jpg')[1], label)


def test_numbers_and_ids_as_tools_write_them(tmp_path):
  rows = content([LEAF], [SPOT])
  rows['images'][0] |= {'id': '1', 'height': 24.0, 'width': 32.0}
  rows['categories'][1]['id'] = '1'
  rows['annotations'][1] |= {'image_id': 1.0, 'category_id': 1.0}
  for encoding in ('utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le'):
    save_photo(tmp_path / 'a.jpg')
    (tmp_path / 'a.json').write_text(json.dumps(rows), encoding=encoding)
    np.testing.assert_array_equal(
      Folder(tmp_path).load('a.jpg')[1], layered((1, drawn(LEAF)), (2, drawn(SPOT)))
    )
  rows['images'].append(image(1, 'b.jpg'))
  save(tmp_path / 'a.json', rows)
  with refused('a.json', 'image id 1 twice'):
    Folder(tmp_path)


@pytest.mark.parametrize(
  ('outlines', 'facts'),
  [
    (([polygon((4, 6, 14, 20))], [polygon((4, 6, 14, 20))]), ["'c0'", "'c1' covers"]),
    (([LEAF], [polygon((-9, -9, -5, -5))]), ["'c1'", 'holds none']),
    (
      ([polygon((4, 6, 8, 10))], [polygon((4, 6, 8, 8))], [polygon((4, 8, 8, 10))]),
      ["'c0'", "'c1'", "'c2'"],
    ),
  ],
)
def test_a_class_that_the_drawing_loses_is_named(tmp_path, outlines, facts):
  save(tmp_path / 'a.json', content(*outlines), tmp_path / 'a.jpg')
  folder = Folder(tmp_path)
  with refused('a.json', 'a.jpg', *facts):
    folder.load('a.jpg')


OTHERS = {
  'captions_default.json': {'caption': 'a leaf'},
  'panoptic_default.json': {'segments_info': [], 'file_name': 'a.png'},
  'person_keypoints_default.json': {'segmentation': [LEAF], 'keypoints': [1, 2, 2]},
  'labels_default.json': {},
}


@pytest.mark.parametrize('name', OTHERS)
def test_other_tasks_beside_the_instances(tmp_path, name):
  rows = content([LEAF])
  save(tmp_path / 'annotations' / 'instances_default.json', rows, tmp_path / 'images' / 'a.jpg')
  other = {**rows, 'annotations': [{'id': 1, 'image_id': 1, 'category_id': 0, **OTHERS[name]}]}
  save(tmp_path / 'annotations' / name, other)
  with warned(name):
    folder = Folder(tmp_path)
  np.testing.assert_array_equal(folder.load('images/a.jpg')[1], drawn(LEAF))


@pytest.mark.parametrize(
  ('name', 'fact'),
  [
    ('captions_default.json', 'captions'),
    ('panoptic_default.json', 'panoptic'),
    ('labels_default.json', 'outline'),
  ],
)
def test_other_tasks_alone_are_named(tmp_path, name, fact):
  rows = content([LEAF])
  rows['annotations'] = [{'id': 1, 'image_id': 1, 'category_id': 0, **OTHERS[name]}]
  save(tmp_path / 'annotations' / name, rows, tmp_path / 'images' / 'a.jpg')
  with refused(name, fact):
    Folder(tmp_path)


def test_classes_of_several_files_are_joined_by_name(tmp_path):
  for split, names in (('train', 'xy'), ('test', 'yz')):
    rows = content(*([polygon((2, 2 + 9 * i, 9, 9 + 9 * i))] for i in range(2)))
    rows['categories'] = [{'id': 5 * i, 'name': name} for i, name in enumerate(names)]
    for i, row in enumerate(rows['annotations']):
      row['category_id'] = 5 * i
    save(tmp_path / split / '_annotations.coco.json', rows, tmp_path / split / 'a.jpg')
  with warned('train/_annotations.coco.json', 'test/_annotations.coco.json', '2 images'):
    folder = Folder(tmp_path)
  assert folder.class_names == ('x', 'y', 'z')
  first, second = box(1, at=(2, 2, 9, 9)), box(1, at=(2, 11, 9, 18))
  np.testing.assert_array_equal(folder.load('train/a.jpg')[1], first + 2 * second)
  np.testing.assert_array_equal(folder.load('test/a.jpg')[1], 2 * first + 3 * second)
