import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hsnet_jax.metrics import Confusion
from hsnet_jax.model import HSNet
from hsnet_jax.training import TrainState, create_train_state, eval_step, train_step
from tests import made
from tests.made import assert_close

# Every kind of layer; the programs of the whole network are compiled in experiments/.
MODEL, MADE = HSNet(made.SMALL), made.OneParameter('tiny')
SIZE = (32, 32)


def recorder():
  """Passes gradients on and keeps them in the optimizer's state."""
  return optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params), lambda g, state, params=None: (g, g)
  )


TX = optax.chain(recorder(), optax.adam(1e-3))


def make_batch(rows=8, shots=1, valid=None, seed=0):
  rng = np.random.default_rng(seed)

  def image(*lead):
    return rng.integers(0, 256, (*lead, *SIZE, 3), np.uint8)

  def mask(*lead):
    return rng.integers(0, 2, (*lead, *SIZE), np.uint8)

  return {
    'query_image': image(rows),
    'query_mask': mask(rows),
    'query_ignore': mask(rows),
    'support_images': image(rows, shots),
    'support_masks': mask(rows, shots),
    'class_id': np.arange(rows, dtype=np.int32),
    'valid': np.ones(rows, bool) if valid is None else np.array(valid, bool),
  }


@pytest.fixture(scope='module')
def initial():
  variables = jax.device_get(made.variables(made.SMALL))
  return variables['params'], variables['backbone']


@pytest.fixture(scope='module')
def fresh(initial):
  """Makes a state at step 0 whose memory may be given away."""

  def make():
    params, backbone = jax.tree.map(jnp.array, initial)
    return TrainState(jnp.zeros((), jnp.int32), params, TX.init(params), backbone, MODEL, TX)

  return make


@pytest.fixture(scope='module')
def step():
  """The compiled step of eight rows; `step.traces` counts how often it was traced."""

  def counted(state, batch):
    run.traces += 1
    return train_step(state, batch)

  compiled = jax.jit(counted, donate_argnums=0)

  def run(state, batch):
    return compiled(state, batch)

  run.traces = 0
  return run


def test_a_step_is_adam(initial, fresh, step):
  """Adam by its formulas, two steps long, from the gradients that the step saw."""
  state, params = fresh(), initial[0]
  m = v = jax.tree.map(np.zeros_like, params)
  for t, seed in enumerate((0, 1), start=1):
    before = jax.tree.map(np.array, state.params)  # a copy: the state is given away
    state, _ = step(state, make_batch(seed=seed))
    gradients = jax.device_get(state.opt_state[0])
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, gradients)

    def adam(p, m, v, t=t):
      return p - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    expected = jax.tree.map(adam, before, m, v)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-6), state.params, expected
    )
    assert state.step == t


def test_the_backbone_is_frozen(initial, fresh, step):
  state = fresh()
  assert jax.tree.structure(state.opt_state[0]) == jax.tree.structure(state.params)
  for seed in range(2):
    state, _ = step(state, make_batch(seed=seed))
  jax.tree.map(np.testing.assert_array_equal, state.backbone, initial[1])
  changed = jax.tree.map(lambda a, b: bool((np.asarray(a) != b).any()), state.params, initial[0])
  assert all(jax.tree.leaves(changed))


def test_state_is_donated(fresh, step):
  state = fresh()
  step(state, make_batch())
  _, adam = state.opt_state
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, adam)))


def test_padding_rows_change_nothing(fresh, step):
  """Whatever fills the rows that are not valid."""
  valid = [True] * 5 + [False] * 3
  batch, other = make_batch(valid=valid), make_batch(seed=9, valid=valid)
  for name, value in other.items():
    value[:5] = batch[name][:5]
  (state, metrics), (other_state, other_metrics) = (step(fresh(), b) for b in (batch, other))
  assert_close(state.opt_state[0], other_state.opt_state[0], 1e-6)
  np.testing.assert_allclose(metrics['loss'], other_metrics['loss'], rtol=1e-6)
  np.testing.assert_array_equal(metrics['valid'], valid)


