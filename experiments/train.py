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

A run's folder (--run_dir) holds checkpoints/best (by validation mIoU) and checkpoints/last,
metrics.jsonl, tensorboard/ and pictures/. As in the published work, validation runs on the
episodes of the fold's unseen classes, so the best checkpoint is chosen with the test in sight;
--validation=heldout is the honest way.
"""

import contextlib
import pathlib
import sys

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from data_pipelines import Benchmark, HeldOut, eval_batches, train_batches
from data_pipelines.augment import AUGMENTATIONS, augmented
from experiments import app, common
from experiments.evaluation import evaluate
from experiments.files import writable_folder
from experiments.fitting import Hooks, Limits, Progress, fit
from experiments.models import (
  check_image_size,
  check_variables,
  count_parameters,
  describe_devices,
)
from experiments.run_folder import check_run_folder, clear_run, read_validations
from experiments.runlog import RunLog, progress_bar
from hsnet_jax import checkpoints, training
from hsnet_jax.averaging import average_params
from hsnet_jax.errors import InputError
from hsnet_jax.model import HSNet

flags.adopt_module_key_flags(common)
_LEARNING_RATE = flags.DEFINE_float('learning_rate', 1e-3, 'Of Adam.', lower_bound=0.0)
_SCHEDULE = flags.DEFINE_enum(
  'schedule',
  None,
  ['constant', 'cosine'],
  'Of the learning rate; cosine falls to 0 at the last step. Default: constant, as published'
  ' (shapes: cosine).',
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
  'epochs', None, 'Passes over the training list. Default: 2000 (shapes: 6).', lower_bound=1
)
_MAX_STEPS = flags.DEFINE_integer('max_steps', None, 'Stop after this many steps.', lower_bound=1)
_MAX_MINUTES = flags.DEFINE_float(
  'max_minutes', None, 'Stop after this time; the last validation comes on top.', lower_bound=0.0
)
_VAL_EPISODES = flags.DEFINE_integer(
  'val_episodes',
  None,
  'Validation episodes. Default: 1000 (shapes: 250, each test picture once).',
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
_RESUME = flags.DEFINE_bool('resume', False, 'Go on from checkpoints/last of --run_dir.')
_OVERWRITE = flags.DEFINE_bool('overwrite', False, 'Replace the run that --run_dir holds.')

_PICTURES = 10  # Two of each class where a fold has five.


def main() -> None:
  """Trains as the flags say."""
  benchmark, fold = common.benchmark_from_flags()
  config = _config(benchmark, fold)
  run_dir = check_run_folder(
    _RUN_DIR.value or 'runs/{benchmark}-fold{fold}-{shots}shot-{backbone}'.format(**config),
    resume=_RESUME.value,
    overwrite=_OVERWRITE.value,
  )
  if config['validation'] == 'heldout':
    benchmark = HeldOut(
      benchmark, least=config['shots'] + 1 if config['protocol'] == 'distinct' else 2
    )
  train, val = _batches(benchmark, config)
  limits = Limits(
    epochs=_EPOCHS.value or common.recipe(benchmark.name).epochs,
    steps=_MAX_STEPS.value,
    minutes=_MAX_MINUTES.value,
    steps_per_epoch=train.steps_per_epoch,
    val_every=_VAL_EVERY.value,
  )
  # Of a cosine schedule the length is part of the recipe: a run goes on with the same alone.
  config['schedule_steps'] = limits.last_step if config['schedule'] == 'cosine' else None
  state = _state(benchmark, config)
  check_image_size(state.model, state.variables, config['image_size'])
  state, progress = _resumed(state, run_dir, config)
  if progress.step >= limits.last_step:
    print(f'nothing to do: the run is at step {progress.step} already')
    _conclude(progress, run_dir)
    return
  writable_folder(run_dir, flag='--run_dir')
  if not _RESUME.value:
    clear_run(run_dir)
  _announce(state, config, train, val, limits, run_dir)
  batches = train.from_step(progress.step)
  with contextlib.closing(batches), contextlib.closing(RunLog(run_dir)) as log:
    _, progress = fit(
      state,
      batches,
      _hooks(benchmark, config, val, run_dir),
      limits=limits,
      log=log,
      num_classes=benchmark.num_classes,
      progress=progress,
    )
  _conclude(progress, run_dir)


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
    'ema': _EMA.value,
    'augment': _AUGMENT.value,
    'protocol': common.PROTOCOL.value,
    'seed': _SEED.value,
    'validation': _VALIDATION.value,
    'val_episodes': _VAL_EPISODES.value or recipe.val_episodes,
  }


def _batches(benchmark: Benchmark, config: dict):
  """Training and validation batches."""
  options = {
    'fold': config['fold'],
    'shots': config['shots'],
    'image_size': config['image_size'],
    'batch_size': config['batch_size'],
    'distinct': config['protocol'] == 'distinct',
  }
  train = train_batches(benchmark, seed=config['seed'], **options)
  return train, eval_batches(benchmark, count=config['val_episodes'], **options)


def _state(benchmark: Benchmark, config: dict) -> training.TrainState:
  """A state at step 0 with the backbone's weights."""
  name, weights = common.backbone_from_flags(benchmark.name)
  rate = config['learning_rate']
  if config['schedule'] == 'cosine':
    rate = optax.cosine_decay_schedule(rate, config['schedule_steps'])
  model = HSNet(name, mask_support=config['mask_support'])
  tx = optax.adam(rate)
  if config['ema']:
    tx = optax.chain(tx, average_params(decay=config['ema']))
  # Copies: the step reuses the state's memory, where no two arrays may share theirs.
  weights = jax.tree.map(jnp.array, weights)
  key = jax.random.key(config['seed'])
  return training.create_train_state(key, model=model, backbone=weights, tx=tx)


