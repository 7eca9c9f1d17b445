"""Mask files as people have them: each shows the same white disc on black, or is refused."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from data_pipelines.reading.masks import (
  mask_doubts,
  mask_values,
  read_drawn_mask,
  read_mask,
  read_outlined_mask,
)
from tests.facts import check_facts, refused

H, W = 240, 320
ROWS, COLUMNS = np.mgrid[:H, :W]
DISC = np.hypot(ROWS - 120, COLUMNS - 160) < 60
WHITE = Image.fromarray((DISC * 255).astype(np.uint8))
SHARE = 0.147
CLEAR = Image.new('L', (W, H), 0)


def gray(dark, bright, dtype=np.uint8):
  return Image.fromarray(np.where(DISC, bright, dark).astype(dtype))


def indexed(indices, palette, **info):
  image = Image.fromarray(indices.astype(np.uint8))
  image.putpalette(palette)
  image.info.update(info)
  return image


def colored(color, background=(0, 0, 0)):
  return Image.fromarray(np.where(DISC[..., None], color, background).astype(np.uint8))


def soft(image, radius=1.2):
  return image.filter(ImageFilter.GaussianBlur(radius))


def specks(count, value):
  values = np.array(WHITE)
  rng = np.random.default_rng(0)
  values[rng.integers(0, H, count), rng.integers(0, W, count)] = value
  return Image.fromarray(values)


def block(value, at=slice(5, 13)):
  values = np.array(WHITE)
  values[at, at] = value
  return Image.fromarray(values)


INVERTED = [255, 255, 255, 0, 0, 0]
REVERSED = [v for i in range(256) for v in [255 - i] * 3]
SHOWN = {
  # Palettes of grays, in every container.
  'palette.png': WHITE.convert('RGB').quantize(2),
  'soft_palette.png': soft(WHITE).convert('P'),
  **{f'inverted.{e}': indexed(~DISC, INVERTED) for e in ('png', 'gif', 'bmp', 'tif')},
  **{f'reversed.{e}': indexed(255 * ~DISC, REVERSED) for e in ('png', 'gif', 'bmp', 'tif')},
  'soft.gif': soft(WHITE).convert('RGB').quantize(32),
  'nearly_white.png': Image.fromarray((DISC * (254 + ROWS % 2)).astype(np.uint8)),
  'bits.png': WHITE.convert('1'),
  'bits.bmp': WHITE.convert('1'),
  'bits.tif': WHITE.convert('1'),
  # Transparency lies on black.
  'alpha.png': Image.merge('RGBA', [WHITE.point(lambda _: 255)] * 3 + [WHITE]),
  'alpha_gray.png': Image.merge('LA', [WHITE.point(lambda _: 255), WHITE]),
  'alpha_same.png': Image.merge('LA', [WHITE, WHITE]),
  'opaque.png': Image.merge('RGBA', [WHITE] * 3 + [CLEAR.point(lambda _: 255)]),
  'half.png': Image.merge('RGBA', [WHITE] * 3 + [CLEAR.point(lambda _: 128)]),
  'alpha_palette.png': indexed(DISC, [255] * 6, transparency=bytes([0, 255])),
  'alpha.gif': indexed(DISC, [0, 0, 0, 255, 255, 255], transparency=0),
  'alpha_soft.png': Image.merge('RGBA', [CLEAR.point(lambda _: 200), CLEAR, CLEAR, soft(WHITE)]),
  # Black that is not 0, white that is not 255.
  'black_is_1.png': gray(1, 255),
  **{f'{a}_{b}.png': gray(a, b) for a, b in ((16, 235), (2, 253), (0, 254), (0, 38), (0, 1))},
  **{f'wide_{v}.png': gray(0, v, np.uint16) for v in (1, 255, 257, 4095, 65535)},
  'wide_levels.png': gray(16 * 256, 235 * 256, np.uint16),
  'floats.tif': gray(0, 255, np.float32),
  'ones.tif': gray(0, 1, np.float32),
  'integers.tif': gray(0, 255, np.int32),
  'soft_128.png': soft(gray(0, 128)),
  'soft_levels.png': soft(gray(16, 235)),
  # Stray pixels beside 255.
  'specks.png': block(1),
  'specks_all_over.png': specks(64, 3),
  'specks_inside.png': block(1, at=slice(130, 134)),
  # One color on black.
  'red.png': colored((220, 20, 60)),
  'red_at_0.png': indexed(~DISC, [220, 20, 60, 0, 0, 0]),
  'red_at_1.png': indexed(DISC, [0, 0, 0, 220, 20, 60]),
  'red_soft.png': soft(colored((220, 20, 60))),
  'red.jpg': colored((220, 20, 60)),
  # Formats that lose a little.
  'mask.jpg': WHITE,
  'levels.jpg': gray(16, 235),
  'cmyk.jpg': WHITE.convert('RGB').convert('CMYK'),
  'cmyk.tif': WHITE.convert('RGB').convert('CMYK'),
  'mask.webp': WHITE,
}


@pytest.mark.parametrize('name', SHOWN)
def test_a_mask_is_what_its_file_shows(tmp_path, name):
  image = SHOWN[name]
  image.save(tmp_path / name, **({'quality': 60} if name.endswith(('jpg', 'webp')) else {}))
  drawn = read_drawn_mask(tmp_path / name)
  assert round(drawn.mask.mean(), 3) == pytest.approx(SHARE, abs=0.0011)
  assert (drawn.mask != DISC).mean() < 0.003
  assert not drawn.doubt and not drawn.outline.any()


def test_white_that_is_zero_is_black_in_tiff_of_16_bits(tmp_path):
  gray(65535, 0, np.uint16).save(tmp_path / 'a.tif', tiffinfo={262: 0})
  np.testing.assert_array_equal(read_mask(tmp_path / 'a.tif'), DISC)


def photograph():
  """Smooth shapes with the noise of a sensor."""
  rng = np.random.default_rng(0)
  base = 128 + 60 * np.sin(ROWS / 31) * np.cos(COLUMNS / 47) + 40 * DISC
  color = base[..., None] * [1, 0.8, 0.6] + rng.normal(0, 8, (H, W, 3))
  return Image.fromarray(color.clip(0, 255).astype(np.uint8))


PHOTOGRAPHS = {
  'photo.jpg': photograph(),
  'photo.png': photograph(),
  'photo.gif': photograph(),
  'quantized.png': photograph().quantize(16),
  'gray.png': photograph().convert('L'),
  'gray.jpg': photograph().convert('L'),
  'gray.gif': photograph().convert('L'),
  'wide.png': Image.fromarray(np.asarray(photograph().convert('L')).astype(np.uint16) * 257),
  'dots.png': photograph().convert('1'),
  'cmyk.jpg': photograph().convert('CMYK'),
  'on_black.png': Image.fromarray(np.where(DISC, photograph().convert('L'), 0).astype(np.uint8)),
}


@pytest.mark.parametrize('name', PHOTOGRAPHS)
def test_a_photograph_is_no_mask(tmp_path, name):
  PHOTOGRAPHS[name].save(tmp_path / name)
  with refused(tmp_path / name, 'photograph'):
    read_mask(tmp_path / name)


def test_a_small_picture_on_black_or_white_is_not_cut_in_silence(tmp_path):
  rng = np.random.default_rng(0)
  pixels = 128 + 90 * np.sin(COLUMNS / 5) * np.cos(ROWS / 7) + rng.normal(0, 8, (H, W))
  pixels = pixels.clip(10, 245).astype(np.uint8)
  dot = np.hypot(ROWS - 110, COLUMNS - 200) < 9
  strip = np.abs(COLUMNS - 150) < 7
  smooth = np.asarray(soft(Image.fromarray(pixels), 2))
  for background, place in ((0, dot), (255, strip)):
    for values in (pixels, smooth):
      cut = np.where(place, values, background).astype(np.uint8)
      for name in ('a.png', 'a.jpg'):
        Image.fromarray(cut).save(tmp_path / name)
        check_facts(read_drawn_mask(tmp_path / name).doubt, ['gray', '`mask_value`'])


def test_what_does_not_tell_the_object_is_refused(tmp_path):
  black = Image.merge('RGBA', [CLEAR, CLEAR, CLEAR, WHITE])
  halves = np.where(DISC, np.where(COLUMNS < 160, 1, 2), 0)
  two = np.array([[0, 0, 0], [200, 0, 0], [0, 200, 0]], np.uint8)
  apart = np.zeros((H, W), np.uint8)
  apart[20:100, 20:100], apart[140:220, 200:300] = 1, 255
  for name, image, facts in (
    ('black.png', black, ['opaque', 'black']),
    ('clear.png', Image.merge('RGBA', [WHITE] * 3 + [CLEAR]), ['opaque']),
    ('two.png', Image.fromarray(two[halves]), ['color', '3 colors']),
    ('on_white.png', colored((255, 0, 0), (255, 255, 255)), ['color']),
    (
      'palette.png',
      indexed(2 - halves, two[::-1].ravel().tolist()),
      ['black at 2', '`mask_value`'],
    ),
    ('apart.png', Image.fromarray(apart), ['1 (6400', '255 (8000', '`mask_value`']),
    ('twelve.png', gray(12, 255), ['12 (', '255 (11277', '`mask_value`']),
    ('dark.jpg', gray(0, 1), ['PNG']),
  ):
    image.save(tmp_path / name)
    with refused(tmp_path / name, *facts):
      read_mask(tmp_path / name)
  for name, value, share in (('palette.png', 0, 0.074), ('apart.png', 255, 8000 / H / W)):
    mask = read_mask(tmp_path / name, value=value)
    assert mask.mean() == pytest.approx(share, abs=0.001)


def rim(objects, by=5):
  grown = Image.fromarray((objects * 255).astype(np.uint8)).filter(
    ImageFilter.MaxFilter(2 * by + 1)
  )
  return (np.asarray(grown) > 0) & ~objects


@pytest.mark.parametrize('palette', [None, [(59 * i) % 256 for i in range(768)]])
def test_a_rim_round_objects_is_their_outline(tmp_path, palette):
  label = np.where(DISC, 12, np.where(rim(DISC), 255, 0)).astype(np.uint8)
  image = Image.fromarray(label) if palette is None else indexed(label, palette)
  image.save(tmp_path / 'a.png')
  mask, outline = read_outlined_mask(tmp_path / 'a.png')
  np.testing.assert_array_equal(mask, DISC)
  np.testing.assert_array_equal(outline, rim(DISC))
  assert not read_drawn_mask(tmp_path / 'a.png').doubt


def test_one_class_of_a_gray_class_color_can_be_chosen(tmp_path):
  palette = [0] * 21 + [128, 128, 128]  # PASCAL's car, 7, is gray.
  indexed(7 * DISC, palette).save(tmp_path / 'a.png')
  assert mask_values(tmp_path / 'a.png') == [0, 128]
  for value in (None, 7, 128):
    np.testing.assert_array_equal(read_mask(tmp_path / 'a.png', value=value), DISC)


def test_several_values_are_a_doubt_that_lists_them(tmp_path):
  halves = np.where(COLUMNS < 160, 50, 100)
  for name, image, facts in (
    ('gray.png', Image.fromarray((DISC * halves).astype(np.uint8)), ['50 (5579', '100 (5698']),
    ('palette.png', indexed(DISC * halves // 50, [0, 0, 0, 128, 0, 0, 0, 128, 0]), ['1 (', '2 (']),
    ('pets.png', gray(2, 1), ['1 (11277', '2 (', 'no background']),
    (
      'levels.png',
      Image.fromarray(np.where(DISC & (COLUMNS < 180), 255, DISC * 100).astype('u1')),
      ['gray', '127.5'],
    ),
  ):
    image.save(tmp_path / name)
    check_facts(read_drawn_mask(tmp_path / name).doubt, [*facts, '`mask_value`'])


def test_doubts_of_masks():
  stray = np.zeros((H, W), np.uint8)
  stray[[3, 50, 99, 120, 200], [7, 300, 11, 160, 80]] = 1
  line = np.zeros((H, W), np.uint8)
  line[100, 20:300] = 1
  for mask, facts in (
    (np.ones((H, W), np.uint8), ['no background']),
    ((~DISC).astype(np.uint8), ['border', '85%', 'inverted']),
    (stray, ['5 of 76800']),
    (line, ['280 of 76800']),
  ):
    check_facts(mask_doubts(mask), facts)
  assert mask_doubts(DISC.astype(np.uint8)) is None
  assert mask_doubts(np.zeros((H, W), np.uint8)) is None
  assert mask_doubts(np.array([[0, 1, 1]], np.uint8)) is None


def test_soft_edges_may_be_wide(tmp_path):
  soft(WHITE, 16).save(tmp_path / 'a.png')
  drawn = read_drawn_mask(tmp_path / 'a.png')
  assert drawn.mask.mean() == pytest.approx(SHARE, abs=0.02)
  check_facts(drawn.doubt, ['gray'])


def test_soft_lines_are_no_photograph(tmp_path):
  lines = Image.new('L', (W, H))
  ImageDraw.Draw(lines).line([(20, 30), (290, 90), (60, 200), (250, 220)], fill=255, width=6)
  soft(lines, 2).save(tmp_path / 'a.png')
  drawn = read_drawn_mask(tmp_path / 'a.png').mask
  assert (drawn != (np.asarray(lines) > 0)).mean() < 0.005


def test_objects_by_their_numbers_stay_objects(tmp_path):
  numbers = (
    np.random.default_rng(0).integers(1, 2000, (H // 10, W // 10)).repeat(10, 0).repeat(10, 1)
  )
  numbers[::10] = 0
  Image.fromarray(numbers.astype(np.uint16)).save(tmp_path / 'a.png')
  np.testing.assert_array_equal(read_mask(tmp_path / 'a.png'), numbers > 0)
