"""Episodes to batches, through one Grain `MapDataset`.

A batch is a dict of NumPy arrays; B episodes, K shots, images of H x W:

    query_image     uint8 [B, H, W, 3]     0 to 255, not normalised
    query_mask      uint8 [B, H, W]        1 on the class
    query_ignore    uint8 [B, H, W]        1 where the metrics leave the pixel out
    support_images  uint8 [B, K, H, W, 3]
    support_masks   uint8 [B, K, H, W]
    class_id        int32 [B]              from 0
    index           int32 [B]              testing: the episode's number; training: the query's
                                           position in the training list, or with `class_first`
                                           the episode's number in its epoch
    valid           bool [B]               False for the copies that fill up a short batch

Every batch has the same shapes, so that a step is compiled once: the last batch of an epoch, which
the protocol has smaller, is filled up with copies of its last episode that are not `valid`.

What a batch holds depends on the seed and its number alone, not on threads or on what was read
before. An iterator's `get_state` and `set_state` are Grain's; `Batches.from_step` goes on from a
step that is known by its number.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import grain
import numpy as np

from data_pipelines.benchmarks import Benchmark
from data_pipelines.episodes import Episode, training_episode
from data_pipelines.splits import Split, trainable
from data_pipelines.transforms import episode_arrays, image_hw
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Batches:
  """Batches to iterate over, each time from the start.

  Attributes:
    dataset: the Grain dataset that `iter` goes through.
    num_episodes: episodes in an epoch.
    steps_per_epoch: batches in an epoch, the last one perhaps not full.
  """

  dataset: grain.IterDataset
  num_episodes: int
  steps_per_epoch: int

  def __iter__(self) -> grain.DatasetIterator:
    """A fresh iterator; `close` it to stop its threads before its end."""
    return iter(self.dataset)

  def from_step(self, step: int) -> grain.DatasetIterator:
    """A fresh iterator as it is after `step` batches, none of which are read for it.

    Args:
      step: the number of the batch that comes first, counted from 0 over all epochs.

    Returns:
      The iterator; it gives nothing where there are no more than `step` batches.
    """
    iterator = iter(self.dataset)
    iterator.set_state({'next_index': step})
    return iterator


def train_batches(
  benchmark: Benchmark,
  *,
  fold: int,
  shots: int = 1,
  image_size: int | Sequence[int] = 400,
  batch_size: int = 20,
  seed: int = 0,
  epochs: int | None = None,
  distinct: bool = False,
  num_threads: int = 2,
) -> Batches:
  """Training batches: every listed image is a query once in an epoch, in an order of its own.

  Where the list says `class_first`, each episode draws its class and query instead, and an epoch
  has as many as the list has images.

  Args:
    benchmark: what to read.
    fold: the fold whose classes are kept for testing.
    shots: supports per episode.
    image_size: side of the square that images are resized to, or (height, width).
    batch_size: episodes per batch.
    seed: decides the order and the supports, anew for every epoch.
    epochs: how many; without end where None.
    distinct: whether an episode's supports must differ from one another.
    num_threads: threads that read ahead; 0 reads in the caller's.

  Returns:
    The batches.

  Raises:
    InputError: an option is out of range, a list or an image is missing; while iterating, also an
      image that cannot be read.
  """
  if not 0 <= seed < 2**32:
    raise InputError(f'seed {seed} is out of range: 0 to {2**32 - 1}')
  if epochs is not None and epochs < 1:
    raise InputError(f'epochs is {epochs}; it must be at least 1')
  reader = _ReadEpisode(benchmark, image_hw(image_size))
  split = trainable(benchmark.split(fold, 'trn'), least=shots + 1 if distinct else 2)
  benchmark.check_images(name for name, _ in split.items)
  episodes = (
    grain.MapDataset.range(split.epoch_size)
    .seed(seed)
    .shuffle()
    .random_map(_SampleEpisode(split, shots, distinct))
    .map(reader)
  )
  return _batches(episodes, batch_size=batch_size, epochs=epochs, num_threads=num_threads)


def eval_batches(
  benchmark: Benchmark,
  *,
  fold: int,
  shots: int = 1,
  count: int = 1000,
  image_size: int | Sequence[int] = 400,
  batch_size: int = 20,
  distinct: bool = False,
  num_threads: int = 2,
) -> Batches:
  """Test batches: the fold's published episodes, once and in order.

  Args:
    benchmark: what to read.
    fold: the fold to test on.
    shots: supports per episode.
    count: how many episodes.
    image_size: side of the square that images are resized to, or (height, width).
    batch_size: episodes per batch.
    distinct: whether an episode's supports must differ from one another.
    num_threads: threads that read ahead; 0 reads in the caller's.

  Returns:
    The batches.

  Raises:
    InputError: as `train_batches`; also a class with no image left for a support.
  """
  reader = _ReadEpisode(benchmark, image_hw(image_size))
  episodes = benchmark.test_episodes(fold, shots=shots, count=count, distinct=distinct)
  benchmark.check_images(name for e in episodes for name in (e.query, *e.supports))
  dataset = grain.MapDataset.source(list(enumerate(episodes))).map(reader)
  return _batches(dataset, batch_size=batch_size, epochs=1, num_threads=num_threads)


def _pad_batch(elements: Sequence[dict[str, np.ndarray]], *, batch_size: int) -> dict:
  """Stacks up to `batch_size` episodes, and fills up with copies of the last that are not valid.

  A copy, unlike zeros, has no pixel that a gradient could stumble over.
  """
  missing = batch_size - len(elements)
  filled = [*elements, *[elements[-1]] * missing]
  batch = {name: np.stack([element[name] for element in filled]) for name in elements[0]}
  batch['valid'] = np.arange(batch_size) < len(elements)
  return batch


def _batches(
  episodes: grain.MapDataset, *, batch_size: int, epochs: int | None, num_threads: int
) -> Batches:
  if batch_size < 1:
    raise InputError(f'batch_size is {batch_size}; it must be at least 1')
  if num_threads < 0:
    raise InputError(f'num_threads is {num_threads}; it must be at least 0')
  # Batched before repeated: a batch never mixes two epochs.
  pad = functools.partial(_pad_batch, batch_size=batch_size)
  dataset = episodes.batch(batch_size, batch_fn=pad).repeat(epochs)
  # A thread makes a whole batch; twice as many as threads are kept ready.
  options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
  return Batches(
    dataset.to_iter_dataset(options), len(episodes), math.ceil(len(episodes) / batch_size)
  )


@dataclasses.dataclass(frozen=True)
class _SampleEpisode(grain.transforms.RandomMap):
  """From the query's position in the list to its episode; a class, so that workers can copy it."""

  split: Split
  shots: int
  distinct: bool

  def random_map(self, index: int, rng: np.random.Generator) -> tuple[int, Episode]:
    episode = training_episode(self.split, index, rng, shots=self.shots, distinct=self.distinct)
    return index, episode


@dataclasses.dataclass(frozen=True)
class _ReadEpisode(grain.transforms.Map):
  """From an episode's names to its arrays."""

  benchmark: Benchmark
  size: tuple[int, int]

  def map(self, numbered: tuple[int, Episode]) -> dict[str, np.ndarray]:
    index, episode = numbered
    # Supports may repeat: each image is read once.
    pairs = {name: self.benchmark.load(name) for name in {episode.query, *episode.supports}}
    arrays = episode_arrays(
      pairs[episode.query],
      [pairs[name] for name in episode.supports],
      class_id=episode.class_id,
      size=self.size,
      boundary=self.benchmark.boundary,
    )
    return {**arrays, 'class_id': np.int32(episode.class_id), 'index': np.int32(index)}
