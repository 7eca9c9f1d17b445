"""What is found at a photograph's own size, a few rows at a time, is that of the whole."""

import jax
import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.metrics import presence_score
from hsnet_jax.segmenter.programs import (
  judge_in_strips,
  judged,
  resized_margin,
  resized_mask,
  score_presence,
  vote_in_strips,
)
from tests.made import bilinear_oracle


def cut(logits, size):
  """The mask of one photograph, without what lies below and right of it."""
  found = np.asarray(resized_mask(logits[:, None], 0, size=size))
  assert not found[size[0] :].any() and not found[:, size[1] :].any()
  return found[: size[0], : size[1]]


@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize('size', [(1, 1), (7, 500), (613, 2111), (2600, 301), (32, 48)])
def test_a_mask_made_in_strips_is_that_of_the_whole(shots, size):
  logits = np.random.default_rng(shots).normal(size=(shots, 32, 48, 2)).astype(np.float32)
  logits[:, :5, :7] = 0.5  # Equal ones are background.
  whole = jax.jit(lambda x: hs.combine_shots(hs.resize_bilinear(x, size)[:, None]).mask[0])
  np.testing.assert_array_equal(cut(logits, size), whole(logits))


def test_the_vote_of_strips_is_over_all_of_them():
  """One pixel that all shots mark, in the last strip, decides about those that one shot marks."""
  logits = np.zeros((3, 2000, 1000, 2), np.float32)
  logits[0, ..., 1] = 1
  logits[:, -1, -1, 1] = 1
  found = cut(logits, (2000, 1000))
  assert found.sum() == 1 and found[-1, -1] == 1


@pytest.mark.parametrize('program', [vote_in_strips, judge_in_strips])
@pytest.mark.parametrize('shots, most', [(1, 60e6), (5, 90e6)])
def test_24_megapixels_take_little_memory(program, shots, most):
  """The mask itself, its counts, and a strip; of whole logits it would be 192 MB a shot."""
  shapes = ((shots, 1, 100, 100, 2), (), (4000, 100), (6000, 100))
  types = (np.float32, np.int32, np.float32, np.float32)
  made = program.lower(*map(jax.ShapeDtypeStruct, shapes, types)).compile()
  memory = made.memory_analysis()
  assert 0 <= memory.output_size_in_bytes - 24e6 < 100  # Two figures beside the mask.
  assert memory.temp_size_in_bytes + memory.output_size_in_bytes < most


@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize('size', [(1, 1), (7, 500), (700, 90)])
def test_a_margin_made_in_strips_is_that_of_the_whole(shots, size):
  logits = np.random.default_rng(shots).normal(size=(shots, 32, 48, 2)).astype(np.float32)
  margin, probability = (
    np.asarray(x)[: size[0], : size[1]] for x in resized_margin(logits[:, None], 0, size=size)
  )
  large = bilinear_oracle(logits, size)
  expected = np.mean(1 / (1 + np.exp(large[..., 0] - large[..., 1])), axis=0)
  np.testing.assert_allclose(probability, expected, atol=1e-5)
  np.testing.assert_allclose(margin, np.log(expected / (1 - expected)), atol=1e-4)


@pytest.mark.heavy
@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize('size', [(1, 1), (7, 500), (613, 2111), (32, 48)])
@pytest.mark.parametrize('shown', ['much', 'little', 'nothing', 'everything'])
def test_how_sure_the_network_is_of_a_mask(shots, size, shown):
  logits = np.random.default_rng(shots).normal(size=(shots, 2, 32, 48, 2)).astype(np.float32)
  logits[..., 1] += {'much': 0, 'little': -2, 'nothing': -20, 'everything': 20}[shown]
  found = judged(logits, 1, size=size)
  inside = np.s_[: size[0], : size[1]]
  np.testing.assert_array_equal(found.mask, resized_mask(logits, 1, size=size))
  large = bilinear_oracle(logits[:, 1], size)
  probability = np.mean(1 / (1 + np.exp(large[..., 0] - large[..., 1])), axis=0)
  marked = probability[np.asarray(found.mask)[inside] > 0]
  assert (marked.size == 0) == (shown == 'nothing') or shown == 'little'
  np.testing.assert_allclose(found.confidence, marked.mean() if marked.size else 0.0, atol=1e-5)
  p = np.mean(1 / (1 + np.exp(logits[:, 1, ..., 0] - logits[:, 1, ..., 1].astype(float))), axis=0)
  margin = np.sort(np.log(p / (1 - p)).ravel())[-15:].mean()  # A hundredth of 32 x 48.
  np.testing.assert_allclose(found.presence, 1 / (1 + np.exp(-margin)), rtol=1e-4)


def test_the_row_says_which_photograph():
  logits = np.random.default_rng(0).normal(size=(2, 3, 8, 8, 2)).astype(np.float32)
  one = np.s_[:20, :30]
  for row in range(3):
    alone = logits[:, row : row + 1]
    for function in (resized_mask, lambda *a, **k: resized_margin(*a, **k)[0]):
      found, expected = (function(x, at, size=(20, 30)) for x, at in ((logits, row), (alone, 0)))
      np.testing.assert_array_equal(np.asarray(found)[one], np.asarray(expected)[one])


def test_the_presence_is_of_each_photograph():
  logits = np.random.default_rng(0).normal(size=(2, 3, 8, 8, 2)).astype(np.float32)
  expected = presence_score(hs.mean_margin(logits))
  np.testing.assert_allclose(score_presence(logits), expected, rtol=1e-6)
