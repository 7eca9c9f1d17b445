"""Flags as module globals, until their last reader has a configuration."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from absl import flags

from data_pipelines import BENCHMARKS, Benchmark, make_benchmark
from hsnet_jax.backbones import get_backbone
from hsnet_jax.errors import InputError
from hsnet_jax.models import PRECISIONS
from hsnet_jax.weights.convert import load_backbone


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What a benchmark is trained with unless flags say otherwise.

  Attributes:
    backbone: name of the backbone.
    image_size: side of the squares that images are resized to.
    batch_size: episodes per step.
    epochs: passes over the training list at most.
    val_episodes: test episodes after each epoch; None for the published number, which where a
      list holds each image once is all of it.
    schedule: of the learning rate.
  """

  backbone: str = 'resnet50'
  image_size: int = 400
  batch_size: int = 20
  epochs: int = 2000
  val_episodes: int | None = None
  schedule: str = 'constant'


# The published recipe, and what fits the small drawn pictures.
_PUBLISHED = Recipe()
_RECIPES = {
  'shapes': Recipe(
    'tiny', image_size=128, batch_size=10, epochs=9, val_episodes=250, schedule='cosine'
  ),
  'coco': Recipe(batch_size=40),
}

BENCHMARK = flags.DEFINE_enum(
  'benchmark', None, sorted(BENCHMARKS), "Which benchmark. Default: the checkpoint's, else shapes."
)
DATA_DIR = flags.DEFINE_string(
  'data_dir',
  None,
  "The benchmark's own folder of images; for pascal the one that holds JPEGImages and"
  ' SegmentationClassAug. Not needed for shapes.',
)
SPLITS_DIR = flags.DEFINE_string(
  'splits_dir', None, 'Folder of the published lists, the one that holds pascal/, coco/ and fss/.'
)
PREPARED_DIR = flags.DEFINE_string(
  'prepared_dir',
  None,
  'Folder of prepared sets (see experiments.prepare), to read images from in place of --data_dir.',
)
FOLD = flags.DEFINE_integer(
  'fold', None, "Which fold's classes are kept for testing. Default: the checkpoint's, else 0."
)
SHOTS = flags.DEFINE_integer('shots', 1, 'Support images per episode.', lower_bound=1)
IMAGE_SIZE = flags.DEFINE_integer(
  'image_size',
  None,
  "Images are resized to squares of this side. Default: the checkpoint's, else 400 (shapes: 128).",
  lower_bound=1,
)
BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', None, 'Episodes per step. Default: 20 (coco: 40, shapes: 10).', lower_bound=1
)
BACKBONE = flags.DEFINE_string(
  'backbone', None, "Name of the backbone. Default: the checkpoint's, else resnet50 (shapes: tiny)."
)
BACKBONE_WEIGHTS = flags.DEFINE_string(
  'backbone_weights',
  None,
  "File of the backbone's ImageNet weights (.safetensors, .npz, .pth), or the folder of a file"
  " named after the backbone. Default: the project's own (tiny) or the Hugging Face Hub's.",
)
RANDOM_BACKBONE = flags.DEFINE_bool(
  'random_backbone', False, 'Random backbone weights: to try things out, not for results.'
)
NUM_WORKERS = flags.DEFINE_integer(
  'num_workers',
  0,
  'Processes that read images ahead; 0: two threads. One a core where decoding holds a GPU up.',
  lower_bound=0,
)
PRECISION = flags.DEFINE_enum(
  'precision',
  None,
  list(PRECISIONS),
  'What the backbone, the correlation and the 4D convolutions compute in; all else is float32.'
  " Default: the checkpoint's, else float32.",
)
PROTOCOL = flags.DEFINE_enum(
  'protocol',
  'published',
  ['published', 'distinct'],
  'published: supports of an episode may repeat each other; distinct: they may not.',
)


def recipe(benchmark_name: str) -> Recipe:
  """The recipe of a benchmark; the published one where it has none of its own."""
  return _RECIPES.get(benchmark_name, _PUBLISHED)


def benchmark_from_flags(config: Mapping[str, Any] | None = None) -> tuple[Benchmark, int]:
  """The benchmark and the fold that the flags name, or else a checkpoint.

  Args:
    config: what a checkpoint records, where there is one.

  Returns:
    The benchmark, and the fold, which it has.

  Raises:
    InputError: the benchmark's folders are missing, it has no such fold, or neither the flags nor
      the checkpoint say which.
  """
  config = config or {}
  recorded = config.get('benchmark')
  name, fold = BENCHMARK.value or recorded, FOLD.value
  # A fold means nothing on another benchmark than the one it was recorded for.
  if fold is None and recorded == name:
    fold = config.get('fold')
  if config and (name is None or (fold is None and recorded in (None, name))):
    raise InputError(
      'the checkpoint does not say its benchmark and fold; give --benchmark and --fold'
    )
  name, fold = name or 'shapes', fold or 0
  benchmark = make_benchmark(
    name,
    data_dir=DATA_DIR.value,
    splits_dir=SPLITS_DIR.value,
    prepared_dir=PREPARED_DIR.value,
  )
  benchmark.test_classes(fold)
  return benchmark, fold


def image_size(benchmark_name: str, config: Mapping[str, Any]) -> int:
  """The image size that the flag names, or else a checkpoint, or else the recipe."""
  return IMAGE_SIZE.value or config.get('image_size') or recipe(benchmark_name).image_size


def backbone_from_flags(benchmark_name: str) -> tuple[str, dict[str, Any]]:
  """The backbone that the flags name, else the recipe, and its weights.

  Args:
    benchmark_name: whose recipe says the default.

  Returns:
    Its name and its weights.

  Raises:
    InputError: there is no such backbone, or its weights are not to be had.
  """
  name = BACKBONE.value or recipe(benchmark_name).backbone
  spec = get_backbone(name)
  if not RANDOM_BACKBONE.value:
    return name, load_backbone(name, path=BACKBONE_WEIGHTS.value)
  if BACKBONE_WEIGHTS.value:
    raise InputError('--random_backbone and --backbone_weights exclude each other; give one')
  return name, jax.jit(spec.init)(jax.random.key(0))
