"""Support sets: the arrays that predict makes of the same files, and what is no support."""

import numpy as np
import pytest
from PIL import Image

from experiments.evaluation import inputs
from hsnet_jax.errors import InputError
from hsnet_jax.segmenter.supports import read_supports

RNG = np.random.default_rng(0)
PHOTOS = [RNG.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((90, 120), (200, 150))]
BOXES = [np.s_[10:40, 30:60], np.s_[100:180, 5:100]]


def drawn(photo, box):
  mask = np.zeros(photo.shape[:2], np.uint8)
  mask[box] = 255
  return mask


MASKS = [drawn(*pair) for pair in zip(PHOTOS, BOXES, strict=True)]


def given(images=PHOTOS, masks=MASKS, *, classes=None, size=(32, 32), margin=0.1):
  return read_supports(images, masks, classes=classes, size=size, margin=margin)


@pytest.mark.parametrize('margin', [None, 0.0, 0.1, 2.0])
def test_files_become_what_predict_makes_of_them(tmp_path, margin):
  names = [], []
  for kind, arrays in zip(names, (PHOTOS, MASKS), strict=True):
    for array in arrays:
      path = tmp_path / f'{len(list(tmp_path.iterdir()))}.png'
      Image.fromarray(array).save(path)
      kind.append(str(path))
  expected = inputs.read_supports(*names, size=(32, 32), margin=margin)
  for images, masks in (names, (PHOTOS, MASKS), tuple(map(tuple, names))):
    found = given(images, masks, margin=margin)
    np.testing.assert_array_equal(found.images, expected[0])
    np.testing.assert_array_equal(found.masks, expected[1])
    assert found.classes == ('object',) and found.class_ids.tolist() == [0, 0]


def test_classes_are_sorted_and_supports_stay_in_their_order():
  found = given(PHOTOS * 2, MASKS * 2, classes=['dog', 'cat', 'dog', 'ant'])
  assert found.classes == ('ant', 'cat', 'dog') and found.class_ids.tolist() == [2, 1, 2, 0]
  np.testing.assert_array_equal(found.images[:2], found.images[2:])


def test_all_of_a_picture_may_be_the_object_with_a_warning():
  with pytest.warns(UserWarning, match=r'`masks`\[0\]: the mask leaves no background'):
    found = given(PHOTOS[:1], [np.ones((90, 120), bool)])
  assert found.masks.all()


@pytest.mark.parametrize(
  'options, words',
  [
    ({'images': [], 'masks': []}, '0 `images` and 0 `masks`'),
    ({'masks': MASKS[:1]}, '2 `images` and 1 `masks`'),
    ({'images': 'a.jpg'}, '`images` is one picture; give a list'),
    ({'masks': Image.fromarray(MASKS[0])}, '`masks` is one picture; give a list'),
    ({'images': None}, '`images` is NoneType'),
    ({'images': PHOTOS[0]}, '90 `images` and 2 `masks`'),
    ({'classes': ['cat']}, '`classes` must be 2 names'),
    ({'classes': 'ab'}, '`classes` must be 2 names'),
    ({'classes': 3}, '`classes` must be 2 names'),
    ({'classes': [0, 1]}, '`classes` must be 2 names'),
    ({'masks': MASKS[::-1]}, r'`masks`\[0\]: the mask is 150 x 200'),
    ({'masks': [MASKS[0], 0 * MASKS[1]]}, r'`masks`\[1\]: the mask has no foreground'),
    ({'images': ['none.jpg', PHOTOS[1]]}, r'none\.jpg: cannot be read'),
  ],
)
def test_what_is_no_support_set_is_named(options, words):
  with pytest.raises(InputError, match=words):
    given(**options)


def test_an_object_too_small_to_be_seen_is_named():
  mask = drawn(PHOTOS[1], np.s_[0:1, 1:2])
  with pytest.raises(InputError, match=r'`masks`\[0\]: the mask loses its foreground at 8 x 8'):
    given(PHOTOS[1:], [mask], size=(8, 8), margin=None)


def test_a_label_holds_so_many_classes():
  many = [f'class {i:03}' for i in range(256)]
  images, masks = [PHOTOS[0]] * 256, [MASKS[0]] * 256
  assert len(given(images[:255], masks[:255], classes=many[:255], size=(4, 4)).classes) == 255
  with pytest.raises(InputError, match='`classes` has 256 names'):
    given(images, masks, classes=many, size=(4, 4))
