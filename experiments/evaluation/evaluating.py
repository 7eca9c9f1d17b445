"""Evaluates a checkpoint, or a method that needs none, on the test episodes of a benchmark."""

import contextlib
import dataclasses
import datetime
import functools
import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import PIL
from jax.sharding import Mesh

import hsnet_jax
from data_pipelines.benchmark import Benchmark
from data_pipelines.loading.loader import eval_batches, eval_episodes, train_batches
from data_pipelines.loading.placement import to_devices
from data_pipelines.loading.workers import Batches
from experiments.evaluation.config import EvaluateConfig
from experiments.evaluation.counting import (
  BoundLogits,
  Evaluation,
  Logits,
  count_batches,
  counting_step,
)
from experiments.evaluation.methods import METHODS
from experiments.evaluation.tally import add_intervals
from experiments.reporting.pictures import draw_grid
from experiments.reporting.progress import progress_bar
from experiments.reporting.rows import text_table
from experiments.reporting.tables import episodes_csv, table_rows, write_results
from experiments.settings import sources
from experiments.settings.recipe import recipe_of
from experiments.storage.evaluations import free_folder, home_of, name_of
from experiments.storage.results import mark, write_png
from hsnet_jax.errors import InputError
from hsnet_jax.metrics import ABSENT_METRICS, METRICS
from hsnet_jax.model import fold_backbone
from hsnet_jax.models import (
  Model,
  check_image_size,
  describe_devices,
  digest,
  load_model,
  network,
)
from hsnet_jax.training.sharding import batch_sharding, data_mesh, replicated
from hsnet_jax.whole_files import writable_folder


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
  benchmark, fold = sources.open_benchmark(config, model.config)
  about = _about(config, model, benchmark, fold)
  batches = _test_batches(config, benchmark, about)
  about['episodes'] = batches.num_episodes
  above = [n for n in config.also_first if n >= batches.num_episodes]
  if above:
    raise InputError(f'`also_first`={above[0]}: there are {batches.num_episodes} episodes in all')
  examples = _training_batches(config, benchmark, about) if method.fit else None
  if method.trained:
    check_image_size(model.module, model.variables, about['image_size'])
  of = _identity(about, model)
  wanted = _output_dir(config, model, about, benchmark)
  writable_folder(free_folder(wanted, of=of), argument='output_dir')
  _announce(about, model.config)
  mesh = data_mesh()
  # What is recorded is of the original weights, and is known by now.
  folded = fold_backbone(model.variables, backbone=model.backbone)
  model = dataclasses.replace(model, variables=folded)
  found = _fit(config, model, benchmark, examples, mesh) if examples else {}
  about |= found
  logits = BoundLogits(
    method.load(method.logits),
    model.module.clone(presence_threshold=about.get('presence_threshold')),
    tuple(found.items()),
    about.get('combine', 'vote'),
  )
  result = _count(config, model, logits, batches, benchmark, about, mesh)
  episodes = eval_episodes(benchmark, **_which(config, about))
  add_intervals(result.columns, result.rows, episodes, benchmark.test_classes(fold, about['split']))
  about |= {'empty_supports': result.empty_supports, 'seconds': round(result.seconds, 1)}
  about['date'] = datetime.datetime.now().astimezone().isoformat(' ', 'seconds')
  # Asked again: in the meantime a person, or another process, may have put something there.
  folder = free_folder(wanted, of=of)
  csv = episodes_csv(result.rows, episodes, benchmark.class_names)
  return Report(result, about, tuple(_report(result, about, folder, of=of, episodes=csv)))


def _open_model(config: EvaluateConfig) -> Model:
  """Returns the model of the checkpoint, or a bare backbone where a method needs no more."""
  if config.needs_checkpoint:
    return load_model(config.checkpoint, backbone=config.backbone, precision=config.precision)
  if not METHODS[config.model].looks:  # Any network serves that needs no weights.
    return Model(network({'backbone': 'tiny'}), {'backbone': {}})
  name, weights = sources.open_backbone(config, config.benchmark or 'shapes')
  module = network({'backbone': name}, precision=config.precision)
  return Model(module, {'backbone': weights})


