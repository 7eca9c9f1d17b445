"""What a few-shot benchmark is, and the table of those there are.

A new benchmark is one module with a subclass of `Benchmark` and one row in `BENCHMARKS`.
"""

import abc
import os
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from jaxtyping import Integer, UInt8

from data_pipelines.episodes import Episode, published_episodes
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

SPLITS = ('trn', 'val')


class Benchmark(abc.ABC):
  """Images with labels, and folds that keep the classes of testing out of training.

  Attributes:
    name: the name in the table, which a checkpoint records.
    num_classes: how many classes; class_id counts from 0.
    num_folds: how many folds.
    class_names: the name of each class_id.
  """

  name: str
  num_classes: int
  num_folds: int
  class_names: tuple[str, ...]

  @abc.abstractmethod
  def split(self, fold: int, name: str) -> Split:
    """The list of a fold: 'trn' to train on, 'val' to test on; their classes never meet."""

  @abc.abstractmethod
  def load(self, image_name: str) -> tuple[UInt8[np.ndarray, 'h w 3'], Integer[np.ndarray, 'h w']]:
    """Reads an image and its label at their own size.

    A label holds 0 for the background, class_id + 1 for a class, and 255 where the annotation
    leaves a pixel open. Called from several threads at once.
    """

  def test_classes(self, fold: int) -> tuple[int, ...]:
    """The classes that the fold is tested on: `n * fold ... n * (fold + 1) - 1`, n to a fold."""
    self.check_fold(fold)
    per_fold = self.num_classes // self.num_folds
    return tuple(range(fold * per_fold, (fold + 1) * per_fold))

  def test_episodes(
    self, fold: int, *, shots: int = 1, count: int = 1000, distinct: bool = False
  ) -> tuple[Episode, ...]:
    """The published test episodes of a fold; see `episodes.published_episodes`."""
    return published_episodes(self.split(fold, 'val'), shots=shots, count=count, distinct=distinct)

  def check_images(self, image_names: Iterable[str]) -> None:
    """Raises InputError where an image or its mask is missing, before a long run starts."""
    del image_names

  def check_fold(self, fold: int) -> None:
    """Raises InputError unless the benchmark has this fold."""
    if not 0 <= fold < self.num_folds:
      raise InputError(
        f'fold {fold} is out of range: {self.name} has folds 0 to {self.num_folds - 1}'
      )

  def check_split(self, fold: int, name: str) -> None:
    """Raises InputError unless the benchmark has this fold and a list of this name."""
    self.check_fold(fold)
    if name not in SPLITS:
      raise InputError(f'no split {name!r}: {self.name} has {" and ".join(SPLITS)}')


Paths = str | os.PathLike | None


def _pascal(data_dir: Paths, splits_dir: Paths) -> Benchmark:
  from data_pipelines.pascal import Pascal5i

  if data_dir is None:
    raise InputError(
      'benchmark pascal needs --data_dir: the folder that holds JPEGImages and SegmentationClassAug'
    )
  if splits_dir is None:
    raise InputError('benchmark pascal needs --splits_dir: the folder that holds pascal/')
  return Pascal5i(data_dir, splits_dir)


def _shapes(data_dir: Paths, splits_dir: Paths) -> Benchmark:
  from data_pipelines.shapes import Shapes

  if data_dir is not None or splits_dir is not None:
    raise InputError('benchmark shapes draws its own images: leave out --data_dir and --splits_dir')
  return Shapes()


# Each row imports its module only when asked, so that one benchmark's needs are not another's.
BENCHMARKS: Mapping[str, Callable[[Paths, Paths], Benchmark]] = {
  'pascal': _pascal,
  'shapes': _shapes,
}


def make_benchmark(name: str, *, data_dir: Paths = None, splits_dir: Paths = None) -> Benchmark:
  """Makes a benchmark by its name.

  Args:
    name: a key of `BENCHMARKS`.
    data_dir: the benchmark's own folder of images, where it has one.
    splits_dir: the folder that holds a folder of lists for each benchmark (`pascal/` ...).

  Returns:
    The benchmark.

  Raises:
    InputError: there is no such benchmark, or a folder that it needs is not given or not there.
  """
  if name not in BENCHMARKS:
    raise InputError(f'no benchmark {name!r}; there are {", ".join(sorted(BENCHMARKS))}')
  return BENCHMARKS[name](data_dir, splits_dir)
