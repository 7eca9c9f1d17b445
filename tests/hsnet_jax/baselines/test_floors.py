import numpy as np
import pytest

from hsnet_jax.baselines.floors import RADIUS, disc_logits, everything_logits, nothing_logits


def marked(logits, batch):
  found = np.asarray(logits({}, {}, batch))
  assert found.shape == (1, *batch['query_mask'].shape, 2)
  return found[0, ..., 1] > found[0, ..., 0]


def disc_oracle(height, width):
  """Loops over pixels, whose centers lie at a half."""
  mask = np.zeros((height, width), bool)
  for y, x in np.ndindex(height, width):
    far = np.hypot(y + 0.5 - height / 2, x + 0.5 - width / 2)
    mask[y, x] = far <= RADIUS * min(height, width)
  return mask


@pytest.mark.parametrize('size', [(9, 9), (12, 31), (1, 1)])
def test_what_is_marked_without_looking(size):
  batch = {'query_mask': np.zeros((2, *size), np.uint8)}
  assert marked(everything_logits, batch).all() and not marked(nothing_logits, batch).any()
  np.testing.assert_array_equal(marked(disc_logits, batch), [disc_oracle(*size)] * 2)


def test_a_disc_is_in_the_middle_of_each_photograph():
  sizes = [(20, 12), (8, 30)]
  batch = {'query_mask': np.zeros((2, 24, 32), np.uint8), 'query_size': np.array(sizes, np.int32)}
  for mask, (height, width) in zip(marked(disc_logits, batch), sizes, strict=True):
    np.testing.assert_array_equal(mask[:height, :width], disc_oracle(height, width))
