"""Keeps the classes of testing out of sight in training, where the published protocol does not.

A training list has no test class, but its pictures may: those pixels are then taught as background,
and a network learns to overlook what it is tested on. `LeftOut` trains on pictures without them;
`train_batches(ignored=hidden_classes(...))` on all, with those pixels left out of the loss.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

from data_pipelines.benchmark import Benchmark, OnTop
from data_pipelines.heldout import HeldOut
from data_pipelines.reading.arrays import class_pixels
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

_THREADS = 4  # Decoding lets go of the interpreter.


def hidden_classes(benchmark: Benchmark, fold: int) -> tuple[int, ...]:
  """Returns the classes that training must not see: those of all lists but 'trn'.

  Of a benchmark on top of another, as `HeldOut` is, those of the other as well.

  Args:
    benchmark: the benchmark.
    fold: the fold.

  Returns:
    class_ids, ascending.
  """
  tests = [name for name in benchmark.splits if name != 'trn']
  hidden = {c for name in tests for c in benchmark.test_classes(fold, name)}
  if isinstance(benchmark, HeldOut):  # Its list lacks classes too small for an episode.
    hidden |= {*benchmark.held_out(fold)}
  if isinstance(benchmark, OnTop):
    hidden |= {*hidden_classes(benchmark.benchmark, fold)}
  return tuple(sorted(hidden))


class LeftOut(OnTop):
  """Leaves pictures that show a class of testing out of training; all else is the other's.

  The label of each picture of a training list is read when the list is first asked for, since lists
  do not tell: those of COCO name no test class at all. A picture counts from its first pixel on.

  Args:
    benchmark: the benchmark, whose test classes are its `hidden_classes`.
  """

  def __init__(self, benchmark: Benchmark):
    """Reads nothing yet."""
    super().__init__(benchmark)
    self._training: dict[int, Split] = {}

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; raises InputError where every training picture shows a test class."""
    whole = self.benchmark.split(fold, name)
    if name != 'trn':
      return whole
    if fold not in self._training:
      shown = self._showing(fold)
      kept = tuple(item for item in whole.items if item[0] not in shown)
      if whole.items and not kept:
        raise InputError(
          f'{whole.name}: every picture shows a class of testing; give `test_classes`=ignored'
        )
      self._training[fold] = dataclasses.replace(
        whole, name=f'{whole.name} (without test classes)', items=kept
      )
    return self._training[fold]

  def left_out(self, fold: int) -> tuple[int, int]:
    """Counts the pictures of a fold's training list that are left out, and all that it has."""
    whole, kept = ({n for n, _ in s.split(fold, 'trn').items} for s in (self.benchmark, self))
    return len(whole - kept), len(whole)

  def _showing(self, fold: int) -> set[str]:
    """Returns the training pictures whose labels show a hidden class."""
    names = list(dict(self.benchmark.split(fold, 'trn').items))
    self.benchmark.check_images(names)
    hidden = hidden_classes(self.benchmark, fold)

    def shows(name: str) -> bool:
      return bool(class_pixels(self.benchmark.load(name)[1], hidden).any())

    with ThreadPoolExecutor(_THREADS, thread_name_prefix='labels') as threads:
      return {name for name, found in zip(names, threads.map(shows, names), strict=True) if found}
