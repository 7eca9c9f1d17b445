"""One batch over one, two, four and eight devices, under jit and pmap, whole and in parts."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hsnet_jax.errors import InputError
from hsnet_jax.model import HSNet
from hsnet_jax.training import TrainState, sharding, train_step
from tests import made

MODEL, SIZE, ROWS = HSNet('tiny'), (32, 32), 16
MADE = made.OneParameter('tiny')
# Five steps are compared in float64. In float32 some ReLU's input, of 300,000 a step, is 0 to
# rounding in every few steps, and its gradient passes on one device and not on eight: of 16 such
# runs, 5 on one device and 4 on eight were more than 1e-5 from float64's parameters, up to 1.3e-3,
# the others up to 3e-6. In float64 eight devices were within 4e-15 of one in each.
DOUBLE = HSNet('tiny', dtype=jnp.float64)
# In `make test`: every kind of layer, and compiled in a fraction of the time.
SMALL = HSNet(made.SMALL, dtype=jnp.float64)
# A first batch that leaves float32 no choice: every ReLU's input is 9.6e-6 or more from 0.
DECIDED = 24
COMPILED = {'jit': sharding.jit_step, 'pmap': sharding.pmap_step}


def sgd_or_adam(*, both):
  """Keeps the first gradients. Both in one program, which compiles once: the state's `adam` says
  which; or SGD alone, which compiles in half the time."""
  sgd, adam = optax.sgd(0.1), optax.adam(1e-3)

  def init(params):
    first = {'first': jax.tree.map(jnp.zeros_like, params), 'new': jnp.ones((), bool)}
    return {
      **first,
      **({'adam': jnp.zeros((), bool), 'moments': adam.init(params)} if both else {}),
    }

  def update(gradients, state, params=None):
    first = jax.tree.map(
      lambda g, kept: jnp.where(state['new'], g, kept), gradients, state['first']
    )
    updates, _ = sgd.update(gradients, sgd.init(gradients))
    state = {**state, 'first': first, 'new': jnp.zeros((), bool)}
    if both:
      adams, moments = adam.update(gradients, state['moments'])
      updates = jax.tree.map(lambda a, s: jnp.where(state['adam'], a, s), adams, updates)
      state = {**state, 'moments': moments}
    return updates, state

  return optax.GradientTransformation(init, update)


def make_batch(valid=(1,) * ROWS, seed=0):
  rng = np.random.default_rng(seed)
  draw = functools.partial(rng.integers, dtype=np.uint8)
  rows = len(valid)
  return {
    'query_image': draw(0, 256, (rows, *SIZE, 3)),
    'query_mask': draw(0, 2, (rows, *SIZE)),
    'query_ignore': draw(0, 2, (rows, *SIZE)),
    'support_images': draw(0, 256, (rows, 1, *SIZE, 3)),
    'support_masks': draw(0, 2, (rows, 1, *SIZE)),
    'class_id': np.arange(rows, dtype=np.int32),
    'valid': np.array(valid, bool),
  }


def compiled(kind, count, *, accumulate=1):
  mesh = sharding.data_mesh(devices=jax.devices()[:count])
  step = COMPILED[kind](functools.partial(train_step, accumulate=accumulate), mesh)
  if kind == 'pmap':
    return step, lambda state: state
  return step, lambda state: jax.device_put(state, sharding.replicated(mesh))


def fake_loss(w, batch):
  """The loss of `OneParameter` in float64, written out: every valid row weighs alike."""
  query, support = (
    (batch[name].astype(np.float64).mean(-1) - 127.5) / 64
    for name in ('query_image', 'support_images')
  )
  margin = w * (query + support[:, 0] * batch['support_masks'][:, 0])
  sign = np.where(batch['query_mask'] == 1, -1, 1)
  return np.logaddexp(0, sign * margin)[batch['valid']].mean()


@pytest.mark.parametrize(
  'kind, count, accumulate, more',
  [
    *itertools.product(COMPILED, [1, 2, 4, 8], [1, 2], [0]),
    ('jit', 1, 4, 4),  # Four parts of five.
  ],
)
def test_rows_weigh_the_same_wherever_they_are(kind, count, accumulate, more):
  """The slope by finite differences: a wrong weight of devices, parts or padding would show."""
  batch = make_batch(valid=[1] * 5 + [0] * 4 + [1] * (3 + more) + [0] * 4)
  tx = optax.sgd(1.0)

  def fresh():
    params = {'w': jnp.float32(0.7)}
    return TrainState(jnp.zeros((), jnp.int32), params, tx.init(params), {}, MADE, tx)

  step, place = compiled(kind, count, accumulate=accumulate)
  state, metrics = step(place(fresh()), batch)
  np.testing.assert_allclose(metrics['loss'], fake_loss(0.7, batch), rtol=1e-5)
  slope = (fake_loss(0.7 + 1e-4, batch) - fake_loss(0.7 - 1e-4, batch)) / 2e-4
  np.testing.assert_allclose(0.7 - state.params['w'], slope, rtol=1e-3)
  # Figures keep to their rows: those of one device, but for a pixel or two on the boundary.
  alone = train_step(fresh(), jax.tree.map(jnp.asarray, batch))[1]
  for name in ('class_id', 'valid'):
    np.testing.assert_array_equal(metrics[name], alone[name])
  np.testing.assert_allclose(metrics['counts'], alone['counts'], rtol=0, atol=3)
  np.testing.assert_array_equal(np.sum(metrics['counts'], 1), np.sum(alone['counts'], 1))


def pytest_generate_tests(metafunc):
  """Eight devices; with --wide both kinds and every number of devices, which takes minutes."""
  if 'how' in metafunc.fixturenames:
    hows = [('jit', 8)]
    if metafunc.config.getoption('wide'):
      hows = [(kind, n) for kind in COMPILED for n in (1, 2, 4, 8)][1:]
    metafunc.parametrize('how', hows, ids=[f'{kind}{n}' for kind, n in hows])


@pytest.fixture(scope='module')
def runs():
  """Losses of the steps, the first gradients and the parameters after, by what ran them."""
  whole, alone = sgd_or_adam(both=True), sgd_or_adam(both=False)

  @functools.cache
  def program(kind, count, accumulate):
    return compiled(kind, count, accumulate=accumulate)

  @functools.cache
  def run(kind, count, *, model=DOUBLE, seeds=range(5), adam=False, accumulate=1, rows=ROWS):
    dtype = model.dtype or jnp.float32
    variables = jax.device_get(made.variables(model.backbone))
    with jax.enable_x64(dtype == jnp.float64):
      own, frozen = (
        jax.tree.map(lambda x: jnp.array(x, dtype), variables[name])
        for name in ('params', 'backbone')
      )
      tx = alone if model is SMALL else whole
      opt_state = {**tx.init(own), **({'adam': jnp.array(adam)} if tx is whole else {})}
      state = TrainState(jnp.zeros((), jnp.int32), own, opt_state, frozen, model, tx)
      step, place = program(kind, count, accumulate)
      state, losses = place(state), []
      for seed in seeds:
        state, metrics = step(state, make_batch([1] * rows, seed=seed))
        losses.append(float(metrics['loss']))
      first, last = jax.device_get([state.opt_state['first'], state.params])
    assert all(x.dtype == dtype for x in jax.tree.leaves((first, last)))
    return losses, first, last

  return run


def relative(a, b):
  """Distance of two trees, that of the tensor that differs most."""
  far = jax.tree.map(lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(b), a, b)
  return max(jax.tree.leaves(far))


def assert_same(run, expected):
  """Losses, gradients and parameters agree to float64's rounding."""
  np.testing.assert_allclose(run[0], expected[0], rtol=1e-12)
  assert relative(run[1], expected[1]) <= 1e-12
  assert relative(run[2], expected[2]) <= 1e-12


