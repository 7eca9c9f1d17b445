import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data_pipelines.reading.images import (
  mask_values,
  png_bytes,
  read_image,
  read_label,
  read_mask,
  read_pair,
)
from hsnet_jax.errors import InputError
from tests.facts import refused, warned

ORIENTATION = 0x0112


def gradient(height=24, width=36):
  """An image that no flip or turn maps to itself, smooth enough for JPEG."""
  rows, columns = np.mgrid[:height, :width]
  return np.stack([rows * 9, columns * 6, rows * 4 + columns * 3], -1).astype(np.uint8)


def save_turned(path, pixels, orientation):
  exif = Image.Exif()
  exif[ORIENTATION] = orientation
  Image.fromarray(pixels).save(path, exif=exif)


def test_rgb_comes_back_as_it_was(tmp_path):
  Image.fromarray(gradient()).save(tmp_path / 'a.png')
  np.testing.assert_array_equal(read_image(tmp_path / 'a.png'), gradient())


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'PA', 'RGBA', 'CMYK', 'YCbCr'])
def test_other_modes_become_rgb(tmp_path, mode):
  suffix = {'CMYK': 'jpg', 'YCbCr': 'jpg', 'PA': 'tif'}.get(mode, 'png')
  Image.fromarray(gradient()).convert(mode).save(tmp_path / f'a.{suffix}')
  image = read_image(tmp_path / f'a.{suffix}')
  assert image.shape == (24, 36, 3) and image.dtype == np.uint8
  gray = np.asarray(Image.fromarray(gradient()).convert('L'), np.float32)
  bound = {'1': 200, 'P': 60, 'PA': 60}.get(mode, 12)
  assert np.abs(image.astype(np.float32).mean(-1) - gray).mean() < bound


def test_transparency_is_dropped(tmp_path):
  alpha = np.full((24, 36, 1), 128, np.uint8)
  Image.fromarray(np.concatenate([gradient(), alpha], -1)).save(tmp_path / 'a.png')
  np.testing.assert_array_equal(read_image(tmp_path / 'a.png'), gradient())


@pytest.mark.parametrize('suffix', ['png', 'tif', 'pgm'])
@pytest.mark.parametrize('factor', [256, 257])
def test_sixteen_bit_gray_is_scaled(tmp_path, suffix, factor):
  gray = gradient()[..., 0]
  path = tmp_path / f'a.{suffix}'
  Image.fromarray(gray.astype(np.uint16) * np.uint16(factor)).save(path)
  np.testing.assert_array_equal(read_image(path), np.repeat(gray[..., None], 3, -1))


