"""Reads a benchmark's images from a prepared set instead of from its folder.

`experiments/prepare.py` makes one. It holds every listed image in one place, read by number: the
files as they came, or pixels that are resized already. Figures are the same as from the folder.
"""

import dataclasses
import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.benchmark import Benchmark
from data_pipelines.episodes import Episode
from data_pipelines.prepared.builders import builder_class
from data_pipelines.prepared.writer import SPLIT
from data_pipelines.reading.arrays import image_hw
from data_pipelines.reading.images import Encoded, encode_png
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

_VERSION = re.compile(r'\d+\.\d+\.\d+')
# What TFDS says of the set, and what `experiments/prepare.py` does.
_FILES = ('dataset_info.json', 'features.json')
_RECORD = 'metadata.json'
_KEYS = {
  'benchmark': str,
  'names': list,
  'skipped': dict,
  'lists': dict,
  'image_size': list | None,
  'shard_bytes': list,
}


class Prepared(Benchmark):
  """A benchmark whose images are those of a prepared set.

  May be called from several threads; a copy in another process opens the set anew.

  Args:
    benchmark: whose lists and labels; its own images are left alone.
    folder: the folder of prepared sets that `experiments/prepare.py` wrote to.

  Attributes:
    prepared_size: the (height, width) of the images, or None where they are as they came.
    skipped: {image name: problem} of the listed images that were left out.
    num_bytes: the size of the records on disk.

  Raises:
    InputError: there is no such set, not a whole one, or one of another version or benchmark.
  """

  def __init__(self, benchmark: Benchmark, folder: str | os.PathLike):
    """Opens the set."""
    self._benchmark = benchmark
    self._folder = set_folder(benchmark.name, folder)
    record = read_record(self._folder, benchmark.name)
    self._index = {name: i for i, name in enumerate(record['names'])}
    self._lists: Mapping[str, str] = record['lists']
    self.skipped: Mapping[str, str] = record['skipped']
    self._splits: dict[tuple[int, str], Split] = {}
    self.num_bytes = sum(record['shard_bytes'])
    size = record['image_size']
    self.prepared_size = None if size is None else (size[0], size[1])
    for name in ('name', 'num_classes', 'num_folds', 'class_names', 'boundary', 'published_count'):
      setattr(self, name, getattr(benchmark, name))
    self.splits = benchmark.splits
    self.drawn_masks = tuple(record.get('drawn_masks', ()))
    if self.skipped:
      count = len(self.skipped)
      warnings.warn(
        f'{self._folder}: {count} listed image{"s were" if count > 1 else " was"} left out as bad'
        f' when it was prepared, {next(iter(self.skipped))} first; figures are not those of the'
        ' whole lists',
        stacklevel=2,
      )
    self._open()

  def __len__(self) -> int:
    """How many images there are."""
    return len(self._index)

  def __getstate__(self) -> dict:
    """What a worker process is given: not the open files."""
    return {k: v for k, v in vars(self).items() if k != '_source'} | {'_splits': {}}

  def __setstate__(self, state: dict) -> None:
    """Opens the files anew."""
    vars(self).update(state)
    self._open()

  def check_size(self, size: int | Sequence[int] | None) -> None:
    """See `Benchmark.check_size`: pixels that are resized already are of one size."""
    if self.prepared_size is None or (size is not None and image_hw(size) == self.prepared_size):
      return
    height, width = self.prepared_size
    if size is None:
      wanted, fix = 'its own size', 'leave out --original_size'
    else:
      wanted, fix = ' x '.join(map(str, image_hw(size))), f'give --image_size={height}'
    raise InputError(
      f'{self._folder}: holds images at {height} x {width}, and each is wanted at {wanted}; {fix},'
      ' or read --data_dir, or a set prepared without --prepare_size'
    )

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """See `Benchmark.test_classes`."""
    return self._benchmark.test_classes(fold, split)

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; without the images that were left out when the set was prepared.

    Raises:
      InputError: the list is not the one that the set was prepared from.
    """
    if (fold, name) not in self._splits:
      whole = self._benchmark.split(fold, name)
      self._check_list(whole, fold, name)
      kept = tuple(item for item in whole.items if item[0] not in self.skipped)
      if not kept:
        raise InputError(f'{whole.name}: every image of it was left out as bad; mend them')
      self._splits[fold, name] = dataclasses.replace(whole, items=kept)
    return self._splits[fold, name]

  def draw_episodes(
    self,
    items: Split,
    fold: int,
    *,
    split: str,
    shots: int,
    count: int | None,
    distinct: bool,
  ) -> tuple[Episode, ...]:
    """See `Benchmark.draw_episodes`: as the benchmark does it."""
    return self._benchmark.draw_episodes(
      items, fold, split=split, shots=shots, count=count, distinct=distinct
    )

  def load(self, image_name: str) -> tuple[np.ndarray, np.ndarray]:
    """See `Benchmark.load`; at the size that the set was prepared at."""
    record = self._read(image_name)
    if self.prepared_size is not None:
      return record['image'], record['mask']
    return self._benchmark.decode(image_name, *_encoded(image_name, record))

  def encoded(self, image_name: str) -> tuple[Encoded, Encoded]:
    """See `Benchmark.encoded`; a set of pixels encodes them as PNG."""
    record = self._read(image_name)
    if self.prepared_size is None:
      return _encoded(image_name, record)
    return (
      encode_png(record['image'], name=f'image {image_name}'),
      encode_png(record['mask'], name=f'label of {image_name}'),
    )

  def check_images(self, image_names: Iterable[str]) -> None:
    """See `Benchmark.check_images`."""
    for name in image_names:
      self._number(name)

  def _open(self) -> None:
    encoded = self.prepared_size is None
    skip = {key: tfds.decode.SkipDecoding() for key in ('image', 'mask')} if encoded else None
    try:
      builder = tfds.builder_from_directory(os.fspath(self._folder))
      self._source = builder.as_data_source(SPLIT, decoders=skip)
    except Exception as error:  # TFDS raises nearly anything where its files are damaged.
      raise InputError(
        f'{self._folder}: {" or ".join(_FILES)} is damaged ({" ".join(str(error).split())});'
        f' {_anew(self._folder)}'
      ) from error

  def _number(self, image_name: str) -> int:
    number = self._index.get(image_name)
    if number is None:
      why = (
        'was left out as bad when it was prepared'
        if image_name in self.skipped
        else f'is not in it; {_anew(self._folder)}'
      )
      raise InputError(f'{self._folder}: image {image_name} {why}')
    return number

  def _read(self, image_name: str) -> Mapping[str, object]:
    number = self._number(image_name)
    try:
      record = self._source[number]
    except (RuntimeError, OSError, ValueError) as error:  # ArrayRecord's and the protocol buffers'.
      line = ' '.join(str(error).split())
      raise InputError(
        f'{self._folder}: image {image_name} cannot be read ({line}); {_anew(self._folder)}'
      ) from error
    if record['name'].decode() != image_name:
      raise InputError(
        f'{self._folder}: record {number} is not {image_name} but {record["name"].decode()};'
        f' {_anew(self._folder)}'
      )
    return record

  def _check_list(self, split: Split, fold: int, name: str) -> None:
    if split.digest == self._lists.get(list_key(fold, name)):
      return
    unknown = [n for n, _ in split.items if n not in self._index and n not in self.skipped]
    what = f'{unknown[0]} is not in the set' if unknown else 'the list is another'
    raise InputError(
      f'{self._folder}: prepared from other lists than {split.name} ({what}); give the --splits_dir'
      f' that it was prepared from, or {_anew(self._folder)}'
    )


def open_prepared(name: str, folder: str | os.PathLike, lists: Benchmark | None) -> Prepared:
  """Opens the prepared set of a benchmark.

  Args:
    name: the benchmark's name.
    folder: the folder of prepared sets.
    lists: the benchmark made with `lists_only`; None where the set itself must say what its lists
      are, as that of a folder of one's own does.

  Returns:
    The set as a benchmark.

  Raises:
    InputError: see `Prepared`.
  """
  if lists is None:
    from data_pipelines.own_pictures.folder import Folder

    record = read_record(set_folder(name, folder), name)
    lists = Folder.from_description(record['description'])
  return Prepared(lists, folder)


def set_folder(name: str, folder: str | os.PathLike) -> Path:
  """Where the prepared set of a benchmark is in a folder of prepared sets.

  Raises:
    InputError: there is none, or none of this version.
  """
  cls = builder_class(name)
  folder = Path(os.path.expanduser(folder))
  found = folder / cls.name / str(cls.VERSION)
  if found.is_dir():
    return found
  sets = (folder / cls.name).glob('*/dataset_info.json')
  others = sorted(p.parent.name for p in sets if _VERSION.fullmatch(p.parent.name))
  if others:
    raise InputError(
      f'{folder / cls.name / others[-1]}: a prepared set of version {others[-1]}, and this program'
      f' reads {cls.VERSION}; {_anew(found)}'
    )
  if Path(f'{found}.unfinished').is_dir():
    raise InputError(
      f'{found}: the set was not prepared to its end; run experiments.prepare again, which goes on'
      ' where it stopped'
    )
  sets = sorted(p.parent.parent.name for p in folder.glob('*/*/dataset_info.json'))
  held = f'it holds {", ".join(sets)}' if sets else 'there is no prepared set in it'
  raise InputError(
    f'{folder}: no prepared set of {name} ({held}); prepare one with python -m'
    f' experiments.prepare --benchmark={name} --prepared_dir={folder}'
  )


def read_record(folder: Path, name: str) -> Mapping[str, object]:
  """What a prepared set says of itself.

  Args:
    folder: the set's.
    name: the benchmark's.

  Returns:
    names: the images in the order of their records; skipped: {image name: why it was left out};
    lists: {'fold list': digest}; image_size: [height, width] or None; shard_bytes: the size of each
    file; description: the lists themselves, for a folder of one's own; drawn_masks: those of the
    benchmark; data_dir and files: where the images came from and `checks.files_digest` of them,
    which older sets lack.

  Raises:
    InputError: the set is not whole, or of another benchmark.
  """
  content = {}
  try:
    for file in (*_FILES, _RECORD):
      content[file] = json.loads((folder / file).read_text(encoding='utf-8'))
      if not isinstance(content[file], dict):
        raise ValueError('not an object of JSON')
    record = content[_RECORD]
    if not all(isinstance(record.get(key), kind) for key, kind in _KEYS.items()):
      raise ValueError('keys are missing')
  except (OSError, ValueError) as error:
    raise InputError(f'{folder}: {file} is missing or damaged; {_anew(folder)}') from error
  if record['benchmark'] != name:
    raise InputError(
      f'{folder}: a prepared set of {record["benchmark"]}, not of {name}; {_anew(folder)}'
    )
  shards = sorted(folder.glob(f'*-{SPLIT}.array_record-*'))
  if [path.stat().st_size for path in shards] != record['shard_bytes']:
    raise InputError(
      f'{folder}: not whole: its array_record files are not those that it was prepared with;'
      f' {_anew(folder)}'
    )
  return record


def list_key(fold: int, name: str) -> str:
  """What a set's record calls a list."""
  return f'{fold} {name}'


def _encoded(image_name: str, record: Mapping[str, object]) -> tuple[Encoded, Encoded]:
  image, mask = record['image'], record['mask']
  return Encoded(image, f'image {image_name}'), Encoded(mask, f'mask of {image_name}')


def _anew(folder: Path) -> str:
  return f'to prepare it anew, delete {folder} and run experiments.prepare'
