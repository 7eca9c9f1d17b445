"""Opens what settings name: the benchmark and the backbone, with their defaults."""

from collections.abc import Mapping
from typing import Any

import jax

from data_pipelines import Benchmark, make_benchmark
from experiments.settings.episodes import EpisodeSettings
from experiments.settings.recipe import recipe_of
from hsnet_jax.backbones import get_backbone
from hsnet_jax.errors import InputError
from hsnet_jax.weights.convert import load_backbone


def open_benchmark(
  settings: EpisodeSettings, recorded: Mapping[str, Any] | None = None
) -> tuple[Benchmark, int]:
  """Opens the benchmark that settings name, or else a checkpoint, or else `shapes`.

  Args:
    settings: what was asked for.
    recorded: what a checkpoint records, where there is one.

  Returns:
    The benchmark, and the fold, which it has.

  Raises:
    InputError: the benchmark's folders are missing, it has no such fold, or neither the settings
      nor the checkpoint say which.
  """
  recorded = recorded or {}
  trained_on = recorded.get('benchmark')
  name, fold = settings.benchmark or trained_on, settings.fold
  # A fold means nothing on another benchmark than the one it was recorded for.
  if fold is None and trained_on == name:
    fold = recorded.get('fold')
  if recorded and (name is None or (fold is None and trained_on in (None, name))):
    raise InputError(
      'the checkpoint does not say its benchmark and fold; give `benchmark` and `fold`'
    )
  name, fold = name or 'shapes', fold or 0
  benchmark = make_benchmark(
    name,
    data_dir=settings.data_dir,
    splits_dir=settings.splits_dir,
    prepared_dir=settings.prepared_dir,
  )
  benchmark.test_classes(fold)
  return benchmark, fold


def image_size(
  settings: EpisodeSettings, benchmark: str, recorded: Mapping[str, Any] | None = None
) -> int:
  """Returns the image size of the settings, or else of a checkpoint, or else of the recipe."""
  return (
    settings.image_size or (recorded or {}).get('image_size') or recipe_of(benchmark).image_size
  )


def support_margin(
  settings: EpisodeSettings, benchmark: str, recorded: Mapping[str, Any] | None = None
) -> float | None:
  """Returns the margin of supports of the settings, or else of a checkpoint, or of the recipe."""
  default = recorded.get('support_margin') if recorded else recipe_of(benchmark).support_margin
  return given_margin(settings.support_margin, default)


def given_margin(asked: float | None, default: float | None) -> float | None:
  """Returns the margin of supports that was asked for, or else the default; None for whole ones."""
  margin = default if asked is None else asked
  return None if margin is None or margin < 0 else margin


def given_threshold(asked: float | None, default: float | None) -> float | None:
  """Returns the threshold of presence that was asked for, or else the default; None for none."""
  threshold = default if asked is None else asked
  return None if threshold == -1.0 else threshold


def combine(
  settings: EpisodeSettings, benchmark: str, recorded: Mapping[str, Any] | None = None
) -> str:
  """Returns how shots are combined by the settings, or else a checkpoint, or else the recipe."""
  default = recorded.get('combine', 'vote') if recorded else recipe_of(benchmark).combine
  return settings.combine or default


def batch_size(settings: EpisodeSettings, benchmark: str) -> int:
  """Returns the batch size of the settings, or else of the benchmark's recipe."""
  return settings.batch_size or recipe_of(benchmark).batch_size


def open_backbone(settings: EpisodeSettings, benchmark: str) -> tuple[str, dict[str, Any]]:
  """Reads the weights of the backbone that settings name, or else the recipe.

  Args:
    settings: what was asked for.
    benchmark: whose recipe says the default.

  Returns:
    The backbone's name and its weights.

  Raises:
    InputError: there is no such backbone, or its weights are not to be had.
  """
  name = settings.backbone or recipe_of(benchmark).backbone
  spec = get_backbone(name)
  if settings.random_backbone:
    return name, jax.jit(spec.init)(jax.random.key(0))
  return name, load_backbone(name, path=settings.backbone_weights)
