"""The optimizer that options describe, its schedule and its average."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hsnet_jax as hs
from hsnet_jax.errors import InputError

PARAMS = {'w': jnp.array([1.0, -2.0, 3.0])}
GRADIENTS = {'w': jnp.array([0.5, 4.0, -1.0])}


def steps_of(tx, count=3):
  """The parameters after each of some steps with the same gradients, and the last state."""
  params, state, seen = PARAMS, tx.init(PARAMS), []
  for _ in range(count):
    updates, state = tx.update(GRADIENTS, state, params)
    params = optax.apply_updates(params, updates)
    seen.append(params)
  return seen, state


def test_without_options_make_optimizer_is_adam():
  ours, state = steps_of(hs.make_optimizer(1e-3))
  expected, expected_state = steps_of(optax.adam(1e-3))
  jax.tree.map(np.testing.assert_array_equal, ours, expected)
  assert jax.tree.structure(state) == jax.tree.structure(expected_state)


def test_options_of_make_optimizer():
  decayed, _ = steps_of(hs.make_optimizer(1e-3, weight_decay=0.1))
  expected, _ = steps_of(optax.adamw(1e-3, weight_decay=0.1))
  jax.tree.map(np.testing.assert_array_equal, decayed, expected)
  clipped, _ = steps_of(hs.make_optimizer(1e-3, clip=0.1))
  expected, _ = steps_of(optax.chain(optax.clip_by_global_norm(0.1), optax.adam(1e-3)))
  jax.tree.map(np.testing.assert_array_equal, clipped, expected)


def test_make_schedule_rises_and_falls():
  schedule = hs.make_schedule(1e-2, schedule='cosine', warmup_steps=4, last_step=12)
  rates = [float(schedule(step)) for step in range(13)]
  np.testing.assert_allclose(rates[:5], [0, 0.0025, 0.005, 0.0075, 0.01], rtol=1e-6)
  assert (np.diff(rates[4:]) < 0).all()
  assert rates[8] == pytest.approx(0.005) and rates[12] == pytest.approx(0, abs=1e-9)
  constant = hs.make_schedule(1e-2)
  assert constant(0) == constant(1000) == 1e-2


def test_schedules_that_make_no_sense_are_named():
  with pytest.raises(InputError, match='linear.*constant.*cosine'):
    hs.make_schedule(1e-3, schedule='linear')
  with pytest.raises(InputError, match='step 5 .* 5 steps.*`warmup_steps`'):
    hs.make_schedule(1e-3, schedule='cosine', warmup_steps=5, last_step=5)


@pytest.mark.parametrize('decay', [0.0, 0.5, 0.999])
def test_average_params_keeps_an_average(decay):
  """Update t weighs the past by min(decay, (1 + t) / (10 + t))."""
  tx = hs.make_optimizer(0.1, ema=decay) if decay else None
  tx = tx or optax.chain(optax.adam(0.1), hs.average_params(decay=0.0))
  seen, state = steps_of(tx, 5)
  average = np.array(PARAMS['w'], np.float64)
  for t, params in enumerate(seen):
    past = min(decay, (1 + t) / (10 + t))
    average = past * average + (1 - past) * np.array(params['w'], np.float64)
  np.testing.assert_allclose(hs.averaged_params(state, seen[-1])['w'], average, rtol=1e-5)
  # It passes the updates on as they are.
  jax.tree.map(np.testing.assert_array_equal, seen, steps_of(optax.adam(0.1), 5)[0])


def test_without_an_average_the_parameters_are_tested():
  state = hs.make_optimizer(1e-3).init(PARAMS)
  assert hs.averaged_params(state, PARAMS) is PARAMS
  for decay in (-0.1, 1.0):
    with pytest.raises(ValueError, match=str(decay)):
      hs.average_params(decay=decay)
