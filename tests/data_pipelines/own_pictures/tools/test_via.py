"""A user's own pictures with the JSON of the VGG Image Annotator."""

import copy
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coder

from data_pipelines.own_pictures.folder import Folder
from hsnet_jax.errors import InputError
from tests.facts import refused, warned
from tests.own_pictures import SIZE, box, save_photo

LEAF = {
  'name': 'polygon',
  'all_points_x': [3, 22, 29.5, 20, 4],
  'all_points_y': [3, 2, 12, 21.25, 18],
}
SPOT = {'name': 'rect', 'x': 8, 'y': 6, 'width': 5, 'height': 3}
CIRCLE = {'name': 'circle', 'cx': 16.5, 'cy': 12, 'r': 7.2}
ELLIPSE = {'name': 'ellipse', 'cx': 15, 'cy': 11, 'rx': 11, 'ry': 5.5, 'theta': 0.4}


def region(shape, **attributes):
  return {'shape_attributes': shape, 'region_attributes': attributes}


def entry(name, regions):
  return {'filename': name, 'size': 4711, 'regions': regions, 'file_attributes': {}}


def polygon(shape):
  """The oracle: pycocotools."""
  points = np.stack([shape['all_points_x'], shape['all_points_y']], axis=1).ravel()
  return coder.decode(coder.merge(coder.frPyObjects([points.tolist()], *SIZE)))


def ellipse(shape):
  """The oracle: the middles of pixels, turned back."""
  y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
  turned = (x - shape['cx'] + 1j * (y - shape['cy'])) * np.exp(-1j * shape.get('theta', 0))
  radii = [shape.get(key, shape.get('r')) for key in ('rx', 'ry')]
  return ((turned.real / radii[0]) ** 2 + (turned.imag / radii[1]) ** 2 <= 1).astype(np.uint8)


def leaf_and_spot():
  return np.where(box(1, at=(6, 8, 9, 13)), np.uint8(2), polygon(LEAF))


def entries():
  """As VIA 2 exports annotations: by name and size; `d.jpg` has no region."""
  return {
    'a.jpg4711': entry('a.jpg', [region(LEAF, plant='leaf'), region(SPOT, plant='spot')]),
    'b.jpg4711': entry('b.jpg', [region(CIRCLE, plant='leaf')]),
    'c.jpg4711': entry('c.jpg', [region(ELLIPSE, plant={'spot': True, 'leaf': False})]),
    'd.jpg4711': entry('d.jpg', []),
  }


def project(content):
  """As VIA 2 saves a project."""
  return {
    '_via_settings': {'ui': {}, 'core': {'filepath': {}, 'default_filepath': ''}},
    '_via_img_metadata': content,
    '_via_attributes': {'region': {'plant': {'type': 'dropdown'}}, 'file': {}},
    '_via_data_format_version': '2.0.10',
    '_via_image_id_list': list(content),
  }


def older(content):
  """As VIA 1, and MakeSense's VGG JSON: regions by number."""
  content = copy.deepcopy(content)
  for one in content.values():
    one |= {'fileref': '', 'base64_img_data': ''}
    one['regions'] = {str(i): r for i, r in enumerate(one['regions'])}
  return content


def save(folder, content, name='via_region_data.json', images=''):
  for stem in 'abcd':
    save_photo(folder / images / f'{stem}.jpg')
  (folder / name).write_text(json.dumps(content))
  return folder


@pytest.mark.parametrize('form', [dict, project, older])
@pytest.mark.parametrize('images', ['', 'images'])
def test_regions_become_labels(tmp_path, form, images):
  folder = Folder(save(tmp_path, form(entries()), 'via_project_1Jan2026.json', images))
  assert folder.class_names == ('leaf', 'spot') and folder.boundary is None
  a, b, c = (f'{images}/{stem}.jpg'.lstrip('/') for stem in 'abc')
  assert sorted(folder.image_names()) == [a, b, c]
  np.testing.assert_array_equal(folder.load(a)[1], leaf_and_spot())
  np.testing.assert_array_equal(folder.load(b)[1], ellipse(CIRCLE))
  np.testing.assert_array_equal(folder.load(c)[1], 2 * ellipse(ELLIPSE))


def test_subsets_with_a_file_each(tmp_path):
  """As the balloons of Mask R-CNN: no attribute at all."""
  for subset in ('train', 'val'):
    save(tmp_path / subset, older({'a.jpg1': entry('a.jpg', [region(LEAF)])}))
  with warned("'object'"):
    folder = Folder(tmp_path)
  assert folder.class_names == ('object',)
  assert sorted(folder.image_names()) == ['train/a.jpg', 'val/a.jpg']
  np.testing.assert_array_equal(folder.load('val/a.jpg')[1], polygon(LEAF))


def test_points_and_lines_beside_others_are_left_out(tmp_path):
  regions = [region({'name': 'point', 'cx': 3, 'cy': 4}), region(LEAF, kind='a')]
  save(tmp_path, {'x': entry('a.jpg', [*regions, region(LEAF | {'name': 'polyline'}, kind='b')])})
  with warned('via_region_data.json', 'a.jpg', 'region 1', 'point', '1 more'):
    folder = Folder(tmp_path)
  assert folder.class_names == ('a',)
  np.testing.assert_array_equal(folder.load('a.jpg')[1], polygon(LEAF))


def test_places_of_another_computer(tmp_path):
  content = {'x1': entry('C:\\pictures\\a.jpg', [region(LEAF, label='leaf')])}
  np.testing.assert_array_equal(Folder(save(tmp_path, content)).load('a.jpg')[1], polygon(LEAF))


