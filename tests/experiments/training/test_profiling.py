"""One trace of a few steps."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from experiments.training.profiling import one_trace


@pytest.mark.parametrize('calls, last', [(12, 8), (5, 5), (3, None)])
def test_five_steps_are_traced_and_all_are_taken(tmp_path, capsys, calls, last):
  @jax.jit
  def step(state, batch):
    return state + batch, {'loss': state}

  state = jnp.zeros(())
  with one_trace(step, tmp_path / 'tensorboard') as traced:
    for _ in range(calls):
      state, metrics = traced(state, jnp.ones(()))
  assert state == calls and metrics['loss'] == calls - 1
  said, files = (
    capsys.readouterr().out,
    list(tmp_path.glob('tensorboard/plugins/profile/*/*.trace.json.gz')),
  )
  if last is None:
    assert not files and not said
    return
  assert f'steps 4 to {last} of this process' in said
  events = json.loads(gzip.decompress(files[0].read_bytes()))['traceEvents']
  steps = {e['args']['step_num'] for e in events if e.get('name') == 'train' and 'args' in e}
  assert steps == {str(number) for number in range(4, last + 1)}


def test_a_step_that_fails_ends_the_trace(tmp_path):
  """And its own error is the one that is raised, though the state is given away by then."""
  compiled = jax.jit(lambda state: (state + 1, state.sum()), donate_argnums=0)

  def step(state, number):
    state = compiled(state)
    if number == 4:
      raise ValueError('made')
    return state

  state = jnp.ones((8, 8))
  with pytest.raises(ValueError, match='made'), one_trace(step, tmp_path / 'tensorboard') as traced:
    for number in range(6):
      state, _ = traced(state, number)
  assert list(tmp_path.glob('tensorboard/plugins/profile/*/*.trace.json.gz'))
  jax.profiler.start_trace(tmp_path / 'again')  # Raises where another has not ended.
  jax.profiler.stop_trace()
