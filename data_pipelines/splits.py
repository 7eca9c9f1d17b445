"""Holds the class and image lists that make up the folds of a benchmark.

A class is known by its `class_id`, counted from 0. The published lists write it as `class_id + 1`,
as the pixel values of the masks do.
"""

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Iterable, Mapping

from data_pipelines.reading.files import digest_of
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Split:
  """Lists the images of one fold that episodes are drawn from, each with its class.

  Attributes:
    name: what messages call it, such as 'pascal fold 2 val'.
    items: (image name, class_id) in the published order, which the test protocol depends on. An
      image that shows several classes is listed once for each of them.
    class_names: the name of every class_id, for messages; may be empty.
    class_first: whether training draws a class, then a query of it, so that every class is met
      equally often, however long its list. Else every item is a query once in an epoch.
  """

  name: str
  items: tuple[tuple[str, int], ...]
  class_names: tuple[str, ...] = ()
  class_first: bool = False

  @functools.cached_property
  def by_class(self) -> Mapping[int, tuple[str, ...]]:
    """Maps each class_id with an image to its image names in list order, classes ascending."""
    lists: dict[int, list[str]] = {}
    for name, class_id in self.items:
      lists.setdefault(class_id, []).append(name)
    return {c: tuple(lists[c]) for c in sorted(lists)}

  @functools.cached_property
  def epoch_size(self) -> int:
    """Counts the episodes in an epoch of training: an item each; with `class_first`, an image."""
    return len({name for name, _ in self.items}) if self.class_first else len(self.items)

  @functools.cached_property
  def digest(self) -> str:
    """Returns the SHA-256 of the items: what tells the list from any other."""
    return digest_of(self.items)

  def item(self, index: int) -> tuple[str, int]:
    """Returns the image and the class_id at a position of the list."""
    return self.items[index]

  def classes(self) -> tuple[int, ...]:
    """Returns the class_ids that have an image, ascending."""
    return tuple(self.by_class)

  def images_of(self, class_id: int) -> tuple[str, ...]:
    """Returns the images of a class, in list order."""
    return self.by_class.get(class_id, ())

  def class_size(self, class_id: int) -> int:
    """Counts the different images that the class has."""
    return len(set(self.images_of(class_id)))

  def describe(self, class_id: int) -> str:
    """Names the class as a message does: "class 'bottle' (class_id 4)"."""
    return describe_class(class_id, self.class_names)


def describe_class(class_id: int, class_names: tuple[str, ...]) -> str:
  """Names a class as a message does, by its name where it has one."""
  if class_id < len(class_names):
    return f'class {class_names[class_id]!r} (class_id {class_id})'
  return f'class_id {class_id}'


def trainable(split: Split, *, least: int = 2) -> Split:
  """Drops the classes that are too small to make an episode of.

  A query needs a support of its class that is another image, so a class with a single image is
  left out. One warning names each such class and how many images it has.

  Args:
    split: a list, such as one to train on.
    least: how many different images a class must have: K + 1 where the K supports of an episode
      differ from one another.

  Returns:
    The list without those classes, in the same order; `split` itself where there are none.

  Raises:
    InputError: the list is empty, or no class is left.
  """
  if not split.items:
    raise InputError(f'{split.name}: the image list is empty; there is nothing to train on')
  small = [c for c in split.by_class if split.class_size(c) < least]
  if not small:
    return split
  kept = tuple(item for item in split.items if item[1] not in small)
  if not kept:
    raise InputError(f'{split.name}: no class has {least} images; give a list with more images')
  sizes = {c: split.class_size(c) for c in small}
  counts = ', '.join(
    f'{split.describe(c)} with {n} image{"s" if n > 1 else ""}' for c, n in sizes.items()
  )
  warnings.warn(f'{split.name}: left out {counts}; {least} are needed', stacklevel=3)
  return dataclasses.replace(split, items=kept)


def take_turns(items: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
  """Reorders a list, so that its first episodes are spread over all classes.

  Args:
    items: (image name, class_id).

  Returns:
    The first image of every class, the second of every class, and so on; classes ascending.
  """
  columns: dict[int, list[tuple[str, int]]] = {}
  for name, class_id in items:
    columns.setdefault(class_id, []).append((name, class_id))
  rows = itertools.zip_longest(*(columns[class_id] for class_id in sorted(columns)))
  return tuple(item for row in rows for item in row if item)
