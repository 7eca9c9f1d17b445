"""Labels as PNGs: to the pixel, or one line that says what is wrong."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from experiments.labelling.labels import (
  areas_of,
  decode_label,
  read_label,
  size_of,
  write_label,
)
from hsnet_jax.errors import InputError
from tests.labelling import label_of, pixels_of, png


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_every_pixel_comes_back(height, width, most, seed):
  label = np.random.default_rng(seed).integers(0, most + 1, (height, width), dtype=np.uint8)
  stored = write_label(label)
  np.testing.assert_array_equal(decode_label(stored), label)
  np.testing.assert_array_equal(read_label(stored, size=label.shape), label)
  np.testing.assert_array_equal(pixels_of(stored), label)
  assert size_of(stored) == label.shape


@pytest.mark.parametrize('channels', [3, 4])
def test_the_class_is_in_red(channels):
  label = label_of(classes=3)
  color = np.random.default_rng(1).integers(0, 256, (*label.shape, channels), dtype=np.uint8)
  color[..., 0] = label
  if channels == 4:
    color[..., 3] = 255
  np.testing.assert_array_equal(read_label(png(color), size=label.shape), label)


def test_what_is_transparent_is_background():
  color = np.full((4, 5, 4), 7, np.uint8)
  color[..., 3] = 0
  color[1, 2] = (2, 0, 0, 255)
  found = read_label(png(color), size=(4, 5))
  assert found[1, 2] == 2 and found.sum() == 2


def test_half_transparent_colors_are_refused():
  color = np.full((4, 5, 4), 128, np.uint8)
  with pytest.raises(InputError, match='transparent'):
    read_label(png(color), size=(4, 5))


def jpeg():
  out = io.BytesIO()
  Image.fromarray(label_of()).save(out, 'JPEG')
  return out.getvalue()


@pytest.mark.parametrize(
  'data',
  [
    b'',
    b'no picture',
    jpeg(),
    png(label_of())[:60],
    png(label_of())[:-30],
    b'\x89PNG\r\n\x1a\n' + b'\0' * 100,
    png(label_of(size=(30, 41))),
    png(label_of(size=(40, 30))),
    png(label_of().astype(np.uint16)),
    png(label_of() > 0),
  ],
)
def test_what_is_no_such_label_is_refused(data):
  with pytest.raises(InputError):
    read_label(data, size=(30, 40))


def test_a_giant_is_refused_before_it_is_decoded():
  out = io.BytesIO()
  Image.new('L', (20_000, 3)).save(out, 'PNG')
  bomb = bytearray(out.getvalue())
  with pytest.raises(InputError, match='20000'):
    read_label(bytes(bomb), size=(30, 40))


def test_areas_are_shares_of_what_is_shown():
  label = np.zeros((4, 5), np.uint8)
  assert areas_of(label) == {}
  label[0], label[1, 0] = 2, 255
  assert areas_of(label) == {2: 0.25, 255: 0.05}
  assert areas_of(np.ones((1, 1), np.uint8)) == {1: 1.0}
