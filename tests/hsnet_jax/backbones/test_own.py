"""A researcher's own backbone is passed as it is: any number of levels, errors in words."""

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.backbones.backbone import takes_keyword
from hsnet_jax.encoder import mixing, squeezing
from hsnet_jax.errors import InputError
from hsnet_jax.models import load_model
from hsnet_jax.weights import save_backbone
from tests.made import averages

CHANNELS = 5
pooled = functools.partial(averages, channels=CHANNELS, name='own')


def batch(rows=2, size=16):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (rows, size, size, 3), np.uint8)
  mask = rng.integers(0, 2, (rows, size, size), np.uint8)
  return {
    'query_image': image,
    'query_mask': mask,
    'query_ignore': np.zeros_like(mask),
    'support_images': image[:, None, ::-1],
    'support_masks': mask[:, None, ::-1],
    'class_id': np.arange(rows),
    'valid': np.ones(rows, bool),
  }


@pytest.mark.heavy
@pytest.mark.parametrize(
  'levels', [(3,), (1, 2), pytest.param((2, 1, 1, 1), marks=pytest.mark.heavy)], ids=str
)
def test_any_number_of_levels_fits_together(levels):
  backbone = pooled(levels, stride=1)
  model, frozen = hs.HSNet(backbone), backbone.init(jax.random.key(1))
  state = hs.create_train_state(jax.random.key(0), model=model, backbone=frozen)
  names = {row.name for row in squeezing(len(levels))} | {*mixing(len(levels))}
  assert {*state.params['encoder']} == names and len(names) == 2 * len(levels) - 1
  drawn = jax.eval_shape(
    model.init, jax.random.key(0), *[jnp.zeros((1, 16, 16, 3))] * 2, jnp.zeros((1, 16, 16))
  )
  assert jax.tree.map(jnp.shape, state.variables) == jax.tree.map(jnp.shape, dict(drawn))
  after = jax.eval_shape(lambda *a: hs.train_step(*a)[0].params, state, batch())
  assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state.params)
  logits = jax.eval_shape(lambda v: hs.episode_logits(model, v, batch()), state.variables)
  assert logits.shape == (1, 2, 16, 16, 2)
  scores = jax.jit(functools.partial(hs.episode_scores, model))(state.variables, batch())
  assert scores.shape == (2, 16, 16) and np.abs(scores).max() <= 1 + 1e-6


@pytest.mark.heavy
def test_one_level_trains():
  backbone = pooled((3,))
  state = hs.create_train_state(
    jax.random.key(0), model=hs.HSNet(backbone), backbone=backbone.init(jax.random.key(1))
  )
  after, metrics = jax.jit(hs.train_step)(state, batch())
  assert np.isfinite(metrics['loss'])
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), after.params, state.params)
  assert np.mean(jax.tree.leaves(moved)) > 0.9


def test_three_levels_are_the_published_blocks():
  assert [tuple(row) for row in squeezing(3)] == [
    ('squeeze4', (3, 3, 3), (2, 2, 2)),
    ('squeeze3', (5, 3, 3), (4, 2, 2)),
    ('squeeze2', (5, 5, 3), (4, 4, 2)),
  ]
  assert mixing(3) == ('mix4to3', 'mix3to2')


def test_pixels_are_normalized_by_its_own_mean():
  images = np.full((1, 2, 2, 3), 200, np.uint8)
  np.testing.assert_allclose(hs.normalize(images, pooled((1,)))[0, 0, 0], (2, 1.5, 80 / 70))


def test_equal_descriptions_are_one_model():
  """A compiled function takes the model as static: what is equal is not compiled again."""
  backbone = pooled((1, 1))
  assert hs.get_backbone(backbone) is backbone
  same = dataclasses.replace(backbone, levels=[1, 1])
  assert same == backbone and hash(hs.HSNet(same)) == hash(hs.HSNet(backbone))
  assert hs.HSNet(same) == hs.HSNet(backbone)


def test_weights_convert_and_load(tmp_path):
  backbone = pooled((1, 1))
  weights = backbone.init(jax.random.key(0))
  save_backbone(tmp_path / 'own.safetensors', weights, name=backbone)
  loaded = hs.load_backbone(backbone, path=tmp_path)
  jax.tree.map(np.testing.assert_array_equal, loaded, weights)
  state = hs.create_train_state(jax.random.key(0), model=hs.HSNet(backbone), backbone=weights)
  named = hs.to_torch(state.variables, backbone=backbone)
  assert 'hpn_learner.encoder_layer3to2.0.conv1.weight' in named
  back = hs.from_torch(named, backbone=backbone)
  jax.tree.map(np.testing.assert_array_equal, back, state.variables)


