"""Measures how fast batches come from loaders, and what the loader keeps."""

import contextlib
import dataclasses
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import cloudpickle
import numpy as np
import psutil

from data_pipelines import Benchmark, Split
from data_pipelines.loading.loader import Batches, eval_batches, train_batches
from data_pipelines.reading.arrays import image_hw
from data_pipelines.reading.images import Encoded, png_bytes
from experiments.timing.lines import Line, spread
from experiments.timing.plain_loader import Job, PlainLoader
from hsnet_jax.errors import InputError

PLAIN = 'plain'

# Batches that may lie ready for each process or thread of a loader: they are not measured.
_LAID_UP = 5


class Endless(Protocol):
  """Gives batches without end, until they are closed."""

  def __next__(self) -> Mapping[str, np.ndarray]:
    """Returns the next batch."""
    ...

  def close(self) -> None:
    """Stops what reads ahead."""


@dataclasses.dataclass(frozen=True)
class Contender:
  """Describes a loader to measure.

  Attributes:
    name: what the table calls it.
    workers: how many processes it has.
    start: returns an iterator over batches without end, with a `close`.
  """

  name: str
  workers: int
  start: Callable[[], Endless]


def plain_jobs(folder: Benchmark, *, fold: int, count: int, batch_size: int) -> list[list[Job]]:
  """Draws the episodes of a benchmark that has files, for the plain loader; whole batches only."""
  episodes = folder.test_episodes(fold, count=count)
  jobs = [
    Job(_files(folder, e.query), _files(folder, e.supports[0]), e.class_id + 1) for e in episodes
  ]
  return [jobs[i : i + batch_size] for i in range(0, count - batch_size + 1, batch_size)]


def _files(folder: Benchmark, image_name: str) -> tuple[Path, Path]:
  image, mask = folder.encoded(image_name)
  if isinstance(image, Encoded) or isinstance(mask, Encoded):
    raise InputError(f'{folder.name}: the plain loader reads files, and {image_name} is none')
  return image, mask


def contenders(
  sources: Mapping[str, Benchmark],
  folder: Benchmark,
  *,
  fold: int,
  image_size: int,
  batch_size: int,
  count: int,
  workers: Iterable[int],
) -> list[Contender]:
  """Lists the plain loader, one process a core, and ours with every number of workers.

  Args:
    sources: what ours reads from, by the name in the table.
    folder: what the plain one reads from.
    fold: the fold whose test episodes all of them give.
    image_size: side of the images.
    batch_size: episodes a batch.
    count: how many different episodes; whole batches of them are used.
    workers: the numbers of workers to try ours with.

  Returns:
    The contenders, the plain one first.
  """
  count -= count % batch_size
  jobs = plain_jobs(folder, fold=fold, count=count, batch_size=batch_size)
  cores, size = os.cpu_count() or 1, image_hw(image_size)
  found = [Contender(PLAIN, cores, lambda: PlainLoader(jobs, size, cores))]
  for name, benchmark in sources.items():
    for number in workers:
      batches = eval_batches(
        benchmark,
        fold=fold,
        count=count,
        image_size=image_size,
        batch_size=batch_size,
        num_workers=number,
      )
      endless = dataclasses.replace(batches, dataset=batches.dataset.repeat())
      found.append(Contender(name, number, endless.__iter__))
  return found


def measure(found: list[Contender], *, rounds: int, batches: int) -> list[list[float]]:
  """Measures batches a second of each contender, in turn, round by round.

  Args:
    found: the contenders. Each is started before its first turn and idles between its turns.
    rounds: how many turns each has.
    batches: how many batches are timed in a turn, after those that lay ready.

  Returns:
    The rates of each contender.
  """
  rates = [[] for _ in found]
  with contextlib.ExitStack() as stack:
    started = []
    for round_ in range(rounds):
      for number, contender in enumerate(found):
        if not round_:
          started.append(stack.enter_context(contextlib.closing(contender.start())))
        for _ in range(_LAID_UP * max(contender.workers, 2)):
          next(started[number])
        start = time.perf_counter()
        for _ in range(batches):
          next(started[number])
        rates[number].append(batches / (time.perf_counter() - start))
  return rates