def test_a_batch_of_padding_alone(fresh, step):
  state, metrics = step(fresh(), make_batch(valid=[False] * 8))
  assert metrics['loss'] == 0
  assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(state.opt_state[0]))


def test_an_epoch_is_traced_once(fresh, step):
  """Full batches, then the last one with its padding."""
  state = fresh()
  for i, valid in enumerate([[True] * 8, [True] * 8, [True] * 3 + [False] * 5]):
    state, _ = step(state, make_batch(seed=i, valid=valid))
  assert step.traces == 1
  assert state.step == 3 and state.step.dtype == jnp.int32


def test_a_new_state_is_traced_for_once(initial):
  """Shapes, dtypes and weak types of a new state are those that a step returns."""
  state = create_train_state(jax.random.key(0), model=MODEL, backbone=initial[1])
  after = jax.eval_shape(lambda *a: jax.tree.leaves(train_step(*a)[0]), state, make_batch())
  for old, new in zip(map(jax.typeof, jax.tree.leaves(state)), after, strict=True):
    assert (old.shape, old.dtype, old.weak_type) == (new.shape, new.dtype, new.weak_type)


def test_a_step_moves_nothing_between_host_and_device(fresh, step):
  state, _ = step(fresh(), make_batch())
  batch = jax.device_put(make_batch(seed=1))
  with jax.transfer_guard('disallow'):
    step(state, batch)


def test_metrics(fresh, step):
  batch = make_batch(valid=[True] * 7 + [False])
  _, metrics = step(fresh(), batch)
  assert metrics['counts'].shape == (8, 4) and metrics['counts'].dtype == jnp.int32
  kept = (batch['query_ignore'] == 0).sum((1, 2))
  np.testing.assert_array_equal(metrics['counts'].sum(1), kept)
  foreground = (batch['query_mask'] * (1 - batch['query_ignore'])).sum((1, 2))
  np.testing.assert_array_equal(metrics['counts'][:, 0] + metrics['counts'][:, 2], foreground)
  np.testing.assert_array_equal(metrics['class_id'], batch['class_id'])
  pooled = Confusion.empty(8).update(metrics['counts'], metrics['class_id'], metrics['valid'])
  assert np.isfinite(pooled.result(classes=range(8))['miou'])


def test_the_backbone_sees_each_image_once(fresh, shots=5):
  """K shots run the query's backbone once, with the supports, in one pass."""
  calls = []
  spec = made.SMALL

  def counting(weights, images, *, precision):
    calls.append(len(images))
    return spec.apply(weights, images, precision=precision)

  model = HSNet(dataclasses.replace(spec, apply=counting))
  state, batch = fresh().replace(model=model), make_batch(rows=3, shots=shots)
  jax.eval_shape(lambda *operands: train_step(*operands)[1], state, batch)
  assert calls == [3 + 3 * shots]
  calls.clear()
  out = jax.eval_shape(functools.partial(eval_step, model=model), state.variables, batch)
  assert calls == [3 + 3 * shots]
  assert out['prediction'].shape == (3, *SIZE) and out['prediction'].dtype == jnp.uint8


def fake_state():
  params, tx = {'w': jnp.float32(0.7)}, optax.sgd(1.0)
  return TrainState(jnp.zeros((), jnp.int32), params, tx.init(params), {}, MADE, tx)


def fake_loss(w, batch):
  """The loss of `OneParameter` in float64, written out: every valid row and shot weighs alike."""
  query, supports = (
    (batch[name].astype(np.float64).mean(-1) - 127.5) / 64
    for name in ('query_image', 'support_images')
  )
  margin = w * (query[:, None] + supports * batch['support_masks'])
  sign = np.where(batch['query_mask'] == 1, -1, 1)[:, None]
  return np.logaddexp(0, sign * margin)[batch['valid']].mean()


def assert_is_gradient_step(loss, w, batch):
  np.testing.assert_allclose(loss, fake_loss(0.7, batch), rtol=1e-5)
  slope = (fake_loss(0.7 + 1e-4, batch) - fake_loss(0.7 - 1e-4, batch)) / 2e-4
  np.testing.assert_allclose(0.7 - w, slope, rtol=1e-3)