def _about(config: EvaluateConfig, model: Model, benchmark: Benchmark, fold: int) -> dict[str, Any]:
  """Says what is evaluated, as the results file records it."""
  margin = sources.support_margin(config, benchmark.name, model.config)
  by = sources.combine(config, benchmark.name, model.config)
  # Where every picture shows the object, as published, there is nothing to decide.
  usual = model.config.get('presence_threshold') if config.absent else None
  presence = sources.given_threshold(config.presence_threshold, usual)
  about = {
    'model': config.model,
    'backbone': model.backbone.name,
    'checkpoint': str(model.path) if model.path else None,
    'step': model.config.get('step'),
    'validation': model.config.get('validation'),
    'benchmark': benchmark.name,
    'fold': fold,
    'split': config.split if config.split in benchmark.splits else 'val',
    'shots': config.shots,
    'protocol': config.protocol,
    'image_size': sources.image_size(config, benchmark.name, model.config),
    'original_size': config.original_size,
    **({'absent': config.absent} if config.absent else {}),
    **({} if margin is None else {'support_margin': margin}),
    **({} if presence is None else {'presence_threshold': presence}),
    **({'combine': by} if by != 'vote' and config.shots > 1 and config.needs_checkpoint else {}),
    'precision': config.precision or model.config.get('precision', 'float32'),
    'batch_size': sources.batch_size(config, benchmark.name),
    'also_first': sorted(set(config.also_first)),
    'threshold_episodes': config.threshold_episodes if METHODS[config.model].fit else None,
    'pictures': config.pictures,
    'drawn_masks': list(benchmark.drawn_masks),
    **{name: _absolute(getattr(config, name)) for name in ('data_dir', 'splits_dir')},
    'prepared_dir': _absolute(config.prepared_dir),
    'versions': {
      **{one.__name__: one.__version__ for one in (hsnet_jax, jax, np)},
      'pillow': PIL.__version__,
    },
  }
  # Lists and weights that have changed under the same names are others.
  about['list'] = benchmark.split(fold, about['split']).digest[:12]
  about['weights'] = digest(model.variables)[:12]
  if _chosen_in_sight_of_the_test(model, about):
    about['note'] = 'the checkpoint was chosen on these very test episodes'
  return about


def _absolute(path: str | None) -> str | None:
  return None if path is None else os.path.abspath(os.path.expanduser(path))


def _identity(about: Mapping[str, Any], model: Model) -> dict[str, Any]:
  """Returns what results are of; a checkpoint by its name and weights, wherever it is moved to."""
  name = model.path.name if model.path else None
  of = {key: value for key, value in about.items() if key != 'note'}
  return {'command': 'evaluate', **of, 'checkpoint': name}


def _chosen_in_sight_of_the_test(model: Model, about: Mapping[str, Any]) -> bool:
  """Returns whether the score to come is optimistic, as all published ones are.

  A method without training learns nothing but its threshold, on training folds; a run's last
  checkpoint was not chosen by its score. What does not say how it was chosen was chosen as the
  published ones were.
  """
  trained = model.config.get('benchmark'), model.config.get('fold')
  return (
    METHODS[about['model']].trained
    and model.path is not None
    and model.path.name != 'last'
    and about['validation'] != 'heldout'
    and about['split'] == 'val'  # What training validates on.
    and trained in ((None, None), (about['benchmark'], about['fold']))
  )


