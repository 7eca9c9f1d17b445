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
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from absl import flags

from data_pipelines import BENCHMARKS, Benchmark, Split, make_benchmark
from data_pipelines.prepared.builders import builder_class
from data_pipelines.prepared.checks import (
  Finding,
  all_lists,
  check_images,
  file_versions,
  files_digest,
  listed_classes,
)
from data_pipelines.prepared.downloads import fetch
from data_pipelines.prepared.reader import Prepared
from data_pipelines.prepared.record import list_key, read_record
from data_pipelines.prepared.writer import PairBuilder
from data_pipelines.reading.arrays import image_hw
from data_pipelines.reading.files import digest_of
from experiments.command import app
from experiments.reporting.class_table import class_table
from experiments.reporting.progress import progress_bar
from experiments.storage.locks import alone
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import writable_folder, write_text

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

Lists = Mapping[tuple[int, str], Split]


def main() -> None:
  """Prepares a set, or says that it is there."""
  name = _BENCHMARK.value
  folder = writable_folder(_PREPARED_DIR.value, argument='prepared_dir')
  size = None if _PREPARE_SIZE.value is None else image_hw(_PREPARE_SIZE.value)
  with _instructions(name):
    benchmark = _benchmark(name, builder_class(name))
  lists = all_lists(benchmark)
  listed = listed_classes(lists.values())
  builder = builder_class(name)(benchmark, data_dir=folder, names=list(listed), image_size=size)
  with alone(builder.folder.parent, does='prepares this set'), _room(builder.folder):
    if builder.folder.is_dir():
      _say_prepared(benchmark, lists, builder.folder, size)
    else:
      findings = _check(benchmark, listed, builder)
      skipped = _bad_images(findings, builder)
      _write(benchmark, lists, findings, skipped, size)
  given = f' --splits_dir={_SPLITS_DIR.value}' if _SPLITS_DIR.value else ''
  print(f'read it with --benchmark={name} --prepared_dir={folder}{given}')


def _benchmark(name: str, cls: type[PairBuilder]) -> Benchmark:
  """The benchmark as its folder has it."""
  data_dir = _DATA_DIR.value
  if _DOWNLOAD.value:
    if data_dir is None or not cls.ARCHIVES:
      raise InputError(
        f'--download: give --data_dir, the folder to put {name} in'
        if data_dir is None
        else f'--download: no part of {name} can be fetched'
      )
    for new in fetch(cls.ARCHIVES, data_dir, url_infos=cls.url_infos):
      print(f'fetched: {new}')
  return make_benchmark(name, data_dir=data_dir, splits_dir=_SPLITS_DIR.value)


@contextlib.contextmanager
def _instructions(name: str) -> Iterator[None]:
  """Says what must be where, if it is not."""
  try:
    yield
  except InputError:
    if BENCHMARKS[name].data:
      print(app.with_flags(builder_class(name).MANUAL_DOWNLOAD_INSTRUCTIONS), file=sys.stderr)
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
  _say_whether_changed(benchmark, lists, folder)
  skipped = prepared.skipped
  if skipped and _ON_BAD_IMAGE.value == 'error':
    raise InputError(
      f'{folder}: {len(skipped)} listed images were left out as bad, {next(iter(skipped))} first;'
      ' give --on_bad_image=skip to have it so, or mend them and delete it to prepare it anew'
    )
  print(class_table(benchmark, lists, skipped))
  _print_bad(skipped, rest=folder / 'metadata.json')
  print(f'already prepared: {folder}, {_counts(prepared)}')


def _say_whether_changed(benchmark: Benchmark, lists: Lists, folder: Path) -> None:
  """Raises InputError unless the set was prepared from the files that there are now."""
  record = read_record(folder, benchmark.name)
  if 'files' not in record:
    raise InputError(
      f'{folder}: prepared by a version that did not note from which files, so it may be of others;'
      ' delete it to prepare it anew (to be read, it need not be)'
    )
  names = listed_classes(lists.values())
  with progress_bar(len(names), desc='comparing', unit='image') as bar:
    files = file_versions(benchmark, names, on_image=bar.update)
  if files_digest(files) != record['files']:
    where = f', those of {record["data_dir"]}' if record.get('data_dir') else ''
    raise InputError(
      f'{folder}: prepared from other files{where}, or they have changed since; delete it to'
      ' prepare it anew'
    )


def _data_dir() -> str:
  return os.path.abspath(os.path.expanduser(_DATA_DIR.value)) if _DATA_DIR.value else ''


def _check(benchmark: Benchmark, listed: Mapping, builder: PairBuilder) -> dict[str, Finding]:
  if _ON_BAD_IMAGE.value == 'error':
    # What is missing is found in no time, and said once instead of for each image.
    try:
      with _instructions(benchmark.name):
        benchmark.check_images(listed)
    except InputError as error:
      raise InputError(f'{error}; or leave bad images out with --on_bad_image=skip') from error
  # A journal is of one folder: the same name in another is another image.
  source = digest_of(_data_dir())[:12]
  with progress_bar(len(listed), desc='checking', unit='image') as bar:
    return check_images(
      benchmark,
      listed,
      journal=builder.unfinished / f'checked-{source}.jsonl',
      on_image=bar.update,
    )


def _bad_images(findings: Mapping[str, Finding], builder: PairBuilder) -> dict[str, str]:
  """{image name: problem} of the bad ones, where they may be skipped."""
  bad = {name: finding.problem for name, finding in findings.items() if finding.problem}
  if not bad:
    return {}
  if _ON_BAD_IMAGE.value == 'error':
    rest = builder.unfinished / 'bad_images.txt'
    write_text(rest, ''.join(f'{problem}\n' for problem in bad.values()))
    _print_bad(bad, rest=rest)
    first = next(iter(bad.values()))
    more = f' (and {len(bad) - 1} more, listed above)' if len(bad) > 1 else ''
    raise InputError(f'{first}{more}; mend it, or leave bad images out with --on_bad_image=skip')
  _print_bad(bad, rest=builder.folder / 'metadata.json')
  if len(bad) == len(findings):
    raise InputError('every image is bad: there is nothing to prepare')
  return bad


def _print_bad(bad: Mapping[str, str], *, rest: Path) -> None:
  for problem in list(bad.values())[:_PRINTED]:
    print(f'bad image: {problem}')
  if len(bad) > _PRINTED:
    print(f'... and {len(bad) - _PRINTED} more; all {len(bad)} are in {rest}')


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
    'lists': {list_key(*key): split.digest for key, split in lists.items()},
    'description': benchmark.description(),
    'drawn_masks': benchmark.drawn_masks,
    'data_dir': _data_dir(),
    'files': files_digest({name: finding.files for name, finding in findings.items()}),
  }
  folder = Path(_PREPARED_DIR.value).expanduser()
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
