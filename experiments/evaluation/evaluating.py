"""Evaluates a checkpoint, or a method that needs none, on the test episodes of a benchmark."""

import contextlib
import dataclasses
import datetime
import functools
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from data_pipelines.benchmark import Benchmark
from data_pipelines.loading.loader import eval_batches, eval_episodes, train_batches
from data_pipelines.loading.placement import to_devices
from data_pipelines.loading.workers import Batches
from experiments.evaluation.about import announce, describe, identity, output_dir, split_of
from experiments.evaluation.config import EvaluateConfig
from experiments.evaluation.counting import (
  BoundLogits,
  Evaluation,
  Logits,
  count_batches,
  counting_step,
)
from experiments.evaluation.methods import METHODS
from experiments.evaluation.protocols.cross import leave_out_seen, own_lists
from experiments.evaluation.tally import add_intervals
from experiments.reporting.pictures import draw_grid
from experiments.reporting.progress import progress_bar
from experiments.reporting.rows import text_table
from experiments.reporting.tables import episodes_csv, table_rows, write_results
from experiments.settings import sources
from experiments.storage.evaluations import free_folder
from experiments.storage.results import mark, write_png
from hsnet_jax.errors import InputError
from hsnet_jax.metrics import ABSENT_METRICS, METRICS
from hsnet_jax.model import fold_backbone
from hsnet_jax.models import Model, check_image_size, load_model, network
from hsnet_jax.training.sharding import batch_sharding, data_mesh, place, replicated
from hsnet_jax.whole_files import writable_folder

_EXTREMES = 3  # Pictures each of the best, the median and the worst.


@dataclasses.dataclass(frozen=True)
class Report:
  """Holds an evaluation, and what it was of.

  Attributes:
    evaluation: what came out.
    about: what was evaluated, as `results.json` records it.
    files: what was written.
  """

  evaluation: Evaluation
  about: Mapping[str, Any]
  files: tuple[pathlib.Path, ...]

  @property
  def figures(self) -> dict[str, Any]:
    """Returns the figures over all episodes."""
    return self.evaluation.figures


def evaluate(config: EvaluateConfig) -> Report:
  """Evaluates as a configuration says, prints what comes out and writes it to files.

  Args:
    config: what to evaluate, and on what.

  Returns:
    The `Report`.

  Raises:
    InputError: the checkpoint, the benchmark or a value does not fit.
  """
  method = METHODS[config.model]
  model = _open_model(config)
  benchmark, fold = _open_benchmark(config, model)
  about = describe(config, model, benchmark, fold)
  mesh = _mesh(config, benchmark, about)
  batches = _test_batches(config, benchmark, about, devices=mesh.size)
  about['episodes'] = batches.num_episodes
  above = [n for n in config.also_first if n >= batches.num_episodes]
  if above:
    raise InputError(f'`also_first`={above[0]}: there are {batches.num_episodes} episodes in all')
  examples = _training_batches(config, benchmark, about) if method.fit else None
  if method.trained:
    check_image_size(model.module, model.variables, about['image_size'])
  if method.fit and jax.process_count() > 1:
    raise InputError(f'`model`={config.model} is for one process: it is fitted to all episodes')
  of = identity(about, model)
  wanted = output_dir(config, model, about, benchmark)
  if not jax.process_index():  # The one that writes.
    writable_folder(free_folder(wanted, of=of), argument='output_dir')
  announce(about, model.config)
  # What is recorded is of the original weights, and is known by now.
  folded = fold_backbone(model.variables, backbone=model.backbone)
  model = dataclasses.replace(model, variables=folded)
  found = _fit(config, model, benchmark, examples) if examples else {}
  about |= found
  logits = BoundLogits(
    method.load(method.logits),
    model.with_presence(about.get('presence_threshold')).module,
    tuple(found.items()),
    about.get('combine', 'vote'),
  )
  result = _count(config, model, logits, batches, benchmark, about, mesh)
  episodes = eval_episodes(benchmark, **_which(config, about))
  names, classes = benchmark.class_names, benchmark.test_classes(fold, about['split'])
  metrics = ABSENT_METRICS if config.absent else METRICS
  add_intervals(result.columns, result.rows, episodes, classes, names, metrics=metrics)
  about |= {'empty_supports': result.empty_supports, 'seconds': round(result.seconds, 1)}
  about['date'] = datetime.datetime.now().astimezone().isoformat(' ', 'seconds')
  # Asked again: in the meantime a person, or another process, may have put something there.
  folder = free_folder(wanted, of=of)
  csv = episodes_csv(result.rows, episodes, names)
  if jax.process_index():
    return Report(result, about, ())  # One process writes.
  return Report(result, about, tuple(_report(result, about, folder, of=of, episodes=csv)))


def check_episodes(configs: Iterable[EvaluateConfig]) -> None:
  """Draws the episodes of several evaluations of one network, to refuse before any of them begins.

  Args:
    configs: what is to be evaluated; all name the same model and checkpoint.

  Raises:
    InputError: as `evaluate`, where a benchmark, its classes or its lists do not fit.
  """
  model = None
  for config in configs:
    model = model or _open_model(config)
    benchmark, fold = _open_benchmark(config, model)
    which = {'fold': fold, 'split': split_of(config, benchmark)}
    eval_episodes(benchmark, **_which(config, which))


