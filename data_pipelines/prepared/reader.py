"""Reads a benchmark's images from a prepared set instead of from its folder.

`experiments/prepare.py` makes one. It holds every listed image in one place, read by number: the
files as they came, or pixels that are resized already. Figures are the same as from the folder.
"""

import dataclasses
import functools
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds

from data_pipelines.benchmark import Benchmark, OnTop
from data_pipelines.prepared.record import (
  INFO_FILES,
  SPLIT,
  anew,
  list_key,
  read_record,
  set_folder,
)
from data_pipelines.reading.arrays import Pair, image_hw
from data_pipelines.reading.files import AnyPath
from data_pipelines.reading.images import Encoded, Source, png_bytes, read_label, read_pair
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError


class Prepared(OnTop):
  """Reads the images of a benchmark from a prepared set.

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

  def __init__(self, benchmark: Benchmark, folder: AnyPath):
    """Opens the set."""
    super().__init__(benchmark)
    self._folder = set_folder(benchmark.name, folder)
    record = read_record(self._folder, benchmark.name)
    self._index = {name: i for i, name in enumerate(record['names'])}
    self._lists: Mapping[str, str] = record['lists']
    self.skipped: Mapping[str, str] = record['skipped']
    self._splits: dict[tuple[int, str], Split] = {}
    self.num_bytes = sum(record['shard_bytes'])
    size = record['image_size']
    self.prepared_size = None if size is None else (size[0], size[1])
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
    """Counts the images."""
    return len(self._index)

  def __getstate__(self) -> dict[str, Any]:
    """Gives a worker process all but the open files."""
    return {k: v for k, v in vars(self).items() if k != '_source'} | {'_splits': {}}

  def __setstate__(self, state: dict[str, Any]) -> None:
    """Opens the files anew."""
    vars(self).update(state)
    self._open()

  def check_size(self, size: int | Sequence[int] | None) -> None:
    """See `Benchmark.check_size`: pixels that are resized already are of one size."""
    if self.prepared_size is None or (size is not None and image_hw(size) == self.prepared_size):
      return
    height, width = self.prepared_size
    if size is None:
      wanted, fix = (
        'its own size',
        'leave out `original_size`, and take supports whole (`support_margin`)',
      )
    else:
      wanted, fix = ' x '.join(map(str, image_hw(size))), f'give `image_size`={height}'
    raise InputError(
      f'{self._folder}: holds images at {height} x {width}, and each is wanted at {wanted}; {fix},'
      " or read `data_dir`, or a set made without experiments.prepare's `prepare_size`"
    )

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; without the images that were left out when the set was prepared.

    Raises:
      InputError: the list is not the one that the set was prepared from.
    """
    if (fold, name) not in self._splits:
      whole = self.benchmark.split(fold, name)
      self._check_list(whole, fold, name)
      kept = tuple(item for item in whole.items if item[0] not in self.skipped)
      if not kept:
        raise InputError(f'{whole.name}: every image of it was left out as bad; mend them')
      self._splits[fold, name] = dataclasses.replace(whole, items=kept)
    return self._splits[fold, name]

  def load(self, image_name: str) -> Pair:
    """See `Benchmark.load`; at the size that the set was prepared at."""
    record = self._read(image_name)
    if self.prepared_size is not None:
      return record['image'], record['mask']
    return self.benchmark.decode(image_name, *_encoded(image_name, record))

  def encoded(self, image_name: str) -> tuple[Encoded, Encoded]:
    """See `Benchmark.encoded`; a set of pixels makes PNGs of them."""
    record = self._read(image_name)
    if self.prepared_size is None:
      return _encoded(image_name, record)
    return (
      png_bytes(record['image'], name=f'image {image_name}'),
      png_bytes(record['mask'], name=f'label of {image_name}'),
    )

  def decode(self, image_name: str, image: Source, mask: Source) -> Pair:
    """See `Benchmark.decode`; a set of pixels holds labels, however the benchmark has its masks."""
    if self.prepared_size is None:
      return self.benchmark.decode(image_name, image, mask)
    return read_pair(image, mask, read=functools.partial(read_label, largest=65535))

  def check_images(self, image_names: Iterable[str]) -> None:
    """See `Benchmark.check_images`."""
    for name in image_names:
      self._number(name)

  def _open(self) -> None:
    encoded = self.prepared_size is None
    skip = {key: tfds.decode.SkipDecoding() for key in ('image', 'mask')} if encoded else None
    try:
      # Its decorators hide what the method takes.
      builder: Any = tfds.builder_from_directory(os.fspath(self._folder))
      self._source: Sequence[Any] = builder.as_data_source(SPLIT, decoders=skip)
    except Exception as error:  # TFDS raises nearly anything where its files are damaged.
      raise InputError(
        f'{self._folder}: {" or ".join(INFO_FILES)} is damaged ({" ".join(str(error).split())});'
        f' {anew(self._folder)}'
      ) from error

  def _number(self, image_name: str) -> int:
    number = self._index.get(image_name)
    if number is None:
      why = (
        'was left out as bad when it was prepared'
        if image_name in self.skipped
        else f'is not in it; {anew(self._folder)}'
      )
      raise InputError(f'{self._folder}: image {image_name} {why}')
    return number

  def _read(self, image_name: str) -> Mapping[str, Any]:
    number = self._number(image_name)
    try:
      record = self._source[number]
    except (RuntimeError, OSError, ValueError) as error:  # ArrayRecord's and the protocol buffers'.
      line = ' '.join(str(error).split())
      raise InputError(
        f'{self._folder}: image {image_name} cannot be read ({line}); {anew(self._folder)}'
      ) from error
    if record['name'].decode() != image_name:
      raise InputError(
        f'{self._folder}: record {number} is not {image_name} but {record["name"].decode()};'
        f' {anew(self._folder)}'
      )
    return record

  def _check_list(self, split: Split, fold: int, name: str) -> None:
    if split.digest == self._lists.get(list_key(fold, name)):
      return
    unknown = [n for n, _ in split.items if n not in self._index and n not in self.skipped]
    what = f'{unknown[0]} is not in the set' if unknown else 'the list is another'
    raise InputError(
      f'{self._folder}: prepared from other lists than {split.name} ({what}); give the `splits_dir`'
      f' that it was prepared from, or {anew(self._folder)}'
    )


def _encoded(image_name: str, record: Mapping[str, Any]) -> tuple[Encoded, Encoded]:
  image, mask = record['image'], record['mask']
  return Encoded(image, f'image {image_name}'), Encoded(mask, f'mask of {image_name}')