def _test_batches(config: EvaluateConfig, benchmark: Benchmark, about: Mapping) -> Batches:
  return eval_batches(
    benchmark,
    **_which(config, about),
    image_size=about['image_size'],
    support_margin=about.get('support_margin'),
    original_size=config.original_size,
    batch_size=sources.batch_size(config, benchmark.name),
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
  config: EvaluateConfig, model: Model, benchmark: Benchmark, examples: Batches, mesh: Mesh
) -> dict[str, float]:
  """Returns what a method finds on training episodes, for its logits; prints it."""
  method = METHODS[config.model]
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
  variables = jax.device_put(model.variables, replicated(mesh))
  absent = bool(config.absent)
  step = functools.partial(counting_step(logits, mesh, absent=absent), variables)
  with progress_bar(batches.num_episodes, unit='episode') as bar:

    def on_batch(count: int, figures: Mapping[str, float]) -> None:
      bar.set_postfix(mIoU=f'{figures["miou"]:.2f}', refresh=False)
      bar.update(count)

    return count_batches(
      step,
      batches,
      benchmark,
      classes=benchmark.test_classes(about['fold'], about['split']),
      metrics=ABSENT_METRICS if absent else METRICS,
      sharding=batch_sharding(mesh),
      first=sorted(set(config.also_first)),
      pictured=config.pictures,
      on_batch=on_batch,
    )


def _output_dir(
  config: EvaluateConfig, model: Model, about: Mapping[str, Any], benchmark: Benchmark
) -> pathlib.Path:
  """Returns where results go, unless they would take the place of others."""
  if config.output_dir:
    return pathlib.Path(config.output_dir).expanduser()
  split = about['split']
  usual = {
    'checkpoint_name': 'best',
    'episodes': benchmark.published_count or len(benchmark.split(about['fold'], split).items),
    'image_size': model.config.get('image_size') or recipe_of(benchmark.name).image_size,
    'precision': model.config.get('precision', 'float32'),
    'protocol': 'published',
    'support_margin': model.config.get('support_margin'),
    'presence_threshold': model.config.get('presence_threshold') if config.absent else None,
    'combine': model.config.get('combine', 'vote'),
    'split': 'test' if 'test' in benchmark.splits else 'val',
  }
  # The folder beside a checkpoint that is of no run bears its name already.
  of_run = model.path is not None and home_of(model.path).name == 'evaluation'
  checkpoint_name = model.path.name if model.path and of_run else 'best'
  name = name_of({**about, 'checkpoint_name': checkpoint_name}, usual=usual)
  if model.path is None:
    return pathlib.Path('runs', about['model'], f'{name}-{model.backbone.name}')
  return home_of(model.path) / name


def _announce(about: Mapping[str, Any], trained: Mapping[str, Any]) -> None:
  print('device:', describe_devices())
  print('model: {model}, backbone {backbone}'.format(**about), end='')
  print(f', {about["checkpoint"]}' if about['checkpoint'] else '', end='')
  print(f', step {about["step"]}' if about['step'] is not None else '')
  print(
    'episodes: {episodes} of {benchmark} fold {fold}, {shots}-shot, {protocol} protocol,'
    ' {image_size} x {image_size}'.format(**about)
    + (", judged at each photograph's own size" if about['original_size'] else '')
    + (f', {about["absent"]:.0%} of them without the object' if 'absent' in about else ''),
    flush=True,
  )
  if trained.get('benchmark') == about['benchmark'] and trained.get('fold') != about['fold']:
    warnings.warn(
      f'the checkpoint was trained for fold {trained.get("fold")}, so it has seen these classes',
      stacklevel=2,
    )


def _report(
  result: Evaluation, about: Mapping[str, Any], folder: pathlib.Path, *, of: Mapping, episodes: str
) -> list[pathlib.Path]:
  """Prints and writes what came out; returns the files."""
  print(text_table(table_rows(result.columns), left=1))
  if result.empty_supports:
    print(f'{result.empty_supports} episodes had a support mask without foreground; they count')
  if 'note' in about:
    print(f'note: {about["note"]}')
  written = write_results(folder, columns=result.columns, about=about, episodes=episodes)
  for path in written:
    mark(path, of=of)
  if result.panels:
    title = '{model} on {benchmark} fold {fold}, {shots}-shot'.format(**about)
    title += f': mIoU {result.figures["miou"]:.1f}'
    written.append(folder / 'episodes.png')
    write_png(written[-1], draw_grid(result.panels, title=title), of=of)
  print(f'{result.seconds:.0f} s; written:', *written, sep='\n  ')
  return written
