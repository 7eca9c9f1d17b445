"""Holds what was found in a picture, at the picture's own size."""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Float32, UInt8

from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
  """Holds what was found in one picture.

  Of one class `mask`, `probability`, `confidence` and `presence` say all. Of several they are of
  all together, `label` says which class is where, and `of(name)` gives what was found of one.

  Attributes:
    classes: the names, sorted, as scikit-learn has them.
    label: 0 on the background, i + 1 on `classes[i]`. Where the masks of several classes have a
      pixel, it is of the one with the highest margin.
    masks: of each class by itself, {0, 1}: the vote of its supports, or by their mean probability,
      as the model says. Those of several classes may overlap.
    probabilities: foreground probability of each class by itself, averaged over its supports; they
      do not add up to 1.
    presences: of each class, the mean of the picture's highest margins, any number
      (`hsnet_jax.metrics.presence_score`, at the decoder's size): a higher one speaks for the
      class being there. Not above 0 where the model's `presence_threshold` left the picture empty.
    path: the picture's file, if it is one.
  """

  classes: tuple[str, ...]
  label: UInt8[np.ndarray, 'h w'] = dataclasses.field(repr=False)
  masks: UInt8[np.ndarray, 'C h w'] = dataclasses.field(repr=False)
  probabilities: Float32[np.ndarray, 'C h w'] = dataclasses.field(repr=False)
  presences: tuple[float, ...]
  path: pathlib.Path | None = None

  @property
  def mask(self) -> UInt8[np.ndarray, 'h w']:
    """Returns 1 where an object is, of any class, and 0 elsewhere."""
    return (self.label > 0).view(np.uint8)

  @property
  def probability(self) -> Float32[np.ndarray, 'h w']:
    """Returns the foreground probability, of several classes the highest."""
    return self.probabilities.max(axis=0)

  @property
  def confidence(self) -> float:
    """Returns the mean of `probability` over the pixels of `mask`; 0.0 where there are none."""
    marked = self.probability[self.label > 0]
    return float(marked.mean(dtype=np.float64)) if marked.size else 0.0

  @property
  def presence(self) -> float:
    """Returns the highest of `presences`."""
    return max(self.presences)

  def of(self, name: str) -> 'Found':
    """Returns what was found of one class, by its own mask.

    Args:
      name: of `classes`.

    Raises:
      InputError: there is no such class.
    """
    if name not in self.classes:
      raise InputError(f'no class {name!r}; there are {", ".join(self.classes)}')
    i = self.classes.index(name)
    one = slice(i, i + 1)
    return Found(
      self.classes[one],
      self.masks[i],
      self.masks[one],
      self.probabilities[one],
      self.presences[one],
      self.path,
    )
