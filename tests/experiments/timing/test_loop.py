"""What experiments/timing/loop.py makes of the times of steps; the steps are made up."""

import itertools

import numpy as np
import pytest

from experiments.timing.loop import FORMS, SAVES, loop_table, measure_loop


class Steps:
  """A loop whose steps take 2 s, 2.02 s with the host's work; a checkpoint costs 0.5 s."""

  steps = 20

  def __init__(self):
    self.slow = itertools.cycle([1.0, 1.1])  # One stretch, like the next, may be slower as a whole.

  def bare(self):
    return 2.0

  def loop(self, *, save_every):
    seconds = np.full(18, 2.02)
    seconds[7] += 1.0  # Whatever holds up steps now and then is not laid to the checkpoints.
    if save_every is not None:
      assert save_every == 5
      seconds[[4, 9, 14]] += 0.5
    return next(self.slow) * seconds


def test_a_checkpoint_is_measured_against_the_steps_beside_it():
  seconds, held = measure_loop(Steps(), rounds=4)
  assert list(seconds) == list(FORMS) and SAVES == 3
  assert {len(values) for values in [*seconds.values(), held]} == {4}
  assert held == pytest.approx([0.5 / 2.02] * 4)
  *table, host, saving = loop_table(seconds, held)
  assert table[2] == '| bare step | 2.0000 | 2.0000 | 2.0000 |' and len(table) == 5
  mean = 2.02 + 1 / 18
  assert host.startswith(f'the host adds to a step {100 * (mean / 2 - 1):.1f}% of one')
  assert saving.startswith('a checkpoint holds the steps up, in all, by 24.8% of one (24.8 to 24.8')
