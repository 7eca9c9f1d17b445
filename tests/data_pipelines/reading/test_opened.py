"""Files as cameras, phones and microscopes write them: deep, with hot pixels, under any ending."""

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from data_pipelines.reading.files import IMAGE_ENDINGS
from data_pipelines.reading.images import read_image
from tests.facts import refused, warned

ORIENTATION = 0x0112


def gradient(height=24, width=36):
  """An image that no flip or turn maps to itself, smooth enough for JPEG."""
  rows, columns = np.mgrid[:height, :width]
  return np.stack([rows * 9, columns * 6, rows * 4 + columns * 3], -1).astype(np.uint8)


@pytest.mark.parametrize('largest, bits', [(4095, 12), (65520, 16)])
def test_hot_pixels_do_not_darken_a_picture(tmp_path, largest, bits):
  gray = np.linspace(0, largest, 64 * 64).astype(np.uint16).reshape(64, 64) & 0xFFF0
  gray[10, 20] = 65535
  Image.fromarray(gray).save(tmp_path / 'a.png')
  if bits == 16:
    image = read_image(tmp_path / 'a.png')
  else:
    with warned('a.png', 65535, f'{bits} bits'):
      image = read_image(tmp_path / 'a.png')
  expected = np.minimum(gray >> (bits - 8), 255)
  np.testing.assert_array_equal(image[..., 0], expected)


def test_a_hot_pixel_of_fractions_does_not_blacken_a_picture(tmp_path):
  gray = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
  hot = gray.copy()
  hot[3, 5] = 4e4
  Image.fromarray(hot).save(tmp_path / 'a.tif')
  image = read_image(tmp_path / 'a.tif')[..., 0]
  assert image[3, 5] == 255
  image = np.where(hot > 1, 0, image)
  np.testing.assert_array_equal(image, np.where(hot > 1, 0, np.rint(gray * 255)))


def test_values_below_zero_are_shown_from_black_to_white(tmp_path):
  gray = np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
  Image.fromarray(gray).save(tmp_path / 'a.tif')
  with warned('a.tif', '-1', 'black to white'):
    image = read_image(tmp_path / 'a.tif')
  np.testing.assert_allclose(image[..., 1], (gray + 1) * 127.5, atol=0.51)


def test_large_texts_and_profiles_of_a_png_do_not_cost_the_image(tmp_path):
  texts = PngImagePlugin.PngInfo()
  texts.add_text('zipped', 'a' * 3_000_000, zip=True)
  texts.add_itxt('wide', 'b' * 3_000_000, zip=True)
  texts.add_itxt('plain', 'c' * 3_000_000)
  exif = Image.Exif()
  exif[ORIENTATION] = 3
  picture = Image.fromarray(gradient())
  picture.save(tmp_path / 'a.png', pnginfo=texts, exif=exif)
  picture.save(tmp_path / 'b.png', icc_profile=bytes(3_000_000))
  for name in 'ab':
    with (
      pytest.raises(ValueError, match='too large'),
      Image.open(tmp_path / f'{name}.png') as image,
    ):
      image.load()
  np.testing.assert_array_equal(read_image(tmp_path / 'a.png'), gradient()[::-1, ::-1])
  np.testing.assert_array_equal(read_image(tmp_path / 'b.png'), gradient())


@pytest.mark.parametrize(
  'ending', ['.jfif', '.jpe', '.JPG', '.mpo', '.jp2', '.apng', '.pnm', '.dib']
)
def test_one_list_has_the_endings_of_all_that_pillow_reads(tmp_path, ending):
  assert ending.lower() in IMAGE_ENDINGS
  path = tmp_path / f'a{ending}'
  Image.fromarray(gradient()).save(path)
  assert read_image(path).shape == (24, 36, 3)


def test_documents_are_no_photographs():
  assert not IMAGE_ENDINGS & {'.pdf', '.eps', '.ps', '.mpg', '.ico', '.psd', '.h5', '.json', ''}
  older = {'.jpg', '.jpeg', '.png', '.bmp', '.gif', '.tif', '.tiff', '.webp', '.ppm', '.pgm'}
  assert older <= IMAGE_ENDINGS


def test_heic_without_its_plug_in_says_what_to_install(tmp_path):
  (tmp_path / 'a.heic').write_bytes(b'\0\0\0\x18ftypheic' + bytes(400))
  with refused('a.heic', 'pillow-heif'):
    read_image(tmp_path / 'a.heic')


def test_a_file_that_would_be_run_is_none_whatever_it_is_called(tmp_path):
  Image.new('RGB', (4, 4)).save(tmp_path / 'a.eps')
  (tmp_path / 'a.eps').rename(tmp_path / 'a.png')
  with refused(tmp_path / 'a.png', 'EPS', 'save it as PNG'):
    read_image(tmp_path / 'a.png')
