"""Trains HSNet on a few-shot benchmark, validates each epoch, keeps the best and the last.

Examples, from the checkout's folder:

  The embedded benchmark, ten minutes on two cores:
    python -m experiments.train --fold=0 --max_minutes=10

  PASCAL-5i as published, on a GPU (ImageNet weights come from the Hugging Face Hub):
    python -m experiments.train --benchmark=pascal --fold=0 --backbone=resnet50 \\
      --data_dir=VOC2012 --splits_dir=splits

  Without an accelerator: a small backbone, small pictures, a limit:
    python -m experiments.train --benchmark=pascal --fold=2 --backbone=mobilenet_v1_075 \\
      --backbone_weights=mobilenet_v1_075.npz --image_size=200 --val_episodes=300 \\
      --max_steps=1300 --data_dir=VOC2012 --splits_dir=splits

A run's folder (--run_dir) holds checkpoints/best (by validation mIoU), checkpoints/last, with
--keep those before it, metrics.jsonl, tensorboard/ and pictures/. The same command goes on with a
run that was stopped, and ends as if it had not been; SIGTERM saves the step that is under way and
exits with 143.

As in the published work, validation runs on the episodes of the fold's unseen classes, so the best
checkpoint is chosen with the test in sight; --validation=heldout is the honest way.
"""

import contextlib
import dataclasses
import pathlib
import signal
import sys
from collections.abc import Iterator

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import jax
import numpy as np
from absl import flags

from data_pipelines import Benchmark, HeldOut, eval_batches, to_devices, train_batches
from experiments.command import common, hosts
from experiments.storage.locks import alone, of_this_machine
from experiments.training.folder import check_run_folder, clear_run, step_of_last
from experiments.training.log import RunLog, SilentLog
from experiments.training.loop import Limits, Progress, Stopped, fit
from experiments.training.profiling import one_trace
from experiments.training.session import PARALLEL, make_hooks, new_state, resumed_state
from hsnet_jax.errors import InputError
from hsnet_jax.models import check_image_size, count_parameters, describe_devices, digest
from hsnet_jax.training.augment import AUGMENTATIONS
from hsnet_jax.training.sharding import (
  batch_sharding,
  check_batch_size,
  data_mesh,
  place,
  replicated,
)
from hsnet_jax.whole_files import writable_folder

flags.adopt_module_key_flags(common)
flags.adopt_module_key_flags(hosts)
_LEARNING_RATE = flags.DEFINE_float('learning_rate', 1e-3, 'Of Adam.', lower_bound=0.0)
_SCHEDULE = flags.DEFINE_enum(
  'schedule',
  None,
  ['constant', 'cosine'],
  'Of the learning rate; cosine falls to 0 at the last step. Default: constant, as published'
  ' (shapes: cosine).',
)
_WARMUP_STEPS = flags.DEFINE_integer(
  'warmup_steps', 0, 'Over so many steps the learning rate rises from 0.', lower_bound=0
)
_WEIGHT_DECAY = flags.DEFINE_float(
  'weight_decay', 0.0, 'Decoupled (AdamW); 0: none, as published.', lower_bound=0.0
)
_CLIP = flags.DEFINE_float(
  'clip', 0.0, 'Norm that gradients are scaled down to; 0: no limit, as published.', lower_bound=0.0
)
_ACCUMULATE = flags.DEFINE_integer(
  'accumulate',
  1,
  'Take each batch in so many parts, whose gradients are added: the same step in less memory.'
  ' --batch_size stays that of the whole batch.',
  lower_bound=1,
)
_PARALLEL = flags.DEFINE_enum(
  'parallel',
  'jit',
  list(PARALLEL),
  'How the rows of a batch are divided over the devices: by the compiler (jit) or one program a'
  ' device (pmap). The figures are the same to rounding.',
)
_EMA = flags.DEFINE_float(
  'ema',
  0.0,
  'Decay of a moving average of the parameters that is validated and kept as the best in their'
  ' place; 0: none, as published. 0.99 averages about 100 steps.',
  lower_bound=0.0,
  upper_bound=0.9999,
)
_AUGMENT = flags.DEFINE_enum(
  'augment',
  'none',
  list(AUGMENTATIONS),
  'Of the training episodes, each picture by itself. flip: mirror images; geometric: also scale,'
  ' shift and rotation; photometric: colours; all: both. none, as published.',
)
_EPOCHS = flags.DEFINE_integer(
  'epochs', None, 'Passes over the training list. Default: 2000 (shapes: 9).', lower_bound=1
)
_MAX_STEPS = flags.DEFINE_integer('max_steps', None, 'Stop after this many steps.', lower_bound=1)
_MAX_MINUTES = flags.DEFINE_float(
  'max_minutes',
  None,
  'Stop so long after training has begun, or gone on; the last validation comes on top.',
  lower_bound=0.0,
)
_VAL_EPISODES = flags.DEFINE_integer(
  'val_episodes',
  None,
  'Validation episodes. Default: 1000, as published (shapes: 250; shapes, fss and folder: each test'
  ' picture once).',
  lower_bound=1,
)
_VALIDATION = flags.DEFINE_enum(
  'validation',
  'published',
  ['published', 'heldout'],
  "published: on the fold's test episodes; heldout: on classes of the next fold, left out of"
  ' training, so that the test stays unseen.',
)
_VAL_EVERY = flags.DEFINE_integer('val_every', 1, 'Validate every so many epochs.', lower_bound=1)
_MASK_SUPPORT = flags.DEFINE_bool(
  'mask_support', True, "Mask the support's features (Eq. 1); without it, the dagger variant."
)
_SEED = flags.DEFINE_integer('seed', 0, 'Of initial values and training episodes.', lower_bound=0)
_RUN_DIR = flags.DEFINE_string(
  'run_dir', None, "The run's folder. Default: runs/BENCHMARK-foldF-Kshot-BACKBONE."
)
_SAVE_EVERY = flags.DEFINE_integer(
  'save_every', None, 'Save also every so many steps. Default: when validated.', lower_bound=1
)
_KEEP = flags.DEFINE_integer(
  'keep',
  1,
  'How many of the newest checkpoints to keep, beside the best: last, and step_N before it.',
  lower_bound=1,
)
_PROFILE = flags.DEFINE_bool(
  'profile', False, 'Trace five steps, for the profiler of TensorBoard, into its folder.'
)
_RESUME = flags.DEFINE_bool(
  'resume',
  None,
  'Go on from checkpoints/last of --run_dir. Default: where there is one; --noresume refuses.',
)
_OVERWRITE = flags.DEFINE_bool('overwrite', False, 'Replace the run that --run_dir holds.')


