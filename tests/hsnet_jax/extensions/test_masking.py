"""What supports are masked by beside Eq. 1, by its definition and in the network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.backbones import Backbone
from hsnet_jax.correlation import Level, correlate, mask_features, normalize_features
from hsnet_jax.encoder import correlation_conv4d
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.head import Head
from hsnet_jax.extensions.masking import (
  hybrid_features,
  subtract_background,
  with_masked_pictures,
)
from hsnet_jax.inference import encode_support, match_shots, predict_episodes
from hsnet_jax.model import HSNet
from hsnet_jax.models import network
from hsnet_jax.training.state import init_params
from tests.made import assert_close, averages, bilinear_oracle, normal, relative_error

pytestmark = pytest.mark.heavy

TWO = averages((2, 1), stride=8, name='two')
ONE = averages((2,), stride=8, name='one')  # Without mixing blocks, which take long to compile.
HYBRID = Head(hybrid_masking=True)
BACKGROUND = Head(background_correlation=True)
WHOLE = Head(
  hybrid_masking=True, background_correlation=True, prior=True, skip=True, correlated_levels=1
)
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


def correlation_oracle(query, feature, mask, eps=1e-5):
  """The equation, a support position at a time, in float64."""

  def unit(x):
    x = np.asarray(x, np.float64)
    return x / (np.linalg.norm(x, axis=-1, keepdims=True) + eps)

  soft = bilinear_oracle(mask[..., None], feature.shape[1:3])[..., 0]
  q, s, b = unit(query), unit(soft[..., None] * feature), unit(feature)
  found = np.zeros((*q.shape[:3], *s.shape[1:3]))
  for n, i, j in np.ndindex(*s.shape[:3]):
    weight = 1 - soft[n]
    cosines = np.einsum('hwc,ijc->hwij', q[n], b[n])
    mean = (weight * cosines).sum((2, 3)) / weight.sum() if weight.sum() else 0
    if soft[n, i, j]:
      found[n, :, :, i, j] = np.maximum(q[n] @ s[n, i, j] - mean, 0)
  return found


def test_the_background_is_subtracted_as_the_equation_says(wrap):
  (query, *features), mask = normal((4, 2, 3, 6), (4, 4, 3, 6), (4, 2, 5, 6)), masks_of_all_kinds()

  @wrap
  def run(query, features, mask):
    masked = tuple(map(normalize_features, mask_features(features, mask)))
    support = subtract_background(masked, features, mask)
    return masked, support, [correlate(normalize_features(query), s) for s in support]

  masked, support, found = run(query, tuple(features), mask)
  for s, less, f, x in zip(masked, support, features, found, strict=True):
    np.testing.assert_allclose(x, correlation_oracle(query, f, mask), atol=1e-5)
    np.testing.assert_array_equal(less[3], s[3])  # There is no background.
    assert not less[0].any()  # There is no object.
    np.testing.assert_array_equal(np.any(less, -1), np.any(s, -1))


def test_zeros_have_gradients():
  def total(f):
    mask = np.tile(mask_of('object', (4, 3)), (2, 1, 1))
    masked = tuple(map(normalize_features, mask_features((f,), mask)))
    return jnp.sum(subtract_background(masked, (f,), mask)[0])

  assert np.isfinite(jax.grad(total)(jnp.zeros((2, 4, 3, 5)))).all()


def by_hand(model, variables, query, support, mask):
  """Logits of one shot each, by the network's parts and the definition."""
  encode = functools.partial(model.apply, variables, method='encode')
  pictures = support * mask[..., None]
  given = *encode(support), *(encode(pictures) if model.head.hybrid_masking else ())
  return model.apply(variables, encode(query), given, mask, output_size=(32, 32), method='match')


WAYS = [(HYBRID, ONE), (BACKGROUND, ONE), (WHOLE, TWO)]


@pytest.mark.parametrize('head, backbone', WAYS, ids=['hybrid', 'background', 'whole'])
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


@pytest.mark.parametrize('head', [HYBRID, BACKGROUND], ids=['hybrid', 'background'])
def test_a_mask_that_covers_the_picture_hides_nothing(head):
  """Then the masked picture is the picture, and there is no background."""
  model, variables = made(head)
  query, supports, masks = episodes(shots=1)
  masks[0] = 1
  hybrid, published = (
    jax.jit(predict_episodes, static_argnums=0)(m, variables, query, supports, masks)[0]
    for m in (model, model.clone(head=Head()))
  )
  assert_close(hybrid[0], published[0])
  assert relative_error(hybrid[1], published[1]) > 1e-3  # Of a mask that does not.


@pytest.mark.parametrize('head', [HYBRID, BACKGROUND], ids=['hybrid', 'background'])
def test_logits_and_gradients_are_finite(head):
  model, variables = made(head)
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
  model, variables = made(
    Head(hybrid_masking=True, background_correlation=True), dtype=jnp.bfloat16
  )
  logits = jax.jit(predict_episodes, static_argnums=0)(model, variables, *episodes())
  exact = jax.jit(predict_episodes, static_argnums=0)(
    model.clone(dtype=None), variables, *episodes()
  )
  assert logits.dtype == jnp.float32
  np.testing.assert_allclose(logits, exact, atol=0.05 * np.abs(exact).max())


@pytest.mark.parametrize('subtracted', [False, True])
def test_the_packed_correlation_is_exact(subtracted):
  """It leaves out what is zero: here little, or what is so of the masked picture as well."""
  features, blank, query = (tuple(normal((4, 9, 7, 6), (4, 9, 7, 6), seed=i)) for i in range(3))
  for rows in (0, 4):  # So many rows of the masked picture's features are zeros.
    blank = tuple(x.at[:, :rows].set(0) for x in blank)
    mask = masks_of_all_kinds((9, 7))
    support = tuple(map(normalize_features, hybrid_features(features, blank, mask)))
    if subtracted:
      support = subtract_background(support, features, mask)
    level = Level(tuple(map(normalize_features, query)), support)
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
  for head, name in ((HYBRID, 'hybrid_masking'), (BACKGROUND, 'background_correlation')):
    with pytest.raises(InputError, match=f'`{name}`.*`mask_support`'):
      HSNet(TWO, mask_support=False, head=head).apply(variables, episodes()[0], method='encode')
