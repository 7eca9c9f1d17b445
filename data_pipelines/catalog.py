"""Lists the benchmarks that there are, and how each is made by its name."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hsnet_jax.errors import InputError

if TYPE_CHECKING:  # The names of the benchmarks are known before anything heavy is imported.
  from data_pipelines.benchmark import Benchmark
  from data_pipelines.prepared.reader import Prepared
  from data_pipelines.reading.files import AnyPath


@dataclasses.dataclass(frozen=True)
class Row:
  """Says where a benchmark is, and what it is made from.

  Attributes:
    module: the module, imported when the benchmark is asked for, so that
      one benchmark's needs are not another's.
    cls: its class there, made as `cls(data_dir, splits_dir)`; `data_dir` may be None where only
      the lists are wanted. One that needs neither is made without arguments.
    data: what `data_dir` must hold; empty where the benchmark reads no folder.
    lists: the folder of its lists in `splits_dir`; empty where it makes its own.
    described: whether its lists are known from its images alone, so that a prepared set holds a
      description of them, which `cls.from_description` makes the benchmark of.
  """

  module: str
  cls: str
  data: str = ''
  lists: str = ''
  described: bool = False

  def load(self) -> type[Any]:
    """Imports the benchmark's class."""
    return getattr(importlib.import_module(self.module), self.cls)


BENCHMARKS: Mapping[str, Row] = {
  'pascal': Row(
    'data_pipelines.published.pascal', 'Pascal5i', 'JPEGImages and SegmentationClassAug', 'pascal'
  ),
  'coco': Row(
    'data_pipelines.published.coco', 'Coco20i', 'train2014, val2014 and annotations', 'coco'
  ),
  'fss': Row('data_pipelines.published.fss', 'Fss1000', 'a folder for each class', 'fss'),
  'folder': Row(
    'data_pipelines.own_pictures.folder',
    'Folder',
    'class_name/name.jpg with class_name/name.png, or JSON labels',
    described=True,
  ),
  'shapes': Row('data_pipelines.shapes.benchmark', 'Shapes'),
}


def make_benchmark(
  name: str,
  *,
  data_dir: 'AnyPath | None' = None,
  splits_dir: 'AnyPath | None' = None,
  prepared_dir: 'AnyPath | None' = None,
  lists_only: bool = False,
) -> 'Benchmark':
  """Makes a benchmark by its name.

  Args:
    name: a key of `BENCHMARKS`.
    data_dir: the benchmark's own folder of images, where it has one.
    splits_dir: the folder that holds a folder of lists for each benchmark (`pascal/` ...).
    prepared_dir: the folder of prepared sets to take the images from, in place of `data_dir`.
    lists_only: whether the images are left alone: published lists need no `data_dir` then.

  Returns:
    The benchmark.

  Raises:
    InputError: there is no such benchmark, or a folder that it needs is not given or not there.
  """
  row = _row(name)
  if prepared_dir is not None:
    if data_dir is not None:
      raise InputError('`data_dir` and `prepared_dir` exclude each other: give one of them')
    return open_prepared(name, prepared_dir, splits_dir=splits_dir)
  if not row.data:
    if data_dir is not None or splits_dir is not None:
      raise InputError(
        f'benchmark {name} draws its own images: leave out `data_dir` and `splits_dir`'
      )
    return row.load()()
  if data_dir is None and not (lists_only and row.lists):
    raise InputError(f'benchmark {name} needs `data_dir`: the folder that holds {row.data}')
  if splits_dir is None and row.lists:
    raise InputError(f'benchmark {name} needs `splits_dir`: the folder that holds {row.lists}/')
  return row.load()(data_dir, splits_dir)


def open_prepared(
  name: str, prepared_dir: 'AnyPath', *, splits_dir: 'AnyPath | None' = None
) -> 'Prepared':
  """Opens the prepared set of a benchmark.

  Args:
    name: a key of `BENCHMARKS`.
    prepared_dir: the folder of prepared sets.
    splits_dir: the folder of published lists, as for `make_benchmark`; left alone where the set
      itself says what its lists are.

  Returns:
    The set as a benchmark.

  Raises:
    InputError: there is no such benchmark or set, or its lists are not given; see `Prepared`.
  """
  row = _row(name)
  if row.described:
    from data_pipelines.prepared import record

    folder = record.set_folder(name, prepared_dir)
    held = record.read_record(folder, name)
    try:
      lists = row.load().from_description(held.get('description') or {})
    except InputError as error:
      raise InputError(f'{folder}: {error}') from error
  else:
    lists = make_benchmark(name, splits_dir=splits_dir, lists_only=True)
  from data_pipelines.prepared.reader import Prepared  # TFDS takes seconds to import.

  return Prepared(lists, prepared_dir)


def _row(name: str) -> Row:
  if name not in BENCHMARKS:
    raise InputError(f'no benchmark {name!r}; there are {", ".join(sorted(BENCHMARKS))}')
  return BENCHMARKS[name]
