"""A user's own pictures in Supervisely's form."""

import base64
import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from data_pipelines.own_pictures.folder import Folder
from hsnet_jax.errors import InputError
from tests.facts import refused, warned
from tests.own_pictures import SIZE, box, save_photo

OUTER = [[3, 3], [22, 2], [29, 12], [20, 21], [4, 18]]
HOLE = [[10, 8], [16, 8], [16, 14], [10, 14]]
STAMP = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], bool)


def compressed(png):
  return base64.b64encode(zlib.compress(png)).decode()


def png_of(mask):
  """As Supervisely's SDK writes it: a palette of which black is transparent."""
  image = Image.fromarray(mask.astype(np.uint8))
  image.putpalette([0, 0, 0, 255, 255, 255])
  out = io.BytesIO()
  image.save(out, 'PNG', transparency=0, optimize=0)
  return out.getvalue()


def saved(mask, mode):
  out = io.BytesIO()
  image = Image.fromarray(mask.astype(np.uint8) * 255)
  if mode == 'RGBA':
    clear = Image.new('RGBA', image.size, (9, 9, 9, 0))
    clear.paste((0, 0, 0, 255), mask=image)
    image = clear
  image.convert(mode).save(out, 'PNG')
  return out.getvalue()


def figure(title, kind, exterior=(), interior=(), **more):
  return {
    'id': 619053179,
    'classId': 2791451,
    'description': '',
    'geometryType': kind,
    'labelerLogin': 'me',
    'createdAt': '2026-02-10T08:36:33.898Z',
    'updatedAt': '2026-02-10T08:39:24.828Z',
    'tags': [],
    'classTitle': title,
    'points': {'exterior': list(exterior), 'interior': list(interior)},
    **more,
  }


def bitmap(title, data, origin=(20, 15)):
  found = figure(title, 'bitmap', bitmap={'data': data, 'origin': list(origin)})
  del found['points']
  return found


def annotation(*objects, size=SIZE):
  size = {'height': size[0], 'width': size[1]}
  tags = [{'name': 'like', 'value': None}]
  return {'description': '', 'tags': tags, 'size': size, 'objects': list(objects)}


def write(folder, stem, content, *, data_set='ds 1', name='{}.jpg.json'):
  save_photo(folder / data_set / 'img' / f'{stem}.jpg')
  path = folder / data_set / 'ann' / name.format(stem)
  path.parent.mkdir(exist_ok=True)
  path.write_text(content if isinstance(content, str) else json.dumps(content))


def save(folder):
  classes = [{'title': title, 'shape': 'any', 'color': '#FF0000'} for title in ('leaf', 'spot')]
  write(folder, 'a', annotation(figure('leaf', 'polygon', OUTER, [HOLE])))
  write(folder, 'b', annotation(figure('spot', 'rectangle', [[19, 13], [6, 4]])))
  write(
    folder,
    'c',
    annotation(bitmap('spot', compressed(png_of(STAMP))), figure('leaf', 'polygon', OUTER)),
  )
  write(folder, 'd', annotation())
  (folder / 'meta.json').write_text(json.dumps({'classes': classes, 'tags': []}))
  return folder


def polygon(*holes):
  """The oracle: Pillow, whose outlines hold their corners."""
  mask = Image.new('L', SIZE[::-1])
  ImageDraw.Draw(mask).polygon([tuple(p) for p in OUTER], fill=1)
  for hole in holes:
    ImageDraw.Draw(mask).polygon([tuple(p) for p in hole], fill=0)
  return np.array(mask)


def stamped(value=1, below=0):
  label = np.zeros(SIZE, np.uint8) + below
  label[15:18, 20:24][STAMP] = value
  return label.astype(np.uint8)


def test_objects_become_labels(tmp_path):
  folder = Folder(save(tmp_path))
  assert folder.class_names == ('leaf', 'spot') and folder.boundary is None
  a, b, c = (f'ds 1/img/{stem}.jpg' for stem in 'abc')
  assert sorted(folder.image_names()) == [a, b, c]
  np.testing.assert_array_equal(folder.load(a)[1], polygon(HOLE))
  assert folder.load(a)[1][11, 13] == 0
  np.testing.assert_array_equal(folder.load(b)[1], box(2))
  np.testing.assert_array_equal(folder.load(c)[1], stamped(2, polygon()))


@pytest.mark.parametrize(
  'png', [png_of(STAMP), *(saved(STAMP, mode) for mode in ('1', 'L', 'RGB', 'RGBA'))]
)
@pytest.mark.parametrize('encode', [compressed, lambda png: base64.b64encode(png).decode()])
def test_bitmaps_of_every_kind(tmp_path, png, encode):
  save(tmp_path)
  write(tmp_path, 'a', annotation(bitmap('spot', encode(png))))
  np.testing.assert_array_equal(Folder(tmp_path).load('ds 1/img/a.jpg')[1], stamped(2))


def test_points_and_lines_beside_others_are_left_out(tmp_path):
  save(tmp_path)
  objects = [figure('tip', 'point', OUTER[:1]), figure('x', 'line', OUTER), figure('y', 'graph')]
  write(tmp_path, 'a', annotation(*objects, figure('leaf', 'polygon', OUTER)))
  with warned('a.jpg.json', 'object 1 (tip)', 'point', '2 more'):
    folder = Folder(tmp_path)
  assert folder.class_names == ('leaf', 'spot')
  np.testing.assert_array_equal(folder.load('ds 1/img/a.jpg')[1], polygon())


