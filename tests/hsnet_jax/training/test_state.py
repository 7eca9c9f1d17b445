"""How training starts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hsnet_jax.model import HSNet
from hsnet_jax.training import create_train_state, init_params
from tests import made

MODEL = HSNet('tiny')


@pytest.fixture(scope='module')
def initial():
  variables = jax.device_get(made.variables('tiny'))
  return variables['params'], variables['backbone']


def test_initial_values_are_pytorchs():
  """Uniform within 1/sqrt(fan_in) for weights and biases; group norm 1 and 0."""
  params = init_params(jax.random.key(0), MODEL)
  layers = [('decoder', layer) for layer in params['decoder'].values()]
  for block in params['encoder'].values():
    layers += [(n, layer) for n, layer in block.items()]
  assert len(layers) == 4 + 5 * 6
  seen = []
  for kind, layer in layers:
    if kind.startswith('norm'):
      assert (layer['scale'] == 1).all() and (layer['bias'] == 0).all()
      continue
    (height, width, channels, _), *_ = (a.shape for n, a in layer.items() if 'kernel' in n)
    bound = (height * width * channels) ** -0.5
    for leaf in layer.values():
      assert leaf.dtype == jnp.float32
      assert np.abs(leaf).max() <= bound * (1 + 1e-6)
      if leaf.size > 1000:
        assert np.abs(leaf).max() > 0.99 * bound
        np.testing.assert_allclose(leaf.std(), bound / 3**0.5, rtol=0.1)
        assert abs(leaf.mean()) < 0.1 * bound
      seen.append(np.asarray(leaf).ravel()[:2] / bound)
  assert len(np.unique(np.round(seen, 6), axis=0)) == len(seen), 'two layers share their draw'


def test_initial_values_can_be_traced():
  params = jax.eval_shape(functools.partial(init_params, model=MODEL), jax.random.key(0))
  expected = init_params(jax.random.key(0), MODEL)
  assert params == jax.eval_shape(lambda: expected)


def test_initial_values_follow_the_key(initial):
  backbone, kernels = initial[1], []
  for seed in (0, 0, 1):
    state = create_train_state(
      jax.random.key(seed), model=MODEL, backbone=backbone, tx=optax.sgd(1)
    )
    kernels.append(state.params['decoder']['conv0']['kernel'])
  np.testing.assert_array_equal(kernels[0], kernels[1])
  assert (kernels[0] != kernels[2]).mean() > 0.99
  assert state.step == 0
  assert state.variables.keys() == {'params', 'backbone'}
  jax.tree.map(np.testing.assert_array_equal, state.backbone, backbone)
