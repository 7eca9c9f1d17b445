"""Writes pairs of image and mask, in the order of the lists, as ArrayRecord, for all builders.

A record is {name, image, mask}. As they came, image and mask are the files' own bytes, which
`Benchmark.decode` decodes; at a size, they are the pixels that `Benchmark.load` and the resizes of
`reading.arrays` give, raw for the image, zlib for the label, so that reading is hardly more than a
copy. Records are not compressed again: JPEG and PNG cannot be, and pixels would lose a sixth of
their size for four times the reading time.

TFDS passes what a `GeneratorBasedBuilder` yields through a shuffler, even where shuffling is off,
and beyond 1 GB that needs TensorFlow. So these builders write as a `ShardBasedBuilder` does: shard
by shard, straight from the generator.

A finished shard is kept in a folder beside the set, named by a digest of what it holds and by its
size. It is on the disk before it has that name. A second attempt links the shards that it finds
there, of the size that their name says, and writes the next. TFDS gives the set its name once
it is whole, so what was stopped is never taken for it.
"""

import concurrent.futures
import contextlib
import functools
import io
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core.download.checksums import load_url_infos
from tensorflow_datasets.core.writer import ExampleWriter

from data_pipelines.benchmark import Benchmark
from data_pipelines.prepared.downloads import Archive
from data_pipelines.prepared.record import SPLIT, VERSION
from data_pipelines.reading.arrays import resize_image, resize_mask
from data_pipelines.reading.files import AnyPath, digest_of
from data_pipelines.reading.images import Encoded, Source

RECORDS_PER_SHARD = 256

Example = tuple[str, Mapping[str, object]]