def main() -> int:
  """Trains as the flags say; returns the exit code."""
  if _PARALLEL.value == 'pmap' and jax.process_count() > 1:
    raise InputError('--parallel=pmap is for the devices of one process; leave it out')
  if _MAX_MINUTES.value is not None and jax.process_count() > 1:
    raise InputError('--max_minutes is for one process: clocks differ; give --max_steps')
  benchmark, fold = common.benchmark_from_flags()
  config = _config(benchmark, fold)
  run_dir, resume = check_run_folder(
    _RUN_DIR.value or 'runs/{benchmark}-fold{fold}-{shots}shot-{backbone}'.format(**config),
    resume=_RESUME.value,
    overwrite=_OVERWRITE.value,
  )
  if config['validation'] == 'heldout':
    benchmark = HeldOut(
      benchmark, least=config['shots'] + 1 if config['protocol'] == 'distinct' else 2
    )
  mesh = data_mesh()
  check_batch_size(config['batch_size'], mesh, accumulate=config['accumulate'])
  train, val = _batches(benchmark, config)
  config['val_episodes'] = val.num_episodes
  config['lists'] = {name: benchmark.split(fold, name).digest[:12] for name in ('trn', 'val')}
  limits = _limits(common.recipe(benchmark.name).epochs, train.steps_per_epoch)
  # Of a cosine schedule the length is part of the recipe: a run goes on with the same alone.
  config['schedule_steps'] = limits.last_step if config['schedule'] == 'cosine' else None
  weights = common.backbone_from_flags(benchmark.name)[1]
  config['backbone_weights'] = 'random' if common.RANDOM_BACKBONE.value else digest(weights)[:12]
  state, progress = new_state(config, weights), Progress()
  del weights
  check_image_size(state.model, state.variables, config['image_size'])
  if resume:
    state, progress = resumed_state(state, run_dir, config)
  # Every process has read what is there before one of them writes to it.
  hosts.agree(config, limits, progress.step, progress.epoch)
  if progress.step >= limits.last_step and not progress.epoch:
    print(f'nothing to do: the run is at step {progress.step} already')
    _conclude(progress, run_dir)
    return 0
  with _log(run_dir, progress, resume=resume) as log:
    _announce(state, config, train, val, limits, run_dir)
    if resume:
      print(f'going on from step {progress.step}', flush=True)
    # Under the same name: nothing is to keep the copy that the devices have no use for.
    state = place(state, replicated(mesh))
    run = {'limits': limits, 'log': log, 'progress': progress}
    stopped = _train(state, train, val, benchmark, config, run_dir, mesh, **run)
  if stopped:
    print(f'{stopped}; the same command goes on from there', file=sys.stderr)
    return 128 + signal.SIGTERM
  _conclude(progress, run_dir)
  return 0


@contextlib.contextmanager
def _log(run_dir: pathlib.Path, progress: Progress, *, resume: bool) -> Iterator[RunLog]:
  """The run's log in a folder that is its own; all processes but the writer have a silent one."""
  if not hosts.is_writer():
    yield SilentLog()
    return
  writable_folder(run_dir, argument='run_dir')
  with alone(run_dir, does='trains there', name=of_this_machine()):
    last = progress.step if resume else None
    if step_of_last(run_dir) != last and not _OVERWRITE.value:
      raise InputError(f'{run_dir}: another process has trained there meanwhile; try again')
    if not resume:
      clear_run(run_dir)
    with contextlib.closing(
      RunLog(run_dir, last_step=last, unfinished=bool(progress.epoch))
    ) as log:
      yield log