def table(found: list[Contender], rates: list[list[float]], batch_size: int) -> list[str]:
  """Returns lines of Markdown: episodes a second, and how they compare with the plain loader."""
  lines = [
    '| loader | workers | samples/s, median | least | most | times plain |',
    '|---|---|---|---|---|---|',
  ]
  for contender, values in zip(found, rates, strict=True):
    ratio = statistics.median(a / b for a, b in zip(values, rates[0], strict=True))
    numbers = (statistics.median(values), min(values), max(values))
    cells = [f'{number * batch_size:.1f}' for number in numbers]
    line = Line(
      f'| {contender.name} | {contender.workers} | {" | ".join(cells)} | {ratio:.2f} |',
      loader=contender.name,
      workers=contender.workers,
      samples_a_second=spread([number * batch_size for number in values]),
      times_plain=ratio,
    )
    lines.append(line)
  return lines


class MadeImages(Benchmark):
  """Lists many images of a few pixels each, all alike: what the listing costs is all there is.

  They pass for COCO's, whose names they have, so that a set can be prepared from them.
  """

  name = 'coco'
  num_classes = 80
  num_folds = 4
  class_names = tuple(f'class {i}' for i in range(80))

  def __init__(self, count: int):
    """Takes how many images are listed."""
    self._count = count

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; names are as long as COCO's."""
    items = ((f'train2014/COCO_train2014_{i:012d}.jpg', i % 80) for i in range(self._count))
    return Split('made', tuple(items), self.class_names)

  def load(self, image_name: str) -> tuple[np.ndarray, np.ndarray]:
    """See `Benchmark.load`."""
    return np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)

  def encoded(self, image_name: str) -> tuple[Encoded, Encoded]:
    """See `Benchmark.encoded`."""
    image, label = self.load(image_name)
    return png_bytes(image, name=image_name), png_bytes(label, name=image_name)


def write_made_set(benchmark: MadeImages, folder: str) -> None:
  """Prepares a set of made images, which `Prepared` then opens."""
  from data_pipelines.prepared.builders import builder_class
  from data_pipelines.prepared.checks import all_lists
  from data_pipelines.prepared.record import list_key

  digests = {list_key(*key): split.digest for key, split in all_lists(benchmark).items()}
  record = {'benchmark': benchmark.name, 'skipped': {}, 'lists': digests}
  builder_class(benchmark.name)(benchmark, data_dir=folder, record=record).write()


@dataclasses.dataclass(frozen=True)
class Memory:
  """Measures what a loader keeps, in bytes.

  Attributes:
    pickled: what a worker process is sent.
    before: resident memory of this process and its workers after a hundredth of an epoch.
    after: the same at the end of the epoch.
  """

  pickled: int
  before: int
  after: int


def epoch_memory(
  benchmark: Benchmark, *, fold: int, image_size: int, batch_size: int, num_workers: int
) -> Memory:
  """Reads an epoch of a training list and looks at the memory it takes.

  Args:
    benchmark: what to read.
    fold: the fold that the list is of.
    image_size: side of the images.
    batch_size: episodes a batch.
    num_workers: processes that read ahead.

  Returns:
    What it takes.
  """
  batches = train_batches(
    benchmark,
    fold=fold,
    image_size=image_size,
    batch_size=batch_size,
    epochs=1,
    num_workers=num_workers,
  )
  before = after = 0
  with contextlib.closing(iter(batches)) as iterator:
    for number, _ in enumerate(iterator, start=1):
      if number in (max(1, batches.steps_per_epoch // 100), batches.steps_per_epoch - 1):
        before, after = after, _resident()
  return Memory(pickled_size(batches), before, after)


def pickled_size(batches: Batches) -> int:
  """Returns how many bytes a worker process is sent."""
  return len(cloudpickle.dumps(batches.dataset))


def _resident() -> int:
  """Returns what this process and those it started hold, without what lies in shared memory."""
  gc.collect()
  this = psutil.Process()
  usage = [process.memory_info() for process in (this, *this.children(recursive=True))]
  return sum(memory.rss - getattr(memory, 'shared', 0) for memory in usage)
