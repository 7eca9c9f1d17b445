"""Puts a benchmark's images into one prepared set, after checking every one of them.

  python -m experiments.prepare --benchmark=pascal --data_dir=VOC2012 --splits_dir=splits
  python -m experiments.train --benchmark=pascal --prepared_dir=prepared --splits_dir=splits ...

A set holds the files as they came. With --prepare_size=400 it holds pixels that are resized
already, to the last bit as they are resized at load time: larger, and several times faster to read.

The work goes in two passes. The first reads every image and its mask, and writes what it finds to
a journal, a line an image; only where all are sound, or --on_bad_image=skip, does the second write
the records, in shards of 256. Journal and finished shards are in a folder beside the set whose name
ends in `.unfinished`. Whatever stops the program, running the same command again reads only the
images that the journal lacks or that have changed since, and writes only the shards that are not
finished. The set gets its name once it is whole; then the folder goes.
"""

import contextlib
import fcntl
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from absl import flags

from data_pipelines import Benchmark, Split, make_benchmark
from data_pipelines.benchmarks import BENCHMARKS
from data_pipelines.builders import builder_class
from data_pipelines.builders.base import PairBuilder, digest_of
from data_pipelines.builders.downloads import fetch
from data_pipelines.checks import Finding, all_lists, check_images, listed_classes
from data_pipelines.prepared import Prepared, list_digest, list_key
from data_pipelines.transforms import image_hw
from experiments import app, common
from experiments.files import writable_folder
from experiments.runlog import progress_bar
from hsnet_jax.errors import InputError

_PREPARE_SIZE = flags.DEFINE_integer(
  'prepare_size',
  None,
  'Store pixels resized to squares of this side. Default: the files as they came.',
  lower_bound=1,
)
_ON_BAD_IMAGE = flags.DEFINE_enum(
  'on_bad_image',
  'error',
  ['error', 'skip'],
  'error: prepare nothing where an image or its mask is bad; skip: leave it out of the lists.',
)
_DOWNLOAD = flags.DEFINE_bool(
  'download', False, 'Fetch what is public and is not in --data_dir yet, before anything else.'
)

Lists = Mapping[tuple[int, str], Split]


def main() -> None:
  """Prepares a set, or says that it is there."""
  name = common.BENCHMARK.value or 'shapes'
  folder = writable_folder(common.PREPARED_DIR.value or 'prepared', flag='--prepared_dir')
  size = None if _PREPARE_SIZE.value is None else image_hw(_PREPARE_SIZE.value)
  benchmark = _benchmark(name, builder_class(name))
  lists = all_lists(benchmark)
  listed = listed_classes(lists.values())
  builder = builder_class(name)(benchmark, data_dir=folder, names=list(listed), image_size=size)
  with _alone(builder.folder.parent), _room(builder.folder):
    if builder.folder.is_dir():
      _say_prepared(benchmark, lists, builder.folder, size)
    else:
      findings = _check(benchmark, listed, builder)
      skipped = _bad_images(findings)
      _write(benchmark, lists, findings, skipped, size)
  given = f' --splits_dir={common.SPLITS_DIR.value}' if common.SPLITS_DIR.value else ''
  print(f'read it with --benchmark={name} --prepared_dir={folder}{given}')


def class_table(benchmark: Benchmark, lists: Lists, skipped: Mapping[str, object]) -> str:
  """How many images each class has in each list, by the fold that tests on it.

  Args:
    benchmark: the benchmark.
    lists: all of its lists.
    skipped: the images that are left out.

  Returns:
    A line for each class. A class that a list should have and that has too few images in it to
    make an episode of is pointed out.
  """
  sizes = {
    key: {c: len(set(names).difference(skipped)) for c, names in split.by_class.items()}
    for key, split in lists.items()
  }
  folds, tests = range(benchmark.num_folds), [s for s in benchmark.splits if s != 'trn']
  tested = {
    (c, split): fold
    for fold in folds
    for split in tests
    for c in benchmark.test_classes(fold, split)
  }
  rows = []
  for class_id in range(benchmark.num_classes):
    fold = next((tested[class_id, s] for s in tests if (class_id, s) in tested), 0)
    counts = [max(sizes[f, split].get(class_id, 0) for f in folds) for split in benchmark.splits]
    if not any(counts) and not _named(benchmark, class_id):
      continue  # A shortened list of FSS-1000 leaves numbers without a class.
    trained = benchmark.num_folds > 1 or not any((class_id, s) in tested for s in tests)
    few = [
      split
      for split, count in zip(benchmark.splits, counts, strict=True)
      if count < 2 and (trained if split == 'trn' else (class_id, split) in tested)
    ]
    label = _named(benchmark, class_id)
    note = f'  too few for an episode in {" and ".join(few)}' if few else ''
    rows.append((fold, f'{fold:4} {class_id:5}  {label:20}', counts, note))
  header = f'fold class  {"name":20}' + ''.join(f'{split:>7}' for split in benchmark.splits)
  lines = [f'{start}{"".join(f"{n:7}" for n in c)}{note}' for _, start, c, note in sorted(rows)]
  return '\n'.join([header, *lines])


