"""Reads recipes: what a run is trained with unless one says otherwise, a file each."""

import dataclasses
import functools
import tomllib
from importlib import resources


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Holds the defaults of a benchmark, or of what one names in its place.

  Attributes:
    backbone: name of the backbone.
    image_size: side of the squares that images are resized to.
    batch_size: episodes per step.
    support_margin: how far beyond its object a support is cut off; None for whole pictures.
    epochs: passes over the training list at most.
    val_episodes: test episodes after each epoch; None for the published number, which where a
      list holds each image once is all of it.
    schedule: of the learning rate.
    combine: how shots become one prediction.
    prior: whether the head starts from the prototypes' map.
    skip: whether the decoder sees finer features.
    correlated_levels: how many levels are correlated; None for all.
    hybrid_masking: whether masked pictures fill what Eq. 1 leaves out.
    background_correlation: whether the correlation with the background is subtracted.
    absent: how many training episodes have a query without the class.
    presence_threshold: recorded for use, not for training; None marks whatever is found.
    foreground_weight: of the object's pixels in the loss.
    boundary_weight: of pixels near the object's boundary in the loss.
    dice: how many times the soft Dice loss is added.
    augment: of the training episodes.
    exchange: probability that query and support exchange their roles.
    ema: decay of the average of the parameters; 0 for none.
  """

  backbone: str
  image_size: int
  batch_size: int
  epochs: int
  schedule: str
  val_episodes: int | None = None
  support_margin: float | None = None
  combine: str = 'vote'
  prior: bool = False
  skip: bool = False
  correlated_levels: int | None = None
  hybrid_masking: bool = False
  background_correlation: bool = False
  absent: float = 0.0
  presence_threshold: float | None = None
  foreground_weight: float = 1.0
  boundary_weight: float = 1.0
  dice: float = 0.0
  augment: str = 'none'
  exchange: float = 0.0
  ema: float = 0.0


# Those that are asked for by name, beside those of benchmarks.
NAMED = ('published', 'photos')


@functools.cache
def recipe_of(benchmark: str) -> Recipe:
  """Reads the recipe of a benchmark; the published one where it has none of its own.

  Args:
    benchmark: its name, or one of `NAMED`.

  Returns:
    The recipe.
  """
  folder = resources.files('experiments.settings') / 'recipes'
  file = folder / f'{benchmark}.toml'
  if not file.is_file():
    file = folder / 'published.toml'
  return Recipe(**tomllib.loads(file.read_text(encoding='utf-8')))
