"""Makes batches of rows: which episodes each holds, and which of them each process reads.

Everything here is random access: batch n of a run is a function of n, so that any process or worker
can make it alone.
"""

from collections.abc import Mapping, Sequence
from typing import overload

import grain
import numpy as np

# Masks at the photographs' own sizes are padded to a multiple of this, so that few shapes occur.
SIZE_STEP = 64
_OWN_SIZE = {'query_mask': 0, 'query_ignore': 1}  # And what they are padded with.

# Whether this process makes batches for another one: arrays are then made where it can see them.
_shared = False


def share_arrays() -> None:
  """Has this process make its batches in shared memory, for the process that it works for."""
  global _shared
  _shared = True


Batch = dict[str, np.ndarray]


class RowBatches(grain.MapDataset[Batch]):
  """Gives batches of a dataset of episodes, or one process's rows of each.

  The rows of a batch are divided evenly and in order, so that the processes' parts, one after the
  other, are the batch of a single process. The last batch of an epoch is filled up with copies of
  the epoch's last episode that are not `valid`: a copy, unlike zeros, has no pixel that a gradient
  could stumble over.

  Args:
    episodes: a dataset of dicts of arrays; asked for an index past its length, it gives the next
      epoch's.
    batch_size: rows of a whole batch, a multiple of `process_count`.
    process_index: which part to give.
    process_count: how many parts there are.
    own_sizes: whether query masks have sizes of their own, `query_size`. The largest of the whole
      batch says what they are padded to, so every process reads all of it.
  """

  def __init__(
    self,
    episodes: grain.MapDataset[Mapping[str, np.ndarray]],
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
    own_sizes: bool = False,
  ):
    """Reads nothing yet."""
    super().__init__(episodes)
    share = batch_size // process_count
    self._batch_size, self._own_sizes = batch_size, own_sizes
    self._own = slice(process_index * share, (process_index + 1) * share)

  def __len__(self) -> int:
    """Counts the batches in an epoch."""
    return -(-len(self._parent) // self._batch_size)

  @overload
  def __getitem__(self, index: slice) -> grain.MapDataset[Batch]: ...

  @overload
  def __getitem__(self, index: int) -> Batch: ...

  def __getitem__(self, index: int | slice) -> grain.MapDataset[Batch] | Batch:
    """Returns batch `index`, counted over all epochs."""
    if isinstance(index, slice):
      return self.slice(index)
    epoch, step = divmod(index, len(self))
    count = len(self._parent)
    batch = step * self._batch_size + np.arange(self._batch_size)
    rows = batch[self._own]
    needed, own = (np.unique(np.minimum(numbers, count - 1)) for numbers in (batch, rows))
    read = needed if self._own_sizes else own
    elements = {row: self._parent[epoch * count + row] for row in read.tolist()}
    padded = None
    if self._own_sizes:
      largest = np.max([element['query_size'] for element in elements.values()], axis=0)
      padded = tuple((-(-largest // SIZE_STEP) * SIZE_STEP).tolist())
    stacked = _stack([elements[row] for row in own.tolist()], len(rows), padded)
    return {**stacked, 'valid': rows < count}


def _stack(
  elements: Sequence[Mapping[str, np.ndarray]], rows: int, padded: tuple[int, ...] | None
) -> Batch:
  """Stacks elements, the last one as often as it takes; masks of several sizes are padded."""
  batch = {}
  for name, first in elements[0].items():
    own_size = padded if name in _OWN_SIZE else None
    shape = (rows, *(first.shape if own_size is None else own_size))
    out = (grain.multiprocessing.SharedMemoryArray if _shared else np.empty)(shape, first.dtype)
    if own_size is not None:
      out.fill(_OWN_SIZE[name])
    for row, element in enumerate(elements):
      out[(row, *map(slice, element[name].shape))] = element[name]
    out[len(elements) :] = out[len(elements) - 1]
    batch[name] = out
  return batch
