"""A second look: a window round what was found, and what is in it blended as a loop does it."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsnet_jax.extensions.second_look import blend_window
from hsnet_jax.extensions.windows import object_window


def resized(margin, size):
  """Resizes bilinearly with aligned corners, an axis at a time."""
  for axis, n_out in enumerate(size):
    n_in = margin.shape[axis]
    at = np.linspace(0, n_in - 1, n_out) if n_out > 1 else [0]
    margin = np.apply_along_axis(
      lambda line, at=at: np.interp(at, range(len(line)), line), axis, margin
    )
  return margin


def counted(i, begin, end, length):
  """What a window counts at a pixel of an axis: 1, and less in a quarter at edges within."""
  rise = max((end - begin) / 4, 1)
  from_begin = (i - begin + 1) / rise if begin > 0 else 1
  to_end = (end - i) / rise if end < length else 1
  return min(1, from_begin, to_end)


def blended(first, second, window, size):
  """Blends pixel by pixel."""
  found = resized(first, size)
  (top, left, side), spans = window, []
  for start, n in zip((top, left), size, strict=True):
    begin = min(round(start * n), n - 1)
    spans.append((begin, max(round((start + side) * n), begin + 1)))
  (y0, y1), (x0, x1) = spans
  again = resized(second, (y1 - y0, x1 - x0))
  for y in range(y0, y1):
    for x in range(x0, x1):
      weight = counted(y, y0, y1, size[0]) * counted(x, x0, x1, size[1])
      found[y, x] = (found[y, x] + weight * again[y - y0, x - x0]) / (1 + weight)
  return found


@st.composite
def masks(draw):
  """A mask that shows something, of any shape."""
  mask = np.zeros([draw(st.integers(1, 12)) for _ in range(2)], np.uint8)
  for _ in range(draw(st.integers(1, 3))):
    mask[tuple(draw(st.integers(0, n - 1)) for n in mask.shape)] = 1
  return mask


@given(masks(), st.floats(0, 2), st.floats(0, 1))
def test_a_window_has_the_object_and_its_margin_and_lies_in_the_picture(mask, margin, least):
  top, left, side = object_window(mask, margin=margin, least_side=least)
  extents, tight = [], []
  for start, places, n in zip((top, left), np.nonzero(mask), mask.shape, strict=True):
    low, high = places.min() / n, (places.max() + 1) / n
    assert start <= low + 1e-9 and high <= start + side + 1e-9
    assert 0 <= start and start + side <= 1 + 1e-9
    extents.append(high - low)
    # In the middle, unless the picture ends there.
    tight.append(start == 0 or start + side > 1 - 1e-9 or start + side / 2 - (low + high) / 2)
  assert side == pytest.approx(min(1, max((1 + 2 * margin) * max(extents), least)))
  assert all(off is True or abs(off) < 1e-9 for off in tight)


def test_nothing_has_no_window_and_everything_all_of_the_picture():
  assert object_window(np.zeros((5, 7)), margin=0.5) is None
  assert object_window(np.ones((5, 7), bool), margin=0.5) == (0.0, 0.0, 1.0)


def test_a_pixel_has_a_window_of_some_size():
  mask = np.zeros((100, 200), bool)
  mask[50, 0] = True
  assert object_window(mask, margin=0.5) == (pytest.approx(0.495), 0.0, pytest.approx(0.02))
  assert object_window(mask, margin=0.5, least_side=0.5) == (pytest.approx(0.255), 0.0, 0.5)


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_a_window_is_blended_as_a_loop_does_it(data):
  shapes = [tuple(data.draw(st.integers(1, 9)) for _ in range(2)) for _ in range(2)]
  size = tuple(data.draw(st.integers(1, 30)) for _ in range(2))
  side = data.draw(st.floats(0.05, 1))
  window = *(data.draw(st.floats(0, 1)) * (1 - side) for _ in range(2)), side
  rng = np.random.default_rng(data.draw(st.integers(0, 99)))
  first, second = (rng.normal(size=shape) for shape in shapes)
  found = jax.jit(blend_window, static_argnames=('window', 'size'))(
    first, second, window=window, size=size
  )
  np.testing.assert_allclose(found, blended(first, second, window, size), rtol=1e-4, atol=1e-4)


def test_plain_it_is_the_same():
  rng = np.random.default_rng(0)
  first, second = rng.normal(size=(6, 8)), rng.normal(size=(5, 5))
  window, size = (0.25, 0.5, 0.5), (24, 32)
  found = blend_window(first, second, window=window, size=size)
  np.testing.assert_allclose(found, blended(first, second, window, size), rtol=1e-4, atol=1e-4)


def test_beyond_the_window_nothing_changes_and_in_its_middle_both_count_alike():
  first, second = np.full((8, 8), -1.0), np.full((8, 8), 3.0)
  found = np.asarray(blend_window(first, second, window=(0.25, 0.25, 0.5), size=(32, 32)))
  np.testing.assert_allclose(found[14:18, 14:18], 1.0, rtol=1e-6)
  inside = np.zeros((32, 32), bool)
  inside[8:24, 8:24] = True
  np.testing.assert_allclose(found[~inside], -1.0, rtol=1e-6)
  assert ((found[inside] > -1) & (found[inside] <= 1 + 1e-6)).all()


def test_at_the_edge_of_the_picture_there_is_no_seam_to_hide():
  found = blend_window(np.zeros((4, 4)), np.full((4, 4), 2.0), window=(0.0, 0.0, 1.0), size=(9, 9))
  np.testing.assert_allclose(found, 1.0, rtol=1e-6)
