"""What experiments/speed.py says of training throughput; the seconds are nobody's test."""

import jax
import pytest

from experiments.timing.throughput import Row, count_operations, table, throughput
from hsnet_jax.backbones import BACKBONES
from tests.made import SMALL

GIB = 2**30


class MadeStep:
  """Takes a tenth of a second an episode, and has no room for more than four of float32."""

  def __init__(self, backbone, image_size, batch_size, precision):
    assert (backbone, image_size) == ('tiny', 32)
    self.memory, self.seconds = batch_size * GIB, batch_size / 10
    if precision == 'float32' and batch_size > 8:
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: while compiling')
    self.full = precision == 'float32' and batch_size > 4

  def run(self, seconds):
    assert seconds == 2.0
    if self.full:
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: while running')
    return self.seconds


def measured(*sizes, make_step=MadeStep):
  rows = throughput(
    'tiny',
    image_size=32,
    batch_sizes=sizes,
    precisions=['float32', 'bfloat16'],
    rounds=3,
    seconds=2.0,
    make_step=make_step,
    operations_of=lambda backbone, image_size, count: 1e12 * count,
  )
  return list(rows)


@pytest.mark.parametrize('full', [8, 16])
def test_what_does_not_fit_is_left_out_and_all_that_is_larger(full):
  rows = measured(full, 32, 4)
  assert [(row.batch_size, row.memory is None) for row in rows if row.precision == 'float32'] == [
    (full, True),
    (32, True),
    (4, False),
  ]
  assert all(row.seconds == [row.batch_size / 10] * 3 for row in rows if row.memory)
  assert [row.memory for row in rows if row.precision == 'bfloat16'] == [
    full * GIB,
    32 * GIB,
    4 * GIB,
  ]


def test_another_error_is_not_taken_for_a_full_memory():
  class Failing(MadeStep):
    def run(self, seconds):
      raise jax.errors.JaxRuntimeError('INTERNAL: something else')

  with pytest.raises(jax.errors.JaxRuntimeError, match='something else'):
    measured(4, make_step=Failing)


def test_the_table_is_of_medians_and_shares_of_the_peak():
  row = Row('float32', 20, [0.5, 0.4, 0.9], 5e12, 3 * GIB)
  lines = list(table([row, Row('float32', 40, [], 1e13, None)], {'float32': 2e13}))
  cells = [cell.strip() for cell in lines[2].split('|')[1:-1]]
  assert cells == ['float32', '20', '0.5000 (0.4000 to 0.9000)', '40.0', '10', '50%', '3.0']
  assert 'does not fit' in lines[3]
  assert len({line.count('|') for line in lines}) == 1


@pytest.mark.heavy
def test_operations_grow_with_the_batch(monkeypatch):
  monkeypatch.setitem(BACKBONES, 'small', SMALL)
  one, two = (count_operations('small', 32, count) for count in (1, 2))
  assert 1.2 * one < two <= 2 * one