@pytest.mark.heavy  # The first test here says always how rows of several devices weigh.
@pytest.mark.parametrize('model', [SMALL, DOUBLE], ids=['small', 'tiny'])
def test_five_sgd_steps_over_devices_are_those_of_one(runs, how, model):
  assert_same(runs(*how, model=model), runs('jit', 1, model=model))


@pytest.mark.heavy  # The whole network.
def test_five_adam_steps_over_devices_are_those_of_one(runs, how):
  steps = runs(*how, adam=True)
  assert_same(steps, runs('jit', 1, adam=True))
  assert steps[0] != runs(*how)[0]


@pytest.mark.heavy  # The whole network, since the batch that decides is its.
def test_a_float32_step_over_devices_is_float64s_to_rounding(runs, how):
  losses, gradients, _ = runs(*how, model=MODEL, seeds=(DECIDED,))
  expected = runs('jit', 1, seeds=(DECIDED,))
  np.testing.assert_allclose(losses, expected[0], rtol=1e-6)
  assert relative(gradients, expected[1]) <= 1e-5


@pytest.mark.wide
def test_four_parts_of_five_rows_are_a_batch_of_twenty(runs):
  assert_same(runs('jit', 1, accumulate=4, rows=20), runs('jit', 1, rows=20))


def test_what_devices_do_not_divide_is_named():
  mesh = sharding.data_mesh(devices=jax.devices()[:4])
  sharding.check_batch_size(8, mesh, accumulate=2)
  with pytest.raises(InputError, match='batch of 6 .* 4 devices.* `batch_size`=4'):
    sharding.check_batch_size(6, mesh)
  with pytest.raises(InputError, match='4 devices.* 2 parts .* 8'):
    sharding.check_batch_size(12, mesh, accumulate=2)
  with pytest.raises(ValueError, match=r'\b3\b.*\b16\b'):
    state = TrainState(jnp.zeros((), jnp.int32), {}, (), {}, MADE, optax.sgd(1.0))
    train_step(state, make_batch([1] * ROWS), accumulate=3)
