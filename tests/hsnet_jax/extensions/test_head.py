import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import PUBLISHED, Head
from hsnet_jax.extensions.prior import both_prototypes, prior_margin, prototype_cosines
from hsnet_jax.inference import encode_support, match_shots, predict_episodes
from hsnet_jax.model import HSNet
from hsnet_jax.models import check_variables, network
from hsnet_jax.training.state import init_params
from hsnet_jax.weights.convert import from_torch, to_torch
from tests.made import SMALL, assert_close, averages, normal

LEVELS = (2, 6, 5)
TWO = averages((2, 1), stride=8, name='two')
WHOLE = Head(prior=True, skip=True, correlated_levels=1)


def test_levels_are_divided():
  maps = tuple(range(13))
  assert PUBLISHED.correlated(LEVELS) == LEVELS and PUBLISHED.matched(maps, LEVELS) == maps
  assert PUBLISHED.skipped(maps, LEVELS) == ()
  two = Head(skip=True, correlated_levels=2)
  assert two.correlated(LEVELS) == (6, 5) and two.matched(maps, LEVELS) == maps[2:]
  assert two.skipped(maps, LEVELS) == (0, 1)
  assert WHOLE.matched(maps, LEVELS) == maps[8:] and WHOLE.skipped(maps, LEVELS) == maps[2:8]


@pytest.mark.parametrize(
  'head', [Head(correlated_levels=4), Head(correlated_levels=0), Head(skip=True)], ids=str
)
def test_what_does_not_fit_is_named(head):
  with pytest.raises(InputError, match='correlated_levels'):
    head.correlated(LEVELS)


def made(head, backbone=TWO, seed=0):
  model = HSNet(backbone, head=head)
  key = jax.random.key(seed)
  return model, {'params': init_params(key, model), 'backbone': backbone.init(key)}


def disturbed(params):
  """As after some training: no two numbers are the same, and none is 0."""
  return jax.tree.map(
    lambda x: x + 0.02 * jnp.cos(jnp.arange(x.size) + 1.0).reshape(x.shape), params
  )


def episodes(shots=1):
  query, supports = normal((2, 32, 32, 3), (2, shots, 32, 32, 3), seed=1)
  masks = np.zeros((2, shots, 32, 32), np.float32)
  masks[:, :, :24, :20] = 1
  return query, supports, masks


def test_it_starts_as_its_prior():
  """And with an empty correction: of the last convolution nothing is drawn."""
  model, variables = made(WHOLE)
  query, supports, masks = episodes()
  predict = jax.jit(predict_episodes, static_argnums=0, static_argnames='output_size')
  logits = predict(model, variables, query, supports, masks, output_size=(4, 4))[0]
  q, s = (model.apply(variables, x, method='encode') for x in (query, supports[:, 0]))
  cosines = prototype_cosines(q[2:], both_prototypes(s[2:], masks[:, 0]))
  expected = 15 * (prior_margin(cosines, levels=(1,), size=(4, 4)) - 0.05)
  np.testing.assert_allclose(logits[..., 1], expected, atol=1e-5)
  assert not logits[..., 0].any()


@pytest.mark.heavy
@pytest.mark.parametrize(
  'head', [pytest.param(Head(prior=True), marks=pytest.mark.heavy), WHOLE], ids=str
)
def test_every_parameter_has_a_gradient(head):
  model, variables = made(head)
  params = disturbed(variables['params'])
  query, supports, masks = episodes()

  @jax.jit
  @jax.grad
  def gradient(params):
    logits = predict_episodes(model, {**variables, 'params': params}, query, supports, masks)
    return jnp.mean(jnp.square(logits[..., 1] - logits[..., 0]))

  for path, leaf in jax.tree.leaves_with_path(gradient(params)):
    assert np.isfinite(leaf).all() and leaf.any(), jax.tree_util.keystr(path)


@pytest.mark.heavy
def test_supports_encoded_once_give_what_episodes_give():
  model, variables = made(WHOLE)
  variables = {**variables, 'params': disturbed(variables['params'])}
  query, supports, masks = episodes(shots=2)

  @jax.jit
  def both(query, supports, masks):
    support_set = encode_support(model, variables, supports[0], masks[0])
    features = model.apply(variables, query[:1], method='encode')
    found = match_shots(model, variables, features, support_set, output_size=(4, 4))
    expected = predict_episodes(model, variables, query, supports, masks, output_size=(4, 4))
    return support_set, found, expected

  support_set, found, expected = both(query, supports, masks)
  assert [p.shape for p in support_set.prototypes] == [(2, 2, 5)]
  assert_close(found[:, 0], expected[:, 0])


@pytest.mark.heavy
def test_without_additions_nothing_is_pooled_and_nothing_drawn_otherwise():
  model, variables = made(PUBLISHED, SMALL)
  query, supports, masks = episodes()
  assert encode_support(model, variables, supports[0], masks[0]).prototypes == ()
  assert set(variables['params']['decoder']) == {'conv0', 'conv1', 'conv2', 'conv3'}
  assert variables['params']['decoder']['conv3']['kernel'].any()


@pytest.mark.parametrize('head', [Head(prior=True), WHOLE], ids=str)
def test_it_has_names_in_files_and_in_checkpoints(head):
  model, variables = made(head)
  check_variables(variables, backbone=TWO, path=pathlib.Path('c'), head=head)
  tensors = to_torch(variables, backbone=TWO, head=head)
  assert 'hpn_learner.prior.gain' in tensors
  assert_close(from_torch(tensors, backbone=TWO, head=head), variables)
  with pytest.raises(InputError, match='decoder/gain'):
    check_variables(variables, backbone=TWO, path=pathlib.Path('c'))
  config = {'backbone': 'two', **dataclasses.asdict(head)}
  assert network(config, backbone=TWO) == model
