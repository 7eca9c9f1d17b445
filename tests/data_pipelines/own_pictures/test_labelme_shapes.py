"""LabelMe's shapes, file by file as LabelMe 5 and 6 save them, against Pillow's drawing of each."""

import base64
import io
import json
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_pipelines import eval_batches
from data_pipelines.own_pictures.folder import Folder
from tests.facts import refused, warned
from tests.own_pictures import SIZE, save_photo


def save(folder, *shapes, stem='a', **changes):
  """A file with every key that LabelMe writes, in its order."""
  save_photo(folder / f'{stem}.jpg')
  keys = ('label', 'points', 'group_id', 'description', 'shape_type', 'flags', 'mask')
  content = {
    'version': '5.5.0',
    'flags': {},
    'shapes': [dict(zip(keys, shape, strict=True)) for shape in shapes],
    'imagePath': f'{stem}.jpg',
    'imageData': None,
    'imageHeight': SIZE[0],
    'imageWidth': SIZE[1],
    **changes,
  }
  text = json.dumps(content, ensure_ascii=False, indent=2)
  (folder / f'{stem}.json').write_text(text, encoding='utf-8')
  return folder


def shape(label, kind, points, mask=None, group=None):
  text = None
  if mask is not None:
    png = io.BytesIO()
    Image.fromarray(mask).save(png, 'PNG')
    text = base64.b64encode(png.getvalue()).decode()
  return label, points, group, '', kind, {}, text


def painted(draw):
  """The oracle: what a pen of Pillow leaves on an empty picture."""
  image = Image.new('L', SIZE[::-1])
  draw(ImageDraw.Draw(image))
  return np.asarray(image) > 0


def circle(x, y, radius):
  box = [x - radius, y - radius, x + radius, y + radius]
  return painted(lambda pen: pen.ellipse(box, outline=1, fill=1))


def polygon(points):
  return painted(lambda pen: pen.polygon([tuple(p) for p in points], outline=1, fill=1))


def part(mask, top, left):
  """A mask with its corner at a place of the picture, cut at the picture's edges."""
  whole = np.zeros((3 * SIZE[0], 3 * SIZE[1]), bool)
  y, x = SIZE[0] + top, SIZE[1] + left
  whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask > 0
  return whole[SIZE[0] : 2 * SIZE[0], SIZE[1] : 2 * SIZE[1]]


STAR = [[16.49, 1.5], [20.51, 20.3], [3.2, 8.75], [29.99, 8.25], [10.5, 21.5]]
TILTED = [[10.4, 2.6], [24.7, 9.1], [20.2, 19.3], [5.8, 12.9]]
BLOB = (np.random.default_rng(0).random((7, 9)) > 0.4) * np.uint8(255)


@pytest.mark.parametrize(
  ('made', 'expected'),
  [
    (shape('x', 'polygon', STAR), polygon(STAR)),
    (shape('x', None, STAR), polygon(STAR)),
    (shape('x', 'oriented_rectangle', TILTED), polygon(TILTED)),
    (shape('x', 'rotation', TILTED), polygon(TILTED)),
    (shape('x', 'rectangle', TILTED), polygon(TILTED)),
    (shape('x', 'circle', [[15.3, 11.6], [18.2, 15.1]]), circle(15.3, 11.6, math.hypot(2.9, 3.5))),
    (
      shape('x', 'rectangle', [[20.7, 18.2], [3.4, 5.9]]),
      painted(lambda pen: pen.rectangle([3.4, 5.9, 20.7, 18.2], outline=1, fill=1)),
    ),
    (
      shape('x', 'rectangle', [[3.4, 5.9], [20.7, 5.9], [20.7, 18.2], [3.4, 18.2]]),
      painted(lambda pen: pen.rectangle([3.4, 5.9, 20.7, 18.2], outline=1, fill=1)),
    ),
    (shape('x', 'mask', [[5, 6], [13, 12]], BLOB), part(BLOB, 6, 5)),
    (shape('x', 'mask', [[5.0, 6.0], [13.0, 12.0]], BLOB > 0), part(BLOB, 6, 5)),
    # Whole corners say how much of the mask there is, others where it begins.
    (shape('x', 'mask', [[5, 6], [10, 9]], BLOB), part(BLOB[:4, :6], 6, 5)),
    (shape('x', 'mask', [[4.6, 5.5], [13.4, 12.4]], BLOB), part(BLOB, 6, 5)),
    (shape('x', 'mask', [[4.4, 6.5], [13.4, 12.4]], BLOB), part(BLOB, 6, 4)),
    (shape('x', 'mask', [[-3, -2], [5, 4]], BLOB), part(BLOB, -2, -3)),
    (shape('x', 'mask', [[27, 20], [35, 26]], BLOB), part(BLOB, 20, 27)),
  ],
)
def test_a_shape_is_drawn_as_labelme_draws_it(tmp_path, made, expected):
  label = Folder(save(tmp_path, made)).load('a.jpg')[1]
  np.testing.assert_array_equal(label, expected)


BODY = [[4, 2], [27, 2], [27, 21], [4, 21]]
BOW = [[4, 2], [27, 21], [27, 2], [4, 21]]


