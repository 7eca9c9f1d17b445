"""A user's own pictures with YOLO segmentation, as its tools write it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coder

from data_pipelines.own_pictures.folder import Folder
from hsnet_jax.errors import InputError
from tests.facts import refused, warned
from tests.own_pictures import SIZE, save_photo

HEIGHT, WIDTH = SIZE
# Corners as fractions: an outline of five, a smaller one in it, one at the edges.
LEAF = [0.1, 0.15, 0.7, 0.12, 0.92, 0.5, 0.66, 0.9, 0.14, 0.77]
SPOT = [0.3, 0.3, 0.5, 0.3, 0.5, 0.6]
EDGE = [0.0, 0.5, 1.0, 0.5, 1.0, 1.0, 0.4, 1.0, 0.0, 1.0]


def line(number, corners):
  return ' '.join([str(number), *(f'{c:.6f}' for c in corners)]) + '\n'


def drawn(corners, size=SIZE):
  """The oracle: pycocotools on corners in pixels."""
  scale = [size[1], size[0]]
  pixels = [float(f'{c:.6f}') * scale[i % 2] for i, c in enumerate(corners)]
  return coder.decode(coder.merge(coder.frPyObjects([pixels], *size)))


def expected_label():
  label = np.zeros(SIZE, np.uint8)
  label[drawn(LEAF) > 0] = 2
  label[drawn(SPOT) > 0] = 1
  return label


def write(folder, name, text):
  path = folder / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text, encoding='utf-8')


def save_pictures(folder, images, labels):
  """Four pictures: two of both classes, one of one, one without any object."""
  texts = {
    'a': line(1, LEAF) + line(0, SPOT),
    'b': line(0, SPOT),
    'c': line(0, SPOT) + '\n' + line(1, LEAF),
    'd': '',
  }
  for stem, text in texts.items():
    save_photo(folder / images / f'{stem}.jpg')
    write(folder, f'{labels}/{stem}.txt', text)


ROBOFLOW = """train: ../train/images
val: ../valid/images
test: ../test/images

nc: 2
names: ['spot', 'leaf']

roboflow:
  workspace: me
  version: 1
"""
CVAT = """names:
  0: spot
  1: leaf
path: .
train: train.txt
"""
ULTRALYTICS = """# comment
path: ../datasets/leaves # dataset root dir
train: images/train
val: images/val

names:
  0: spot
  1: leaf
  2: 'no'