class PairBuilder(tfds.core.ShardBasedBuilder, tfds.core.GeneratorBasedBuilder):
  """Writes the images of a benchmark's lists, each once.

  Args:
    benchmark: what to read.
    data_dir: the folder of prepared sets; this one is in it under its name and version.
    names: the images to write, in order; all that are listed where None.
    image_size: (height, width) to store pixels at; None to store the files' bytes.
    record: what the set's metadata holds besides; see `data_pipelines.prepared.record`.
    versions: something for each image that changes when its files do. A shard is taken over from
      a stopped attempt only where these are the same.
    on_image: called as each image is done.
    records_per_shard: how many images a file holds, but for the last.

  Attributes:
    folder: the set's.
    unfinished: the folder of what a stopped attempt has left, beside the set.
  """

  VERSION = tfds.core.Version(VERSION)
  RELEASE_NOTES = {'1.0.0': 'First version.'}

  # What `downloads.fetch` can fetch.
  ARCHIVES: tuple[Archive, ...] = ()
  # Said here because TFDS, to find this file by itself, imports a package that it does not install.
  url_infos = load_url_infos(Path(__file__).with_name('checksums.tsv'))

  def __init__(
    self,
    benchmark: Benchmark,
    *,
    data_dir: AnyPath,
    names: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    record: Mapping[str, object] | None = None,
    versions: Mapping[str, object] | None = None,
    on_image: Callable[[], object] = lambda: None,
    records_per_shard: int = RECORDS_PER_SHARD,
  ):
    """Writes nothing yet."""
    self._benchmark = benchmark
    self._names = tuple(benchmark.image_names() if names is None else names)
    self._image_size = image_size
    self._record = dict(record or {})
    self._versions = versions or {}
    self._on_image, self._records_per_shard = on_image, records_per_shard
    self._metadata = tfds.core.MetadataDict()
    super().__init__(data_dir=data_dir, file_format='array_record')
    self.folder = Path(self.data_dir)
    self.unfinished = Path(f'{self.data_dir}.unfinished')

  def write(self) -> None:
    """Writes the set, resuming from what a stopped attempt has left."""
    self.unfinished.mkdir(parents=True, exist_ok=True)
    # A process that was killed leaves a folder of links to its finished shards.
    for left in self.unfinished.parent.glob('incomplete.*'):
      shutil.rmtree(left)
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS would speak of unknown sizes.
      self.download_and_prepare(
        download_dir=self.unfinished / 'downloads',
        download_config=tfds.download.DownloadConfig(try_download_gcs=False),
      )
    for path in (*self.folder.iterdir(), self.folder, self.folder.parent):
      sync(path)  # Shards that are left go when nothing can be lost any more.
    shutil.rmtree(self.unfinished)

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features
    if self._image_size is None:
      pair = {'image': features.Image(), 'mask': features.Image(shape=(None, None, 1))}
    else:
      height_width, dtype = self._image_size, label_dtype(self._benchmark)
      pair = {
        'image': features.Tensor(shape=(*height_width, 3), dtype=np.uint8, encoding='bytes'),
        'mask': features.Tensor(shape=height_width, dtype=dtype, encoding='zlib'),
      }
    return _Info(
      builder=self,
      description=type(self).__doc__,
      features=features.FeaturesDict({'name': features.Text(), **pair}),
      metadata=self._metadata,
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Downloads are made before the images are checked; see `downloads`.
    self._metadata.update(
      self._record,
      names=list(self._names),
      image_size=self._image_size and list(self._image_size),
    )
    return {SPLIT: [functools.partial(self._generate_examples, *s) for s in self._shards()]}

  _shard_iterators_per_split = _split_generators

  def _generate_examples(self, names: Sequence[str], kept: Path) -> Iterator[Example]:
    # Where the shard is there already, its records are only counted.
    todo = ((name, {}) for name in names) if _finished(kept) else self._in_threads(names)
    for example in todo:
      yield example
      self._on_image()

  def _example_writer(self) -> ExampleWriter:
    sizes: list[int] = []
    self._metadata['shard_bytes'] = sizes
    return _Writer(self.info.file_format, [kept for _, kept in self._shards()], sizes)

  def _shards(self) -> list[tuple[Sequence[str], Path]]:
    """Returns the names in each shard, and where it is kept once finished, but for its size."""
    shards = []
    for start in range(0, len(self._names), self._records_per_shard):
      names = self._names[start : start + self._records_per_shard]
      held = [[name, self._versions.get(name)] for name in names]
      digest = digest_of([str(self.version), self._image_size, held])
      shards.append((names, self.unfinished / digest))
    return shards

  def _example(self, name: str) -> Example:
    if self._image_size is None:
      image, mask = map(_as_came, self._benchmark.encoded(name))
      return name, {'name': name, 'image': image, 'mask': mask}
    image, label = self._benchmark.load(name)
    return name, {
      'name': name,
      'image': resize_image(image, self._image_size),
      'mask': resize_mask(label, self._image_size).astype(label_dtype(self._benchmark)),
    }

  def _in_threads(self, names: Sequence[str]) -> Iterator[Example]:
    """Yields examples in order, a few of them made ahead."""
    threads = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
      ahead: deque[concurrent.futures.Future] = deque()
      for name in names:
        ahead.append(pool.submit(self._example, name))
        if len(ahead) > 2 * threads:
          yield ahead.popleft().result()
      while ahead:
        yield ahead.popleft().result()


def label_dtype(benchmark: Benchmark) -> type[np.unsignedinteger]:
  """Returns the narrowest type that holds every label of a benchmark."""
  return np.uint8 if max(benchmark.num_classes, benchmark.boundary or 0) < 256 else np.uint16


class _Info(tfds.core.DatasetInfo):
  """Says nothing but what the builder does."""

  def initialize_from_bucket(self) -> None:
    """Looks for nothing on the net; TFDS would leave an empty temporary folder behind as well."""


class _Writer(ExampleWriter):
  """Writes each shard under its own name, then links it into the set."""

  def __init__(self, file_format, shards: Iterable[Path], sizes: list[int]):
    super().__init__(file_format)
    self._shards, self._sizes = iter(shards), sizes

  def write(self, path: AnyPath, examples: Iterable[tuple[object, bytes]]) -> None:
    kept = next(self._shards)
    finished = _finished(kept)
    if finished is None:
      part = kept.with_suffix('.part')
      writer = ArrayRecordWriter(str(part), 'group_size:1,uncompressed')
      for _, record in examples:
        writer.write(record)
      writer.close()
      sync(part)  # Else a power cut could leave the name without the content.
      finished = _with_size(kept, part)
      os.replace(part, finished)
      sync(finished.parent)
    try:
      os.link(finished, path)
    except OSError:
      # A file system without links: the shard would be written again after a stop.
      os.replace(finished, path)
    self._sizes.append(os.path.getsize(path))


def _with_size(kept: Path, shard: Path) -> Path:
  return kept.with_name(f'{kept.name}-{shard.stat().st_size}')


def _finished(kept: Path) -> Path | None:
  """Returns the shard that an earlier attempt has finished, if it is whole."""
  found = kept.parent.glob(f'{kept.name}-*')
  return next((shard for shard in found if shard == _with_size(kept, shard)), None)


def sync(path: Path) -> None:
  """Makes sure that a file, or the names in a folder, are on the disk."""
  # Not every system can do so with a folder.
  with contextlib.suppress(*[OSError] if path.is_dir() else []):
    descriptor = os.open(path, os.O_RDONLY)
    try:
      os.fsync(descriptor)
    finally:
      os.close(descriptor)


def _as_came(source: Source) -> str | bytes:
  return source.data if isinstance(source, Encoded) else os.fspath(source)
