"""Loads episodes into batches, through one Grain `MapDataset`.

A batch is a dict of NumPy arrays; B episodes, K shots, images of H x W:

    query_image     uint8 [B, H, W, 3]     0 to 255, not normalized
    query_mask      uint8 [B, H, W]        1 on the class
    query_ignore    uint8 [B, H, W]        1 where the metrics leave the pixel out, 2 where the loss
                                           is to leave it out as well (`ignored`, in training)
    support_images  uint8 [B, K, H, W, 3]
    support_masks   uint8 [B, K, H, W]
    class_id        int32 [B]              from 0
    index           int32 [B]              testing: the episode's number; training: the query's
                                           position in the training list, or with `class_first`
                                           the episode's number in its epoch
    valid           bool [B]               False for the copies that fill up a short batch

Every batch has the same shapes, so that a step is compiled once: the last batch of an epoch, which
the protocol has smaller, is filled up with copies of its last episode that are not `valid`.

With `original_size` the query's label is at the photograph's own size, h x w, and nothing else
is. `query_mask` and `query_ignore` are [B, H', W'], H' and W' the largest of the batch, each
rounded up to a multiple of 64, so that few shapes occur. A label lies in the top left corner; the
rest has a mask of 0 and is ignored. One more array says where it ends:

    query_size      int32 [B, 2]           h, w

What a batch holds depends on the seed and its number alone, not on threads, on workers or on what
was read before. So the state of an iterator is the number of its next batch, and
`Batches.from_step` resumes there.

Of several processes that train together, each reads its own part of each batch: `batch_size` rows
are divided evenly and in order, and `process_index` says which part. The parts, one after the
other, are the batch of a single process. With `original_size` every process reads the whole batch
before it takes its part, since all must agree on H' and W'.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import grain
import numpy as np

from data_pipelines.benchmark import Benchmark
from data_pipelines.episodes import Episode, with_absent
from data_pipelines.loading.packed import PackedSplit
from data_pipelines.loading.rows import RowBatches
from data_pipelines.loading.workers import Batches
from data_pipelines.reading.arrays import (
  class_mask,
  class_pixels,
  episode_arrays,
  image_hw,
  resize_mask,
)
from data_pipelines.splits import trainable
from hsnet_jax.errors import InputError
from hsnet_jax.training.losses import LOSS_IGNORES


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
  absent: float = 0.0,
  ignored: Collection[int] = (),
  support_margin: float | None = None,
  process_index: int = 0,
  process_count: int = 1,
  num_threads: int = 2,
  num_workers: int = 0,
) -> Batches:
  """Reads training batches: every listed image is a query once in an epoch, in a random order.

  Where the list says `class_first`, each episode draws its class and query instead, and an epoch
  has as many as the list has images.

  Args:
    benchmark: what to read.
    fold: the fold whose classes are kept for testing.
    shots: supports per episode.
    image_size: side of the square that images are resized to, or (height, width).
    batch_size: episodes per batch, over all processes.
    seed: decides the order and the supports, anew for every epoch.
    epochs: how many; without end where None.
    distinct: whether an episode's supports must differ from one another.
    absent: as for `data_pipelines.episodes.training_episode`.
    ignored: class_ids whose pixels in a query are 2 in `query_ignore`.
    support_margin: as for `reading.arrays.episode_arrays`.
    process_index: which part of each batch to read, of `process_count`.
    process_count: how many parts there are.
    num_threads: threads that read ahead where there are no workers; 0 reads in the caller's.
    num_workers: processes that read ahead; up to four batches are held for each.

  Returns:
    The batches.

  Raises:
    InputError: an option is out of range, a list is empty or missing, or an image is; while
      iterating, also an image that cannot be read, or a mask of values that are no class.
  """
  _check_draws(seed, epochs, absent)
  reader = _reader(benchmark, image_size, support_margin, ignored=tuple(ignored))
  split = trainable(benchmark.split(fold, 'trn'), least=shots + 1 if distinct else 2)
  benchmark.check_images(name for name, _ in split.items)
  sample = _SampleEpisode(PackedSplit(split), shots, distinct, absent)
  numbers = grain.MapDataset.range(split.epoch_size).seed(seed).shuffle()
  episodes = numbers.random_map(sample).map(reader)
  batches = _batches(episodes, batch_size, process_index, process_count)
  return Batches(batches.repeat(epochs), split.epoch_size, len(batches), num_threads, num_workers)


def eval_batches(
  benchmark: Benchmark,
  *,
  fold: int,
  split: str = 'val',
  shots: int = 1,
  count: int | None = None,
  image_size: int | Sequence[int] = 400,
  original_size: bool = False,
  batch_size: int = 20,
  distinct: bool = False,
  absent: float = 0.0,
  support_margin: float | None = None,
  process_index: int = 0,
  process_count: int = 1,
  num_threads: int = 2,
  num_workers: int = 0,
) -> Batches:
  """Reads test batches: the fold's published episodes, once and in order.

  Args:
    benchmark: what to read.
    fold: the fold to test on.
    split: the list to draw from.
    shots: supports per episode.
    count: how many episodes; None for as many as published.
    image_size: side of the square that images are resized to, or (height, width).
    original_size: whether the query's label stays at the photograph's size; see the module.
    batch_size: episodes per batch, over all processes.
    distinct: whether an episode's supports must differ from one another.
    absent: how many of the episodes get a query of another class; see
      `data_pipelines.episodes.with_absent`.
    support_margin: as for `train_batches`.
    process_index: which part of each batch to read, as for `train_batches`.
    process_count: how many parts there are.
    num_threads: threads that read ahead, as for `train_batches`.
    num_workers: processes that do.

  Returns:
    The batches.

  Raises:
    InputError: as `train_batches`; also a class with no image left for a support.
  """
  reader = _reader(benchmark, image_size, support_margin, original_size=original_size)
  episodes = eval_episodes(
    benchmark, fold=fold, split=split, shots=shots, count=count, distinct=distinct, absent=absent
  )
  benchmark.check_images(name for e in episodes for name in (e.query, *e.supports))
  numbered = grain.MapDataset.source(list(enumerate(episodes))).map(reader)
  batches = _batches(numbered, batch_size, process_index, process_count, own_sizes=original_size)
  return Batches(batches, len(episodes), len(batches), num_threads, num_workers)


def eval_episodes(
  benchmark: Benchmark,
  *,
  fold: int,
  split: str = 'val',
  shots: int = 1,
  count: int | None = None,
  distinct: bool = False,
  absent: float = 0.0,
) -> Sequence[Episode]:
  """Draws the episodes of `eval_batches`, whose arguments these are; `index` numbers them."""
  episodes = benchmark.test_episodes(fold, split=split, shots=shots, count=count, distinct=distinct)
  if absent:
    items = benchmark.split(fold, split)
    if len(items.by_class) < 2:
      raise InputError(
        f'{items.name}: `absent`={absent} takes queries of another class, and this is the only one;'
        ' leave it out'
      )
    episodes = with_absent(episodes, absent, split=items)
  return episodes


def _check_draws(seed: int, epochs: int | None, absent: float) -> None:
  if not 0 <= seed < 2**32:
    raise InputError(f'`seed` {seed} is out of range: 0 to {2**32 - 1}')
  if epochs is not None and epochs < 1:
    raise InputError(f'`epochs` is {epochs}; it must be at least 1')
  if not 0 <= absent <= 1:
    raise InputError(f'`absent` is {absent}; it is a probability, 0 to 1')


def _reader(
  benchmark: Benchmark,
  image_size: int | Sequence[int],
  support_margin: float | None,
  *,
  original_size: bool = False,
  ignored: tuple[int, ...] = (),
) -> '_ReadEpisode':
  if support_margin is not None and support_margin < 0:
    raise InputError(f'`support_margin` is {support_margin}; it must be at least 0')
  # Windows are cut of photographs at their own size, as queries' labels are taken.
  whole = support_margin is None and not original_size
  benchmark.check_size(image_size if whole else None)
  return _ReadEpisode(benchmark, image_hw(image_size), original_size, support_margin, ignored)


def _batches(
  episodes: grain.MapDataset, batch_size: int, index: int, count: int, *, own_sizes: bool = False
) -> grain.MapDataset:
  if batch_size < 1:
    raise InputError(f'`batch_size` is {batch_size}; it must be at least 1')
  if not 0 <= index < count:
    raise InputError(f'`process_index` is {index}; it must be at least 0 and below {count}')
  if batch_size % count:
    raise InputError(
      f'a batch of {batch_size} cannot be divided evenly among {count} processes; give a'
      f' `batch_size` that is a multiple of {count}'
    )
  # Batched before it is repeated: a batch never mixes two epochs.
  return RowBatches(
    episodes,
    batch_size=batch_size,
    process_index=index,
    process_count=count,
    own_sizes=own_sizes,
  )


@dataclasses.dataclass(frozen=True)
class _SampleEpisode:
  """Draws the episode of a query's position in the list; a class, so that workers can copy it."""

  split: PackedSplit
  shots: int
  distinct: bool
  absent: float

  def __call__(self, index: int, rng: np.random.Generator) -> tuple[int, Episode]:
    episode = self.split.episode(
      index, rng, shots=self.shots, distinct=self.distinct, absent=self.absent
    )
    return index, episode


