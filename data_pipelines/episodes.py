"""Draws episodes: a query, K supports and the class they share.

Test episodes follow the published protocol draw by draw, so that a score can be held against a
published one. Training episodes are stateless: each is a function of the list, the position of its
query and a generator of its own, so any of them can be made alone, in any order, on any worker.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from data_pipelines.splits import Split
from hsnet_jax.errors import InputError


class Episode(NamedTuple):
  """Names the images of one episode.

  Attributes:
    query: the query image.
    supports: K support images, none of them the query.
    class_id: the class to segment, counted from 0.
  """

  query: str
  supports: tuple[str, ...]
  class_id: int


class DrawEpisodes(Protocol):
  """Draws test episodes from a list, as `published_episodes` does."""

  def __call__(
    self, split: Split, /, *, shots: int, count: int, distinct: bool
  ) -> tuple[Episode, ...]:
    """Returns so many episodes of so many supports."""
    ...


Name = TypeVar('Name')
Name_co = TypeVar('Name_co', covariant=True)


class TrainingList(Protocol[Name_co]):
  """Lists what to train on, as `draw_training` needs it: a `Split`, or one with numbers for names.

  Attributes:
    name: what messages call it.
    class_first: see `Split`.
  """

  @property
  def name(self) -> str: ...  # noqa: D102

  @property
  def class_first(self) -> bool: ...  # noqa: D102

  def item(self, index: int, /) -> tuple[Name_co, int]:
    """Returns the image and the class_id at a position of the list."""
    ...

  def classes(self) -> tuple[int, ...]:
    """Returns the class_ids that have an image, ascending."""
    ...

  def images_of(self, class_id: int, /) -> Sequence[Name_co]:
    """Returns the images of a class, in list order."""
    ...

  def describe(self, class_id: int, /) -> str:
    """Names a class as a message does."""
    ...


def published_episodes(
  split: Split,
  *,
  shots: int = 1,
  count: int = 1000,
  seed: int = 0,
  distinct: bool = False,
  candidates: Mapping[int, Sequence[str]] | None = None,
) -> tuple[Episode, ...]:
  """Draws the test episodes of PASCAL-5i and FSS-1000 in the published manner.

  Query i is item `i mod n` of the list. Supports are drawn from the images of its class by one
  `numpy.random.RandomState(seed)` walked in order, a legacy `choice(list, 1, replace=False)` per
  draw; a draw that hits the query is made again.

  Args:
    split: the test list of a fold.
    shots: supports per episode, K.
    count: how many episodes.
    seed: of the draws; the published figure is 0.
    distinct: whether the supports of an episode must differ from one another, too. The published
      protocol lets them repeat.
    candidates: {class_id: what its supports are drawn from}, where that is not the list in its
      order.

  Returns:
    The episodes, in order; fewer or more of them are a prefix of the same sequence.

  Raises:
    InputError: a listed class has too few images to give an episode its supports.
  """
  if not split.items:
    raise InputError(f'{split.name}: the image list is empty; there is no episode to draw')
  _check_positive(shots=shots, count=count)
  candidates = split.by_class if candidates is None else candidates
  _check_supports(split, candidates, split.by_class, shots if distinct else 1)
  rng = np.random.RandomState(seed)
  episodes = []
  for i in range(count):
    query, class_id = split.items[i % len(split.items)]
    supports = _draw_supports(rng, candidates[class_id], query, shots, distinct)
    episodes.append(Episode(query, supports, class_id))
  return tuple(episodes)


def class_first_episodes(
  split: Split,
  classes: Sequence[int],
  *,
  shots: int = 1,
  count: int = 1000,
  seed: int = 0,
  distinct: bool = False,
) -> tuple[Episode, ...]:
  """Draws the test episodes of COCO-20i in the published manner.

  For each, one `numpy.random.RandomState(seed)` walked in order draws a class, then a query of it,
  then its supports, as `published_episodes` does.

  Args:
    split: the test list of a fold.
    classes: the fold's classes, in the order that the draw counts them in.
    shots: supports per episode, K.
    count: how many episodes.
    seed: of the draws; the published figure is 0.
    distinct: whether the supports of an episode must differ from one another, too.

  Returns:
    The episodes, in order; fewer or more of them are a prefix of the same sequence.

  Raises:
    InputError: there is no class, or one has too few images to give an episode its supports.
  """
  _check_positive(shots=shots, count=count)
  if not classes:
    raise InputError(f'{split.name}: there is no class to draw an episode of')
  _check_supports(split, split.by_class, classes, shots if distinct else 1)
  rng = np.random.RandomState(seed)
  episodes = []
  for _ in range(count):
    class_id = classes[_draw(rng, len(classes))]
    names = split.by_class[class_id]
    query = names[_draw(rng, len(names))]
    episodes.append(Episode(query, _draw_supports(rng, names, query, shots, distinct), class_id))
  return tuple(episodes)


def with_absent(
  episodes: Sequence[Episode], share: float, *, split: Split, seed: int = 0
) -> tuple[Episode, ...]:
  """Gives some test episodes a query of another class, in which the object mostly is not.

  Args:
    episodes: in the published manner.
    share: how likely each is among them, 0 to 1.
    split: the list that they are drawn from; a class and then one of its images are drawn of it.
    seed: of the draws; each episode has its own, so fewer episodes are a prefix of more.

  Returns:
    The episodes; one whose supports are all that other classes have stays as it is.

  Raises:
    InputError: `share` is out of range.
  """
  if not 0 <= share <= 1:
    raise InputError(f'`absent` is {share}; it is a share of the episodes, 0 to 1')
  drawn = []
  for number, episode in enumerate(episodes):
    rng = np.random.default_rng((seed, number))
    classes = [c for c in sorted(split.by_class) if c != episode.class_id]
    if classes and rng.random() < share:
      images = split.by_class[classes[int(rng.integers(len(classes)))]]
      others = [name for name in images if name not in episode.supports]
      if others:
        episode = episode._replace(query=others[int(rng.integers(len(others)))])
    drawn.append(episode)
  return tuple(drawn)


def _draw(rng: np.random.RandomState, length: int) -> int:
  """Draws a position; takes the numbers from the generator that drawing from a list would take."""
  return int(rng.choice(length, 1, replace=False)[0])


def _draw_supports(
  rng: np.random.RandomState, names: Sequence[str], query: str, shots: int, distinct: bool
) -> tuple[str, ...]:
  supports: list[str] = []
  while len(supports) < shots:
    name = names[_draw(rng, len(names))]
    if name != query and not (distinct and name in supports):
      supports.append(name)
  return tuple(supports)


def training_episode(
  split: Split,
  index: int,
  rng: np.random.Generator,
  *,
  shots: int = 1,
  distinct: bool = False,
  absent: float = 0.0,
) -> Episode:
  """Draws a training episode: the list's item `index` as the query, supports of its class.

  Where the list says `class_first`, class and query are drawn as well, and `index` is but the
  episode's number.

  Args:
    split: a training list whose classes have two images at least (`splits.trainable`).
    index: the query's position in the list, below `split.epoch_size`.
    rng: the episode's own generator.
    shots: supports per episode, K.
    distinct: whether the supports must differ from one another, too.
    absent: how likely the supports are of another class, drawn from all others alike, which the
      query shows by chance alone; its mask is then mostly empty. Not published.

  Returns:
    The episode. Each support is uniform over the images of the class other than the query.

  Raises:
    InputError: the class has too few images.
  """
  drawn = draw_training(split, index, rng, shots=shots, distinct=distinct, absent=absent)
  return Episode(*drawn)


def draw_training(
  split: TrainingList[Name],
  index: int,
  rng: np.random.Generator,
  *,
  shots: int,
  distinct: bool,
  absent: float = 0.0,
) -> tuple[Name, tuple[Name, ...], int]:
  """Draws what `training_episode` does, from a list whose images may have numbers for names.

  Args:
    split: the list.
    index: as for `training_episode`.
    rng: as for `training_episode`.
    shots: as for `training_episode`.
    distinct: as for `training_episode`.
    absent: as for `training_episode`.

  Returns:
    query, supports, class_id.

  Raises:
    InputError: the class has too few images.
  """
  _check_positive(shots=shots)
  if split.class_first:
    classes = split.classes()
    class_id = classes[int(rng.integers(len(classes)))]
    names = split.images_of(class_id)
    query = names[int(rng.integers(len(names)))]
  else:
    query, class_id = split.item(index)
  if absent and rng.random() < absent:
    classes = [other for other in split.classes() if other != class_id]
    class_id = classes[int(rng.integers(len(classes)))] if classes else class_id
  others = [name for name in split.images_of(class_id) if name != query]
  if distinct:
    others = list(dict.fromkeys(others))
  if len(others) < (shots if distinct else 1):
    raise _too_few(split, class_id, shots if distinct else 1)
  chosen = rng.choice(len(others), size=shots, replace=not distinct)
  return query, tuple(others[i] for i in chosen), class_id


def _check_supports(
  split: Split, candidates: Mapping[int, Sequence[str]], classes: Iterable[int], needed: int
) -> None:
  """Raises for the first class that cannot give every query `needed` other images."""
  for class_id in classes:
    # A redraw could never end where the class has no image but the query.
    if len(set(candidates.get(class_id, ()))) <= needed:
      raise _too_few(split, class_id, needed)


def _too_few(split: TrainingList[Name], class_id: int, needed: int) -> InputError:
  size = len(set(split.images_of(class_id)))
  # Where the class is drawn first, each class of the fold has its turn, listed or not.
  remedy = '' if split.class_first else ' or take the class out of it'
  return InputError(
    f'{split.name}: {split.describe(class_id)} has {size} image{"" if size == 1 else "s"}, so a'
    f' query has no {needed} other{"s" if needed > 1 else ""} as support; add images of this class'
    f' to the list{remedy}'
  )


def _check_positive(**numbers: int) -> None:
  for name, number in numbers.items():
    if number < 1:
      raise InputError(f'`{name}` is {number}; it must be at least 1')
