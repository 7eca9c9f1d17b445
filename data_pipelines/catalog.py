"""The table of the benchmarks that there are, and how each is made by its name."""

import dataclasses
import importlib
import os
from collections.abc import Mapping

from data_pipelines.benchmark import Benchmark
from hsnet_jax.errors import InputError

Paths = str | os.PathLike | None


@dataclasses.dataclass(frozen=True)
class Row:
  """Where a benchmark is, and what it is made from.

  Attributes:
    module: the module, imported when the benchmark is asked for, so that
      one benchmark's needs are not another's.
    cls: its class there, made as `cls(data_dir, splits_dir)`; `data_dir` may be None where only
      the lists are wanted. One that needs neither is made without arguments.
    data: what `--data_dir` must hold; empty where the benchmark reads no folder.
    lists: the folder of its lists in `--splits_dir`; empty where it makes its own.
  """

  module: str
  cls: str
  data: str = ''
  lists: str = ''


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
  ),
  'shapes': Row('data_pipelines.shapes.benchmark', 'Shapes'),
}


def make_benchmark(
  name: str,
  *,
  data_dir: Paths = None,
  splits_dir: Paths = None,
  prepared_dir: Paths = None,
  lists_only: bool = False,
) -> Benchmark:
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
  if name not in BENCHMARKS:
    raise InputError(f'no benchmark {name!r}; there are {", ".join(sorted(BENCHMARKS))}')
  row = BENCHMARKS[name]
  if prepared_dir is not None:
    if data_dir is not None:
      raise InputError('--data_dir and --prepared_dir exclude each other: give one of them')
    own_lists = row.data and not row.lists
    lists = None if own_lists else make_benchmark(name, splits_dir=splits_dir, lists_only=True)
    return importlib.import_module('data_pipelines.prepared.reader').open_prepared(
      name, prepared_dir, lists
    )
  cls = getattr(importlib.import_module(row.module), row.cls)
  if not row.data:
    if data_dir is not None or splits_dir is not None:
      raise InputError(
        f'benchmark {name} draws its own images: leave out --data_dir and --splits_dir'
      )
    return cls()
  if data_dir is None and not (lists_only and row.lists):
    raise InputError(f'benchmark {name} needs --data_dir: the folder that holds {row.data}')
  if splits_dir is None and row.lists:
    raise InputError(f'benchmark {name} needs --splits_dir: the folder that holds {row.lists}/')
  return cls(data_dir, splits_dir)
