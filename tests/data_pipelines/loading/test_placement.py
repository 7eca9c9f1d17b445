import itertools
import threading

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from data_pipelines.loading.loader import train_batches
from data_pipelines.loading.placement import Placed, pad_rows, place_batch, to_devices
from hsnet_jax.errors import InputError
from tests.facts import refused


class Source:
  """Counts what was taken from it."""

  def __init__(self, length=None, fails_at=None):
    self.taken, self.closed = 0, 0
    self._length, self._fails_at = length, fails_at

  def __iter__(self):
    return self

  def __next__(self):
    if self.taken == self._length:
      raise StopIteration
    if self.taken == self._fails_at:
      raise InputError('the third is bad')
    self.taken += 1
    return {'x': np.full((4, 3), self.taken, np.float32), 'valid': np.arange(4) < self.taken}

  def close(self):
    self.closed += 1


@pytest.fixture
def sharding():
  devices = jax.devices()[:4]
  assert len(devices) == 4
  return NamedSharding(jax.make_mesh((4,), ('data',), axis_types=(AxisType.Auto,)), P('data'))


def rows_of(count):
  return {'x': np.arange(count * 3.0).reshape(count, 3), 'valid': np.arange(count) < count - 1}


@pytest.mark.parametrize('count', [1, 4, 5, 20])
def test_any_number_of_rows_goes_on_any_number_of_devices(sharding, count):
  batch = rows_of(count)
  host, device = place_batch(batch, sharding=sharding)
  rows = -(-count // 4) * 4
  for name, given in batch.items():
    assert len(host[name]) == len(device[name]) == rows
    assert device[name].sharding == sharding
    np.testing.assert_array_equal(host[name], device[name])
    np.testing.assert_array_equal(host[name][:count], given)
  np.testing.assert_array_equal(host['x'][count:], np.repeat(batch['x'][-1:], rows - count, 0))
  assert not host['valid'][count:].any()
  # What need not be filled up is not copied either, and what was given is left alone.
  assert (host is batch) == (rows == count) and len(batch['x']) == count


def test_a_copy_on_every_device_needs_no_more_rows(sharding):
  host, device = place_batch(rows_of(5), sharding=NamedSharding(sharding.mesh, P()))
  assert len(host['x']) == len(device['x']) == 5


def test_rows_that_cannot_be_marked_are_not_added(sharding):
  batch = {'x': np.zeros((5, 3))}
  with refused(5, 4, '`valid`'):
    place_batch(batch, sharding=sharding)
  assert pad_rows(batch, 5) is batch


def test_batches_land_on_the_sharding_in_order(toy, sharding):
  options = {'fold': 0, 'image_size': (6, 8), 'batch_size': 4, 'epochs': 2}
  expected = list(train_batches(toy, num_threads=0, **options))
  placed = list(to_devices(train_batches(toy, **options), sharding=sharding))
  assert len(placed) == len(expected) == 6
  for batch, other in zip(placed, expected, strict=True):
    assert batch.host.keys() == batch.device.keys() == other.keys()
    for name in other:
      assert type(batch.host[name]) is np.ndarray
      assert batch.device[name].sharding == sharding
      assert [s.data.shape[0] for s in batch.device[name].addressable_shards] == [1] * 4
      np.testing.assert_array_equal(batch.host[name], other[name])
      np.testing.assert_array_equal(batch.device[name], other[name])


def test_a_jitted_step_takes_them_as_they_are(sharding):
  step = jax.jit(lambda x: x.sum(), in_shardings=sharding)
  with jax.transfer_guard('disallow'):
    sums = [step(batch.device['x']) for batch in to_devices(Source(3), sharding=sharding)]
  assert [float(s) for s in sums] == [12, 24, 36]


def test_without_a_sharding_the_default_device_has_them():
  (batch,) = to_devices(Source(1))
  assert isinstance(batch, Placed)
  assert batch.device['x'].devices() == {jax.devices()[0]}


@pytest.mark.parametrize('ahead', [1, 3])
def test_so_many_are_placed_ahead(ahead):
  enough = threading.Event()

  class Watched(Source):
    def __next__(self):
      batch = super().__next__()
      if self.taken == ahead + 1:
        enough.set()
      return batch

  source = Watched()
  batches = to_devices(source, ahead=ahead)
  assert source.taken == 0
  np.testing.assert_array_equal(next(batches).host['x'][0], [1, 1, 1])
  assert enough.wait(60)
  batches.close()
  # Not one more than that was asked for.
  assert source.taken == ahead + 1


def test_close_closes_the_source():
  source = Source()
  batches = to_devices(source)
  first = [b.host['x'][0, 0] for b in itertools.islice(batches, 2)]
  assert first == [1, 2]
  batches.close()
  assert source.closed and list(batches) == []
  threads = [t.name for t in threading.enumerate() if t.name.startswith('to-devices')]
  assert not threads


def test_an_error_of_the_source_comes_in_its_turn():
  source = Source(fails_at=2)
  batches = to_devices(source, ahead=4)
  assert next(batches).host['x'][0, 0] == 1 and next(batches).host['x'][0, 0] == 2
  with refused('the third is bad'):
    next(batches)
  assert source.closed and list(batches) == []


def test_ahead_must_be_positive():
  with refused('`ahead`', 0):
    to_devices(Source(), ahead=0)
