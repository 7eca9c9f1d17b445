"""Packs a training list into a few arrays.

A list of 100,000 names as Python's own objects takes several times the memory of its text, in every
worker process that is given a copy.
"""

import itertools
from array import array
from collections.abc import Sequence

import numpy as np

from data_pipelines.episodes import Episode, draw_training
from data_pipelines.splits import Split, describe_class


class PackedSplit:
  """Draws the training episodes of a `Split`, with numbers for its images until the last moment.

  Attributes:
    name: as the list's.
    class_names: as the list's.
    class_first: as the list's.
    epoch_size: as the list's.
  """

  def __init__(self, split: Split):
    """Packs a list."""
    numbers = {name: number for number, name in enumerate(dict(split.items))}
    texts = [name.encode() for name in numbers]
    self._text = b''.join(texts)
    self._ends = array('q', itertools.accumulate(map(len, texts), initial=0))
    self.name, self.class_names = split.name, split.class_names
    self.class_first, self.epoch_size = split.class_first, split.epoch_size
    self._images = array('i', (numbers[name] for name, _ in split.items))
    self._classes = array('i', (class_id for _, class_id in split.items))
    self._by_class = {
      class_id: array('i', (numbers[name] for name in names))
      for class_id, names in split.by_class.items()
    }

  def item(self, index: int) -> tuple[int, int]:
    """Returns the image's number and the class_id at a position of the list."""
    return self._images[index], self._classes[index]

  def classes(self) -> tuple[int, ...]:
    """Returns the class_ids that have an image, ascending."""
    return tuple(self._by_class)

  def images_of(self, class_id: int) -> Sequence[int]:
    """Returns the numbers of a class's images, in list order."""
    return self._by_class[class_id]

  def describe(self, class_id: int) -> str:
    """Names a class as `Split.describe` does."""
    return describe_class(class_id, self.class_names)

  def episode(
    self,
    index: int,
    rng: np.random.Generator,
    *,
    shots: int = 1,
    distinct: bool = False,
    absent: float = 0.0,
  ) -> Episode:
    """Draws the episode that `episodes.training_episode` draws from the list."""
    query, supports, class_id = draw_training(
      self, index, rng, shots=shots, distinct=distinct, absent=absent
    )
    return Episode(self._name(query), tuple(map(self._name, supports)), class_id)

  def _name(self, number: int) -> str:
    return self._text[self._ends[number] : self._ends[number + 1]].decode()