def test_a_data_set_alone(tmp_path):
  folder = Folder(save(tmp_path) / 'ds 1')
  np.testing.assert_array_equal(folder.load('img/b.jpg')[1], box(2))


def test_older_exports_and_nested_data_sets(tmp_path):
  save(tmp_path)
  old = figure('leaf', None, OUTER, bitmap=None)
  del old['geometryType']
  write(tmp_path, 'e', annotation(old), data_set='ds 1/datasets/ds 2', name='{}.json')
  write(tmp_path, '.e', 'no JSON')
  folder = Folder(tmp_path)
  name = 'ds 1/datasets/ds 2/img/e.jpg'
  assert name in folder.image_names()
  np.testing.assert_array_equal(folder.load(name)[1], polygon())


@pytest.mark.parametrize(
  ('content', 'facts'),
  [
    ('{', ['JSON']),
    ('[]', ['JSON object']),
    (annotation() | {'size': None}, ['size']),
    (annotation() | {'size': {'height': '24', 'width': 32}}, ['size']),
    (annotation() | {'objects': None}, ["'objects'"]),
    (annotation(3), ['object 1', 'classTitle']),
    (annotation(figure(None, 'polygon', OUTER)), ['object 1', 'classTitle']),
    (annotation(figure('x', 'line', OUTER)), ['object 1', 'line', 'polygon']),
    (annotation(figure('x', 'point', OUTER[:1])), ['object 1', 'point']),
    (annotation(figure('x', ['polygon'], OUTER)), ['object 1', 'polygon']),
  ],
)
def test_files_that_are_damaged(tmp_path, content, facts):
  write(save(tmp_path), 'a', content)
  with refused('ann/a.jpg.json', *facts):
    Folder(tmp_path)


def bomb():
  """A PNG that says it has 60,000 x 60,000 pixels."""
  head = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 0, 0, 0, 0)
  chunk = b'IHDR' + head
  crc = struct.pack('>I', zlib.crc32(chunk))
  return b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + chunk + crc


@pytest.mark.parametrize(
  ('one', 'facts'),
  [
    (figure('x', 'polygon', OUTER[:2]), ['3 points']),
    (figure('x', 'polygon', OUTER, [HOLE[:2]]), ['3 points']),
    (figure('x', 'polygon', points={'exterior': OUTER, 'interior': 3}), ['holes']),
    (figure('x', 'polygon', [[1, 2, 3]] * 3), ['pairs']),
    (figure('x', 'polygon', [[1, 2], [3, 4], [1e9, 4]]), ['32 x 24']),
    (figure('x', 'rectangle', OUTER), ['5 corners']),
    (figure('x', 'polygon', points=None), ['points']),
    (bitmap('x', compressed(png_of(STAMP)), (30, 0)), ['4 x 3', '30, 0']),
    (bitmap('x', compressed(png_of(STAMP)), (-1, 0)), ['4 x 3', '-1, 0']),
    (bitmap('x', compressed(png_of(STAMP)), ()), ['origin']),
    (bitmap('x', compressed(png_of(np.ones((40, 40))))), ['40 x 40']),
    (bitmap('x', compressed(bomb())), ['damaged']),
    (bitmap('x', compressed(bytes(10**7))), ['damaged']),
    (bitmap('x', compressed(png_of(STAMP))[:40]), ['damaged']),
    (bitmap('x', compressed(png_of(STAMP)[:60])), ['damaged']),
    (bitmap('x', '!'), ['damaged']),
    (bitmap('x', None), ['damaged']),
    (bitmap('x', compressed(png_of(np.zeros((4, 4))))), ["'x'"]),
  ],
)
def test_objects_that_are_damaged(tmp_path, one, facts):
  write(save(tmp_path), 'a', annotation(one))
  folder = Folder(tmp_path)
  with refused('ann/a.jpg.json', *facts):
    folder.load('ds 1/img/a.jpg')


def test_what_is_missing_twice_or_of_another_size(tmp_path):
  save(tmp_path)
  write(tmp_path, 'a', annotation(figure('leaf', 'polygon', OUTER), size=(24, 10**9)))
  with refused('a.jpg.json', '1000000000 x 24', '32 x 24'):
    Folder(tmp_path).load('ds 1/img/a.jpg')
  write(tmp_path, 'a', annotation(figure('leaf', 'polygon', OUTER)), name='{}.json')
  with refused('a.jpg.json', 'a.json', 'keep one'):
    Folder(tmp_path)
  (tmp_path / 'ds 1' / 'img' / 'a.jpg').unlink()
  with refused('a.jpg.json', 'img'):
    Folder(tmp_path)
  for path in (tmp_path / 'ds 1' / 'ann').iterdir():
    path.write_text(json.dumps(annotation()))
  with refused(tmp_path, 'no object'):
    Folder(tmp_path)


@given(
  png=st.binary(max_size=40) | st.just(png_of(STAMP)),
  at=st.integers(0, 90),
  byte=st.integers(0, 255),
)
@settings(max_examples=25, deadline=None)
def test_any_bitmap_is_drawn_or_one_error(tmp_path_factory, png, at, byte):
  damaged = bytearray(zlib.compress(png))
  damaged[at % len(damaged)] = byte
  folder = tmp_path_factory.mktemp('supervisely')
  write(save(folder), 'a', annotation(bitmap('x', base64.b64encode(damaged).decode())))
  try:
    assert Folder(folder).load('ds 1/img/a.jpg')[1].any()
  except InputError as error:
    assert 'a.jpg.json' in str(error) and '\n' not in str(error)