def _named(benchmark: Benchmark, class_id: int) -> str:
  names = benchmark.class_names
  return names[class_id] if class_id < len(names) else ''


def _benchmark(name: str, cls: type[PairBuilder]) -> Benchmark:
  """The benchmark as its folder has it; what must be where is said if it is not."""
  data_dir = common.DATA_DIR.value
  try:
    if _DOWNLOAD.value:
      if data_dir is None or not cls.ARCHIVES:
        raise InputError(
          f'--download: give --data_dir, the folder to put {name} in'
          if data_dir is None
          else f'--download: no part of {name} can be fetched'
        )
      for new in fetch(cls.ARCHIVES, data_dir, url_infos=cls.url_infos):
        print(f'fetched: {new}')
    return make_benchmark(name, data_dir=data_dir, splits_dir=common.SPLITS_DIR.value)
  except InputError:
    if BENCHMARKS[name].data:
      print(cls.MANUAL_DOWNLOAD_INSTRUCTIONS, file=sys.stderr)
    raise


def _say_prepared(
  benchmark: Benchmark, lists: Lists, folder: Path, size: tuple[int, int] | None
) -> None:
  """Makes sure that the set that is there is the one asked for."""
  with warnings.catch_warnings(action='ignore'):
    prepared = Prepared(benchmark, folder.parents[1])
  for key in lists:
    prepared.split(*key)
  if prepared.prepared_size != size:
    raise InputError(
      f'{folder}: prepared with {_size_flag(prepared.prepared_size)}, and asked for is'
      f' {_size_flag(size)}; name another --prepared_dir, or delete it'
    )
  print(class_table(benchmark, lists, prepared.skipped))
  print(f'already prepared: {folder}, {_counts(prepared)}')


def _check(benchmark: Benchmark, listed: Mapping, builder: PairBuilder) -> dict[str, Finding]:
  # A journal is of one folder: the same name in another is another image.
  source = digest_of(os.path.abspath(common.DATA_DIR.value or ''))[:12]
  with progress_bar(len(listed), desc='checking', unit='image') as bar:
    return check_images(
      benchmark,
      listed,
      journal=builder.unfinished / f'checked-{source}.jsonl',
      on_image=bar.update,
    )


def _bad_images(findings: Mapping[str, Finding]) -> dict[str, str]:
  """{image name: problem} of the bad ones, where they may be skipped."""
  bad = {name: finding.problem for name, finding in findings.items() if finding.problem}
  for problem in bad.values():
    print(f'bad image: {problem}')
  if bad and _ON_BAD_IMAGE.value == 'error':
    first = next(iter(bad.values()))
    more = f' (and {len(bad) - 1} more, listed above)' if len(bad) > 1 else ''
    raise InputError(f'{first}{more}; mend it, or leave bad images out with --on_bad_image=skip')
  if len(bad) == len(findings):
    raise InputError('every image is bad: there is nothing to prepare')
  return bad


def _write(
  benchmark: Benchmark,
  lists: Lists,
  findings: Mapping[str, Finding],
  skipped: Mapping[str, str],
  size: tuple[int, int] | None,
) -> None:
  names = [name for name in findings if name not in skipped]
  record = {
    'benchmark': benchmark.name,
    'skipped': skipped,
    'lists': {list_key(*key): list_digest(split) for key, split in lists.items()},
    'description': benchmark.description() if benchmark.name == 'folder' else None,
  }
  folder = Path(common.PREPARED_DIR.value or 'prepared').expanduser()
  with progress_bar(len(names), desc='writing', unit='image') as bar:
    builder = builder_class(benchmark.name)(
      benchmark,
      data_dir=folder,
      names=names,
      image_size=size,
      record=record,
      versions={name: findings[name].files for name in names},
      on_image=bar.update,
    )
    builder.write()
  with warnings.catch_warnings(action='ignore'):
    prepared = Prepared(benchmark, folder)
  # At the end: a reader that goes away, as in `... | head`, would stop the work.
  print(class_table(benchmark, lists, skipped))
  print(f'prepared: {builder.folder}, {_counts(prepared)}')


def _counts(prepared: Prepared) -> str:
  size = prepared.prepared_size
  kind = 'as they came' if size is None else f'at {size[0]} x {size[1]}'
  left_out = f', {len(prepared.skipped)} left out as bad' if prepared.skipped else ''
  return f'{len(prepared)} images {kind}, {prepared.num_bytes / 1e6:.1f} MB{left_out}'


def _size_flag(size: tuple[int, int] | None) -> str:
  return 'no --prepare_size' if size is None else f'--prepare_size={size[0]}'


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
  """Keeps a second process out that would write the same set."""
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / '.lock', 'w', encoding='utf-8') as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise InputError(f'{folder}: another process prepares this set; wait for its end') from error
    yield


@contextlib.contextmanager
def _room(folder: Path) -> Iterator[None]:
  """Says in one line that the disk is full, whichever library met with it."""
  try:
    yield
  except Exception as error:
    line = app.machine_error(error)
    if line is None or isinstance(error, InputError):
      raise
    raise InputError(
      f'{folder}: not prepared: {line}; mend that and run the same command again, which goes on'
      ' where this stopped'
    ) from error


if __name__ == '__main__':
  app.run(main)
