"""What a few-shot benchmark is: images with labels, and folds that keep test classes unseen.

A new benchmark is one module with a subclass of `Benchmark` and one row in `catalog.BENCHMARKS`.
"""

import abc
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from data_pipelines.episodes import Episode, published_episodes
from data_pipelines.reading import images
from data_pipelines.reading.arrays import BOUNDARY
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

# Where an encoded image or mask is: a file, or its bytes under a name for messages.
Source = Path | images.Encoded


class Benchmark(abc.ABC):
  """Images with labels, and folds that keep the classes of testing out of training.

  Lists and images are apart: the lists alone make the episodes, and a prepared set
  (`data_pipelines.prepared.reader`) takes the place of the folder that images are read from.

  Attributes:
    name: the name in the table, which a checkpoint records.
    num_classes: how many classes; class_id counts from 0.
    num_folds: how many folds.
    class_names: the name of each class_id.
    splits: the lists of a fold: 'trn' to train on, the others to test on.
    boundary: the label of pixels that the annotation leaves open; None where there are none.
    published_count: how many test episodes the published protocol has; None for each image of
      the list once.
    drawn_masks: the parts of the data whose masks are drawn where the published ones are files, so
      that figures differ from published ones; for results to record.
  """

  name: str
  num_classes: int
  num_folds: int
  class_names: tuple[str, ...]
  splits: tuple[str, ...] = ('trn', 'val')
  boundary: int | None = BOUNDARY
  published_count: int | None = 1000
  drawn_masks: tuple[str, ...] = ()

  @abc.abstractmethod
  def split(self, fold: int, name: str) -> Split:
    """A list of a fold, one of `splits`; the classes of 'trn' are in no other."""

  def encoded(self, image_name: str) -> tuple[Source, Source]:
    """Where an image and its mask are, encoded as they came."""
    raise NotImplementedError(f'{self.name} has no encoded images')

  def decode(
    self, image_name: str, image: Source, mask: Source
  ) -> tuple[UInt8[np.ndarray, 'h w 3'], Integer[np.ndarray, 'h w']]:
    """From what `encoded` gives, or a copy of it, to what `load` returns."""
    del image_name
    return images.read_pair(image, mask)

  def load(self, image_name: str) -> tuple[UInt8[np.ndarray, 'h w 3'], Integer[np.ndarray, 'h w']]:
    """Reads an image and its label at their own size.

    A label holds 0 for the background, class_id + 1 for a class, and `boundary` where the
    annotation leaves a pixel open. Called from several threads at once.
    """
    return self.decode(image_name, *self.encoded(image_name))

  def image_names(self) -> tuple[str, ...]:
    """Every image of every list once, in the order of the lists: what a prepared set holds."""
    lists = (self.split(fold, name) for fold in range(self.num_folds) for name in self.splits)
    return tuple(dict.fromkeys(name for split in lists for name, _ in split.items))

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """The classes that a fold's list is of: `n * fold ... n * (fold + 1) - 1`, n to a fold."""
    self.check_split(fold, split)
    per_fold = self.num_classes // self.num_folds
    return tuple(range(fold * per_fold, (fold + 1) * per_fold))

  def test_episodes(
    self,
    fold: int,
    *,
    split: str = 'val',
    shots: int = 1,
    count: int | None = None,
    distinct: bool = False,
  ) -> tuple[Episode, ...]:
    """The published test episodes of a fold; see `episodes.published_episodes`.

    Args:
      fold: the fold.
      split: the list to draw from.
      shots: supports per episode.
      count: how many; None for as many as published.
      distinct: whether the supports of an episode must differ from one another.

    Returns:
      The episodes.
    """
    items = self.split(fold, split)
    return self.draw_episodes(items, fold, split=split, shots=shots, count=count, distinct=distinct)

  def draw_episodes(
    self,
    items: Split,
    fold: int,
    *,
    split: str,
    shots: int,
    count: int | None,
    distinct: bool,
  ) -> tuple[Episode, ...]:
    """`test_episodes` from a list that is given: this one's, or what a prepared set has of it."""
    del fold, split
    if count is None:
      count = self.published_count or len(items.items)
    return published_episodes(items, shots=shots, count=count, distinct=distinct)

  def check_images(self, image_names: Iterable[str]) -> None:
    """Raises InputError where an image or its mask is missing, before a long run starts."""
    del image_names

  def check_size(self, size: int | Sequence[int] | None) -> None:
    """Raises InputError where images cannot be had at this size; None stands for their own."""
    del size

  def check_fold(self, fold: int) -> None:
    """Raises InputError unless the benchmark has this fold."""
    if not 0 <= fold < self.num_folds:
      folds = f'folds 0 to {self.num_folds - 1}' if self.num_folds > 1 else 'fold 0 alone'
      raise InputError(f'fold {fold} is out of range: {self.name} has {folds}')

  def check_split(self, fold: int, name: str) -> None:
    """Raises InputError unless the benchmark has this fold and a list of this name."""
    self.check_fold(fold)
    if name not in self.splits:
      raise InputError(f'no split {name!r}: {self.name} has {" and ".join(self.splits)}')
