"""The tiny backbone: its geometry and its shipped weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.shapes.benchmark import Shapes
from hsnet_jax.backbones import get_backbone, tiny
from hsnet_jax.baselines.prototype import prototypes
from hsnet_jax.training import normalize
from hsnet_jax.weights.convert import load_backbone


@pytest.fixture(scope='module')
def weights():
  return jax.device_put(load_backbone('tiny'))


def _pictures(*names):
  shapes = Shapes()
  loaded = [shapes.load(name) for name in names]
  return np.stack([image for image, _ in loaded]), np.stack([label for _, label in loaded])


def test_features_at_strides_8_16_and_32(weights):
  images = jnp.zeros((1, 96, 160, 3))
  shapes = [f.shape for f in jax.eval_shape(tiny.apply, weights, images)]
  assert [s[1:3] for s in shapes] == [(12, 20)] * 2 + [(6, 10)] * 2 + [(3, 5)] * 2
  assert [s[3] for s in shapes] == [64, 64, 96, 96, 128, 128]
  assert sum(tiny.LEVELS) == len(shapes)


def test_features_are_taken_before_the_relu(weights):
  images, _ = _pictures('star_0000')
  for feature in tiny.apply(weights, normalize(jnp.asarray(images), 'tiny')):
    assert (feature < 0).any() and jnp.isfinite(feature).all()


def test_the_shipped_weights_are_complete_and_small(weights, root):
  expected = jax.eval_shape(tiny.init, jax.random.key(0))
  assert jax.tree.map(jnp.shape, weights) == jax.tree.map(lambda leaf: leaf.shape, expected)
  (file,) = (root / 'hsnet_jax' / 'backbones').glob('tiny.*s')
  assert file.stat().st_size < 5e6
  assert all((norm['var'] > 0).all() for norm in (weights['bn1'], weights['layer4']['1']['bn2']))


def test_shipped_features_tell_unseen_outlines_apart(weights):
  """By its mean feature, an object is likelier to be near its own class than another one."""
  names = [f'{c}_{n:04d}' for c in ('gear', 'heart', 'arrow', 'bottle') for n in range(8)]
  images, labels = _pictures(*names)
  own = np.repeat([6, 7, 8, 10], 8)
  features = jax.jit(tiny.apply)(weights, normalize(jnp.asarray(images), 'tiny'))
  mean = np.asarray(prototypes(features[3:4], labels == own[:, None, None])[0])
  mean = mean - mean.mean(axis=0)
  unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
  similarity = unit @ unit.T - 2 * np.eye(len(names))
  assert (own[similarity.argmax(axis=1)] == own).mean() > 0.5  # Chance is 0.23.


def test_the_table_normalizes_as_the_weights_were_trained():
  spec = get_backbone('tiny')
  pixels = jnp.full((1, 1, 1, 3), 255, jnp.uint8)
  np.testing.assert_allclose(
    normalize(pixels, 'tiny')[0, 0, 0], (255 - np.array(spec.mean)) / np.array(spec.std)
  )