def test_a_checkpoint_of_it_loads(tmp_path):
  from hsnet_jax.checkpoints import save_checkpoint

  backbone = pooled((1,))
  weights = backbone.init(jax.random.key(0))
  state = hs.create_train_state(jax.random.key(0), model=hs.HSNet(backbone), backbone=weights)
  save_checkpoint(tmp_path / 'c', state.variables, config={'backbone': backbone.name})
  model = load_model(tmp_path / 'c', backbone=backbone)
  assert model.module == hs.HSNet(backbone) and model.backbone is backbone
  jax.tree.map(np.testing.assert_array_equal, model.variables, state.variables)
  with pytest.raises(InputError, match=r"c: .*'own'.*resnet50.*backbone=Backbone\("):
    load_model(tmp_path / 'c')


def test_a_backbone_without_weights_needs_none():
  def apply(weights, images, *, precision):
    return (images[:, ::2, ::2],)

  model = hs.HSNet(hs.Backbone('pixels', lambda key: {}, apply, (1,)))
  images, mask = jnp.ones((1, 16, 16, 3)), jnp.ones((1, 16, 16))

  def run(key):
    variables = model.init(key, images, images, mask)
    return model.apply(variables, images, images, mask)

  assert jax.eval_shape(run, jax.random.key(0)).shape == (1, 16, 16, 2)


def encode(backbone, variables=None, **options):
  shapes = jnp.zeros((1, 16, 16, 3))
  if variables is None:
    variables = {'backbone': backbone.init(jax.random.key(0))}
  model = hs.HSNet(backbone, **options)
  return jax.eval_shape(lambda v: model.apply(v, shapes, method='encode'), variables)


def test_kernels_are_chosen_in_the_network_alone_where_apply_has_none():
  maps = encode(pooled((2, 1)), implementation='plain')
  assert [f.shape for f in maps] == [(1, 8, 8, CHANNELS)] * 2 + [(1, 4, 4, CHANNELS)]


def test_kernels_are_chosen_in_an_apply_that_takes_it():
  asked = []

  def apply(weights, images, *, precision='highest', implementation='auto'):
    asked.append(implementation)
    return (images[:, ::2, ::2],)

  backbone = hs.Backbone('pixels', lambda key: {}, apply, (1,))
  for implementation in ('auto', 'plain'):
    encode(backbone, implementation=implementation)
  assert asked == ['auto', 'plain']


def test_a_keyword_is_taken_by_name_or_with_all_others():
  assert takes_keyword(lambda x, *, precision: x, 'precision')
  assert takes_keyword(lambda x, **options: x, 'precision')
  assert not takes_keyword(lambda x: x, 'precision')


def described(**wrong):
  """A description with values of other types, which the tests' own checks refuse to a call."""
  backbone = pooled((1,))
  for name, value in wrong.items():
    object.__setattr__(backbone, name, value)
  backbone.__post_init__()


@pytest.mark.parametrize(
  ('wrong', 'facts'),
  [
    # Without the wrapper by which the tests refuse what is no name.
    (lambda: inspect.unwrap(hs.get_backbone)(batch), 'function.*resnet50.*Backbone'),
    (lambda: pooled(()), 'own.*levels'),
    (lambda: pooled((2, 0)), r'own.*levels.*\(2, 0\)'),
    (lambda: hs.Backbone('own', lambda key: {}, lambda w, x: x, (1,)), 'own.*apply.*precision'),
    (lambda: dataclasses.replace(pooled((1,)), mean=(1.0, 2.0)), 'own.*mean.*3'),
    (lambda: described(mean=127.5), 'own.*`mean`.*127.5.* 3 '),
    (lambda: described(levels=3), 'own.*`levels`.* 3;'),
    (lambda: described(apply=None), 'own.*`apply`.*None'),
    (lambda: described(init=None), 'own.*`init`.*None'),
    (
      lambda: encode(dataclasses.replace(pooled((1, 2)), levels=(2, 1))),
      r'own.*level 1 .*\(2, 1\).*8 x 8, 4 x 4',
    ),
    (lambda: encode(dataclasses.replace(pooled((2, 2)), levels=(2, 1))), r'own.*4 .*\(2, 1\)'),
    (lambda: encode(pooled((1,)), {'params': {}}), "own.*'backbone'"),
    (lambda: hs.load_backbone(pooled((1,))), 'own.*backbone_weights.*own.safetensors'),
  ],
)
def test_what_is_wrong_is_said_in_words(wrong, facts):
  with pytest.raises(InputError, match=facts) as error:
    wrong()
  assert '\n' not in str(error.value)
