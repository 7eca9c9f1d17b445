"""Pictures and masks of every form: what the project's readers of files make of them."""

import os
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_pipelines import read_image, read_mask, read_pair
from hsnet_jax.errors import InputError
from hsnet_jax.segmenter import pictures

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (12, 17, 3), np.uint8)
MASK = np.zeros((12, 17), np.uint8)
MASK[2:9, 3:7] = 255


def oriented(number):
  """EXIF data that says how a picture lies."""
  exif = Image.Exif()
  exif[0x0112] = number
  return exif


def read(picture):
  return pictures.read_picture(picture, name='it')


def read_drawn(mask):
  return pictures.read_mask(mask, name='it')


def saved(path, image, **options):
  image.save(path, **options)
  return path


@pytest.mark.parametrize(
  'mode, ending',
  [('RGB', 'jpg'), ('L', 'jpg'), ('CMYK', 'jpg')]
  + [(mode, 'png') for mode in ('RGB', 'RGBA', 'L', 'LA', 'P', '1')],
)
def test_a_file_and_an_image_of_pillow_are_read_as_the_readers_do(tmp_path, mode, ending):
  image = Image.fromarray(PHOTO).convert(mode)
  path = saved(tmp_path / f'a.{ending}', image)
  expected = read_image(path)
  for picture in (path, str(path), Image.open(path)):
    found = read(picture)
    assert found.dtype == np.uint8 and found.shape == (12, 17, 3)
    np.testing.assert_array_equal(found, expected)


def test_arrays_are_pictures_as_they_are():
  np.testing.assert_array_equal(read(PHOTO), PHOTO)
  clear = np.concatenate([PHOTO, np.zeros((12, 17, 1), np.uint8)], axis=-1)
  np.testing.assert_array_equal(read(clear), PHOTO)
  np.testing.assert_array_equal(read(PHOTO[..., 0]), np.repeat(PHOTO[..., :1], 3, -1))


