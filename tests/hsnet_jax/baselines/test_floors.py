import numpy as np
import pytest

from hsnet_jax.baselines.floors import (
  RADIUS,
  disc_logits,
  everything_logits,
  mean_foreground_logits,
  nothing_logits,
)
from tests.made import bilinear_oracle


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


@pytest.mark.parametrize('shots', [1, 2, 3])
@pytest.mark.parametrize('size', [(8, 6), (11, 9), (1, 1)])
def test_the_supports_own_masks_are_laid_on_the_query(shots, size):
  masks = (np.random.default_rng(shots).random((2, shots, 8, 6)) < 0.5).astype(np.uint8)
  masks[1, 0] = 0
  batch = {'query_mask': np.zeros((2, *size), np.uint8), 'support_masks': masks}
  found = marked(mean_foreground_logits, batch)
  mean = bilinear_oracle(np.mean(masks, axis=1), size)
  clear = np.abs(mean - 0.5) > 1e-6
  np.testing.assert_array_equal(found[clear], mean[clear] > 0.5)
  if size == (8, 6):
    for row, y, x in np.ndindex(found.shape):
      assert found[row, y, x] == (2 * masks[row, :, y, x].sum() >= shots)


def test_the_supports_own_masks_go_to_each_photographs_size():
  masks = np.zeros((2, 1, 8, 8), np.uint8)
  masks[:, :, :, :4] = 1
  batch = {
    'query_mask': np.zeros((2, 12, 16), np.uint8),
    'query_size': np.array([[12, 8], [6, 16]], np.int32),
    'support_masks': masks,
  }
  found = marked(mean_foreground_logits, batch)
  assert found[0, :, :4].all() and not found[0, :, 4:8].any()
  assert found[1, :6, :8].all() and not found[1, :6, 8:16].any()
