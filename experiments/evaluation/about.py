"""Says what an evaluation is of: for the reader, for its results, and for the folder they go to."""

import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import PIL

import hsnet_jax
from data_pipelines.benchmark import Benchmark
from data_pipelines.unseen import Unseen
from experiments.evaluation.config import EvaluateConfig
from experiments.evaluation.methods import METHODS
from experiments.settings import sources
from experiments.settings.recipe import recipe_of
from experiments.storage.evaluations import home_of, name_of
from hsnet_jax.errors import InputError
from hsnet_jax.models import Model, describe_devices, digest


def describe(
  config: EvaluateConfig, model: Model, benchmark: Benchmark, fold: int
) -> dict[str, Any]:
  """Says what is evaluated, as the results file records it."""
  margin = sources.support_margin(config, benchmark.name, model.config)
  by = sources.combine(config, benchmark.name, model.config)
  presence = sources.given_threshold(config.presence_threshold, _usual_presence(config, model))
  if presence is not None and not METHODS[config.model].trained:
    raise InputError(f'`presence_threshold` is for trained networks, not for {config.model}')
  about = {
    'model': config.model,
    'backbone': model.backbone.name,
    'checkpoint': str(model.path) if model.path else None,
    'step': model.config.get('step'),
    'validation': model.config.get('validation'),
    'benchmark': benchmark.name,
    'fold': fold,
    'split': split_of(config, benchmark),
    'shots': config.shots,
    'protocol': config.protocol,
    'image_size': sources.image_size(config, benchmark.name, model.config),
    'original_size': config.original_size,
    **({'absent': config.absent} if config.absent else {}),
    **_seen(config, model, benchmark, fold),
    **({} if margin is None else {'support_margin': margin}),
    **({} if presence is None else {'presence_threshold': presence}),
    **({'combine': by} if by != 'vote' and config.shots > 1 and config.needs_checkpoint else {}),
    'precision': config.precision or model.config.get('precision', 'float32'),
    **_strictness(model),
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


def split_of(config: EvaluateConfig, benchmark: Benchmark) -> str:
  """Returns the list that is tested on: benchmarks but one have a single one."""
  return config.split if config.split in benchmark.splits else 'val'


def _seen(config: EvaluateConfig, model: Model, benchmark: Benchmark, fold: int) -> dict[str, Any]:
  """Says what was trained on, and which classes are left out for it."""
  if not isinstance(benchmark, Unseen):
    return {}
  trained_on = '{benchmark} fold {fold}'.format(**model.config)
  left_out = benchmark.left_out(fold, split_of(config, benchmark))
  return {'trained_on': trained_on, 'left_out': list(left_out)}


def _strictness(model: Model) -> dict[str, str]:
  """Says what training did with test classes in its pictures, where that is not as published."""
  test_classes = model.config.get('test_classes', 'background')
  return {} if test_classes == 'background' else {'test_classes': test_classes}


def _usual_presence(config: EvaluateConfig, model: Model) -> float | None:
  """Returns the network's threshold; None where every picture shows the object, as published."""
  used = config.absent and METHODS[config.model].trained
  return model.config.get('presence_threshold') if used else None


def _absolute(path: str | None) -> str | None:
  return None if path is None else os.path.abspath(os.path.expanduser(path))


def identity(about: Mapping[str, Any], model: Model) -> dict[str, Any]:
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


def output_dir(
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
    'presence_threshold': _usual_presence(config, model),
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


def announce(about: Mapping[str, Any], trained: Mapping[str, Any]) -> None:
  """Prints what is about to be evaluated, and warns of a checkpoint of another fold."""
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
  if 'left_out' in about:
    left_out = ', '.join(about['left_out']) or 'no class'
    print(f'left out, since trained on ({about["trained_on"]}): {left_out}', flush=True)
  if trained.get('benchmark') == about['benchmark'] and trained.get('fold') != about['fold']:
    warnings.warn(
      f'the checkpoint was trained for fold {trained.get("fold")}, so it has seen these classes',
      stacklevel=2,
    )
