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
finished. Labels that are drawn, those of `shapes` and of COCO's or LabelMe's JSON, have no file by
which to tell, and are drawn and checked again. The set gets its name once it is whole; then the
folder goes.

Where the set is there already, sizes and times of the listed files are compared with those that it
was prepared from, and what is drawn is drawn again and compared.
"""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from data_pipelines.catalog import BENCHMARKS, make_benchmark
from experiments.command import app
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import writable_folder

if TYPE_CHECKING:
  from data_pipelines.benchmark import Benchmark
  from data_pipelines.prepared.preparation import Preparation
  from data_pipelines.prepared.reader import Prepared

# Its own flags alone: what says how to train or to test would be taken here and do nothing.
_BENCHMARK = flags.DEFINE_enum(
  'benchmark', 'shapes', sorted(BENCHMARKS), 'Which benchmark to prepare.'
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, "The benchmark's own folder of images. Not needed for shapes."
)
_SPLITS_DIR = flags.DEFINE_string(
  'splits_dir', None, 'Folder of the published lists, the one that holds pascal/, coco/ and fss/.'
)
_PREPARED_DIR = flags.DEFINE_string(
  'prepared_dir', 'prepared', 'Folder of prepared sets to put this one in.'
)
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

# Of bad images that are printed, so that a misplaced folder does not flood the screen.
_PRINTED = 20


def main() -> None:
  """Prepares a set, or says that it is there."""
  from data_pipelines.prepared.preparation import Preparation
  from experiments.reporting.class_table import class_table
  from experiments.storage.locks import alone

  name = _BENCHMARK.value
  folder = writable_folder(_PREPARED_DIR.value, argument='prepared_dir')
  job = Preparation(
    _benchmark(name),
    folder,
    image_size=_PREPARE_SIZE.value,
    data_dir=_DATA_DIR.value,
    progress=_progress,
  )
  skip_bad = _ON_BAD_IMAGE.value == 'skip'
  with alone(job.folder.parent, does='prepares this set'), _room(job.folder), _told_below():
    done = job.is_done()
    prepared = job.open(skip_bad=skip_bad) if done else _make(job, skip_bad)
    # At the end: a reader that goes away, as in `... | head`, would stop the work.
    print(class_table(job.benchmark, job.lists, prepared.skipped))
    if done:
      _print_bad(prepared.skipped, rest=job.skipped_in)
    print(f'{"already " if done else ""}prepared: {job.folder}, {_counts(prepared)}')
  given = f' --splits_dir={_SPLITS_DIR.value}' if _SPLITS_DIR.value else ''
  print(f'read it with --benchmark={name} --prepared_dir={folder}{given}')


def _benchmark(name: str) -> 'Benchmark':
  """Returns the benchmark as its folder has it; fetches what is asked for."""
  from data_pipelines.prepared.builders import builder_class
  from data_pipelines.prepared.downloads import fetch

  data_dir, cls = _DATA_DIR.value, builder_class(name)
  with _instructions(name, InputError):
    if _DOWNLOAD.value:
      if data_dir is None:
        raise InputError(f'`download`: give `data_dir`, the folder to put {name} in')
      if not cls.ARCHIVES:
        raise InputError(f'`download`: no part of {name} can be fetched')
      for new in fetch(cls.ARCHIVES, data_dir, url_infos=cls.url_infos or {}):
        print(f'fetched: {new}')
    return make_benchmark(name, data_dir=data_dir, splits_dir=_SPLITS_DIR.value)


@contextlib.contextmanager
def _instructions(name: str, errors: type[InputError]) -> Iterator[None]:
  """Says what must be where, if it is not."""
  try:
    yield
  except errors:
    from data_pipelines.prepared.builders import builder_class

    if BENCHMARKS[name].data:
      print(app.with_flags(builder_class(name).MANUAL_DOWNLOAD_INSTRUCTIONS or ''), file=sys.stderr)
    raise


@contextlib.contextmanager
def _progress(total: int, what: str) -> Iterator[Callable[[], object]]:
  from experiments.reporting.progress import progress_bar

  with progress_bar(total, desc=what, unit='image') as bar:
    yield bar.update


@contextlib.contextmanager
def _told_below() -> Iterator[None]:
  """Keeps back what an opened set warns of: what was left out is printed image by image."""
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', message='.* left out as bad')
    yield


def _make(job: 'Preparation', skip_bad: bool) -> 'Prepared':
  """Returns the new set; says first what is bad."""
  from data_pipelines.prepared.preparation import BadImages, MissingImages

  try:
    with _instructions(job.benchmark.name, MissingImages):
      return job.make(
        skip_bad=skip_bad, on_skipped=lambda bad: _print_bad(bad, rest=job.skipped_in)
      )
  except BadImages as error:
    _print_bad(error.problems, rest=error.listed_in)
    raise


def _print_bad(bad: Mapping[str, str], *, rest: Path) -> None:
  for problem in list(bad.values())[:_PRINTED]:
    print(f'bad image: {problem}')
  if len(bad) > _PRINTED:
    print(f'... and {len(bad) - _PRINTED} more; all {len(bad)} are in {rest}')


def _counts(prepared: 'Prepared') -> str:
  size = prepared.prepared_size
  kind = 'as they came' if size is None else f'at {size[0]} x {size[1]}'
  left_out = f', {len(prepared.skipped)} left out as bad' if prepared.skipped else ''
  return f'{len(prepared)} images {kind}, {prepared.num_bytes / 1e6:.1f} MB{left_out}'


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
      f'{folder}: not prepared: {line}; mend that and run the same command again, which resumes'
      ' where this stopped'
    ) from error


if __name__ == '__main__':
  app.run(main)
