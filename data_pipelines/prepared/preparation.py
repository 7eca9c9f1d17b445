"""Makes a prepared set of a benchmark: every image is checked, then those that are sound written.

Whatever stops it, doing the same again resumes from the journal and the shards that are left in the
folder beside the set whose name ends in `.unfinished`. Nothing keeps two processes from preparing
the same set at the same time: the caller does.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from data_pipelines.benchmark import Benchmark
from data_pipelines.prepared.builders import builder_class
from data_pipelines.prepared.checks import (
  Finding,
  all_lists,
  check_images,
  file_versions,
  files_digest,
  listed_classes,
)
from data_pipelines.prepared.reader import Prepared
from data_pipelines.prepared.record import list_key, read_record
from data_pipelines.prepared.writer import PairBuilder
from data_pipelines.reading.arrays import image_hw
from data_pipelines.reading.files import digest_of
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import write_text

_SKIP = '`on_bad_image`=skip'


class MissingImages(InputError):
  """Tells that files of the lists are not there: perhaps the folder is not what it is taken for."""


class BadImages(InputError):
  """Tells that images of the lists cannot be used.

  Attributes:
    problems: {image name: why}.
    listed_in: a text file of all of them.
  """

  def __init__(self, problems: Mapping[str, str], listed_in: Path):
    """Names the first of them."""
    self.problems, self.listed_in = problems, listed_in
    first = next(iter(problems.values()))
    more = f' (and {len(problems) - 1} more, listed above)' if len(problems) > 1 else ''
    super().__init__(f'{first}{more}; mend it, or leave bad images out with {_SKIP}')


class Progress(Protocol):
  """Shows how far a pass over images has come; `progress_bar` of a program, for one."""

  def __call__(self, total: int, what: str) -> contextlib.AbstractContextManager[Callable]:
    """Returns a context whose value is called for each image as it is done."""
    ...


@contextlib.contextmanager
def _unseen(total: int, what: str) -> Iterator[Callable]:
  del total, what
  yield lambda: None


class Preparation:
  """Describes a set to be: of which benchmark, where, at which size.

  Attributes:
    benchmark: what it is made from.
    folder: the set's own folder.
    lists: all lists of the benchmark, by fold and name.
    skipped_in: the file of the set that says which images were left out.
  """

  def __init__(
    self,
    benchmark: Benchmark,
    prepared_dir: str | os.PathLike,
    *,
    image_size: int | None = None,
    data_dir: str | os.PathLike | None = None,
    progress: Progress = _unseen,
  ):
    """Reads the lists, and no image.

    Args:
      benchmark: what to make it from.
      prepared_dir: the folder of prepared sets, in which it gets a folder.
      image_size: side of the squares to store pixels at; None for the files as they came.
      data_dir: where the benchmark's images are, for the set's record.
      progress: what shows how far each pass over the images has come.

    Raises:
      InputError: a list cannot be read.
    """
    self.benchmark = benchmark
    self.lists = all_lists(benchmark)
    self._listed = listed_classes(self.lists.values())
    self._prepared_dir = Path(os.path.expanduser(prepared_dir))
    self._size = None if image_size is None else image_hw(image_size)
    self._data_dir = os.path.abspath(os.path.expanduser(data_dir)) if data_dir else ''
    self._progress = progress
    builder = self._builder(list(self._listed))
    self.folder, self._unfinished = builder.folder, builder.unfinished
    self.skipped_in = self.folder / 'metadata.json'

  def is_done(self) -> bool:
    """Returns whether the set is there, though it may be of other files; see `open`."""
    return self.folder.is_dir()

  def open(self, *, skip_bad: bool = False) -> Prepared:
    """Opens the set that is there, after making sure that it is the one asked for.

    Args:
      skip_bad: whether it may lack images that were bad.

    Returns:
      The set.

    Raises:
      InputError: it has another size, other lists, other files than there are now, or lacks images.
    """
    prepared = self._open()
    for key in self.lists:
      prepared.split(*key)
    if prepared.prepared_size != self._size:
      raise InputError(
        f'{self.folder}: prepared with {_in_words(prepared.prepared_size)}, and asked for is'
        f' {_in_words(self._size)}; name another `prepared_dir`, or delete it'
      )
    self._check_files()
    skipped = prepared.skipped
    if skipped and not skip_bad:
      raise InputError(
        f'{self.folder}: {len(skipped)} listed images were left out as bad, {next(iter(skipped))}'
        f' first; give {_SKIP} to have it so, or mend them and delete it to prepare it anew'
      )
    return prepared

  def make(
    self,
    *,
    skip_bad: bool = False,
    on_skipped: Callable[[Mapping[str, str]], object] = lambda problems: None,
  ) -> Prepared:
    """Checks every image, and writes the set.

    Args:
      skip_bad: whether bad images are left out of the lists.
      on_skipped: called with {image name: why} before anything is written.

    Returns:
      The set.

    Raises:
      MissingImages: files are missing, and none may be skipped.
      BadImages: images are bad, and none may be skipped.
      InputError: every image is bad.
    """
    findings = self._check(skip_bad)
    bad = {name: finding.problem for name, finding in findings.items() if finding.problem}
    if bad and not skip_bad:
      rest = self._unfinished / 'bad_images.txt'
      write_text(rest, ''.join(f'{problem}\n' for problem in bad.values()))
      raise BadImages(bad, rest)
    if bad:
      on_skipped(bad)
    if findings and len(bad) == len(findings):
      raise InputError('every image is bad: there is nothing to prepare')
    self._write(findings, bad)
    return self._open()

  def _builder(
    self,
    names: list[str],
    *,
    record: Mapping[str, object] | None = None,
    versions: Mapping[str, object] | None = None,
    on_image: Callable[[], object] = lambda: None,
  ) -> PairBuilder:
    return builder_class(self.benchmark.name)(
      self.benchmark,
      data_dir=self._prepared_dir,
      names=names,
      image_size=self._size,
      record=record,
      versions=versions,
      on_image=on_image,
    )

  def _open(self) -> Prepared:
    return Prepared(self.benchmark, self._prepared_dir)

  def _check_files(self) -> None:
    """Raises InputError unless the set was prepared from the files that there are now."""
    record = read_record(self.folder, self.benchmark.name)
    if 'files' not in record:
      raise InputError(
        f'{self.folder}: prepared by a version that did not note from which files, so it may be of'
        ' others; delete it to prepare it anew (to be read, it need not be)'
      )
    with self._progress(len(self._listed), 'comparing') as on_image:
      files = file_versions(self.benchmark, self._listed, on_image=on_image)
    if files_digest(files) != record['files']:
      where = f', those of {record["data_dir"]}' if record.get('data_dir') else ''
      raise InputError(
        f'{self.folder}: prepared from other files{where}, or they have changed since; delete it to'
        ' prepare it anew'
      )

  def _check(self, skip_bad: bool) -> dict[str, Finding]:
    if not skip_bad:
      # What is missing is found in no time, and said once instead of for each image.
      try:
        self.benchmark.check_images(self._listed)
      except InputError as error:
        raise MissingImages(f'{error}; or leave bad images out with {_SKIP}') from error
    # A journal is of one folder: the same name in another is another image.
    journal = self._unfinished / f'checked-{digest_of(self._data_dir)[:12]}.jsonl'
    with self._progress(len(self._listed), 'checking') as on_image:
      return check_images(self.benchmark, self._listed, journal=journal, on_image=on_image)

  def _write(self, findings: Mapping[str, Finding], skipped: Mapping[str, str]) -> None:
    names = [name for name in findings if name not in skipped]
    record = {
      'benchmark': self.benchmark.name,
      'skipped': skipped,
      'lists': {list_key(*key): split.digest for key, split in self.lists.items()},
      'description': self.benchmark.description(),
      'drawn_masks': self.benchmark.drawn_masks,
      'data_dir': self._data_dir,
      'files': files_digest({name: finding.files for name, finding in findings.items()}),
    }
    versions = {name: findings[name].files for name in names}
    with self._progress(len(names), 'writing') as on_image:
      self._builder(names, record=record, versions=versions, on_image=on_image).write()


def _in_words(size: tuple[int, int] | None) -> str:
  return 'no `prepare_size`' if size is None else f'`prepare_size`={size[0]}'