@dataclasses.dataclass(frozen=True)
class _ReadEpisode:
  """Reads the arrays of an episode's names."""

  benchmark: Benchmark
  size: tuple[int, int]
  original_size: bool = False
  support_margin: float | None = None
  ignored: tuple[int, ...] = ()

  def __call__(self, numbered: tuple[int, Episode]) -> Mapping[str, np.ndarray]:
    index, episode = numbered
    # Supports may repeat: each image is read once.
    pairs = {name: self.benchmark.load(name) for name in {episode.query, *episode.supports}}
    for name, (_, label) in pairs.items():
      _check_values(self.benchmark, name, label)
    boundary = self.benchmark.boundary
    arrays = episode_arrays(
      pairs[episode.query],
      [pairs[name] for name in episode.supports],
      class_id=episode.class_id,
      size=self.size,
      boundary=boundary,
      support_margin=self.support_margin,
    )
    if self.ignored:
      hidden = class_pixels(resize_mask(pairs[episode.query][1], self.size), self.ignored)
      arrays['query_ignore'] = np.where(hidden, np.uint8(LOSS_IGNORES), arrays['query_ignore'])
    if self.original_size:
      image, label = pairs[episode.query]
      label = resize_mask(label, image.shape[:2])
      masks = class_mask(label, episode.class_id, boundary=boundary)
      arrays['query_mask'], arrays['query_ignore'] = masks
      arrays['query_size'] = np.array(label.shape, np.int32)
    numbers = {'class_id': episode.class_id, 'index': index}
    return arrays | {name: np.array(number, np.int32) for name, number in numbers.items()}


def _check_values(benchmark: Benchmark, image_name: str, label: np.ndarray) -> None:
  unknown = label > benchmark.num_classes
  if benchmark.boundary is not None:
    unknown &= label != benchmark.boundary
  # Such a mask would pass for one without the class, and a figure would be off in silence.
  if unknown.any():
    raise InputError(
      f'{benchmark.name}: the mask of {image_name} has value {label[unknown][0]}, no class;'
      f' it holds 0 and 1 to {benchmark.num_classes}: fetch or mend it'
    )
