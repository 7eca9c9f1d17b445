"""A user's own pictures with masks laid out as PASCAL VOC's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_pipelines.own_pictures.folder import Folder
from hsnet_jax.errors import InputError
from tests.facts import refused, warned
from tests.own_pictures import SIZE, box, save_photo

OPEN = 65535
SPOT_AT = (6, 8, 9, 12)
LABELMAP = """# label:color_rgb:parts:actions
background:0,0,0::
cat:250,50,83::
dog: small:61,245,61:head,foot:jumping
leaf:90,90,90::
"""
COLORS = np.array([[0, 0, 0], [250, 50, 83], [61, 245, 61], [90, 90, 90]], np.uint8)


def numbers():
  """Three masks by number: of two classes, of one, of none."""
  return {
    'a': np.where(box(1, at=SPOT_AT), np.uint8(1), box(2)),
    'b': box(1),
    'c': box(0),
  }


def voc_palette():
  """PASCAL's colors, three bits of each number's going to each channel, lowest highest."""
  colors = np.zeros((256, 3), np.uint8)
  for number in range(256):
    for bit in range(8):
      colors[number, bit % 3] |= ((number >> bit) & 1) << (7 - bit // 3)
  return colors


def as_palette(mask, colors):
  image = Image.fromarray(mask)
  image.putpalette(np.asarray(colors, np.uint8).ravel().tolist())
  return image


def save(folder, masks, *, within='SegmentationClass', labelmap=None, class_names=None):
  (folder / within).mkdir(parents=True, exist_ok=True)
  (folder / 'ImageSets' / 'Segmentation').mkdir(parents=True, exist_ok=True)
  (folder / 'ImageSets' / 'Segmentation' / 'default.txt').write_text('\n'.join(masks))
  for stem, image in masks.items():
    save_photo(folder / 'JPEGImages' / f'{stem}.jpg')
    (folder / within / f'{stem}.png').parent.mkdir(parents=True, exist_ok=True)
    image.save(folder / within / f'{stem}.png')
  if labelmap is not None:
    (folder / 'labelmap.txt').write_text(labelmap, encoding='utf-8')
  if class_names is not None:
    (folder / 'class_names.txt').write_text(class_names, encoding='utf-8')
  return folder


def colored(mask):
  return Image.fromarray(COLORS[mask])


FORMS = {
  'RGB': colored,
  'RGBA': lambda mask: colored(mask).convert('RGBA'),
  'P': lambda mask: as_palette(mask[...], COLORS),
  # The same colors at other numbers, as what makes palettes anew leaves them.
  'P turned': lambda mask: as_palette(3 - mask, COLORS[::-1]),
  'L': Image.fromarray,
}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.filterwarnings('ignore:.*left out classes')
def test_colors_become_labels(tmp_path, form):
  masks = {stem: FORMS[form](mask) for stem, mask in numbers().items()}
  folder = Folder(save(tmp_path, masks, labelmap=LABELMAP))
  assert folder.class_names == ('cat', 'dog: small') and folder.boundary == OPEN
  assert sorted(folder.image_names()) == ['JPEGImages/a.jpg', 'JPEGImages/b.jpg']
  for stem in 'ab':
    np.testing.assert_array_equal(folder.load(f'JPEGImages/{stem}.jpg')[1], numbers()[stem])
  assert ('JPEGImages/a.jpg', 0) in folder.split(0, 'val').items
  assert ('JPEGImages/a.jpg', 1) in folder.split(1, 'val').items


def test_classes_that_no_mask_shows_are_left_out(tmp_path):
  with warned("'leaf'"):
    Folder(save(tmp_path, {'a': colored(numbers()['a'])}, labelmap=LABELMAP))


def test_a_gray_mask_of_gray_colors(tmp_path):
  labelmap = 'leaf:255,255,255::\nbackground:0,0,0::\n'
  folder = Folder(save(tmp_path, {'a': Image.fromarray(box(255))}, labelmap=labelmap))
  np.testing.assert_array_equal(folder.load('JPEGImages/a.jpg')[1], box(1))


def test_a_background_of_its_own_color_anywhere_in_the_map(tmp_path):
  labelmap = 'cat:10,10,128::\nbackground:0,128,0::\n__ignore__:9,9,9::\n'
  mask = np.zeros((*SIZE, 3), np.uint8) + np.array([0, 128, 0], np.uint8)
  mask[box(1) > 0] = 10, 10, 128
  mask[0] = 0
  mask[1] = 9
  mask[2] = 224, 224, 192  # PASCAL's border, which no map lists.
  folder = Folder(save(tmp_path, {'a': Image.fromarray(mask)}, labelmap=labelmap))
  assert folder.class_names == ('cat',)
  expected = box(1).astype(np.uint16)
  expected[1:3] = OPEN
  np.testing.assert_array_equal(folder.load('JPEGImages/a.jpg')[1], expected)


@pytest.mark.parametrize('within', ['SegmentationClass', 'SegmentationClassPNG'])
def test_labelme2voc(tmp_path, within):
  """Numbers with PASCAL's palette; `__ignore__` is 255."""
  mask = np.maximum(numbers()['a'], box(255, at=(0, 0, 2, 32)))
  masks = {'sub/a': as_palette(mask, voc_palette())}
  save(tmp_path, masks, within=within, class_names='_background_\ncat\ndog')
  (tmp_path / 'SegmentationClass' / 'sub').mkdir(parents=True, exist_ok=True)
  (tmp_path / 'SegmentationClass' / 'sub' / 'a.npy').write_bytes(b'')
  folder = Folder(tmp_path)
  assert folder.class_names == ('cat', 'dog')
  expected = np.where(mask == 255, OPEN, mask.astype(np.int64))
  np.testing.assert_array_equal(folder.load('JPEGImages/sub/a.jpg')[1], expected)