def _resumed(state: training.TrainState, run_dir: pathlib.Path, config: dict):
  """The state and progress of the run's last checkpoint where --resume asks for it."""
  if not _RESUME.value:
    return state, Progress()
  path = run_dir / 'checkpoints' / 'last'
  stored = checkpoints.load_checkpoint(path, backbone=config['backbone'], opt_state=state.opt_state)
  check_variables(stored.variables, backbone=config['backbone'], path=path)
  other = [key for key in config if stored.config.get(key, config[key]) != config[key]]
  if other == ['schedule_steps']:
    raise InputError(
      f'{path}: its cosine schedule ends at step {stored.config["schedule_steps"]}, not'
      f' {config["schedule_steps"]}; --resume needs the same --epochs and --max_steps'
    )
  if other:
    was = ', '.join(f'--{key}={stored.config[key]}' for key in other if key != 'schedule_steps')
    raise InputError(f'{path}: trained with {was}; --resume needs the same flags')
  state = state.replace(
    step=state.step + stored.step,
    params=stored.variables['params'],
    backbone=stored.variables['backbone'],
    opt_state=stored.opt_state,
  )
  miou = read_validations(run_dir, last_step=stored.step)
  miou[stored.step] = stored.config['figures']['miou']
  progress = Progress(stored.step, miou, saved=(path, stored.step))
  with contextlib.suppress(InputError):  # Without a best one, the next to be validated is.
    best = checkpoints.read_config(run_dir / 'checkpoints' / 'best')
    progress.best_step = best['step']
    miou[best['step']] = best['figures']['miou']
  progress.miou = dict(sorted(miou.items()))
  return state, progress


def _hooks(benchmark: Benchmark, config: dict, val, run_dir: pathlib.Path) -> Hooks:
  """Step, validation and saving for `fit`."""
  eval_step = jax.jit(training.eval_step, static_argnames='model')
  classes = benchmark.test_classes(config['fold'])

  def validate(state: training.TrainState):
    with progress_bar(config['val_episodes'], unit='episode', desc='validation') as bar:
      return evaluate(
        lambda batch: eval_step(state.eval_variables, batch, model=state.model),
        val,
        benchmark,
        classes=classes,
        pictured=_PICTURES,
        on_batch=lambda count, figures: bar.update(count),
      )

  def save(name: str, state: training.TrainState, step: int, figures: dict) -> pathlib.Path:
    path = run_dir / 'checkpoints' / name
    checkpoints.save_checkpoint(
      path,
      # The best is to be used, the last to be gone on from.
      state.variables if name == 'last' else state.eval_variables,
      config={**config, 'figures': figures},
      opt_state=state.opt_state if name == 'last' else None,
      step=step,
    )
    return path

  # The initial values are drawn from the key itself.
  key = jax.random.fold_in(jax.random.key(config['seed']), 1)
  step = augmented(key, training.train_step, options=AUGMENTATIONS[config['augment']])
  return Hooks(jax.jit(step, donate_argnums=0), validate, save)


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
  app.run(main)
