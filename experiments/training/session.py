"""What a training run is made of: its state, new or gone on with, and what its loop asks for."""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from data_pipelines import Batches, Benchmark
from experiments.command import hosts
from experiments.evaluation.counting import (
  BoundLogits,
  Evaluation,
  count_batches,
  counting_step,
)
from experiments.reporting.progress import progress_bar
from experiments.training.folder import older_checkpoints, read_validations
from experiments.training.loop import Hooks, Progress, Stopped
from experiments.training.saver import Saver
from hsnet_jax import checkpoints
from hsnet_jax.errors import InputError
from hsnet_jax.models import check_variables, network
from hsnet_jax.training import create_train_state, steps
from hsnet_jax.training.augment import AUGMENTATIONS, augmented
from hsnet_jax.training.optimizers import make_optimizer, make_schedule
from hsnet_jax.training.sharding import batch_sharding, jit_step, pmap_step, replicated

PARALLEL = {'jit': jit_step, 'pmap': pmap_step}
_PICTURES = 10  # Two of each class where a fold has five.


def new_state(config: Mapping[str, Any], weights: Mapping[str, Any]) -> steps.TrainState:
  """A state at step 0.

  Args:
    config: what the run is.
    weights: the backbone's.

  Returns:
    The state, of one device; `hsnet_jax.training.sharding.place` puts it where it is trained.
  """
  return create_train_state(
    jax.random.key(config['seed']),
    model=network(config),
    backbone=weights,
    tx=make_optimizer(
      schedule_of(config),
      weight_decay=config['weight_decay'],
      clip=config['clip'],
      ema=config['ema'],
    ),
  )


def schedule_of(config: Mapping[str, Any]) -> optax.Schedule:
  """The learning rate of a run, by step."""
  return make_schedule(
    config['learning_rate'],
    schedule=config['schedule'],
    warmup_steps=config['warmup_steps'],
    last_step=config['schedule_steps'] or 0,
  )


def resumed_state(
  state: steps.TrainState, run_dir: pathlib.Path, config: Mapping[str, Any]
) -> tuple[steps.TrainState, Progress]:
  """The state of a run's last checkpoint, and how far it had come.

  Args:
    state: a new one of the same run.
    run_dir: the run's folder.
    config: what the run is.

  Returns:
    The state and the progress.

  Raises:
    InputError: there is no such checkpoint, a damaged one, or one of other flags.
  """
  path = run_dir / 'checkpoints' / 'last'
  try:
    _check_same_run(path, checkpoints.read_config(path), config)
    stored = checkpoints.load_checkpoint(path, opt_state=state.opt_state)
  except checkpoints.DamagedCheckpoint as error:
    older = older_checkpoints(path.parent)
    if not older:
      raise
    raise InputError(
      f'{error}; to go on from an older one, put {older[-1]} in its place'
    ) from error
  check_variables(stored.variables, backbone=config['backbone'], path=path)
  state = state.replace(
    step=state.step + stored.step,
    params=stored.variables['params'],
    backbone=stored.variables['backbone'],
    opt_state=stored.opt_state,
  )
  miou = read_validations(run_dir, last_step=stored.step)
  figures, epoch = stored.config.get('figures'), stored.config.get('epoch')
  progress = Progress(stored.step, miou, figures=figures, epoch=epoch)
  with contextlib.suppress(InputError):  # Without a best one, the next to be validated is.
    best = checkpoints.read_config(run_dir / 'checkpoints' / 'best')
    step, score = best['step'], (best.get('figures') or {}).get('miou')
    # One of a later step is of before a crash, and will be written again.
    if step is not None and step <= stored.step and score is not None:
      progress.best_step, miou[step] = step, score
  progress.miou = dict(sorted(miou.items()))
  return state, progress


def _check_same_run(
  path: pathlib.Path, stored: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
  """Raises InputError, with the difference, where a checkpoint is of a run with other flags."""
  other = {key for key in config if stored.get(key, config[key]) != config[key]}
  if not other:
    return
  ends = [recorded.get('schedule_steps') for recorded in (stored, config)]
  # What is recorded beside the flags, and may follow from them or from what comes before it here.
  beside = {
    'lists': 'other images: some have come or gone since; put back what was there',
    'backbone_weights': 'other backbone weights; give the same --backbone_weights, or'
    ' --random_backbone',
    'schedule_steps': 'a cosine schedule that ends at step {}, not {}; give the same --epochs and'
    ' --max_steps'.format(*ends),
  }
  implied = {*beside, 'val_episodes'} if 'lists' in other else {*beside}
  flags = [f'--{key}={stored[key]}, not {config[key]}' for key in config if key in other - implied]
  if flags:
    differ = f'{", ".join(flags)}; give the same flags'
  else:
    differ = next(beside[key] for key in beside if key in other)
  raise InputError(
    f'{path}: its run has {differ} to go on with it, --overwrite to replace it, or another'
    ' --run_dir'
  )


def make_hooks(
  benchmark: Benchmark,
  config: Mapping[str, Any],
  val: Batches,
  run_dir: pathlib.Path,
  *,
  mesh: Mesh,
  parallel: str = 'jit',
  stopping: Callable[[], bool] = lambda: False,
  keep: int = 1,
) -> Hooks:
  """Step, validation and saving, for `experiments.training.loop.fit`.

  Args:
    benchmark: what is trained on.
    config: what the run is.
    val: validation batches.
    run_dir: the run's folder.
    mesh: the devices.
    parallel: how rows are divided over them, a key of `PARALLEL`.
    stopping: whether the run is to stop; see `experiments.command.hosts.stopped_by_sigterm`.
    keep: how many of the newest checkpoints there are to be.

  Returns:
    The hooks; their step takes what `data_pipelines.to_devices` gives.
  """
  # The initial values are drawn from the key itself.
  key = jax.random.fold_in(jax.random.key(config['seed']), 1)
  step = functools.partial(steps.train_step, accumulate=config['accumulate'])
  step = augmented(key, step, options=AUGMENTATIONS[config['augment']])
  compiled, schedule = PARALLEL[parallel](step, mesh), jax.jit(schedule_of(config))
  return Hooks(
    lambda state, placed: compiled(state, placed.device),
    _validation(benchmark, config, val, mesh, stopping),
    Saver(run_dir / 'checkpoints', config, writes=hosts.is_writer(), keep=keep),
    lambda step: jax.device_get(schedule(jax.device_put(np.int32(step)))),
    stopping,
  )


def _validation(benchmark, config, val, mesh, stopping) -> Callable[[Any], Evaluation]:
  """What validates a state, each process reading its part of `val`."""

  classes = benchmark.test_classes(config['fold'])

  def validate(state: steps.TrainState):
    variables = jax.device_put(state.eval_variables, replicated(mesh))

    def step(batch):
      return counting_step(BoundLogits(steps.episode_logits, state.model), mesh)(variables, batch)

    silent = not hosts.is_writer()
    with progress_bar(val.num_episodes, unit='episode', desc='validation', silent=silent) as bar:

      def on_batch(count: int, figures: Mapping[str, float]) -> None:
        del figures
        if stopping():
          raise Stopped
        bar.update(count)

      pictured = _PICTURES if hosts.is_writer() else 0
      return count_batches(
        step,
        val,
        benchmark,
        classes=classes,
        sharding=batch_sharding(mesh),
        pictured=pictured,
        on_batch=on_batch,
      )

  return validate
