"""Defines a few-shot benchmark: images with labels, and folds that keep test classes unseen.

A new benchmark is one module with a subclass of `Benchmark` and one row in `catalog.BENCHMARKS`.
"""

import abc
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from data_pipelines.episodes import DrawEpisodes, Episode, published_episodes
from data_pipelines.reading import images
from data_pipelines.reading.arrays import BOUNDARY, Pair
from data_pipelines.reading.images import Source
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError


class Benchmark(abc.ABC):
  """Gives images with labels, and folds that keep the classes of testing out of training.

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
    """Returns a list of a fold, one of `splits`; the classes of 'trn' are in no other."""

  def encoded(self, image_name: str) -> tuple[Source, Source]:
    """Returns an image and its mask as the files that came; what `load` makes, as PNG."""
    if type(self).load is Benchmark.load:
      raise NotImplementedError(f'{self.name} has neither `encoded` nor `load`')
    image, label = self.load(image_name)
    return (
      images.png_bytes(image, name=f'{image_name}.png'),
      images.png_bytes(label, name=f'{image_name}_label.png'),
    )

  def decode(self, image_name: str, image: Source, mask: Source) -> Pair:
    """Turns what `encoded` gives, or a copy of it, into what `load` returns."""
    del image_name
    read = functools.partial(images.read_label, largest=max(255, self.num_classes))
    return images.read_pair(image, mask, read=read)

  def load(self, image_name: str) -> Pair:
    """Reads an image and its label, each at its own size; nearly all are of one.

    A label holds 0 for the background, class_id + 1 for a class, and `boundary` where the
    annotation leaves a pixel open. Called from several threads at once.
    """
    return self.decode(image_name, *self.encoded(image_name))

  def image_names(self) -> tuple[str, ...]:
    """Returns every image of every list once, in the order of the lists, as a prepared set does."""
    lists = (self.split(fold, name) for fold in range(self.num_folds) for name in self.splits)
    return tuple(dict.fromkeys(name for split in lists for name, _ in split.items))

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """Returns the classes of a fold's list: `n * fold ... n * (fold + 1) - 1`, n to a fold."""
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
    """Draws the published test episodes of a fold; `episode_draw` says in which manner.

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
    if count is None:
      count = self.published_count or len(items.items)
    draw = self.episode_draw(items, fold, split)
    return draw(items, shots=shots, count=count, distinct=distinct)

  def episode_draw(self, items: Split, fold: int, split: str) -> DrawEpisodes:
    """Returns what draws test episodes from a list; override it where the protocol is another.

    Args:
      items: the list that is drawn from: this benchmark's, or what a prepared set has of it.
      fold: the fold that it is of.
      split: the list's name.

    Returns:
      The function that draws; `episodes.published_episodes` unless overridden.
    """
    del items, fold, split
    return published_episodes

  def description(self) -> Mapping[str, Any] | None:
    """Describes the lists for JSON, where they are nowhere else: see `from_description`."""
    return None

  @classmethod
  def from_description(cls, description: Mapping[str, Any]) -> Self:
    """Makes the benchmark of a prepared set from the description that it holds, without images."""
    del description
    raise NotImplementedError(f'{cls.name} has lists of its own and is not described')

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


class OnTop(Benchmark):
  """Puts a benchmark on top of another: what a subclass does not override is the other's.

  Args:
    benchmark: the other.
  """

  def __init__(self, benchmark: Benchmark):
    """Takes over what the other says of itself."""
    self.benchmark = benchmark
    for name in Benchmark.__annotations__:
      setattr(self, name, getattr(benchmark, name))

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`."""
    return self.benchmark.split(fold, name)

  def encoded(self, image_name: str) -> tuple[Source, Source]:
    """See `Benchmark.encoded`."""
    return self.benchmark.encoded(image_name)

  def decode(self, image_name: str, image: Source, mask: Source) -> Pair:
    """See `Benchmark.decode`."""
    return self.benchmark.decode(image_name, image, mask)

  def load(self, image_name: str) -> Pair:
    """See `Benchmark.load`."""
    return self.benchmark.load(image_name)

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """See `Benchmark.test_classes`."""
    return self.benchmark.test_classes(fold, split)

  def episode_draw(self, items: Split, fold: int, split: str) -> DrawEpisodes:
    """See `Benchmark.episode_draw`."""
    return self.benchmark.episode_draw(items, fold, split)

  def description(self) -> Mapping[str, Any] | None:
    """See `Benchmark.description`."""
    return self.benchmark.description()

  def check_images(self, image_names: Iterable[str]) -> None:
    """See `Benchmark.check_images`."""
    self.benchmark.check_images(image_names)

  def check_size(self, size: int | Sequence[int] | None) -> None:
    """See `Benchmark.check_size`."""
    self.benchmark.check_size(size)