@pytest.mark.heavy
@pytest.mark.parametrize('shots', [1, 4])
def test_rows_and_shots_weigh_the_same(shots):
  """The loss of K shots is the mean of their own; an ignore region is background."""
  batch = make_batch(rows=3, shots=shots, valid=[True, True, False])
  state, metrics = train_step(fake_state(), jax.tree.map(jnp.asarray, batch))
  assert_is_gradient_step(metrics['loss'], state.params['w'], batch)


def test_evaluation_counts_its_prediction():
  batch = make_batch(rows=3, shots=2)
  variables = {'params': {'w': jnp.float32(1)}}
  out = eval_step(variables, jax.tree.map(jnp.asarray, batch), model=MADE)
  prediction, keep = np.asarray(out['prediction']), batch['query_ignore'] == 0
  target = batch['query_mask']
  cells = [prediction & target, prediction & ~target & 1, target & ~prediction & 1]
  for i, cell in enumerate(cells):
    np.testing.assert_array_equal(out['counts'][:, i], (cell * keep).sum((1, 2)))
  np.testing.assert_array_equal(out['counts'].sum(1), keep.sum((1, 2)))
  np.testing.assert_array_equal(out['histogram'].sum((1, 2)), keep.sum((1, 2)))
  np.testing.assert_array_equal(out['histogram'][:, 1].sum(1), (target * keep).sum((1, 2)))


def test_the_foreground_may_weigh_more():
  batch = make_batch(rows=3, shots=2)
  batch['valid'][:] = True
  losses = {}
  for weight in (1.0, 3.0):
    metrics = train_step(fake_state(), jax.tree.map(jnp.asarray, batch), foreground_weight=weight)[
      1
    ]
    losses[weight] = float(metrics['loss'])
  batch['query_mask'][:] = 0
  without = jax.tree.map(jnp.asarray, batch)
  # Nothing is foreground then, and there is nothing to weigh.
  alike = [
    float(train_step(fake_state(), without, foreground_weight=w)[1]['loss']) for w in (1.0, 3.0)
  ]
  assert losses[3.0] > 1.2 * losses[1.0] and alike[0] == alike[1]


def test_further_losses_may_be_added():
  batch = jax.tree.map(jnp.asarray, make_batch(rows=3, shots=2))

  def loss(**options):
    return float(train_step(fake_state(), batch, **options)[1]['loss'])

  alone = loss()
  assert loss(boundary_weight=1.0, dice=0.0) == alone
  assert loss(boundary_weight=0.5) < alone
  one, two = loss(dice=1.0) - alone, loss(dice=2.0) - alone
  assert 0 < one < 1
  np.testing.assert_allclose(two, 2 * one, rtol=1e-4)


def test_pixels_may_be_left_out_of_the_loss():
  """Those marked 2 alone: others of `query_ignore` stay background, as published."""
  plain = make_batch(rows=3, shots=2)
  left_out = np.random.default_rng(0).random(plain['query_mask'].shape) < 0.5
  batch = {**plain, 'query_ignore': np.where(left_out, np.uint8(2), plain['query_ignore'])}

  def step(batch, **options):
    return train_step(fake_state(), jax.tree.map(jnp.asarray, batch), **options)

  def ends(batch, **options):
    state, metrics = step(batch, **options)
    return np.array([metrics['loss'], state.params['w']])

  np.testing.assert_array_equal(ends(batch), ends(plain))
  np.testing.assert_allclose(ends(plain, ignore=True), ends(plain), rtol=1e-5)
  # The others may be anything: the mean is over what is left of each image.
  other = {**batch, 'query_mask': np.where(left_out, 1 - batch['query_mask'], batch['query_mask'])}
  np.testing.assert_array_equal(ends(other, ignore=True), ends(batch, ignore=True))
  assert ends(other)[0] != ends(batch)[0] != ends(batch, ignore=True)[0]
  nothing = {**batch, 'query_ignore': np.full_like(batch['query_ignore'], 2)}
  state, metrics = step(nothing, ignore=True)
  assert metrics['loss'] == 0 and state.params['w'] == fake_state().params['w']
