"""Tiles: windows that cover the picture, and margins laid together as a plain loop does it."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsnet_jax.errors import InputError
from hsnet_jax.extensions.tiles import (
  MOST_TILES,
  blend_tiles,
  choose_tiles,
  object_share,
  tile_windows,
)


def resized(margin, size):
  """Resizes bilinearly with aligned corners, an axis at a time."""
  for axis, n_out in enumerate(size):
    n_in = margin.shape[axis]
    at = np.linspace(0, n_in - 1, n_out) if n_out > 1 else [0]
    margin = np.apply_along_axis(
      lambda line, at=at: np.interp(at, range(len(line)), line), axis, margin
    )
  return margin


def blended(margins, tiles, size):
  """Lays windows together one by one, pixel by pixel."""
  means, margins = [], iter(margins)
  for windows in tile_windows(tiles):
    total, count = np.zeros(size), np.zeros(size)
    for top, left, side in windows:
      ends = [(round(a * n), round((a + side) * n)) for a, n in zip((top, left), size, strict=True)]
      (y0, y1), (x0, x1) = ((a, max(b, a + 1)) for a, b in ends)
      part = resized(next(margins), (y1 - y0, x1 - x0))
      for y in range(y0, y1):
        for x in range(x0, x1):
          near = min(y - y0 + 1, y1 - y) / (y1 - y0) * min(x - x0 + 1, x1 - x) / (x1 - x0)
          total[y, x] += near * part[y - y0, x - x0]
          count[y, x] += near
    means.append(total / count)
  return np.mean(means, axis=0)


@given(st.integers(1, 5))
def test_the_windows_of_a_scale_cover_the_picture(tiles):
  scales = tile_windows(tiles)
  assert [len(windows) for windows in scales] == [n * n for n in range(1, tiles + 1)]
  for n, windows in enumerate(scales, start=1):
    tops = sorted({top for top, _, _ in windows})
    side = windows[0][2]
    assert tops[0] == 0 and tops[-1] + side == pytest.approx(1)
    assert all(later - top < side for top, later in zip(tops, tops[1:], strict=False))
    assert side == pytest.approx(1.25 / n if n > 1 else 1)


@pytest.mark.heavy
@settings(deadline=None, max_examples=15)
@given(st.data())
def test_margins_are_laid_together_as_a_loop_does_it(data):
  tiles = data.draw(st.integers(1, 3))
  shape, size = (tuple(data.draw(st.integers(1, 17)) for _ in range(2)) for _ in range(2))
  size = tuple(max(n, 2 * tiles) for n in size)
  count = sum(map(len, tile_windows(tiles)))
  margins = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(count, *shape))
  found = jax.jit(blend_tiles, static_argnames=('tiles', 'size'))(margins, tiles=tiles, size=size)
  np.testing.assert_allclose(found, blended(margins, tiles, size), rtol=1e-4, atol=1e-4)


def test_one_tile_is_the_picture():
  margin = np.random.default_rng(0).normal(size=(1, 8, 6))
  found = blend_tiles(margin, tiles=1, size=(24, 30))
  np.testing.assert_allclose(found, resized(margin[0], (24, 30)), rtol=1e-5, atol=1e-5)


def test_windows_that_agree_change_nothing():
  found = blend_tiles(np.full((14, 4, 4), 2.5), tiles=3, size=(40, 50))
  np.testing.assert_allclose(found, 2.5, rtol=1e-5)


def test_there_is_one_tile_at_least():
  with pytest.raises(InputError, match='`tiles` is 0'):
    tile_windows(0)


def covering(share, size=(100, 200)):
  """A mask of which so much is the object."""
  mask = np.zeros(size, np.uint8)
  mask.flat[: round(share * mask.size)] = 255
  return mask


@pytest.mark.parametrize(
  'share, tiles',
  [(1.0, 1), (0.3, 1), (0.04, 1), (0.039, 2), (0.018, 2), (0.017, 3), (0.01, 3), (0.009, 4)],
)
def test_the_smaller_the_object_the_more_tiles(share, tiles):
  assert choose_tiles([covering(share)]) == tiles


@given(st.floats(5e-5, 1.0))
def test_in_the_tiles_that_are_chosen_an_object_covers_a_tenth_at_most(share):
  mask = covering(share)
  tiles = choose_tiles([mask])
  assert 1 <= tiles <= MOST_TILES == 4
  covered = [mask.mean() / 255 / windows[0][2] ** 2 for windows in tile_windows(MOST_TILES)]
  assert tiles == 1 or covered[tiles - 1] <= 0.1
  assert tiles == MOST_TILES or covered[tiles] > 0.1


def test_one_pixel_is_an_object_and_an_empty_mask_says_nothing():
  empty, pixel = np.zeros((3000, 4000), bool), np.zeros((3000, 4000), bool)
  pixel[17, 3999] = True
  assert choose_tiles([pixel]) == 4 and choose_tiles([empty]) == choose_tiles([]) == 1
  assert choose_tiles([empty, pixel]) == 4
  assert object_share([empty]) == object_share([]) == 0.0


def test_of_several_supports_the_median_counts_whatever_their_sizes():
  masks = [covering(0.5, (10, 10)), covering(0.01, (200, 300)), covering(0.03)]
  assert object_share(masks) == pytest.approx(0.03)
  for order in (masks, masks[::-1]):
    assert choose_tiles(order) == 2


@pytest.mark.parametrize(
  'share, shrunk, tiles', [(0.1, 5.9, 1), (0.1, 6.0, 2), (0.3, 10.0, 1), (0.01, 10.0, 3)]
)
def test_much_larger_pictures_have_two_unless_the_object_is_as_large_as_a_tile(
  share, shrunk, tiles
):
  assert choose_tiles([covering(share)], shrunk=shrunk) == tiles