"""


def save_roboflow(folder):
  save_pictures(folder, 'train/images', 'train/labels')
  write(folder, 'data.yaml', ROBOFLOW)
  write(folder, 'README.dataset.txt', 'leaves')
  write(folder, 'README.roboflow.txt', 'leaves')
  return 'train/images'


def save_cvat(folder):
  save_pictures(folder, 'images/train', 'labels/train')
  write(folder, 'data.yaml', CVAT)
  write(folder, 'train.txt', ''.join(f'images/train/{s}.jpg\n' for s in 'abcd'))
  return 'images/train'


def save_ultralytics(folder):
  save_pictures(folder, 'images/val', 'labels/val')
  write(folder, 'leaves.yaml', ULTRALYTICS)
  write(folder, 'labels/val.cache', '')
  return 'images/val'


def save_label_studio(folder):
  save_pictures(folder, 'images', 'labels')
  write(folder, 'classes.txt', 'spot\nleaf\n')
  write(folder, 'notes.json', '{"categories": [{"id": 0, "name": "spot"}], "info": {"year": 2026}}')
  return 'images'


def save_beside(folder):
  save_pictures(folder, '.', '.')
  write(folder, 'classes.txt', 'spot\nleaf\n')
  return ''


SAVED = [save_roboflow, save_cvat, save_ultralytics, save_label_studio, save_beside]


@pytest.mark.parametrize('save', SAVED)
@pytest.mark.filterwarnings('ignore:.*left out classes')
def test_outlines_become_labels(tmp_path, save):
  images = save(tmp_path)
  folder = Folder(tmp_path)
  assert folder.class_names == ('spot', 'leaf') and folder.boundary is None
  a, b, c = (f'{images}/{stem}.jpg'.lstrip('/') for stem in 'abc')
  assert sorted(folder.image_names()) == [a, b, c]
  for name in (a, c):
    np.testing.assert_array_equal(folder.load(name)[1], expected_label())
  np.testing.assert_array_equal(folder.load(b)[1], drawn(SPOT))
  assert (a, 0) in folder.split(0, 'val').items and (a, 1) in folder.split(1, 'val').items


def test_links_to_folders_are_followed_once(tmp_path):
  save_pictures(tmp_path / 'far', 'pictures', 'texts')
  (tmp_path / 'own').mkdir()
  write(tmp_path / 'own', 'data.yaml', 'names: [spot, leaf]')
  (tmp_path / 'own' / 'images').symlink_to(tmp_path / 'far' / 'pictures')
  (tmp_path / 'own' / 'labels').symlink_to(tmp_path / 'far' / 'texts')
  (tmp_path / 'far' / 'texts' / 'around').symlink_to(tmp_path / 'own')
  folder = Folder(tmp_path / 'own')
  assert sorted(folder.image_names()) == [f'images/{stem}.jpg' for stem in 'abc']
  np.testing.assert_array_equal(folder.load('images/a.jpg')[1], expected_label())


def test_subsets_are_all_read(tmp_path):
  save_roboflow(tmp_path)
  save_photo(tmp_path / 'valid' / 'images' / 'a.png')
  write(tmp_path, 'valid/labels/a.txt', line(1, EDGE))
  write(tmp_path, 'valid/labels/._a.txt', '\0\0')
  folder = Folder(tmp_path)
  assert 'valid/images/a.png' in folder.image_names()
  np.testing.assert_array_equal(folder.load('valid/images/a.png')[1], 2 * drawn(EDGE))


def test_classes_without_an_object_are_left_out(tmp_path):
  save_ultralytics(tmp_path)
  with warned("'no'"):
    assert Folder(tmp_path).class_names == ('spot', 'leaf')


@pytest.mark.parametrize('orientation', range(1, 9))
def test_fractions_are_of_the_picture_as_it_is_shown(tmp_path, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  save_photo(tmp_path / 'images' / 'a.jpg', exif=exif)
  write(tmp_path, 'labels/a.txt', line(0, LEAF))
  write(tmp_path, 'data.yaml', 'names: [leaf]')
  image, label = Folder(tmp_path).load('images/a.jpg')
  size = SIZE if orientation < 5 else SIZE[::-1]
  assert image.shape[:2] == size
  np.testing.assert_array_equal(label, drawn(LEAF, size))


@pytest.mark.parametrize(
  ('text', 'facts'),
  [
    ('0 0.5 0.5 0.2 0.2', ['line 2', 'box']),
    ('0 0.5 0.5 0.2 0.2 0.9', ['line 2', 'box']),
    ('0 0.1 0.1 0.2 0.2 0.3 0.1 0.5', ['line 2', '7']),
    ('0', ['line 2', '0 numbers']),
    ('0 0.1 0.1 0.2 0.2 0.3 1.2', ['line 2', '1.2']),
    ('0 0.1 0.1 0.2 0.2 0.3 -0.2', ['line 2', '-0.2']),
    ('0 0.1 0.1 0.2 0.2 0.3 nan', ['line 2', 'nan']),
    ('0 120 33 12 44 55 66', ['line 2', '120']),
    ('2 0.1 0.1 0.2 0.2 0.3 0.1', ['line 2', 'class 2', 'data.yaml']),
    ('-1 0.1 0.1 0.2 0.2 0.3 0.1', ['line 2', 'class -1']),
    ('0.5 0.1 0.1 0.2 0.2 0.3 0.1', ['line 2', 'class 0.5']),
    ('leaf 0.1 0.1 0.2 0.2 0.3 0.1', ['line 2', 'numbers']),
    ('\0\0\0', ['line 2', 'numbers']),
  ],
)
def test_lines_that_are_no_outline(tmp_path, text, facts):
  save_roboflow(tmp_path)
  write(tmp_path, 'train/labels/a.txt', line(0, SPOT) + text + '\n')
  with refused('train/labels/a.txt', *facts):
    Folder(tmp_path)


@pytest.mark.parametrize(
  ('text', 'facts'),
  [
    ('names: 3', ['names']),
    ('names: {a: leaf}', ['names', 'number']),
    ('names: [[leaf], [spot]]', ['names']),
    ('names: [leaf, leaf]', ['one name']),
    ('nc: 2', ['names']),
    ('', ['names']),
    ('names: [leaf', ['YAML']),
    ('names: !!python/object/apply:os.system [ls]', ['names']),
    ('[' * 5000, ['5000']),
    ('[' * 400, ['YAML']),
    ('names: [a, b]\nx: ' + 'y' * 300_000, ['300']),
    ('names: [a, b]\nkpt_shape: [17, 3]', ['keypoints']),
  ],
)
def test_names_that_are_none(tmp_path, text, facts):
  save_roboflow(tmp_path)
  write(tmp_path, 'data.yaml', text)
  with refused('data.yaml', *facts):
    Folder(tmp_path)


def test_names_are_text_as_they_are_written(tmp_path):
  save_roboflow(tmp_path)
  write(tmp_path, 'data.yaml', 'names:\n  0: no\n  1: 007\n')
  assert Folder(tmp_path).class_names == ('no', '007')


def test_what_is_missing_is_named(tmp_path):
  save_roboflow(tmp_path)
  (tmp_path / 'train' / 'images' / 'd.jpg').unlink()
  with refused('train/labels/d.txt', 'no image'):
    Folder(tmp_path)
  save_photo(tmp_path / 'train' / 'images' / 'd.jpg')
  save_photo(tmp_path / 'train' / 'images' / 'd.png')
  with refused('d.jpg', 'd.png', 'two images'):
    Folder(tmp_path)
  (tmp_path / 'train' / 'images' / 'd.png').unlink()
  (tmp_path / 'data.yaml').unlink()
  with refused(tmp_path, 'data.yaml', 'names'):
    Folder(tmp_path)
  write(tmp_path, 'data.yaml', ROBOFLOW)
  for path in (tmp_path / 'train' / 'labels').iterdir():
    path.write_text('')
  with refused('data.yaml', 'no object'):
    Folder(tmp_path)


def test_an_outline_without_a_pixel_and_a_damaged_picture(tmp_path):
  save_roboflow(tmp_path)
  write(tmp_path, 'train/labels/b.txt', line(0, [0.5] * 6))
  (tmp_path / 'train' / 'images' / 'a.jpg').write_bytes(b'')
  folder = Folder(tmp_path)
  with refused('b.txt', 'no pixel'):
    folder.load('train/images/b.jpg')
  with refused('a.jpg', 'empty'):
    folder.load('train/images/a.jpg')
  write(tmp_path, 'data.yaml', 'names: [spot, leaf, third]')
  write(tmp_path, 'train/labels/c.txt', line(1, LEAF) + '2 0.1 0.1 0.2')
  with refused('c.txt', 'line 2'):
    folder.load('train/images/c.jpg')


def test_four_corners_everywhere_may_be_boxes(tmp_path):
  save_photo(tmp_path / 'images' / 'a.jpg')
  write(tmp_path, 'labels/a.txt', line(0, [0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.9]))
  write(tmp_path, 'data.yaml', 'names: [leaf]')
  with warned(tmp_path, 'four corners', 'boxes'):
    Folder(tmp_path)


def test_names_that_no_file_tells(tmp_path):
  """As MakeSense writes YOLO, its pictures beside."""
  save_pictures(tmp_path, '.', '.')
  with refused(tmp_path, 'YOLO', 'classes.txt'):
    Folder(tmp_path)


def test_boxes_beside_masks_are_no_labels(tmp_path):
  save_photo(tmp_path / 'leaf' / 'a.jpg')
  Image.fromarray(drawn(LEAF)).save(tmp_path / 'leaf' / 'a.png')
  write(tmp_path, 'leaf/a.txt', '0 0.5 0.5 0.2 0.2')
  write(tmp_path, 'classes.txt', 'leaf')
  write(tmp_path, 'data.yaml', 'owner: me')
  assert Folder(tmp_path).description()['layout'] == 'classes'


def test_notes_beside_pictures_are_no_labels(tmp_path):
  save_photo(tmp_path / 'labels' / 'a.jpg')
  Image.fromarray(drawn(LEAF)).save(tmp_path / 'labels' / 'a.png')
  write(tmp_path, 'labels/a.txt', 'taken in spring')
  write(tmp_path, 'classes.txt', 'labels')
  assert Folder(tmp_path).description()['layout'] == 'classes'


@given(text=st.text(alphabet='012.-e# \n\tax', max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_text_is_outlines_or_one_error(tmp_path_factory, text):
  folder = tmp_path_factory.mktemp('yolo')
  save_photo(folder / 'images' / 'a.jpg')
  save_photo(folder / 'images' / 'b.jpg')
  write(folder, 'labels/a.txt', text)
  write(folder, 'labels/b.txt', line(0, LEAF))
  write(folder, 'data.yaml', 'names: [leaf]')
  try:
    found = Folder(folder)
    labels = [found.load(name)[1] for name in found.image_names()]
  except InputError as error:
    assert 'a.txt' in str(error) and '\n' not in str(error)
  else:
    assert all(label.max() == 1 for label in labels)
