"""What supports are masked by beside Eq. 1, by its definition and in the network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.backbones import Backbone
from hsnet_jax.correlation import Level, normalize_features
from hsnet_jax.encoder import correlation_conv4d
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import Head
from hsnet_jax.extensions.masking import hybrid_features, with_masked_pictures
from hsnet_jax.inference import encode_support, match_shots, predict_episodes
from hsnet_jax.model import HSNet
from hsnet_jax.models import network
from hsnet_jax.training.state import init_params
from tests.made import assert_close, averages, bilinear_oracle, normal, relative_error

TWO = averages((2, 1), stride=8, name='two')
ONE = averages((2,), stride=8, name='one')  # Without mixing blocks, which take long to compile.
HYBRID = Head(hybrid_masking=True)
WHOLE = Head(hybrid_masking=True, prior=True, skip=True, correlated_levels=1)
MASKS = ['empty', 'one', 'object', 'full']


@pytest.fixture(params=['plain', 'jit'])
def wrap(request):
  return {'plain': lambda f: f, 'jit': jax.jit}[request.param]


def mask_of(kind, size=(16, 12)):
  mask = np.zeros(size, np.uint8)
  if kind == 'one':
    mask[5, 6] = 1
  elif kind == 'object':
    mask[4:, 2:5] = 1
  elif kind == 'full':
    mask[:] = 1
  return mask


def masks_of_all_kinds(size=(16, 12)):
  return np.stack([mask_of(kind, size) for kind in MASKS])


def test_hybrid_features_are_those_of_the_definition(wrap):
  sizes = ((4, 4, 4, 3), (4, 2, 3, 5))
  features, blank = (tuple(normal(*sizes, seed=seed)) for seed in (0, 1))
  mask = masks_of_all_kinds()
  found = wrap(hybrid_features)(features, blank, mask)
  for x, f, b in zip(found, features, blank, strict=True):
    soft = bilinear_oracle(mask[..., None], f.shape[1:3])
    masked = soft * np.asarray(f, np.float64)
    np.testing.assert_allclose(x, np.where(masked > 0, masked, b), rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(found[0][0], blank[0][0])  # Of an empty mask.


def test_masked_pictures_are_blank_outside_of_the_object(wrap):
  (images,) = normal((4, 16, 12, 3))
  mask = masks_of_all_kinds()
  both = wrap(with_masked_pictures)(images, mask)
  np.testing.assert_array_equal(both[:4], images)
  np.testing.assert_array_equal(both[4:], images * mask[..., None])
  half = wrap(with_masked_pictures)(images, mask[:, ::2, ::2])[4:]
  soft = bilinear_oracle(mask[:, ::2, ::2, None], (16, 12))
  np.testing.assert_allclose(half, images * soft, atol=1e-5)


def made(head, backbone=ONE, **options):
  model, key = HSNet(backbone, head=head, **options), jax.random.key(0)
  params = init_params(key, model)
  params = jax.tree.map(lambda x: x + 0.02 * jnp.cos(jnp.arange(x.size)).reshape(x.shape), params)
  return model, {'params': params, 'backbone': backbone.init(key)}


def episodes(shots=2):
  query, supports = normal((2, 32, 32, 3), (2, shots, 32, 32, 3), seed=1)
  masks = np.zeros((2, shots, 32, 32), np.uint8)
  masks[:, :, 3:24, :20] = 1
  return query, supports, masks


def by_hand(model, variables, query, support, mask):
  """Logits of one shot each, by the network's parts and the definition."""
  encode = functools.partial(model.apply, variables, method='encode')
  pictures = support * mask[..., None]
  given = *encode(support), *encode(pictures)
  return model.apply(variables, encode(query), given, mask, output_size=(32, 32), method='match')


