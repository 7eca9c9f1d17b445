"""Puts batches on devices ahead of their use."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from hsnet_jax.errors import InputError

Batch = Mapping[str, np.ndarray]


class Placed(NamedTuple):
  """A batch in both places.

  Attributes:
    host: the arrays as the loader gave them: with several processes, this process's rows.
    device: the same on the devices: with several processes, the rows of all.
  """

  host: Batch
  device: Mapping[str, jax.Array]


def to_devices(
  batches: Iterable[Batch], *, sharding: jax.sharding.Sharding | None = None, ahead: int = 2
) -> 'DeviceBatches':
  """Puts batches on devices while earlier ones are in use.

  Args:
    batches: dicts of arrays that share their first axis.
    sharding: where rows go, such as `NamedSharding(mesh, PartitionSpec('data'))`, which may span
      several processes; None for the default device.
    ahead: how many batches are on the devices beside the one in use.

  Returns:
    An iterator over `Placed`; its `close` closes the iterator over `batches` as well.

  Raises:
    InputError: `ahead` is below 1; while iterating, also what `batches` raises.
  """
  if ahead < 1:
    raise InputError(f'ahead is {ahead}; it must be at least 1')
  return DeviceBatches(iter(batches), sharding, ahead)


class DeviceBatches(Iterator[Placed]):
  """What `to_devices` returns: one thread takes batches and places them."""

  def __init__(self, source: Iterator[Batch], sharding: jax.sharding.Sharding | None, ahead: int):
    """Starts with the first batch that is asked for."""
    self._source, self._sharding, self._ahead = source, sharding, ahead
    self._thread = ThreadPoolExecutor(1, thread_name_prefix='to-devices')
    self._waiting: deque[Future[Placed | None]] = deque()
    self._closed = False

  def __next__(self) -> Placed:
    """The next batch; closes when there is none, or when the source fails."""
    if self._closed:
      raise StopIteration
    try:
      # One more than `ahead`: the one that is handed out now.
      while len(self._waiting) <= self._ahead:
        self._waiting.append(self._thread.submit(self._place))
      placed = self._waiting.popleft().result()
    except BaseException:
      self.close()
      raise
    if placed is None:
      self.close()
      raise StopIteration
    return placed

  def close(self) -> None:
    """Stops placing, and closes the source where it can be closed."""
    self._closed = True
    self._thread.shutdown(cancel_futures=True)
    self._waiting.clear()
    if hasattr(self._source, 'close'):
      self._source.close()

  def _place(self) -> Placed | None:
    host = next(self._source, None)
    if host is None:
      return None
    if self._sharding is None:
      return Placed(host, jax.device_put(dict(host)))
    return Placed(host, jax.make_array_from_process_local_data(self._sharding, dict(host)))
