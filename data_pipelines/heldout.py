"""An honest split: validation on classes held out of the training folds.

The published checkpoints were chosen by their score on the test fold's own episodes. Here the
classes of the next fold are neither trained nor tested on, but validated on; the test fold stays
unseen until the test.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from data_pipelines.benchmark import Benchmark, Source
from data_pipelines.splits import Split, trainable
from hsnet_jax.errors import InputError


class HeldOut(Benchmark):
  """A benchmark whose fold validates on classes of its own training list.

  Training loses the classes of fold `(fold + 1) % num_folds`, and the test list is theirs. A class
  of the test list with too few images for an episode is left out of it, with one warning that names
  it. The others take turns, since a training list goes class by class: its first thousand episodes
  would show but a few of them.

  Args:
    benchmark: the benchmark to divide further.
    least: how many different images a class of the test list must have; see `splits.trainable`.
  """

  def __init__(self, benchmark: Benchmark, *, least: int = 2):
    """Reads nothing yet."""
    if benchmark.num_folds < 2:
      raise InputError(
        f'{benchmark.name} validates on classes of its own already; leave out --validation=heldout'
      )
    self._benchmark = benchmark
    self._least = least
    self._tests: dict[int, Split] = {}
    self.name = benchmark.name
    self.num_classes = benchmark.num_classes
    self.num_folds = benchmark.num_folds
    self.class_names = benchmark.class_names
    self.boundary = benchmark.boundary
    self.published_count = benchmark.published_count
    self.drawn_masks = benchmark.drawn_masks

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """The classes held out that are in the test list; a list may lack some."""
    return tuple(self.split(fold, split).by_class)

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; both lists are parts of the benchmark's training list."""
    self.check_split(fold, name)
    if name == 'val':
      if fold not in self._tests:
        self._tests[fold] = _take_turns(trainable(self._part(fold, name), least=self._least))
      return self._tests[fold]
    return self._part(fold, name)

  def load(self, image_name: str) -> tuple[np.ndarray, np.ndarray]:
    """See `Benchmark.load`."""
    return self._benchmark.load(image_name)

  def encoded(self, image_name: str) -> tuple[Source, Source]:
    """See `Benchmark.encoded`."""
    return self._benchmark.encoded(image_name)

  def check_images(self, image_names: Iterable[str]) -> None:
    """See `Benchmark.check_images`."""
    self._benchmark.check_images(image_names)

  def check_size(self, size: int | Sequence[int] | None) -> None:
    """See `Benchmark.check_size`."""
    self._benchmark.check_size(size)

  def _part(self, fold: int, name: str) -> Split:
    whole = self._benchmark.split(fold, 'trn')
    held = self._benchmark.test_classes((fold + 1) % self.num_folds)
    items = tuple(item for item in whole.items if (item[1] in held) == (name == 'val'))
    if not items:
      raise InputError(
        f'{whole.name}: no class is left to {"validate" if name == "val" else "train"} on beside'
        ' those held out; use --validation=published, or give more classes'
      )
    return dataclasses.replace(whole, name=f'{whole.name} (held-out {name})', items=items)


def _take_turns(split: Split) -> Split:
  """Reorders a list: the first image of every class, the second of every class, and so on."""
  columns = [[(name, c) for name in names] for c, names in split.by_class.items()]
  rows = itertools.zip_longest(*columns)
  return dataclasses.replace(split, items=tuple(item for row in rows for item in row if item))
