"""What a training run is made of: its state, new or gone on with, and what its loop asks for."""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from data_pipelines import Batches, Benchmark
from data_pipelines.augment import AUGMENTATIONS, augmented
from experiments import hosts
from experiments.evaluation import evaluate
from experiments.fitting import Hooks, Progress, Stopped
from experiments.models import check_variables, network
from experiments.run_folder import read_validations
from experiments.runlog import progress_bar
from experiments.saving import Saver
from hsnet_jax import checkpoints, training
from hsnet_jax.errors import InputError
from hsnet_jax.optimizers import make_optimizer, make_schedule
from hsnet_jax.sharding import batch_sharding, jit_step, place, pmap_step, replicated

PARALLEL = {'jit': jit_step, 'pmap': pmap_step}
_PICTURES = 10  # Two of each class where a fold has five.


def new_state(config: Mapping[str, Any], weights: Mapping[str, Any]) -> training.TrainState:
  """A state at step 0.

  Args:
    config: what the run is.
    weights: the backbone's.

  Returns:
    The state; it shares no memory with `weights`, since the step reuses its own.
  """
  return training.create_train_state(
    jax.random.key(config['seed']),
    model=network(config),
    backbone=jax.tree.map(jnp.array, weights),
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
  state: training.TrainState, run_dir: pathlib.Path, config: Mapping[str, Any]
) -> tuple[training.TrainState, Progress]:
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
  stored = checkpoints.load_checkpoint(path, backbone=config['backbone'], opt_state=state.opt_state)
  check_variables(stored.variables, backbone=config['backbone'], path=path)
  other = [key for key in config if stored.config.get(key, config[key]) != config[key]]
  if other == ['schedule_steps']:
    raise InputError(
      f'{path}: its cosine schedule ends at step {stored.config["schedule_steps"]}, not'
      f' {config["schedule_steps"]}; --resume needs the same --epochs and --max_steps'
    )
  if other:
    differ = ', '.join(
      f'--{key}={stored.config[key]}, not {config[key]}' for key in other if key != 'schedule_steps'
    )
    raise InputError(
      f'{path}: its run has {differ}; give the same flags to go on with it, --overwrite to replace'
      ' it, or another --run_dir'
    )
  state = state.replace(
    step=state.step + stored.step,
    params=stored.variables['params'],
    backbone=stored.variables['backbone'],
    opt_state=stored.opt_state,
  )
  miou = read_validations(run_dir, last_step=stored.step)
  figures, epoch = stored.config['figures'], stored.config.get('epoch')
  progress = Progress(stored.step, miou, figures=figures, epoch=epoch)
  with contextlib.suppress(InputError):  # Without a best one, the next to be validated is.
    best = checkpoints.read_config(run_dir / 'checkpoints' / 'best')
    # One of a later step is of before a crash, and will be written again.
    if best['step'] <= stored.step:
      progress.best_step = best['step']
      miou[best['step']] = best['figures']['miou']
  progress.miou = dict(sorted(miou.items()))
  return state, progress


def make_hooks(
  benchmark: Benchmark,
  config: Mapping[str, Any],
  val: Batches,
  run_dir: pathlib.Path,
  *,
  mesh: Mesh,
  parallel: str = 'jit',
  stopping: Callable[[int | None], bool] = lambda step: False,
) -> Hooks:
  """Step, validation and saving, for `experiments.fitting.fit`.

  Args:
    benchmark: what is trained on.
    config: what the run is.
    val: validation batches.
    run_dir: the run's folder.
    mesh: the devices.
    parallel: how rows are divided over them, a key of `PARALLEL`.
    stopping: whether the run is to stop; see `experiments.hosts.stopped_by_sigterm`.

  Returns:
    The hooks; their step takes what `data_pipelines.to_devices` gives.
  """
  options = {'static_argnames': 'model', 'out_shardings': replicated(mesh)}
  eval_step = jax.jit(training.eval_step, **options)
  classes = benchmark.test_classes(config['fold'])

  def validate(state: training.TrainState):
    variables = jax.device_put(state.eval_variables, replicated(mesh))

    def step(batch):
      return eval_step(variables, place(batch, batch_sharding(mesh)), model=state.model)

    with progress_bar(val.num_episodes, unit='episode', desc='validation') as bar:

      def on_batch(count: int, figures: Mapping[str, float]) -> None:
        del figures
        if stopping(None):
          raise Stopped
        bar.update(count)

      options = {'classes': classes, 'pictured': _PICTURES, 'on_batch': on_batch}
      return evaluate(step, val, benchmark, **options)

  # The initial values are drawn from the key itself.
  key = jax.random.fold_in(jax.random.key(config['seed']), 1)
  step = functools.partial(training.train_step, accumulate=config['accumulate'])
  step = augmented(key, step, options=AUGMENTATIONS[config['augment']])
  compiled = PARALLEL[parallel](step, mesh)
  return Hooks(
    lambda state, placed: compiled(state, placed.device),
    validate,
    Saver(run_dir / 'checkpoints', config, writes=hosts.is_writer()),
    schedule_of(config),
    stopping,
  )
