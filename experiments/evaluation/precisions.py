"""Compares what a trained network answers in float32 and in shorter types."""

import contextlib
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from data_pipelines.benchmark import Benchmark
from data_pipelines.loading.loader import eval_batches
from data_pipelines.loading.placement import to_devices
from data_pipelines.loading.workers import Batches
from experiments.evaluation.config import PrecisionConfig
from experiments.reporting.progress import progress_bar
from experiments.settings import sources
from hsnet_jax.inference import combination, combine_shots, episode_logits
from hsnet_jax.metrics import Confusion, confusion_counts
from hsnet_jax.models import PRECISIONS, Model, check_image_size, describe_devices, load_model
from hsnet_jax.training.sharding import batch_sharding, data_mesh, replicated


@dataclasses.dataclass
class Differences:
  """Measures how far logits are from those in float32, over all pixels of all episodes.

  Attributes:
    largest: difference.
    largest_logit: in float32, without its sign.
    squares: sum of the squared differences, and of the squared logits.
    changed: pixels whose prediction changes.
    pixels: all of them.
  """

  largest: float = 0.0
  largest_logit: float = 0.0
  squares: tuple[float, float] = (0.0, 0.0)
  changed: int = 0
  pixels: int = 0

  def add(self, wide: np.ndarray, short: np.ndarray) -> None:
    """Adds logits `[..., 2]` in float32 and in the shorter type."""
    wide, short = np.asarray(wide, np.float64), np.asarray(short, np.float64)
    off = short - wide
    self.largest = max(self.largest, float(np.abs(off).max()))
    self.largest_logit = max(self.largest_logit, float(np.abs(wide).max()))
    self.squares = self.squares[0] + (off**2).sum(), self.squares[1] + (wide**2).sum()
    sides = [logits[..., 1] > logits[..., 0] for logits in (wide, short)]
    self.changed += int((sides[0] != sides[1]).sum())
    self.pixels += sides[0].size

  def line(self) -> str:
    """Says all of it in words."""
    relative = (self.squares[0] / max(self.squares[1], 1e-30)) ** 0.5
    return (
      f'logits: root mean square difference {relative:.2%} of the logits, the largest'
      f' {self.largest / max(self.largest_logit, 1e-30):.2%} of the largest logit;'
      f' {self.changed / self.pixels:.2%} of the pixels change sides'
    )


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Holds what the precisions came to.

  Attributes:
    differences: of bfloat16 from float32.
    miou: in percent, by precision.
  """

  differences: Differences
  miou: Mapping[str, float]


def compare_precisions(config: PrecisionConfig) -> Comparison:
  """Takes the same test episodes through a network in every precision, and prints the difference.

  Args:
    config: which network, on which episodes.

  Returns:
    The `Comparison`.

  Raises:
    InputError: the checkpoint, the benchmark or a value does not fit.
  """
  # Whatever is found is marked, as `evaluate` does it on published episodes.
  models = {
    name: load_model(config.checkpoint, precision=name).with_presence(None) for name in PRECISIONS
  }
  model = models['float32']
  benchmark, fold = sources.open_benchmark(config, model.config)
  size = sources.image_size(config, benchmark.name, model.config)
  check_image_size(model.module, model.variables, size)
  batches = eval_batches(
    benchmark,
    count=config.episodes,
    fold=fold,
    shots=config.shots,
    image_size=size,
    support_margin=sources.support_margin(config, benchmark.name, model.config),
    batch_size=sources.batch_size(config, benchmark.name),
    distinct=config.distinct,
    num_workers=config.num_workers,
  )
  print('device:', describe_devices())
  print(
    f'{model.path}: {batches.num_episodes} episodes of {benchmark.name} fold {fold},'
    f' {config.shots}-shot, {size} x {size}',
    flush=True,
  )
  differences, confusions = _measure(
    models, batches, benchmark, combine=sources.combine(config, benchmark.name, model.config)
  )
  classes = benchmark.test_classes(fold)
  miou = {name: confusion.result(classes)['miou'] for name, confusion in confusions.items()}
  print(differences.line())
  for name, value in miou.items():
    print(f'mIoU in {name}: {value:.2f}')
  return Comparison(differences, miou)


def _measure(
  models: Mapping[str, Model], batches: Batches, benchmark: Benchmark, *, combine: str
) -> tuple[Differences, dict[str, Confusion]]:
  """Returns how far the logits differ, and the pixels counted in each precision."""
  mesh = data_mesh()
  variables = {
    name: jax.device_put(one.variables, replicated(mesh)) for name, one in models.items()
  }
  differences = Differences()
  confusions = {name: Confusion.empty(benchmark.num_classes) for name in models}
  placed = to_devices(batches, sharding=batch_sharding(mesh))
  with contextlib.closing(placed), progress_bar(batches.num_episodes, unit='episode') as bar:
    for batch, on_devices in placed:
      logits = {}
      for name, one in models.items():
        answer = _answer(variables[name], on_devices, model=one.module, combine=combine)
        logits[name], counts = jax.device_get(answer)
        counted = counts, batch['class_id'], batch['valid']
        confusions[name] = confusions[name].update(*counted)
      differences.add(*(x[:, batch['valid']] for x in logits.values()))
      bar.update(int(batch['valid'].sum()))
  return differences, confusions


@functools.partial(jax.jit, static_argnames=('model', 'combine'))
def _answer(
  variables: Any, batch: Mapping[str, Any], *, model: Any, combine: str
) -> tuple[Any, Any]:
  logits = episode_logits(model, variables, batch)
  mask = combine_shots(combination(combine)(logits)).mask
  return logits, confusion_counts(mask, batch['query_mask'], batch['query_ignore'])
