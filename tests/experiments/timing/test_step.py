"""The two forms that the training step is timed in; the seconds are nobody's test."""

import re

import jax
import pytest

from experiments.timing.step import measure, random_batch, step_report
from hsnet_jax.backbones import get_backbone
from hsnet_jax.model import HSNet
from hsnet_jax.training import create_train_state, train_step


def equations(jaxpr):
  """All equations of a program, those of the programs within it included."""
  for equation in jaxpr.eqns:
    yield equation
    for parameter in equation.params.values():
      for inner in parameter if isinstance(parameter, tuple | list) else (parameter,):
        inner = getattr(inner, 'jaxpr', inner)
        if hasattr(inner, 'eqns'):
          yield from equations(inner)


def step_of(implementation):
  """The names of what a whole training step computes, and the most axes that a product has."""
  weights = jax.eval_shape(get_backbone('tiny').init, jax.random.key(0))
  model = HSNet('tiny', implementation=implementation)

  def step(weights, batch):
    state = create_train_state(jax.random.key(0), model=model, backbone=weights)
    return train_step(state, batch)

  found = list(equations(jax.make_jaxpr(step)(weights, random_batch(2, 32)).jaxpr))
  products = [e for e in found if e.primitive.name == 'dot_general']
  return (
    {equation.primitive.name for equation in found},
    max(operand.aval.ndim for product in products for operand in product.invars),
  )


@pytest.mark.heavy
@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='other devices take other forms')
def test_the_plain_step_has_no_form_of_the_library_s_own():
  names, axes = step_of('plain')
  assert not any(name.startswith('custom_vjp') for name in names) and axes == 4
  # The dense form makes its matrix of a kernel's taps, at every position: a product of five axes.
  names, axes = step_of('auto')
  assert any(name.startswith('custom_vjp') for name in names) and axes > 4


@pytest.mark.wide  # Compiles the whole step in both forms.
def test_both_forms_are_timed():
  lines = list(step_report('tiny', image_size=32, batch_size=2, rounds=1))
  assert '32 x 32, batch 2' in lines[1]
  for form in ('library', 'plain XLA'):
    assert any(re.fullmatch(rf'\| {form} \|( \d+\.\d\d \|){{3}}', line) for line in lines)
  assert 'over 1 rounds' in lines[-1]


def test_the_two_are_measured_in_turn_after_a_round_that_does_not_count():
  called = []
  seconds = measure(lambda: called.append('a'), lambda: called.append('b'), 2)
  assert called == ['a', 'b'] * 3 and [len(one) for one in seconds] == [2, 2]