def test_of_two_shapes_the_one_of_fewer_pixels_is_on_top(tmp_path):
  thin = np.eye(20, 24, dtype=np.uint8)
  # As large a box as the body's, and an outline around no area.
  made = [
    shape('leash', 'mask', [[4, 2], [27, 21]], thin),
    shape('body', 'polygon', BODY),
    shape('bow', 'polygon', BOW),
  ]
  body, bow, leash = polygon(BODY), polygon(BOW), part(thin, 2, 4)
  assert leash.sum() < bow.sum() < body.sum()
  expected = np.where(leash, 3, np.where(bow, 2, body))
  for order in ([0, 1, 2], [2, 1, 0]):
    folder = Folder(save(tmp_path, *(made[i] for i in order)))
    np.testing.assert_array_equal(folder.load('a.jpg')[1], expected)


HOLE = [[8, 6], [12, 6], [12, 10], [8, 10]]
OFF = [[16, 6], [22, 6], [22, 12], [16, 12]]


def test_labels_that_are_no_class(tmp_path):
  for stem in 'ab':
    save(
      tmp_path,
      shape('_background_', 'polygon', HOLE),
      shape('dog', 'polygon', BODY, group=1),
      shape('dog', 'polygon', [[0, 0], [2, 0], [2, 2]], group=1),
      shape('__ignore__', 'polygon', OFF),
      stem=stem,
    )
  save(tmp_path, shape('__ignore__', 'polygon', OFF), stem='c')
  folder = Folder(tmp_path)
  assert folder.class_names == ('dog',) and folder.boundary == 65535
  assert sorted(folder.image_names()) == ['a.jpg', 'b.jpg']
  dog = (polygon(BODY) | polygon([[0, 0], [2, 0], [2, 2]])) & ~polygon(HOLE) & ~polygon(OFF)
  label = folder.load('a.jpg')[1]
  np.testing.assert_array_equal(label, np.where(polygon(OFF), 65535, dog))
  rebuilt = Folder.from_description(json.loads(json.dumps(folder.description())))
  assert rebuilt.boundary == 65535
  (batch,) = eval_batches(folder, fold=0, count=1, image_size=SIZE, batch_size=1, num_threads=0)
  np.testing.assert_array_equal(batch['query_mask'][0], dog)
  np.testing.assert_array_equal(batch['query_ignore'][0], polygon(OFF))


def test_lines_and_points_beside_other_shapes(tmp_path):
  made = [shape('eye', 'point', [[4, 5]]), shape('dog', 'polygon', BODY)]
  made += [shape('tail', kind, [[4, 5], [6, 7], [9, 9]]) for kind in ('points', 'linestrip')]
  with warned('a.json: shape 1 (eye)', 'point', '3 more'):
    folder = Folder(save(tmp_path, *made, shape('tail', 'line', [[4, 5], [9, 9]])))
  assert folder.class_names == ('dog',)
  np.testing.assert_array_equal(folder.load('a.jpg')[1], polygon(BODY))
  save(tmp_path, made[0], stem='b')
  with refused('b.json: shape 1 (eye)', 'point'):
    Folder(tmp_path)


@pytest.mark.parametrize(
  ('other', 'lost', 'by'), [('__ignore__', 'dog', None), ('cat', 'cat', 'dog')]
)
def test_a_class_that_the_drawing_loses_is_named(tmp_path, other, lost, by):
  save(tmp_path, shape('dog', 'polygon', BODY), shape(other, 'polygon', BODY))
  with refused('a.json', repr(lost), f"'{by or other}' covers"):
    Folder(tmp_path).load('a.jpg')


def test_background_of_as_many_pixels_hides_nothing(tmp_path):
  save(tmp_path, shape('dog', 'polygon', BODY), shape('_background_', 'polygon', BODY))
  np.testing.assert_array_equal(Folder(tmp_path).load('a.jpg')[1], polygon(BODY))


def test_a_size_with_a_point(tmp_path):
  save(tmp_path, shape('dog', 'polygon', BODY), imageHeight=24.0, imageWidth=32.0)
  np.testing.assert_array_equal(Folder(tmp_path).load('a.jpg')[1], polygon(BODY))


def test_files_in_several_folders_and_apart_from_their_pictures(tmp_path, monkeypatch):
  for name in ('train', 'test', 'images', 'labels'):
    (tmp_path / name).mkdir()
  save(tmp_path / 'train', shape('dog', 'polygon', BODY))
  save(tmp_path / 'test', shape('cat', 'polygon', HOLE))
  save_photo(tmp_path / 'images' / 'b.jpg')
  # What `labelme images --output labels` writes, on Windows.
  save(tmp_path / 'labels', shape('dog', 'polygon', HOLE), imagePath='..\\images\\b.jpg')
  folder = Folder(tmp_path)
  assert sorted(folder.image_names()) == ['images/b.jpg', 'test/a.jpg', 'train/a.jpg']
  np.testing.assert_array_equal(folder.load('train/a.jpg')[1], 2 * polygon(BODY))
  np.testing.assert_array_equal(folder.load('images/b.jpg')[1], 2 * polygon(HOLE))
  for away in ('../../b.jpg', '/b.jpg', '../labels/../../b.jpg', 'C:\\b.jpg', '\0'):
    save_photo(tmp_path.parent / 'b.jpg')
    save(tmp_path / 'labels', shape('dog', 'polygon', HOLE), imagePath=away)
    for data in (tmp_path, '.'):
      monkeypatch.chdir(tmp_path)
      with refused('a.json', repr(away)):
        Folder(data)
