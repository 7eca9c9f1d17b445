"""Puts batches on devices: the one way, for training, validation, evaluation and comparisons alike.

`to_devices` does it ahead of their use, `place_batch` with one batch. Rows are divided over the
devices as a sharding says. Where they cannot be divided evenly, as 20 rows over 8 devices, a batch
is filled up with copies that are not `valid`, so that any batch size goes with any number of
devices.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from hsnet_jax.errors import InputError

Batch = Mapping[str, np.ndarray]


class Placed(NamedTuple):
  """Holds a batch in both places, row for row.

  Attributes:
    host: the arrays as the loader gave them, filled up where the devices asked for more rows: with
      several processes, this process's rows.
    device: the same on the devices: with several processes, the rows of all.
  """

  host: Batch
  device: Mapping[str, jax.Array]


def pad_rows(batch: Batch, multiple: int) -> Batch:
  """Fills a batch up with copies of its last row that are not `valid`.

  Args:
    batch: arrays that share their first axis, `valid` among them where rows are added.
    multiple: what the number of rows is to be a multiple of.

  Returns:
    The batch itself where there is nothing to add, else a longer one.

  Raises:
    InputError: rows are needed, and the batch does not say which are valid.
  """
  rows = len(next(iter(batch.values())))
  lacking = -rows % multiple
  if not lacking:
    return batch
  if 'valid' not in batch:
    raise InputError(
      f'a batch of {rows} cannot be divided evenly among {multiple} devices, nor be filled up: it'
      f' does not say which rows are `valid`; give a multiple of {multiple}'
    )
  padded = {name: np.concatenate([x, np.repeat(x[-1:], lacking, 0)]) for name, x in batch.items()}
  padded['valid'][rows:] = False
  return padded


def place_batch(batch: Batch, *, sharding: jax.sharding.Sharding | None = None) -> Placed:
  """Puts one batch on devices.

  Args:
    batch: arrays that share their first axis.
    sharding: where rows go, as for `to_devices`.

  Returns:
    The batch in both places; `pad_rows` says what happens where rows do not go round.

  Raises:
    InputError: see `pad_rows`.
  """
  if sharding is None:
    return Placed(batch, jax.device_put(dict(batch)))
  batch = pad_rows(batch, _shares(sharding))
  # Asked for in so many words, which a guard against transfers does not see in it.
  with jax.transfer_guard('allow'):
    return Placed(batch, jax.make_array_from_process_local_data(sharding, dict(batch)))


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
    An iterator over what `place_batch` returns; its `close` closes the iterator over `batches` as
    well.

  Raises:
    InputError: `ahead` is below 1; while iterating, also what `batches` and `pad_rows` raise.
  """
  if ahead < 1:
    raise InputError(f'`ahead` is {ahead}; it must be at least 1')
  return DeviceBatches(iter(batches), sharding, ahead)


class DeviceBatches(Iterator[Placed]):
  """Iterates over placed batches: one thread takes batches and places them; see `to_devices`."""

  def __init__(self, source: Iterator[Batch], sharding: jax.sharding.Sharding | None, ahead: int):
    """Starts with the first batch that is asked for."""
    self._source, self._sharding, self._ahead = source, sharding, ahead
    self._thread = ThreadPoolExecutor(1, thread_name_prefix='to-devices')
    self._waiting: deque[Future[Placed | None]] = deque()
    self._closed = False

  def __next__(self) -> Placed:
    """Returns the next batch; closes when there is none, or when the source fails."""
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
    close = getattr(self._source, 'close', None)  # A plain iterator has none.
    if close is not None:
      close()

  def _place(self) -> Placed | None:
    host = next(self._source, None)
    return None if host is None else place_batch(host, sharding=self._sharding)


def _shares(sharding: jax.sharding.Sharding) -> int:
  """Returns in how many parts the devices of this process take the rows."""
  count = sharding.num_devices
  parts = sharding.addressable_devices_indices_map((count,)).values()
  return len({part[0].indices(count) for part in parts if part is not None})
