"""A training list in a few arrays.

A list of 100,000 names as Python's own objects takes several times the memory of its text, in every
worker process that is given a copy.
"""

import itertools
from array import array

import numpy as np

from data_pipelines.episodes import Episode, training_episode
from data_pipelines.splits import Split


class PackedSplit:
  """Draws the training episodes of a `Split`, with numbers for its images until the last moment.

  Attributes:
    class_first: as the list's.
    epoch_size: as the list's.
    items: (image number, class_id) in the list's order.
    by_class: {class_id: its image numbers in the list's order}.
  """

  def __init__(self, split: Split):
    """Packs a list."""
    numbers = {name: number for number, name in enumerate(dict(split.items))}
    texts = [name.encode() for name in numbers]
    self._text = b''.join(texts)
    self._ends = array('q', itertools.accumulate(map(len, texts), initial=0))
    self.class_first, self.epoch_size = split.class_first, split.epoch_size
    self.items = _Items(split, numbers)
    self.by_class = {
      class_id: array('i', (numbers[name] for name in names))
      for class_id, names in split.by_class.items()
    }

  def episode(
    self, index: int, rng: np.random.Generator, *, shots: int = 1, distinct: bool = False
  ) -> Episode:
    """The `episodes.training_episode` of the list."""
    drawn = training_episode(self, index, rng, shots=shots, distinct=distinct)
    return Episode(self._name(drawn.query), tuple(map(self._name, drawn.supports)), drawn.class_id)

  def _name(self, number: int) -> str:
    return self._text[self._ends[number] : self._ends[number + 1]].decode()


class _Items:
  def __init__(self, split: Split, numbers: dict[str, int]):
    self._images = array('i', (numbers[name] for name, _ in split.items))
    self._classes = array('i', (class_id for _, class_id in split.items))

  def __getitem__(self, index: int) -> tuple[int, int]:
    return self._images[index], self._classes[index]