def test_numbers_without_names(tmp_path):
  mask = np.maximum(box(15), box(255, at=(4, 6, 5, 20)))
  with warned(tmp_path, 'labelmap.txt', 'numbers'):
    folder = Folder(save(tmp_path, {'a': as_palette(mask, voc_palette())}))
  assert folder.class_names == ('class 15',)
  expected = np.where(mask == 255, OPEN, (mask > 0).astype(np.int64))
  np.testing.assert_array_equal(folder.load('JPEGImages/a.jpg')[1], expected)


def test_lists_and_decoding_without_the_folder(tmp_path):
  mask = np.maximum(numbers()['a'], box(255, at=(0, 0, 2, 32)))
  folder = Folder(save(tmp_path, {'a': Image.fromarray(mask)}, class_names='_background_\nx\ny'))
  rebuilt = Folder.from_description(folder.description())
  assert rebuilt.boundary == folder.boundary == OPEN
  name = 'JPEGImages/a.jpg'
  for a, b in zip(rebuilt.decode(name, *folder.encoded(name)), folder.load(name), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
  ('labelmap', 'facts'),
  [
    ('cat:250,50::', ['line 1']),
    ('cat:250,50,256::', ['line 1', '256']),
    ('cat:250,50,83::\ndog:250,50,83::', ['line 2', 'color']),
    ('cat:0,0,0::', ['line 1', "'cat'", 'black']),
    ('background:0,0,0::\n', ['no class']),
    ('', ['no class']),
    ('cat:250,50,83::\ncat:61,245,61::', ['one name']),
  ],
)
def test_labelmaps_that_are_damaged(tmp_path, labelmap, facts):
  save(tmp_path, {'a': colored(numbers()['a'])}, labelmap=labelmap)
  with refused('labelmap.txt', *facts):
    Folder(tmp_path)


def test_colors_and_numbers_that_are_no_class(tmp_path):
  strange = COLORS[numbers()['a']]
  strange[5, 7] = 9, 8, 7
  save(tmp_path, {'a': Image.fromarray(strange)}, labelmap=LABELMAP)
  with refused('SegmentationClass/a.png', '9,8,7', '1 pixels', '7, 5', 'labelmap.txt'):
    Folder(tmp_path)
  save(tmp_path, {'a': Image.fromarray(box(7))})
  with refused('a.png', 'value 7', 'labelmap.txt'):
    Folder(tmp_path)
  save(tmp_path, {'a': Image.fromarray(box(1))}, labelmap='cat:250,50,83::\nbackground:0,0,0::')
  with refused('a.png', 'value 0', 'labelmap.txt'):
    Folder(tmp_path)
  save(tmp_path, {'a': Image.fromarray(box(1))}, labelmap=LABELMAP.replace('90', '1'))
  with refused('a.png', 'gray', 'labelmap.txt'):
    Folder(tmp_path)
  (tmp_path / 'labelmap.txt').unlink()
  save(tmp_path, {'a': Image.fromarray(box(3))}, class_names='_background_\ncat\ndog')
  with refused('a.png', 'value 3', 'class_names.txt'):
    Folder(tmp_path)
  save(tmp_path, {'a': Image.fromarray(box(1))}, class_names='cat\ndog')
  with refused('class_names.txt', '_background_'):
    Folder(tmp_path)
  save(tmp_path, {'a': Image.fromarray(box(255))}, class_names='_background_\ncat\ndog')
  with refused('a.png', '255', 'labelmap.txt'):
    Folder(tmp_path)
  save(tmp_path, {'a': colored(numbers()['a'])})
  with refused('a.png', 'color'):
    Folder(tmp_path)


def test_what_is_missing_or_of_another_size(tmp_path):
  save(
    tmp_path, {'a': colored(numbers()['a']), 'b': colored(box(1, size=(9, 9)))}, labelmap=LABELMAP
  )
  with pytest.warns(UserWarning, match='leaf'):
    folder = Folder(tmp_path)
  with refused('b.png', '9 x 9', '32 x 24'):
    folder.load('JPEGImages/b.jpg')
  (tmp_path / 'JPEGImages' / 'a.jpg').unlink()
  with refused('SegmentationClass/a.png', 'JPEGImages'):
    Folder(tmp_path)
  (tmp_path / 'SegmentationClass' / 'a.png').write_bytes(b'')
  save_photo(tmp_path / 'JPEGImages' / 'a.jpg')
  with refused('SegmentationClass/a.png', 'empty'):
    Folder(tmp_path)


@given(text=st.text(alphabet='cat:,0125 #\n\t-', max_size=60))
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings('ignore::UserWarning')
def test_any_labelmap_is_read_or_one_error(tmp_path_factory, text):
  folder = save(tmp_path_factory.mktemp('voc'), {'a': colored(box(1))}, labelmap=text)
  try:
    assert Folder(folder).load('JPEGImages/a.jpg')[1].max() == 1
  except InputError as error:
    assert 'labelmap.txt' in str(error) and '\n' not in str(error)
