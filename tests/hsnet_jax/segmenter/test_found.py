"""What was found: of all classes together, and of one."""

import numpy as np
import pytest

import hsnet_jax as hs

MASKS = np.array([[[1, 1, 0], [0, 0, 0]], [[0, 1, 1], [0, 0, 0]]], np.uint8)
PROBABILITIES = np.array(
  [[[0.75, 0.5625, 0.25], [0, 0.125, 0]], [[0.25, 0.875, 0.625], [0, 0, 0]]], np.float32
)
FOUND = hs.Found(
  ('cat', 'dog'), np.array([[1, 2, 2], [0, 0, 0]], np.uint8), MASKS, PROBABILITIES, (1.5, -2.0)
)


def test_of_several_classes_together():
  np.testing.assert_array_equal(FOUND.mask, [[1, 1, 1], [0, 0, 0]])
  assert FOUND.mask.dtype == np.uint8
  np.testing.assert_array_equal(FOUND.probability, PROBABILITIES.max(0))
  assert FOUND.confidence == (0.75 + 0.875 + 0.625) / 3
  assert FOUND.presence == 1.5


def test_of_one_class_by_its_own_mask():
  cat, dog = FOUND.of('cat'), FOUND.of('dog')
  np.testing.assert_array_equal(cat.mask, MASKS[0])
  np.testing.assert_array_equal(cat.label, MASKS[0])
  np.testing.assert_array_equal(dog.probability, PROBABILITIES[1])
  assert (cat.confidence, dog.confidence) == ((0.75 + 0.5625) / 2, (0.875 + 0.625) / 2)
  assert (cat.presence, dog.presence) == (1.5, -2.0)
  assert dog.classes == ('dog',) and dog.masks.shape == (1, 2, 3)
  with pytest.raises(hs.InputError, match="no class 'dgo'; there are cat, dog"):
    FOUND.of('dgo')


def test_where_nothing_was_found_the_confidence_is_0():
  nothing = hs.Found(('cat',), 0 * MASKS[0], 0 * MASKS[:1], PROBABILITIES[:1], (0.0,))
  assert nothing.confidence == 0.0 and not nothing.mask.any()
