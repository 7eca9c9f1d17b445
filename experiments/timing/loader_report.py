"""Reports on the loader: opening a set, the memory of an epoch, and episodes a second."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from data_pipelines.benchmark import Benchmark
from data_pipelines.catalog import make_benchmark
from data_pipelines.prepared.reader import Prepared
from experiments.timing import loader
from hsnet_jax.errors import InputError


def loader_report(
  *,
  data_dir: str | None,
  splits_dir: str | None,
  prepared_dir: str | None = None,
  fold: int,
  image_size: int,
  batch_size: int,
  episodes: int,
  workers: Sequence[int] | None = None,
  images: int,
  records: int,
  rounds: int,
) -> Iterator[str]:
  """Measures opening, memory and throughput of the loader on PASCAL-5i.

  Args:
    data_dir: the folder of images.
    splits_dir: the folder of the published lists.
    prepared_dir: the folder of prepared sets to measure as well.
    fold: the fold whose test episodes are loaded.
    image_size: side of the images.
    batch_size: episodes a batch.
    episodes: how many a round loads.
    workers: numbers of workers; None for 0, 1, 2, 4 and one a core.
    images: of how many made images the memory is looked at.
    records: of how many made images a set is written and opened.
    rounds: how often each loader has its turn.

  Yields:
    Lines, the last of them a Markdown table.

  Raises:
    InputError: a folder is not there, or the episodes make no batch.
  """
  folder = make_benchmark('pascal', data_dir=data_dir, splits_dir=splits_dir)
  folder.check_fold(fold)
  if episodes < batch_size:
    raise InputError(f'`episodes`={episodes} is less than a batch; give {batch_size} or more')
  workers = sorted(set(workers or (0, 1, 2, 4, os.cpu_count() or 1)))
  given = _Epoch(fold, image_size, batch_size)
  sources: dict[str, Benchmark] = {'from the folder': folder}
  if prepared_dir is not None:
    prepared, said = _open_set(prepared_dir, splits_dir, image_size)
    sources['from the prepared set'] = prepared
    yield said
  yield _open_made_set(records)
  # The first epoch of a process takes what its libraries take: that of made images is it.
  made = loader.MadeImages(images)
  yield from _memory(made, f'{images} made images', workers, _Epoch(0, 8, 100))
  for prepared in list(sources.values())[1:]:
    yield from _memory(prepared, f'the prepared set at {image_size} x {image_size}', workers, given)
  yield from _rates(sources, folder, workers, given, episodes=episodes, rounds=rounds)


class _Epoch(NamedTuple):
  fold: int
  image_size: int
  batch_size: int


def _rates(
  sources: Mapping[str, Benchmark],
  folder: Benchmark,
  workers: Sequence[int],
  given: _Epoch,
  *,
  episodes: int,
  rounds: int,
) -> Iterator[str]:
  """Yields the table of loaders."""
  found = loader.contenders(
    sources,
    folder,
    fold=given.fold,
    image_size=given.image_size,
    batch_size=given.batch_size,
    count=episodes,
    workers=workers,
  )
  yield (
    f'1-shot episodes at {given.image_size} x {given.image_size}, batch {given.batch_size},'
    f' {os.cpu_count()} cores, {rounds} rounds in turn. Ours gives uint8, which the device'
    ' normalizes; the plain loader gives float32, normalized. 0 workers: two threads.\n'
  )
  rates = loader.measure(found, rounds=rounds, batches=episodes // given.batch_size)
  yield from loader.table(found, rates, given.batch_size)


def _open_set(prepared_dir: str, splits_dir: str | None, image_size: int) -> tuple[Benchmark, str]:
  """Opens the prepared set of PASCAL-5i; returns how long that took as well."""
  start = time.perf_counter()
  prepared = make_benchmark('pascal', splits_dir=splits_dir, prepared_dir=prepared_dir)
  seconds = time.perf_counter() - start
  prepared.check_size(image_size)
  count = len(prepared) if isinstance(prepared, Prepared) else 0
  return prepared, f'a prepared set of {count} records opened in {seconds:.2f} s'


def _open_made_set(records: int) -> str:
  """Writes a prepared set of made images, opens it, and returns how long that took."""
  made = loader.MadeImages(records)
  with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    loader.write_made_set(made, folder)
    written = time.perf_counter()
    prepared = Prepared(made, folder)
    opened = time.perf_counter()
    prepared.load(prepared.split(0, 'trn').items[-1][0])
    read = time.perf_counter()
  return (
    f'a made set of {len(prepared)} records written in {written - start:.2f} s, opened in'
    f' {opened - written:.2f} s, its list compared and the last record read in'
    f' {read - opened:.2f} s'
  )


def _memory(
  benchmark: Benchmark, label: str, workers: Sequence[int], given: _Epoch
) -> Iterator[str]:
  """Yields what an epoch takes, in this process and with one worker; see `epoch_memory`."""
  for number in sorted({min(n, 1) for n in workers}):
    memory = loader.epoch_memory(
      benchmark,
      fold=given.fold,
      image_size=given.image_size,
      batch_size=given.batch_size,
      num_workers=number,
    )
    before, after, sent = (n / 2**20 for n in (memory.before, memory.after, memory.pickled))
    yield (
      f'an epoch of {label} with {number} workers: {before:.1f} MiB resident at its start,'
      f' {after:.1f} MiB at its end; a worker is sent {sent:.1f} MiB'
    )