def _open_benchmark(config: EvaluateConfig, model: Model) -> tuple[Benchmark, int]:
  """Returns what is tested on, under protocol cross without what was trained on; and the fold."""
  if config.protocol != 'cross':
    return sources.open_benchmark(config, model.config)
  benchmark, fold = sources.open_benchmark(own_lists(config), model.config)
  return leave_out_seen(benchmark, model.config, splits_dir=config.splits_dir), fold


def _open_model(config: EvaluateConfig) -> Model:
  """Returns the model of the checkpoint, or a bare backbone where a method needs no more."""
  if config.needs_checkpoint:
    return load_model(config.checkpoint, backbone=config.backbone, precision=config.precision)
  if not METHODS[config.model].looks:  # Any network serves that needs no weights.
    return Model(network({'backbone': 'tiny'}), {'backbone': {}})
  name, weights = sources.open_backbone(config, config.benchmark or 'shapes')
  module = network({'backbone': name}, precision=config.precision)
  return Model(module, {'backbone': weights})


def _mesh(config: EvaluateConfig, benchmark: Benchmark, about: Mapping) -> Mesh:
  """Returns the devices: of one process, no more than there are batches."""
  if jax.process_count() > 1:
    return data_mesh()
  listed = benchmark.split(about['fold'], about['split']).items
  count = config.episodes or benchmark.published_count or len(listed)
  return data_mesh(devices=jax.devices()[: -(-count // about['batch_size'])])


def _test_batches(
  config: EvaluateConfig, benchmark: Benchmark, about: Mapping, *, devices: int
) -> Batches:
  # A batch for each device: of as many rows each computes the same to the last bit.
  return eval_batches(
    benchmark,
    **_which(config, about),
    image_size=about['image_size'],
    support_margin=about.get('support_margin'),
    original_size=config.original_size,
    batch_size=about['batch_size'] * devices,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
    num_workers=config.num_workers,
  )


def _which(config: EvaluateConfig, about: Mapping) -> dict[str, Any]:
  """Says which episodes are seen."""
  own = {'shots': config.shots, 'count': config.episodes, 'distinct': config.distinct}
  return {'fold': about['fold'], 'split': about['split'], **own, 'absent': config.absent}


def _training_batches(config: EvaluateConfig, benchmark: Benchmark, about: Mapping) -> Batches:
  return train_batches(
    benchmark,
    fold=about['fold'],
    shots=config.shots,
    image_size=about['image_size'],
    support_margin=about.get('support_margin'),
    batch_size=sources.batch_size(config, benchmark.name),
    epochs=1,
    distinct=config.distinct,
    num_workers=config.num_workers,
  )


def _fit(
  config: EvaluateConfig, model: Model, benchmark: Benchmark, examples: Batches
) -> dict[str, float]:
  """Returns what a method finds on training episodes, for its logits; prints it."""
  method = METHODS[config.model]
  mesh = data_mesh(devices=jax.devices()[:1])  # Divided over several, it would round otherwise.
  with contextlib.closing(to_devices(examples, sharding=batch_sharding(mesh))) as placed:
    found = method.load(method.fit)(
      model.module,
      jax.device_put(model.variables, replicated(mesh)),
      (batch.device for batch in placed),
      episodes=config.threshold_episodes,
      num_classes=benchmark.num_classes,
    )
  miou = found.pop('miou')
  said = ', '.join(f'{name} {value:.4f}' for name, value in found.items())
  print(f'{said}, mIoU {miou:.2f} on training episodes')
  return found


def _count(
  config: EvaluateConfig,
  model: Model,
  logits: Logits,
  batches: Batches,
  benchmark: Benchmark,
  about: Mapping[str, Any],
  mesh: Mesh,
) -> Evaluation:
  variables = place(model.variables, replicated(mesh))
  metrics = ABSENT_METRICS if config.absent else METRICS
  step = functools.partial(counting_step(logits, mesh, names=tuple(metrics)), variables)
  with progress_bar(batches.num_episodes, unit='episode') as bar:

    def on_batch(count: int, figures: Mapping[str, float]) -> None:
      bar.set_postfix(mIoU=f'{figures["miou"]:.2f}', refresh=False)
      bar.update(count)

    return count_batches(
      step,
      batches,
      benchmark,
      classes=benchmark.test_classes(about['fold'], about['split']),
      metrics=metrics,
      sharding=batch_sharding(mesh),
      first=sorted(set(config.also_first)),
      pictured=config.pictures,
      extremes=min(config.pictures, _EXTREMES),
      on_batch=on_batch,
    )


def _report(
  result: Evaluation, about: Mapping[str, Any], folder: pathlib.Path, *, of: Mapping, episodes: str
) -> list[pathlib.Path]:
  """Prints and writes what came out; returns the files."""
  print(text_table(table_rows(result.columns, short=True), left=1))
  if result.empty_supports:
    print(f'{result.empty_supports} episodes had a support mask without foreground; they count')
  if 'note' in about:
    print(f'note: {about["note"]}')
  written = write_results(folder, columns=result.columns, about=about, episodes=episodes)
  for path in written:
    mark(path, of=of)
  title = '{model} on {benchmark} fold {fold}, {shots}-shot'.format(**about)
  title += f': mIoU {result.figures["miou"]:.1f}'
  for name, panels, across in (
    ('episodes.png', result.panels, 2),
    ('extremes.png', result.extremes, len(result.extremes) // 3),
  ):
    if panels:
      written.append(folder / name)
      write_png(written[-1], draw_grid(panels, title=title, across=across), of=of)
  print(f'{result.seconds:.0f} s; written:', *written, sep='\n  ')
  return written