def test_regions_lie_on_the_picture_as_it_is_shown(tmp_path):
  save(tmp_path, {'x1': entry('a.jpg', [region(LEAF, label='leaf')])})
  exif = Image.Exif()
  exif[0x0112] = 6
  save_photo(tmp_path / 'a.jpg', size=SIZE[::-1], exif=exif)
  image, label = Folder(tmp_path).load('a.jpg')
  assert image.shape[:2] == SIZE
  np.testing.assert_array_equal(label, polygon(LEAF))


@pytest.mark.parametrize(
  ('attributes', 'chosen'),
  [
    ([{'kind': 'x', 'Class': 'leaf'}, {'kind': 'y', 'Class': 'spot'}], ('leaf', 'spot')),
    ([{'kind': '', 'n': 1}, {'n': 2}], ('1', '2')),
    ([{'label': ' leaf '}, {'label': 'leaf'}], ('leaf',)),
  ],
)
def test_the_attribute_that_is_the_class(tmp_path, attributes, chosen):
  regions = [region(shape, **a) for shape, a in zip((LEAF, SPOT), attributes, strict=True)]
  assert Folder(save(tmp_path, {'x': entry('a.jpg', regions)})).class_names == chosen


@pytest.mark.parametrize(
  ('regions', 'facts'),
  [
    ([region(LEAF, kind='a', color='b')], ['color, kind', 'class']),
    ([region(LEAF, name='a', label='b')], ['label, name']),
    ([region(LEAF, kind='a'), region(SPOT)], ['region 2', 'kind']),
    ([region(LEAF, kind={'a': True, 'b': True})], ['region 1', '2 values']),
    ([region({'name': 'point', 'cx': 3, 'cy': 4})], ['region 1', 'point']),
    ([region(LEAF | {'name': 'polyline'})], ['region 1', 'polyline']),
    ([region({'name': ['rect']})], ['region 1', "['rect']"]),
    ([region(LEAF | {'all_points_x': [1, 2]})], ['region 1', 'polygon']),
    ([region({'name': 'polygon', 'all_points_x': [1, 2], 'all_points_y': [1, 2]})], ['3 points']),
    ([region(SPOT | {'x': '3'})], ['region 1', 'rect']),
    ([region(SPOT | {'x': None})], ['region 1', 'rect']),
    ([region(SPOT | {'x': float('nan')})], ['region 1', 'rect']),
    ([region(SPOT | {'x': 10**400})], ['region 1', 'rect']),
    ([region(LEAF | {'all_points_x': [[1], 2, 3, 4, 5]})], ['region 1', 'polygon']),
    ([3], ['region 1', 'shape_attributes']),
    (None, ['a.jpg', 'regions']),
  ],
)
def test_regions_that_cannot_be_drawn(tmp_path, regions, facts):
  save(tmp_path, {'x': entry('a.jpg', regions)})
  with refused('via_region_data.json', *facts):
    Folder(tmp_path)


@pytest.mark.parametrize(
  ('shape', 'fact'),
  [
    (LEAF | {'all_points_x': [1, 2, 1e8, 4, 5]}, '32 x 24'),
    (SPOT | {'width': 1e8}, '32 x 24'),
    (CIRCLE | {'r': 1e8}, '32 x 24'),
    (CIRCLE | {'r': -3}, 'radius -3'),
    (SPOT | {'width': 0}, 'no pixel'),
  ],
)
def test_regions_that_do_not_fit_their_picture(tmp_path, shape, fact):
  folder = Folder(save(tmp_path, {'x': entry('a.jpg', [region(shape, kind='a')])}))
  with refused('via_region_data.json', 'a.jpg', fact):
    folder.load('a.jpg')


def test_what_is_missing_or_twice(tmp_path):
  save(tmp_path, entries() | {'x': entry('x.jpg', [region(LEAF, plant='leaf')])})
  with refused('via_region_data.json', 'x.jpg'):
    Folder(tmp_path)
  save(tmp_path, entries() | {'x': entry('x' * 300, [region(LEAF, plant='leaf')])})
  with refused('via_region_data.json', 'xxx'):
    Folder(tmp_path)
  save(tmp_path, entries() | {'x': entry('a.jpg', [region(LEAF, plant='leaf')])})
  with refused('via_region_data.json', 'a.jpg', 'second'):
    Folder(tmp_path)
  save(tmp_path, {'d': entry('d.jpg', [])})
  with refused('via_region_data.json', 'no region'):
    Folder(tmp_path)
  save(tmp_path, {'d': entry(None, [])})
  with refused('via_region_data.json', 'filename'):
    Folder(tmp_path)
  save(tmp_path, project(entries()) | {'_via_img_metadata': []})
  with refused('via_region_data.json', 'filename'):
    Folder(tmp_path)
  (tmp_path / 'other.json').write_text('{"a": {"filename": "a.jpg", "regions": []}}')
  (tmp_path / 'via_region_data.json').write_text('{"images": []}')
  with refused('via_region_data.json', 'VIA'):
    Folder(tmp_path)


anything = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
  lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
  ),
  max_leaves=6,
)


@given(key=st.sampled_from(sorted({*LEAF, *SPOT, *CIRCLE, *ELLIPSE})), value=anything, at=st.data())
@settings(max_examples=25, deadline=None)
@example(key='rx', value=2.3e-308, at=None)
def test_any_shape_is_drawn_or_one_error(tmp_path_factory, key, value, at):
  shape = at.draw(st.sampled_from([LEAF, SPOT, CIRCLE, ELLIPSE])) if at else ELLIPSE
  shape = shape | {key: value}
  folder = tmp_path_factory.mktemp('via')
  save(folder, {'x': entry('a.jpg', [region(shape, kind='a')])})
  try:
    assert Folder(folder).load('a.jpg')[1].max() == 1
  except InputError as error:
    assert 'via_region_data.json' in str(error) and '\n' not in str(error)