@pytest.mark.parametrize('head, backbone', [(HYBRID, ONE), (WHOLE, TWO)], ids=['alone', 'whole'])
def test_every_way_to_logits_is_the_same(head, backbone):
  """Episodes, supports encoded once, the module itself, and what the definition says."""
  model, variables = made(head, backbone)
  query, supports, masks = episodes()

  @jax.jit
  def run(query, supports, masks):
    of_episodes = predict_episodes(model, variables, query, supports, masks)
    support_set = encode_support(model, variables, supports[0], masks[0])
    features = model.apply(variables, query[:1], method='encode')
    once = match_shots(model, variables, features, support_set, output_size=(32, 32))
    called = model.apply(variables, query, supports[:, 0], masks[:, 0])
    hand = [by_hand(model, variables, query, supports[:, k], masks[:, k]) for k in range(2)]
    return of_episodes, once, called, jnp.stack(hand)

  of_episodes, once, called, hand = run(query, supports, masks)
  assert_close(of_episodes, hand)
  assert_close(once[:, 0], hand[:, 0])
  assert_close(called, hand[0])


def test_a_mask_that_covers_the_picture_hides_nothing():
  """Then the masked picture is the picture, and Eq. 1 leaves features as they are."""
  model, variables = made(HYBRID)
  query, supports, masks = episodes(shots=1)
  masks[0] = 1
  hybrid, published = (
    jax.jit(predict_episodes, static_argnums=0)(m, variables, query, supports, masks)[0]
    for m in (model, model.clone(head=Head()))
  )
  assert_close(hybrid[0], published[0])
  assert relative_error(hybrid[1], published[1]) > 1e-3  # Of a mask that does not.


def test_logits_and_gradients_are_finite():
  model, variables = made(HYBRID)
  query, supports = normal((4, 32, 32, 3), (4, 1, 32, 32, 3), seed=1)
  masks = masks_of_all_kinds((32, 32))[:, None]

  @jax.jit
  @jax.value_and_grad
  def loss(params):
    held = {**variables, 'params': params}
    return jnp.mean(jnp.square(predict_episodes(model, held, query, supports, masks)))

  assert all(np.isfinite(x).all() for x in jax.tree.leaves(loss(variables['params'])))


def test_the_backbone_sees_all_pictures_at_once():
  seen = []

  def apply(weights, images, **options):
    seen.append(len(images))
    return TWO.apply(weights, images, **options)

  backbone = Backbone('two', TWO.init, apply, TWO.levels, mean=TWO.mean, std=TWO.std)
  model, variables = made(HYBRID, backbone)
  seen.clear()
  query, supports, masks = episodes(shots=3)
  jax.eval_shape(lambda *x: predict_episodes(model, variables, *x), query, supports, masks)
  assert seen == [2 + 2 * 2 * 3]


def test_in_short_numbers():
  model, variables = made(HYBRID, dtype=jnp.bfloat16)
  logits = jax.jit(predict_episodes, static_argnums=0)(model, variables, *episodes())
  exact = jax.jit(predict_episodes, static_argnums=0)(
    model.clone(dtype=None), variables, *episodes()
  )
  assert logits.dtype == jnp.float32
  np.testing.assert_allclose(logits, exact, atol=0.05 * np.abs(exact).max())


def test_the_packed_correlation_is_exact():
  """It leaves out what is zero: here little, or what is so of the masked picture as well."""
  features, blank, query = (tuple(normal((4, 9, 7, 6), (4, 9, 7, 6), seed=i)) for i in range(3))
  for rows in (0, 4):  # So many rows of the masked picture's features are zeros.
    blank = tuple(x.at[:, :rows].set(0) for x in blank)
    support = hybrid_features(features, blank, masks_of_all_kinds((9, 7)))
    level = Level(*(tuple(map(normalize_features, side)) for side in (query, support)))
    kernels = normal((3, 3, 2, 4), (3, 3, 2, 4), seed=5)
    packed, plain = (
      jax.jit(functools.partial(correlation_conv4d, stride=2, implementation=form))(level, *kernels)
      for form in ('packed', 'plain')
    )
    assert_close(packed, plain)


def test_it_is_recorded_and_needs_masks():
  model, variables = made(WHOLE, TWO)
  config = {'backbone': 'two', **dataclasses.asdict(WHOLE)}
  assert network(config, backbone=TWO) == model
  with pytest.raises(InputError, match='`hybrid_masking`.*`mask_support`'):
    HSNet(TWO, mask_support=False, head=HYBRID).apply(variables, episodes()[0], method='encode')
