import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.baselines.stacked import resize_to_queries, stack_episodes, stack_maps
from hsnet_jax.model import HSNet
from tests.made import averages, bilinear_oracle, normal

BACKBONE = averages((1, 2, 1), name='stacks')


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])
def test_products_are_mean_cosines_of_levels(wrap):
  maps = normal((2, 4, 6, 5), (2, 4, 6, 3), (2, 2, 3, 7))
  stacked = np.asarray(wrap(lambda x: stack_maps(x, levels=(2, 1)))(maps))
  assert stacked.shape == (2, 4, 6, 15)
  np.testing.assert_allclose(np.linalg.norm(stacked, axis=-1), 1, atol=2e-5)
  large = [bilinear_oracle(x, (4, 6)) for x in maps]
  units = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in large]
  for i, j in ((0, 1), (3, 17), (23, 5)):
    cosines = [x[0].reshape(24, -1)[i] @ x[1].reshape(24, -1)[j] for x in units]
    expected = ((cosines[0] + cosines[1]) / 2 + cosines[2]) / 2
    found = stacked[0].reshape(24, -1)[i] @ stacked[1].reshape(24, -1)[j]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_vectors_of_zeros_stay_so():
  assert not np.asarray(stack_maps([jnp.zeros((1, 2, 2, 3))], levels=(1,))).any()


@pytest.mark.heavy
def test_episodes_are_of_the_coarsest_two_levels():
  rng = np.random.default_rng(0)
  batch = {
    'query_image': rng.integers(0, 256, (2, 16, 16, 3)).astype(np.uint8),
    'support_images': rng.integers(0, 256, (2, 3, 16, 16, 3)).astype(np.uint8),
    'support_masks': (rng.random((2, 3, 16, 16)) < 0.4).astype(np.uint8),
  }
  model, variables = HSNet(BACKBONE), {'backbone': BACKBONE.init(jax.random.key(0))}
  found = stack_episodes(model, variables, batch)
  images = (batch['support_images'][1, 2] - np.float32([100, 110, 120])) / np.float32([50, 60, 70])
  maps = model.apply(variables, jnp.asarray(images[None]), method='encode')[1:]
  np.testing.assert_allclose(found.supports[1, 2], stack_maps(maps, levels=(2, 1))[0], atol=1e-5)
  masks = bilinear_oracle(batch['support_masks'][1], (4, 4))
  np.testing.assert_allclose(found.masks[1], masks, atol=1e-6)
  assert found.query.shape == (2, 4, 4, 15)


def test_maps_go_to_the_queries_or_to_their_photographs():
  (maps,) = normal((2, 3, 4, 2))
  batch = {'query_mask': np.zeros((2, 9, 8), np.uint8)}
  expected = bilinear_oracle(maps, (9, 8))
  np.testing.assert_allclose(resize_to_queries(maps, batch), expected, atol=1e-6)
  batch['query_size'] = np.array([[9, 5], [4, 8]], np.int32)
  found = resize_to_queries(maps, batch)
  assert found.shape == (2, 9, 8, 2)
  for row, (height, width) in enumerate(batch['query_size']):
    expected = bilinear_oracle(maps[row : row + 1], (height, width))[0]
    np.testing.assert_allclose(found[row, :height, :width], expected, atol=1e-6)
