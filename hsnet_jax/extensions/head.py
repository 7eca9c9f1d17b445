"""Says what a network's head, and what it is given of supports, are: by default as published."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Array, Float, Shaped

from hsnet_jax.errors import InputError
from hsnet_jax.extensions.masking import with_masked_pictures

T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Head:
  """Says in what a head differs from the published one; by default in nothing.

  Attributes:
    prior: whether it starts from the prototype's map (`extensions.prior`): the decoder sees the
      cosines with the object and with its surroundings, and corrects the map that they give.
    skip: whether the decoder sees the query's features of the level below those correlated, which
      are finer.
    correlated_levels: how many of the backbone's levels are correlated, the coarsest; None for all.
    hybrid_masking: whether supports are masked by `extensions.masking.hybrid_features`.
    background_correlation: whether the mean correlation with the support's background is subtracted
      (`extensions.masking.subtract_background`).
  """

  prior: bool = False
  skip: bool = False
  correlated_levels: int | None = None
  hybrid_masking: bool = False
  background_correlation: bool = False

  def first(self, levels: Sequence[int]) -> int:
    """Finds the finest level that is correlated.

    Args:
      levels: of the backbone, how many maps each has, finest first.

    Returns:
      Its number, 0 where all are.

    Raises:
      InputError: there are not so many, or `skip` finds no finer one.
    """
    count = len(levels) if self.correlated_levels is None else self.correlated_levels
    if not 1 <= count <= len(levels):
      raise InputError(f'`correlated_levels` is {count}, but the backbone has {len(levels)}')
    first = len(levels) - count
    if self.skip and len(levels) == 1:
      raise InputError('`skip` takes a finer level, but the backbone has one level alone')
    if self.skip and not first:
      raise InputError(
        '`skip` takes a level that is finer than those correlated, and all of them are: give'
        f' `correlated_levels` below {len(levels)}'
      )
    return first

  def correlated(self, levels: Sequence[int]) -> tuple[int, ...]:
    """Says how many maps each level has that is correlated, finest first."""
    return tuple(levels)[self.first(levels) :]

  def matched(self, maps: Sequence[T], levels: Sequence[int]) -> tuple[T, ...]:
    """Takes of all maps those that are correlated."""
    return tuple(maps)[sum(levels[: self.first(levels)]) :]

  def skipped(self, maps: Sequence[T], levels: Sequence[int]) -> tuple[T, ...]:
    """Takes of all maps those that the decoder sees by `skip`; none without it."""
    first = self.first(levels)
    if not self.skip:
      return ()
    start = sum(levels[: first - 1])
    return tuple(maps)[start : start + levels[first - 1]]

  def support_images(
    self, images: Float[Array, 'n h w 3'], masks: Shaped[Array | np.ndarray, 'n hm wm']
  ) -> Float[Array, 'some h w 3']:
    """Says what of supports goes through the backbone: they, and by hybrid masking twice as many.

    Args:
      images: the supports, normalized.
      masks: their masks, of any size.

    Returns:
      The images, whose features `support_features` takes.
    """
    return with_masked_pictures(images, masks) if self.hybrid_masking else images

  def support_features(self, features: Sequence[Array]) -> tuple[Array, ...]:
    """Makes what `HSNet.match` takes of supports.

    Args:
      features: the backbone's maps of all `support_images`.

    Returns:
      A row of each for every support: the maps, and by hybrid masking after them those of the
      masked pictures.
    """
    if not self.hybrid_masking:
      return tuple(features)
    count = len(features[0]) // 2
    return *(x[:count] for x in features), *(x[count:] for x in features)


PUBLISHED = Head()


def head_of(config: Mapping[str, Any]) -> Head:
  """Makes the `Head` that the record of a checkpoint describes, by the names of its fields."""
  fields = [field.name for field in dataclasses.fields(Head)]
  return Head(**{name: config[name] for name in fields if config.get(name) is not None})
