"""Splits honestly: validation on classes held out of the training folds.

The published checkpoints were chosen by their score on the test fold's own episodes. Here the
classes of the next fold are neither trained nor tested on, but validated on; the test fold stays
unseen until the test.
"""

import dataclasses

from data_pipelines.benchmark import Benchmark, OnTop
from data_pipelines.episodes import DrawEpisodes, published_episodes
from data_pipelines.splits import Split, take_turns, trainable
from hsnet_jax.errors import InputError


class HeldOut(OnTop):
  """Divides a benchmark so that a fold validates on classes of its own training list.

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
        f'{benchmark.name} validates on classes of its own already; leave out `validation`=heldout'
      )
    super().__init__(benchmark)
    self.splits = Benchmark.splits
    self._least = least
    self._tests: dict[int, Split] = {}

  def held_out(self, fold: int) -> tuple[int, ...]:
    """Returns the classes that a fold's training loses, those too small for an episode as well."""
    self.check_fold(fold)
    return self.benchmark.test_classes((fold + 1) % self.num_folds)

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """Returns the classes held out that are in the test list; a list may lack some."""
    return tuple(self.split(fold, split).by_class)

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; both lists are parts of the benchmark's training list."""
    self.check_split(fold, name)
    if name != 'val':
      return self._part(fold, name)
    if fold not in self._tests:
      large = trainable(self._part(fold, name), least=self._least)
      self._tests[fold] = dataclasses.replace(large, items=take_turns(large.items))
    return self._tests[fold]

  def episode_draw(self, items: Split, fold: int, split: str) -> DrawEpisodes:
    """See `Benchmark.episode_draw`: every image of the list in turn, whichever the benchmark."""
    del items, fold, split
    return published_episodes

  def _part(self, fold: int, name: str) -> Split:
    whole = self.benchmark.split(fold, 'trn')
    held = self.held_out(fold)
    items = tuple(item for item in whole.items if (item[1] in held) == (name == 'val'))
    if not items:
      raise InputError(
        f'{whole.name}: no class is left to {"validate" if name == "val" else "train"} on beside'
        ' those held out; use `validation`=published, or give more classes'
      )
    return dataclasses.replace(whole, name=f'{whole.name} (held-out {name})', items=items)
