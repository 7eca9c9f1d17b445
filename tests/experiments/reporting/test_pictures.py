import tracemalloc

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from experiments.reporting import pictures

RNG = np.random.default_rng(0)


def image(h=40, w=30):
  return RNG.integers(0, 256, (h, w, 3), np.uint8)


def test_overlay_changes_the_foreground_alone():
  before, mask = image(), np.zeros((40, 30), np.uint8)
  mask[10:20, 5:15] = 1
  after = pictures.overlay(before, mask, color=(0, 255, 0))
  np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
  np.testing.assert_array_equal(after[10, 5], (0, 255, 0))  # the outline, at full strength
  inner = before[12:18, 7:13] + 0.5 * (np.array([0.0, 255.0, 0.0]) - before[12:18, 7:13])
  np.testing.assert_array_equal(after[12:18, 7:13], np.rint(inner))


def test_overlay_dims_the_background_alone():
  before, mask = np.full((40, 30, 3), 200, np.uint8), np.zeros((40, 30), np.uint8)
  mask[:20] = 1
  after = pictures.overlay(before, mask, strength=0.0, dim=0.25)
  assert (after[20:] == 150).all() and (after[:19] == 200).all()


@pytest.mark.parametrize('strength, dim', [(0.5, 0.0), (0.4, 0.5), (0.7, 0.25), (0.3, 0.1)])
def test_overlay_in_strips_is_the_formula_in_fractions(strength, dim):
  before = image(1500, 900)  # More than a strip.
  mask = np.kron(RNG.integers(0, 2, (50, 30)), np.ones((30, 30), int)).astype(np.uint8)
  color = np.array([230.0, 120.0, 0.0])
  inside = mask.astype(bool)
  core = ndimage.binary_erosion(inside, border_value=1)
  weight = np.where(inside, np.where(core, strength, 1.0), 0.0)[..., None]
  light = np.where(inside, 1.0, 1.0 - dim)[..., None]
  expected = np.rint(light * (before + weight * (color - before)))
  after = pictures.overlay(before, mask, color=(230, 120, 0), strength=strength, dim=dim)
  assert after.dtype == np.uint8
  np.testing.assert_array_equal(after, expected)


def test_overlay_takes_little_more_than_its_result():
  before, mask = np.zeros((2000, 3000, 3), np.uint8), np.ones((2000, 3000), np.uint8)
  tracemalloc.start()
  try:
    pictures.overlay(before, mask)
    assert tracemalloc.get_traced_memory()[1] < 3 * before.nbytes
  finally:
    tracemalloc.stop()


def test_overlay_of_a_full_mask_has_no_outline_at_the_border():
  before = image()
  after = pictures.overlay(before, np.ones((40, 30), np.uint8), strength=0.0)
  np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize('shots', [1, 5])
@pytest.mark.parametrize('count', [1, 3])
def test_grid_shows_every_panel(shots, count):
  mask = np.ones((40, 30), np.uint8)
  black = np.zeros((40, 30, 3), np.uint8)
  panel = pictures.Panel(
    supports=[(black, mask)] * shots,
    query=black,
    prediction=mask,
    target=mask,
    ignore=np.zeros_like(mask),
    caption='dog, episode 3: IoU 87.5',
  )
  page = np.asarray(pictures.draw_grid([panel] * count, title='title', across=2, cell=64))
  tints = {
    name: np.all(page == np.rint(0.4 * np.array(color)), axis=-1).sum()
    for name, color in (
      ('support', pictures.SUPPORT),
      ('prediction', pictures.PREDICTION),
      ('truth', pictures.TRUTH),
    )
  }
  assert tints['prediction'] > count * 0.9 * 64 * 48
  assert tints['truth'] > count * 0.9 * 64 * 48
  assert tints['support'] > count * (0.9 if shots == 1 else 0.4) * 64 * 48


def test_predictions_lie_beside_their_support():
  def black(height, width):
    return np.zeros((height, width, 3), np.uint8), np.ones((height, width), np.uint8)

  rows = [(black(20, 40), [black(20, 40)]), (black(40, 20), [black(40, 20), black(40, 40)])]
  page = np.asarray(pictures.draw_predictions(rows, title='title', cell=40))
  support, predicted = (
    np.all(page == np.rint(0.4 * np.array(color)), axis=-1)
    for color in (pictures.SUPPORT, pictures.PREDICTION)
  )
  # By columns: of 40 pixels, with 6 between; the first line is 20 high, the second 40.
  assert support[:, 6:46].sum() == support.sum() > 0.85 * (40 * 20 + 20 * 40)
  assert predicted[:, 52:92].sum() > 0.85 * (40 * 20 + 20 * 40)
  assert predicted[:, 98:138].sum() > 0.85 * 40 * 40
  assert predicted.shape == (44 + 20 + 40 + 12, 3 * 46 + 6)


def test_an_image_is_written_whole_or_not_at_all(tmp_path):
  path = tmp_path / 'a' / 'x.png'
  pictures.save_image(path, image())
  first = path.read_bytes()
  with pytest.raises(TypeError):
    pictures.save_image(path, np.zeros((2, 2, 7)))
  assert path.read_bytes() == first
  assert [p.name for p in path.parent.iterdir()] == ['x.png']
  with Image.open(path) as written:
    assert written.size == (30, 40)


@pytest.mark.parametrize('count', [1, 2, 7])
def test_a_sheet_shows_each_picture_in_its_turn(count):
  colors = [(10 * i, 200, 0) for i in range(count)]
  sizes = [(40, 20) if i % 2 else (10, 40) for i in range(count)]
  made = [(Image.new('RGB', s, c), 'a' * 500) for s, c in zip(sizes, colors, strict=True)]
  sheet = np.asarray(pictures.draw_sheet(made, title='t', across=3, cell=40))
  found = [np.argwhere((sheet == color).all(-1)) for color in colors]
  assert [len(pixels) for pixels in found] == [w * h for w, h in sizes]
  corners = [tuple((pixels.min(0) + pixels.max(0)) // 2) for pixels in found]
  rows = sorted({y for y, _ in corners})
  assert [rows.index(y) for y, _ in corners] == [i // 3 for i in range(count)]
  assert corners == sorted(corners)