def _train(state, train, val, benchmark, config, run_dir, mesh, **run) -> Stopped | None:
  """Trains until done; returns why if it was stopped before."""
  with hosts.stopped_by_sigterm() as stopping:
    batches = to_devices(train.from_step(run['progress'].step), sharding=batch_sharding(mesh))
    options = {'mesh': mesh, 'parallel': _PARALLEL.value, 'stopping': stopping}
    hooks = make_hooks(benchmark, config, val, run_dir, keep=_KEEP.value, **options)
    with contextlib.closing(batches), contextlib.ExitStack() as stack:
      if _PROFILE.value and hosts.is_writer():
        traced = stack.enter_context(one_trace(hooks.step, run_dir / 'tensorboard'))
        hooks = dataclasses.replace(hooks, step=traced)
      try:
        fit(state, batches, hooks, num_classes=benchmark.num_classes, **run)
      except Stopped as stopped:
        return stopped
  return None


def _config(benchmark: Benchmark, fold: int) -> dict:
  """What the run is, as its checkpoints record it."""
  recipe = common.recipe(benchmark.name)
  return {
    'benchmark': benchmark.name,
    'fold': fold,
    'shots': common.SHOTS.value,
    'backbone': common.BACKBONE.value or recipe.backbone,
    'mask_support': _MASK_SUPPORT.value,
    'image_size': common.image_size(benchmark.name, {}),
    'batch_size': common.BATCH_SIZE.value or recipe.batch_size,
    'learning_rate': _LEARNING_RATE.value,
    'schedule': _SCHEDULE.value or recipe.schedule,
    'warmup_steps': _WARMUP_STEPS.value,
    'weight_decay': _WEIGHT_DECAY.value,
    'clip': _CLIP.value,
    'accumulate': _ACCUMULATE.value,
    'ema': _EMA.value,
    'augment': _AUGMENT.value,
    'precision': common.PRECISION.value or 'float32',
    'protocol': common.PROTOCOL.value,
    'seed': _SEED.value,
    'validation': _VALIDATION.value,
    'val_every': _VAL_EVERY.value,
    'val_episodes': _VAL_EPISODES.value or recipe.val_episodes,
  }


def _limits(epochs: int, steps_per_epoch: int) -> Limits:
  """When training ends; `epochs` unless a flag says otherwise."""
  return Limits(
    epochs=_EPOCHS.value or epochs,
    steps=_MAX_STEPS.value,
    minutes=_MAX_MINUTES.value,
    steps_per_epoch=steps_per_epoch,
    val_every=_VAL_EVERY.value,
    save_every=_SAVE_EVERY.value,
  )


def _batches(benchmark: Benchmark, config: dict):
  """Training and validation batches."""
  options = {
    'fold': config['fold'],
    'shots': config['shots'],
    'image_size': config['image_size'],
    'batch_size': config['batch_size'],
    'distinct': config['protocol'] == 'distinct',
    'num_workers': common.NUM_WORKERS.value,
    'process_index': jax.process_index(),
    'process_count': jax.process_count(),
  }
  train = train_batches(benchmark, seed=config['seed'], **options)
  # Validation is short and comes often: workers would take longer to start than they save.
  options['num_workers'] = 0
  return train, eval_batches(benchmark, count=config['val_episodes'], **options)


def _announce(state, config: dict, train, val, limits: Limits, run_dir: pathlib.Path) -> None:
  """Says what is going to happen."""
  print('device:', describe_devices())
  print(
    f'model: HSNet, backbone {config["backbone"]}, {count_parameters(state.params):,} learnable and'
    f' {count_parameters(state.backbone):,} frozen parameters'
  )
  print(
    '{benchmark} fold {fold}, {shots}-shot, {image_size} x {image_size}, batch {batch_size},'
    ' Adam {learning_rate:g}, seed {seed}'.format(**config)
  )
  minutes = f' or {limits.minutes:g} minutes' if limits.minutes is not None else ''
  print(
    f'{train.num_episodes} training episodes, {train.steps_per_epoch} steps an epoch,'
    f' up to step {limits.last_step}{minutes}; {val.num_episodes} validation episodes'
    f' ({config["validation"]})'
  )
  print(f'outputs: {run_dir}', flush=True)


def _conclude(progress: Progress, run_dir: pathlib.Path) -> None:
  """Says what came out, and what to do with it."""
  if progress.best_step is None:
    print('no best checkpoint: time was up before the first validation')
    return
  last = list(progress.miou.values())[-10:]
  best = run_dir / 'checkpoints' / 'best'
  print(
    f'best validation mIoU {progress.miou[progress.best_step]:.2f} at step {progress.best_step};'
    f' last {len(last)} validations: mean {np.mean(last):.2f}, standard deviation'
    f' {np.std(last):.2f}, {min(last):.2f} to {max(last):.2f}'
  )
  print(f'next: python -m experiments.evaluate --checkpoint={best}')


if __name__ == '__main__':
  hosts.run(main)
