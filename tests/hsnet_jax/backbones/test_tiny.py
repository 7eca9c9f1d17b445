"""The tiny backbone: its geometry, its shipped weights, and the script that trains them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.shapes.benchmark import Shapes
from data_pipelines.shapes.lessons import draw_lessons
from experiments import train_tiny
from experiments.tiny_backbone import steps
from hsnet_jax.backbones import get_backbone, tiny
from hsnet_jax.baselines.prototype import prototypes
from hsnet_jax.training import normalize
from hsnet_jax.weights.convert import load_backbone


@pytest.fixture(scope='module')
def weights():
  return jax.device_put(load_backbone('tiny'))


@pytest.fixture(scope='module')
def lessons():
  return draw_lessons(2, plain=False, num_classes=6)


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


def test_the_loss_falls_on_a_fixed_batch(lessons):
  params = steps.init(jax.random.key(0), num_classes=6)
  optimizer = steps.make_optimizer(6)
  opt_state = optimizer.init(params)

  @jax.jit
  def step(params, opt_state):
    grads, figures = jax.grad(steps.loss, has_aux=True)(params, jax.random.key(1), lessons)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return jax.tree.map(jnp.add, params, updates), opt_state, figures

  losses = []
  for _ in range(6):
    params, opt_state, figures = step(params, opt_state)
    losses.append(float(figures['loss']))
  assert np.isfinite(losses).all()
  assert losses[-1] < 0.9 * losses[0]
  assert figures['accuracy'].shape == (6,)


def test_stored_statistics_give_what_the_batchs_own_gave(lessons):
  weights = tiny.init(jax.random.key(0))
  moments = steps.mean_moments(weights, [lessons.image])
  stored = steps.with_moments(weights, moments)
  assert not weights['bn1']['mean'].any()  # The given tree stays as it was.
  x = normalize(jnp.asarray(lessons.image), 'tiny')
  expected = tiny.apply(weights, x, conv_norm=steps.batch_norm())
  for a, b in zip(tiny.apply(stored, x), expected, strict=True):
    np.testing.assert_allclose(a, b, atol=2e-4 * float(jnp.abs(b).max()))


def test_strided_convolutions_of_training_are_the_backbones():
  x = jax.random.normal(jax.random.key(0), (2, 12, 20, 3))
  for size, stride in ((7, 4), (3, 2)):
    kernel = jax.random.normal(jax.random.key(1), (size, size, 3, 5))
    np.testing.assert_allclose(
      steps._convolve(x, kernel, stride),
      steps.conv2d(x, kernel, stride=stride),
      atol=1e-4,
    )


@pytest.mark.parametrize('shape', [(3, 3, 8, 16), (1, 1, 4, 32)])
def test_orthogonalised_updates_have_even_singular_values(shape):
  update = steps.orthogonalise(jax.random.normal(jax.random.key(0), shape))
  tall, wide = sorted((np.prod(shape[:3]), shape[3]), reverse=True)
  values = np.linalg.svd(np.asarray(update).reshape(-1, shape[3]), compute_uv=False)
  values = values / np.sqrt(tall / wide)
  assert update.shape == shape
  assert 0.5 < values.min() and values.max() < 1.4


def test_batches_mix_plain_and_full_pictures(lessons):
  plain = lessons._replace(image=np.zeros_like(lessons.image))
  rng = np.random.RandomState(0)
  for share, expected in ((1.0, 6), (0.0, 0)):
    batch = train_tiny.mixed_batch(rng, plain, lessons, size=6, share=share)
    assert [a.shape[0] for a in batch] == [6] * 4
    assert (~batch.image.any(axis=(1, 2, 3))).sum() == expected


def test_the_table_normalises_as_the_weights_were_trained():
  spec = get_backbone('tiny')
  pixels = jnp.full((1, 1, 1, 3), 255, jnp.uint8)
  np.testing.assert_allclose(
    normalize(pixels, 'tiny')[0, 0, 0], (255 - np.array(spec.mean)) / np.array(spec.std)
  )
