"""Reads batches ahead: in threads of this process, or in worker processes."""

import atexit
import contextlib
import dataclasses
import gc
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags  # Grain's own alone: see `_readable_flags`.

from data_pipelines.loading import rows
from data_pipelines.loading.rows import Batch
from hsnet_jax.errors import InputError

# Batches that wait for being fetched, a worker; as many have been fetched and wait to be taken.
_READY = 1

_reading = threading.Lock()

# Iterators that may have threads or workers.
_open: 'weakref.WeakSet[BatchIterator]' = weakref.WeakSet()


@dataclasses.dataclass(frozen=True)
class Batches:
  """Gives batches to iterate over, each time from the start.

  Attributes:
    dataset: the batches of all epochs.
    num_episodes: episodes in an epoch, those of all processes together.
    steps_per_epoch: batches in an epoch, the last one perhaps not full.
    num_threads: threads of this process that read ahead, where there are no workers.
    num_workers: processes that do.
  """

  dataset: grain.MapDataset[Batch]
  num_episodes: int
  steps_per_epoch: int
  num_threads: int = 0
  num_workers: int = 0

  def __post_init__(self):
    """Raises InputError for numbers below 0."""
    for name in ('num_threads', 'num_workers'):
      if getattr(self, name) < 0:
        raise InputError(f'`{name}` is {getattr(self, name)}; it must be at least 0')

  def __iter__(self) -> 'BatchIterator':
    """Starts a fresh iterator; `close` it to stop its threads and workers before its end."""
    return self.from_step(0)

  def from_step(self, step: int) -> 'BatchIterator':
    """Starts an iterator as it is after `step` batches, none of which are read for it.

    Args:
      step: the number of the batch that comes first, counted from 0 over all epochs.

    Returns:
      The iterator; it gives nothing where there are no more than `step` batches.
    """
    iterator = BatchIterator(self)
    iterator.set_state({'next_batch': step})
    return iterator

  def read_ahead(self, step: int) -> grain.DatasetIterator[Batch]:
    """Starts Grain's iterator over the batches from `step` on, which there must be."""
    rest = self.dataset[step:]
    if not self.num_workers:
      # A thread makes a whole batch; twice as many as threads are kept ready.
      options = grain.ReadOptions(
        num_threads=self.num_threads, prefetch_buffer_size=2 * self.num_threads
      )
      return iter(rest.to_iter_dataset(options))
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    workers = grain.MultiprocessingOptions(self.num_workers, per_worker_buffer_size=_READY)
    # Worker i of W makes the batches i, i + W, i + 2 W ... and they are taken in turn.
    source = iter(rest.to_iter_dataset(options).mp_prefetch(workers, worker_init_fn=_start_worker))
    if not flags.FLAGS.is_parsed():
      with _readable_flags():
        source.get_state()  # Makes the iterator of every worker now, while flags can be read.
      source.start_prefetch()
    return source


class BatchIterator(grain.DatasetIterator[Batch]):
  """Goes through `Batches`; its state is the number of the next one, and nothing else.

  So it can be resumed with another number of workers or threads than it was stopped with.
  """

  def __init__(self, batches: Batches):
    """Starts nothing before the first batch is asked for."""
    super().__init__()
    self._batches, self._next, self._is_over = batches, 0, False
    self._source: grain.DatasetIterator[Batch] | None = None
    _open.add(self)

  def __next__(self) -> Batch:
    """Returns the next batch.

    Raises:
      InputError: an image cannot be read, or a worker process is no more. The iterator is closed.
    """
    if self._is_over or self._next >= len(self._batches.dataset):
      self._stop()
      raise StopIteration
    try:
      if self._source is None:
        self._source = self._batches.read_ahead(self._next)
      batch = next(self._source)
    except Exception as error:
      self.close()
      if isinstance(error, RuntimeError) and 'terminated unexpectedly' in str(error):
        raise InputError(
          'a worker process of the loader was killed or could not start; where memory or the room'
          ' for shared memory has run out, lower `num_workers` or `batch_size`'
        ) from error
      raise
    self._next += 1
    if not self._batches.num_workers:
      return batch
    # Shared memory is freed at once: what the caller has is its own, however long it keeps it.
    return {name: np.array(array) for name, array in batch.items()}

  def get_state(self) -> dict[str, int]:
    """Returns where the iterator is, for `set_state`."""
    return {'next_batch': self._next}

  def set_state(self, state: dict[str, int]) -> None:
    """Goes to where an iterator was whose `get_state` this is.

    Raises:
      InputError: it is no such state.
    """
    step = state.get('next_batch')
    if not isinstance(step, int | np.integer) or step < 0:
      raise InputError(f'{state} is not the state of a loader; it needs next_batch, 0 or more')
    self._stop()
    self._next = int(step)

  def close(self) -> None:
    """Stops threads and workers; the iterator then gives nothing more."""
    if not self._is_over:
      self._is_over = True
      _open.discard(self)
      self._stop()

  def _stop(self) -> None:
    source, self._source = self._source, None
    if source is None:
      return
    source.close()
    # Grain frees the memory of batches that nobody took in a thread, which the end of the program
    # could overtake; Python would then warn of it. Grain 0.2.18 has no public way to wait for it.
    del source
    if self._batches.num_workers:
      gc.collect()  # The last batch is held by a cycle within Grain's iterators.
    freeing = getattr(grain.multiprocessing.SharedMemoryArray, '_del_thread_pool', None)
    if freeing is not None:
      with contextlib.suppress(ValueError):  # It was ended already, with the program.
        freeing.apply_async(int).wait(timeout=1)


@contextlib.contextmanager
def _readable_flags() -> Iterator[None]:
  """Lets Grain read its own flags, and them alone, where none are parsed, as in a notebook.

  Grain (from 0.2.17 on) asks one of them whether workers are to be profiled, and has no other way
  to be told. A flag can be read unparsed while it is said to be present, as Grain itself does it in
  its workers; afterwards it is as it was.
  """
  with _reading:
    grains = [flags.FLAGS[name] for name in flags.FLAGS if name.startswith('grain_')]
    absent = [flag for flag in grains if not flag.present]
    for flag in absent:
      flag.present = 1
    try:
      yield
    finally:
      for flag in absent:
        flag.present = 0


@atexit.register
def _close_all() -> None:
  """Closes what was left open while there is still a Python to do it in."""
  for iterator in list(_open):
    iterator.close()


def _start_worker(worker_index: int, worker_count: int) -> None:
  """Sets a worker process up."""
  del worker_index, worker_count
  rows.share_arrays()
  # What ends a group of processes reaches each: the one that gave the orders answers it, and may
  # need more batches before it does.
  for sent in (signal.SIGINT, signal.SIGTERM):
    signal.signal(sent, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  """Ends this process when its parent was killed: nobody would ever tell it to stop."""
  parent = multiprocessing.parent_process()
  if parent is not None:
    parent.join()
    os._exit(1)