@pytest.mark.parametrize(
  'largest, bits', [(200, 8), (1000, 10), (4095, 12), (4096, 14), (65535, 16), (10**6, 20)]
)
def test_deep_gray_keeps_the_bits_that_it_uses(tmp_path, recwarn, largest, bits):
  path = tmp_path / 'a.tif'
  gray = np.linspace(0, largest, 64).astype(np.int32).reshape(8, 8)
  Image.fromarray(gray if largest > 65535 else gray.astype(np.uint16)).save(path)
  image = read_image(path)
  np.testing.assert_array_equal(image[..., 0], gray // 2 ** (bits - 8))
  told = [str(warning.message) for warning in recwarn]
  expected = f'{path}: gray values up to {largest}, taken as {bits} bits'
  assert told == ([] if bits == 16 else [expected])


def test_thirty_two_bits_may_hold_eight(tmp_path):
  gray = gradient()[..., 0]
  Image.fromarray(gray.astype(np.int32)).save(tmp_path / 'a.tif')
  with warned('a.tif', 207, '8 bits'):
    np.testing.assert_array_equal(read_image(tmp_path / 'a.tif')[..., 2], gray)


def test_float_images_are_scaled_from_one(tmp_path):
  gray = gradient()[..., 0]
  Image.fromarray((gray / 255).astype(np.float32)).save(tmp_path / 'a.tif')
  np.testing.assert_array_equal(read_image(tmp_path / 'a.tif')[..., 1], gray)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientation_is_followed(tmp_path, orientation):
  # How a camera held in each way stores the upright scene.
  scene = gradient()
  stored = {
    1: scene,
    2: scene[:, ::-1],
    3: scene[::-1, ::-1],
    4: scene[::-1],
    5: scene.transpose(1, 0, 2),
    6: np.rot90(scene),
    7: scene[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(scene, -1),
  }[orientation]
  path = tmp_path / 'a.png'
  save_turned(path, np.ascontiguousarray(stored), orientation)
  np.testing.assert_array_equal(read_image(path), scene)
  np.testing.assert_array_equal(read_image(path, upright=False), stored)


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_damaged_exif_does_not_cost_the_image(tmp_path):
  buffer = io.BytesIO()
  Image.fromarray(gradient()).save(buffer, 'JPEG', exif=b'Exif\0\0MM\0*broken')
  (tmp_path / 'a.jpg').write_bytes(buffer.getvalue())
  assert read_image(tmp_path / 'a.jpg').shape == (24, 36, 3)


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
@pytest.mark.parametrize('kept', [0, 1, 20, 0.3, 0.6, 0.9])
def test_truncated_files_are_named(tmp_path, suffix, kept):
  path = tmp_path / f'photo.{suffix}'
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
  Image.fromarray(noise).save(path)
  data = path.read_bytes()
  path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
  with pytest.raises(InputError) as caught:
    read_image(path)
  message = str(caught.value)
  assert message.startswith(f'{path}: ') and '\n' not in message
  assert ('empty' in message) == (kept == 0)


@pytest.mark.parametrize('read', [read_image, read_label, read_mask])
def test_missing_and_foreign_files_are_named(tmp_path, read):
  with refused('none.png', 'No such file'):
    read(tmp_path / 'none.png')
  with refused(tmp_path, 'directory'):
    read(tmp_path)
  (tmp_path / 'text.jpg').write_text('no image at all\n' * 20)
  with refused('text.jpg'):
    read(tmp_path / 'text.jpg')


def test_a_label_holds_palette_indices(tmp_path):
  label = np.array([[0, 3, 255], [20, 1, 0]], np.uint8)
  for mode in ('L', 'P'):
    image = Image.fromarray(label)
    if mode == 'P':
      image.putpalette([(59 * i) % 256 for i in range(768)])
    image.save(tmp_path / 'label.png')
    np.testing.assert_array_equal(read_label(tmp_path / 'label.png'), label)


def test_a_label_may_be_bits_or_equal_channels_or_wide(tmp_path):
  label = (gradient()[..., 0] > 99).astype(np.uint8)
  Image.fromarray(label.astype(bool)).save(tmp_path / 'bits.png')
  Image.fromarray(np.repeat(label[..., None], 3, -1)).save(tmp_path / 'rgb.png')
  Image.fromarray(label.astype(np.uint16)).save(tmp_path / 'wide.png')
  for name in ('bits', 'rgb', 'wide'):
    read = read_label(tmp_path / f'{name}.png')
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, label)


def test_a_label_in_color_or_out_of_range_is_refused(tmp_path):
  Image.fromarray(gradient()).save(tmp_path / 'color.png')
  with refused('color.png', 'color'):
    read_label(tmp_path / 'color.png')
  Image.fromarray(np.full((3, 3), 300, np.uint16)).save(tmp_path / 'wide.png')
  with refused('wide.png', '0 to 255'):
    read_label(tmp_path / 'wide.png')


@pytest.mark.parametrize(
  'values, palette, expected',
  [
    ([0, 12, 255], True, [0, 1, 0]),  # PASCAL: the boundary is background.
    ([0, 12, 255], False, [0, 1, 0]),  # The same, saved in gray.
    ([0, 0, 255], False, [0, 0, 1]),  # Black and white.
    ([0, 0, 255], True, [0, 0, 1]),
    ([0, 1, 1], False, [0, 1, 1]),
    ([0, 100, 100], False, [0, 1, 1]),  # One gray value.
    ([1, 21, 50], False, [1, 1, 1]),  # Objects by their numbers.
    ([3, 200, 128], False, [1, 1, 1]),
    ([90, 90, 255], False, [1, 1, 1]),  # White is not the commonest.
    ([127, 128, 255, 255, 0], False, [0, 1, 1, 1, 0]),  # Soft edges.
    ([0, 90, 255], True, [0, 1, 0]),  # An index is no brightness.
    ([0, 0, 0], False, [0, 0, 0]),
  ],
)
def test_masks_of_the_usual_forms(tmp_path, values, palette, expected):
  image = Image.fromarray(np.array([values], np.uint8))
  if palette:
    image.putpalette([(59 * i) % 256 for i in range(768)])
  image.save(tmp_path / 'mask.png')
  np.testing.assert_array_equal(read_mask(tmp_path / 'mask.png'), [expected])


def test_a_mask_of_sixteen_bits_and_of_one_value(tmp_path):
  Image.fromarray(np.array([[0, 65535]], np.uint16)).save(tmp_path / 'wide.png')
  np.testing.assert_array_equal(read_mask(tmp_path / 'wide.png'), [[0, 1]])
  Image.fromarray(np.array([[0, 12, 15, 255]], np.uint8)).save(tmp_path / 'label.png')
  np.testing.assert_array_equal(read_mask(tmp_path / 'label.png', value=15), [[0, 0, 1, 0]])
  assert mask_values(tmp_path / 'label.png') == [0, 12, 15, 255]


@pytest.mark.parametrize(
  'values, expected',
  [
    ([0, 1, 300, 5000], [0, 1, 1, 1]),  # More objects than 8 bits can number.
    ([0, 4095, 4095, 4095], [0, 1, 1, 1]),
    ([0, 30000, 65535, 65535], [0, 0, 1, 1]),  # Soft edges.
    ([0, 33000, 65535, 65535], [0, 1, 1, 1]),
    ([0, 12, 12, 255], [0, 1, 1, 0]),  # PASCAL's, saved with more bits than it needs.
  ],
)
def test_masks_of_sixteen_bits(tmp_path, values, expected):
  Image.fromarray(np.array([values], np.uint16)).save(tmp_path / 'wide.png')
  np.testing.assert_array_equal(read_mask(tmp_path / 'wide.png'), [expected])


@pytest.mark.parametrize('value', [100, 255])
def test_a_mask_from_a_jpeg_has_no_noise(tmp_path, value):
  mask = np.zeros((40, 50), np.uint8)
  mask[7:29, 11:38] = value
  Image.fromarray(mask).save(tmp_path / 'mask.jpg', quality=90)
  assert len(mask_values(tmp_path / 'mask.jpg')) > 2
  np.testing.assert_array_equal(read_mask(tmp_path / 'mask.jpg'), mask > 0)
  Image.fromarray(0 * mask).save(tmp_path / 'mask.jpg')
  assert not read_mask(tmp_path / 'mask.jpg').any()


def test_a_mask_of_fractions_or_below_zero_is_refused(tmp_path):
  Image.fromarray(np.array([[0, 1, 7]], np.float32)).save(tmp_path / 'mask.tif')
  np.testing.assert_array_equal(read_mask(tmp_path / 'mask.tif'), [[0, 1, 1]])
  Image.fromarray(np.array([[0, 0.7]], np.float32)).save(tmp_path / 'mask.tif')
  with refused('mask.tif', 'fractions'):
    read_mask(tmp_path / 'mask.tif')
  Image.fromarray(np.array([[0, -1]], np.int32)).save(tmp_path / 'mask.tif')
  with refused('mask.tif', '0 to 255'):
    read_mask(tmp_path / 'mask.tif')


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('drawn_upright', [True, False])
@pytest.mark.parametrize('upright', [True, False])
def test_a_pair_stays_aligned(tmp_path, orientation, drawn_upright, upright):
  stored = gradient()
  save_turned(tmp_path / 'a.png', stored, orientation)
  drawn_on = read_image(tmp_path / 'a.png', upright=drawn_upright)
  Image.fromarray(drawn_on[..., 0]).save(tmp_path / 'mask.png')
  image, mask = read_pair(tmp_path / 'a.png', tmp_path / 'mask.png', upright=upright)
  assert image.shape[:2] == mask.shape
  # Where the size does not tell (no turn by 90 degrees), the mask is taken to be on the grid asked.
  if orientation > 4 or drawn_upright == upright:
    np.testing.assert_array_equal(image[..., 0], mask)
  grid = True if orientation > 4 and drawn_upright else upright
  np.testing.assert_array_equal(image, read_image(tmp_path / 'a.png', upright=grid))


def test_a_pair_names_what_does_not_fit(tmp_path):
  Image.fromarray(gradient()).save(tmp_path / 'a.png')
  with refused('none.png', 'a.png'):
    read_pair(tmp_path / 'a.png', tmp_path / 'none.png')
  Image.fromarray(gradient(24, 35)[..., 0]).save(tmp_path / 'mask.png')
  with refused('mask.png', '35 x 24', 'a.png', '36 x 24'):
    read_pair(tmp_path / 'a.png', tmp_path / 'mask.png')


def test_labels_of_16_bits(tmp_path):
  label = np.array([[0, 3, 1000], [65535, 1, 256]], np.uint16)
  encoded = png_bytes(label, name='label')
  np.testing.assert_array_equal(read_label(encoded, largest=65535), label, strict=True)
  with refused('label', '0 to 1000'):
    read_label(encoded, largest=1000)
  small = png_bytes(label % 8, name='small')
  np.testing.assert_array_equal(read_label(small, largest=65535), label % 8, strict=True)
  assert read_label(small).dtype == np.uint8


@pytest.mark.parametrize('width, height', [(9200, 9300), (1, 33_587_224), (2500, 2500)])
def test_a_head_that_promises_more_than_the_file_holds_takes_no_memory(tmp_path, width, height):
  """Millions of pixels in 70 bytes; as many of a plain mask are read, if they are there."""
  path = tmp_path / 'head.png'
  Image.new('L', (8, 8)).save(path)
  data = bytearray(path.read_bytes())
  data[16:24] = struct.pack('>II', width, height)
  data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
  path.write_bytes(data)
  for read in (read_image, read_label, read_mask):
    with refused(path, f'{width} x {height}'):
      read(path)
  Image.new('1', (2500, 2500), 1).save(path)
  assert read_label(path).shape == (2500, 2500)


def test_transparency_of_colors_that_a_palette_has_not_is_passed_over(tmp_path):
  path = tmp_path / 'mask.png'
  drawn = np.zeros((8, 8), np.uint8)
  drawn[2:5, 3:6] = 1
  image = Image.fromarray(drawn, 'P')
  image.putpalette([0, 0, 0, 255, 255, 255])
  image.save(path)
  data = path.read_bytes()
  start = data.find(b'IDAT') - 4
  for alphas in (b'\xff' * 9, b'\xff' * 200 + b'\0'):
    chunk = b'tRNS' + alphas
    more = struct.pack('>I', len(alphas)) + chunk + struct.pack('>I', zlib.crc32(chunk))
    path.write_bytes(data[:start] + more + data[start:])
    np.testing.assert_array_equal(read_mask(path), drawn)
