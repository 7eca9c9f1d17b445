"""How the tiny backbone is trained: loss, statistics, optimizer, batches."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.shapes.lessons import draw_lessons
from experiments.tiny_backbone import TinyConfig, steps, train_tiny
from experiments.tiny_backbone.run import mixed_batch
from hsnet_jax.backbones import tiny
from hsnet_jax.errors import InputError
from hsnet_jax.kernels.conv2d import conv2d
from hsnet_jax.training import normalize
from hsnet_jax.weights.convert import load_backbone


@pytest.fixture(scope='module')
def lessons():
  return draw_lessons(2, plain=False, num_classes=6)


class TwoLayers:
  """In place of the backbone's file: two of its layers, which compile in a fraction of the time."""

  @staticmethod
  def init(key):
    weights = tiny.init(key)
    width = weights['conv1']['kernel'].shape[3]
    conv = {'kernel': jax.random.normal(key, (3, 3, width, 16)) / 8}
    norm = {name: jnp.full(16, name in ('scale', 'var'), float) for name in weights['bn1']}
    return {'conv1': weights['conv1'], 'bn1': weights['bn1'], 'conv2': conv, 'bn2': norm}

  @staticmethod
  def apply(weights, x, *, conv_norm=None):
    conv_norm, features = conv_norm or steps.batch_norm(), []
    for layer, stride in ((1, 4), (2, 2)):
      x = jax.nn.relu(conv_norm(x, weights[f'conv{layer}'], weights[f'bn{layer}'], stride=stride))
      features.append(x)
    return tuple(features)


@pytest.mark.heavy  # Twelve steps.
@pytest.mark.parametrize('backbone, maps', [(TwoLayers, 2), (tiny, 6)], ids=['two layers', 'tiny'])
def test_the_loss_falls_on_a_fixed_batch(lessons, monkeypatch, backbone, maps):
  monkeypatch.setattr(steps, 'tiny', backbone)
  params = jax.jit(functools.partial(steps.init, num_classes=6))(jax.random.key(0))
  optimizer = steps.make_optimizer(12)
  opt_state = optimizer.init(params)

  @jax.jit
  def step(params, opt_state):
    grads, figures = jax.grad(steps.loss, has_aux=True)(params, jax.random.key(1), lessons)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return jax.tree.map(jnp.add, params, updates), opt_state, figures

  losses = []
  for _ in range(12):
    params, opt_state, figures = step(params, opt_state)
    losses.append(float(figures['loss']))
  assert np.isfinite(losses).all()
  assert losses[-1] < 0.9 * losses[0]
  assert figures['accuracy'].shape == (maps,)


@pytest.mark.heavy  # Compiles every operation by itself.
def test_stored_statistics_give_what_the_batchs_own_gave(lessons):
  weights = tiny.init(jax.random.key(0))
  moments = steps.mean_moments(weights, [lessons.image])
  stored = steps.with_moments(weights, moments)
  assert not weights['bn1']['mean'].any()  # The given tree stays as it was.
  x = normalize(jnp.asarray(lessons.image), 'tiny')
  expected = tiny.apply(weights, x, conv_norm=steps.batch_norm())
  for a, b in zip(tiny.apply(stored, x), expected, strict=True):
    np.testing.assert_allclose(a, b, atol=2e-4 * float(jnp.abs(b).max()))


@pytest.mark.heavy
def test_strided_convolutions_of_training_are_the_backbones():
  x = jax.random.normal(jax.random.key(0), (2, 12, 20, 3))
  for size, stride in ((7, 4), (3, 2)):
    kernel = jax.random.normal(jax.random.key(1), (size, size, 3, 5))
    np.testing.assert_allclose(
      steps.convolve(x, kernel, stride),
      conv2d(x, kernel, stride=stride),
      atol=1e-4,
    )


@pytest.mark.heavy
@pytest.mark.parametrize('shape', [(3, 3, 8, 16), (1, 1, 4, 32)])
def test_orthogonalized_updates_have_even_singular_values(shape):
  update = steps.orthogonalize(jax.random.normal(jax.random.key(0), shape))
  tall, wide = sorted((np.prod(shape[:3]), shape[3]), reverse=True)
  values = np.linalg.svd(np.asarray(update).reshape(-1, shape[3]), compute_uv=False)
  values = values / np.sqrt(tall / wide)
  assert update.shape == shape
  assert 0.5 < values.min() and values.max() < 1.4


def test_batches_mix_plain_and_full_pictures(lessons):
  plain = lessons._replace(image=np.zeros_like(lessons.image))
  rng = np.random.RandomState(0)
  for share, expected in ((1.0, 6), (0.0, 0)):
    batch = mixed_batch(rng, plain, lessons, size=6, share=share)
    assert [a.shape[0] for a in batch] == [6] * 4
    assert (~batch.image.any(axis=(1, 2, 3))).sum() == expected


@pytest.mark.parametrize(
  'values, words',
  [
    ({}, '`output`'),
    ({'output': 'a.npz'}, '`output`=a.npz'),
    ({'output': 'a.safetensors', 'image_size': 100}, '`image_size`=100'),
  ],
)
def test_what_cannot_be_trained_is_named(values, words):
  with pytest.raises(InputError, match=words):
    train_tiny(TinyConfig(**values))


@pytest.mark.wide
def test_a_few_steps_leave_weights_that_load(tmp_path):
  path = tmp_path / 'tiny.safetensors'
  config = TinyConfig(
    output=str(path), steps=2, batch_size=2, plain_images=2, images=2, classes=4, image_size=64
  )
  assert train_tiny(dataclasses.replace(config, processes=0)) == path
  weights = load_backbone('tiny', path=path)
  expected = jax.eval_shape(tiny.init, jax.random.key(0))
  assert jax.tree.map(jnp.shape, weights) == jax.tree.map(lambda leaf: leaf.shape, expected)