@pytest.mark.parametrize('number', range(10))
def test_pictures_are_turned_upright_and_masks_with_them(tmp_path, number):
  image = Image.fromarray(PHOTO)
  path = saved(tmp_path / 'a.png', image, exif=oriented(number))
  with Image.open(path) as stored:
    upright = ImageOps.exif_transpose(stored)
  np.testing.assert_array_equal(read(path), upright)
  np.testing.assert_array_equal(read(path), read_image(path))
  np.testing.assert_array_equal(read(Image.open(path)), upright)
  # Drawn on what a viewer shows, or on the stored pixels where the size says so.
  for size in {upright.size, image.size}:
    mask = np.zeros(size[::-1], np.uint8)
    mask[1:5, 2:9] = 255
    drawn = saved(tmp_path / 'a_mask.png', Image.fromarray(mask))
    expected = read_pair(path, drawn, upright=True, read=read_mask)
    for one in (drawn, mask):
      for got, want in zip(pictures.read_support(path, one, at=0), expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_masks_of_every_form(tmp_path):
  expected = MASK > 0
  palette = Image.fromarray(MASK // 255 * 7, mode='L').convert('P')
  palette.putpalette([0, 0, 0] + [128, 0, 0] * 255)
  alpha = Image.fromarray(np.dstack([np.full((12, 17, 3), 90, np.uint8), MASK]))
  forms = {
    'white': Image.fromarray(MASK),
    'nearly black': Image.fromarray(MASK // 255),
    'bits': Image.fromarray(MASK).convert('1'),
    'palette': palette,
    'one color': Image.fromarray(np.dstack([MASK, 0 * MASK, 0 * MASK])),
    'cut out': alpha,
    'deep': Image.fromarray(MASK.astype(np.uint16) * 200),
  }
  for name, image in forms.items():
    for mask in (image, saved(tmp_path / f'{name}.png', image)):
      found = read_drawn(mask)
      assert found.dtype == np.uint8, name
      np.testing.assert_array_equal(found, expected, err_msg=name)
  for dtype in (bool, np.uint8, np.int64):
    np.testing.assert_array_equal(read_drawn(MASK.astype(dtype)), expected)


@pytest.mark.parametrize(
  'picture, words',
  [
    (None, 'NoneType'),
    (['a.jpg'], 'list'),
    (3, 'int64 of shape'),
    (PHOTO / 255, 'float64'),
    (PHOTO.astype(np.int32), 'int32'),
    (PHOTO[None], r'\[1, 12, 17, 3\]'),
    (PHOTO[..., :2], r'\[12, 17, 2\]'),
    (PHOTO[:0], 'no pixels'),
    (Image.fromarray(PHOTO[..., 0].astype(np.uint16)), '8 bits'),
    (Image.fromarray(PHOTO).convert('HSV').convert('RGB').convert('F'), '8 bits'),
  ],
)
def test_what_is_no_picture_is_named(picture, words):
  with pytest.raises(InputError, match=f'^it: .*{words}'):
    read(picture)


@pytest.mark.parametrize(
  'mask', [None, MASK / 255, PHOTO, MASK[:0], np.array('a'), MASK.astype(complex)]
)
def test_what_is_no_mask_is_named(mask):
  with pytest.raises(InputError, match='^it: .*no mask'):
    read_drawn(mask)


@pytest.mark.parametrize('reading', [read, read_drawn])
def test_files_that_cannot_be_read_are_named(tmp_path, reading):
  with pytest.raises(InputError, match=r'none\.png: cannot be read \(No such file'):
    reading(tmp_path / 'none.png')
  with pytest.raises(InputError, match=r'cannot be read'):
    reading(tmp_path)
  path = tmp_path / 'a.png'
  path.write_text('no picture')
  with pytest.raises(InputError, match=r'a\.png: no picture'):
    reading(path)
  saved(path, Image.fromarray(RNG.integers(0, 256, (90, 90), np.uint8)))
  path.write_bytes(path.read_bytes()[:2000])
  with pytest.raises(InputError, match=r'a\.png: no picture, or a damaged one'):
    reading(path)
  with Image.open(path) as image:
    with pytest.raises(InputError, match=r'^it: no picture, or a damaged one'):
      reading(image)


def test_a_mask_in_a_jpeg_is_refused(tmp_path):
  path = saved(tmp_path / 'a.jpg', Image.fromarray(MASK))
  for mask in (path, Image.open(path)):
    with pytest.raises(InputError, match='PNG'):
      read_drawn(mask)


def test_a_mask_of_another_size_names_both(tmp_path):
  path = saved(tmp_path / 'a.png', Image.fromarray(PHOTO))
  with pytest.raises(InputError, match=r'`masks`\[2\].* 16 x 12, its image .*a\.png is 17 x 12'):
    pictures.read_support(path, MASK[:, 1:], at=2)
  with pytest.raises(InputError, match=r'`images`\[0\] is 17 x 12'):
    pictures.read_support(PHOTO, MASK.T, at=0)


def test_without_pillow_arrays_of_the_size_that_is_seen_are_enough(monkeypatch):
  monkeypatch.setitem(sys.modules, 'PIL', None)
  monkeypatch.delitem(sys.modules, 'PIL.Image')
  image, mask = pictures.read_support(PHOTO, MASK, at=0)
  assert pictures.resize_picture(image, (12, 17)) is image
  assert pictures.resize_mask(mask, (6, 6)).shape == (6, 6)
  for ask in (lambda: pictures.resize_picture(image, (6, 6)), lambda: read('a.png')):
    with pytest.raises(InputError, match='pip install pillow'):
      ask()


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.setenv('USERPROFILE', str(tmp_path))
  saved(tmp_path / 'a.png', Image.fromarray(PHOTO))
  for path in ('~/a.png', pathlib.Path('~', 'a.png'), os.path.join('~', 'a.png')):
    np.testing.assert_array_equal(read(path), PHOTO)


def test_a_file_that_would_be_run_is_none_whatever_it_is_called(tmp_path):
  Image.new('RGB', (4, 4)).save(tmp_path / 'a.eps')
  (tmp_path / 'a.eps').rename(tmp_path / 'a.png')
  with pytest.raises(InputError, match='EPS.*save it as PNG'):
    pictures.read_picture(tmp_path / 'a.png', name='picture')
