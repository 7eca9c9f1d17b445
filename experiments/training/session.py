"""Makes what a training run consists of: its state, new or resumed, and what its loop asks for."""

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
from experiments.storage.configs import from_json, to_json
from experiments.training.config import RunConfig
from experiments.training.folder import older_checkpoints, read_validations
from experiments.training.loop import Hooks, Progress, TrainStep
from experiments.training.processes import is_writer
from experiments.training.saver import Saver
from experiments.training.validation import make_validation
from hsnet_jax import checkpoints
from hsnet_jax.errors import InputError
from hsnet_jax.models import check_variables, network
from hsnet_jax.training import TrainState, create_train_state, steps
from hsnet_jax.training.augment import AUGMENTATIONS, augmented
from hsnet_jax.training.exchange import exchanged
from hsnet_jax.training.optimizers import make_optimizer, make_schedule
from hsnet_jax.training.sharding import jit_step, pmap_step

# What came after versions that did not record it: their runs had the published defaults.
_SINCE = (
  *('prior', 'skip', 'correlated_levels', 'absent'),
  *('support_margin', 'foreground_weight', 'combine', 'presence_threshold'),
  *('exchange', 'hybrid_masking', 'background_correlation', 'boundary_weight', 'dice'),
  'test_classes',
)

PARALLEL = {'jit': jit_step, 'pmap': pmap_step}


def new_state(run: RunConfig, weights: Mapping[str, Any]) -> TrainState:
  """Makes a state at step 0.

  Args:
    run: what the run is.
    weights: the backbone's.

  Returns:
    The state, of one device; `hsnet_jax.training.sharding.place` puts it where it is trained.
  """
  return create_train_state(
    jax.random.key(run.seed),
    model=network(to_json(run)),
    backbone=weights,
    tx=_optimizer(
      run.learning_rate,
      run.schedule,
      run.warmup_steps,
      run.schedule_steps,
      weight_decay=run.weight_decay,
      clip=run.clip,
      ema=run.ema,
    ),
  )


# Of the same settings it is the same one, and so are steps: another run of them in this process
# compiles nothing again.
@functools.lru_cache(maxsize=8)
def _optimizer(
  learning_rate: float,
  schedule: str,
  warmup_steps: int,
  schedule_steps: int | None,
  *,
  weight_decay: float,
  clip: float,
  ema: float,
) -> optax.GradientTransformation:
  rate = _schedule(learning_rate, schedule, warmup_steps, schedule_steps)
  return make_optimizer(rate, weight_decay=weight_decay, clip=clip, ema=ema)


def _schedule(
  learning_rate: float, schedule: str, warmup_steps: int, schedule_steps: int | None
) -> optax.Schedule:
  return make_schedule(
    learning_rate, schedule=schedule, warmup_steps=warmup_steps, last_step=schedule_steps or 0
  )


def schedule_of(run: RunConfig) -> optax.Schedule:
  """Makes the learning rate of a run, by step."""
  return _schedule(run.learning_rate, run.schedule, run.warmup_steps, run.schedule_steps)


@functools.lru_cache(maxsize=8)
def _compiled_step(
  *,
  seed: int,
  augment: str,
  exchange: float,
  parallel: str,
  mesh: Mesh,
  **options: Any,
) -> TrainStep:
  """Makes the step of these options of `train_step`, which is compiled once it is called."""
  with jax.transfer_guard('allow'):
    # The initial values are drawn from the key itself.
    keys = [jax.random.fold_in(jax.random.key(seed), i) for i in (1, 2)]
  step = functools.partial(steps.train_step, **options)
  step = augmented(keys[0], step, options=AUGMENTATIONS[augment])
  # Before augmentation, which marks in the query what it invents.
  step = exchanged(keys[1], step, probability=exchange)
  return PARALLEL[parallel](step, mesh)


def resumed_state(
  state: TrainState, folder: pathlib.Path, run: RunConfig
) -> tuple[TrainState, Progress]:
  """Reads the state of a run's last checkpoint, and how far it had come.

  Args:
    state: a new one of the same run.
    folder: the run's.
    run: what the run is.

  Returns:
    The state and the progress.

  Raises:
    InputError: there is no such checkpoint, a damaged one, or one of another run.
  """
  path = folder / 'checkpoints' / 'last'
  try:
    _check_same_run(path, _recorded(path, run), run)
    stored = checkpoints.load_checkpoint(path, opt_state=state.opt_state)
  except checkpoints.DamagedCheckpoint as error:
    older = older_checkpoints(path.parent)
    if not older:
      raise
    raise InputError(
      f'{error}; to resume from an older one, put {older[-1]} in its place'
    ) from error
  if stored.step is None:
    raise InputError(f'{path}: does not say its step, so it cannot be resumed from')
  check_variables(stored.variables, backbone=run.backbone, path=path, head=state.model.head)
  state = state.replace(
    step=state.step + stored.step,
    params=stored.variables['params'],
    backbone=stored.variables['backbone'],
    opt_state=stored.opt_state,
  )
  miou = read_validations(folder, last_step=stored.step)
  figures, epoch = stored.config.get('figures'), stored.config.get('epoch')
  progress = Progress(stored.step, miou, figures=figures, epoch=epoch)
  with contextlib.suppress(InputError):  # Without a best one, the next to be validated is.
    best = checkpoints.read_config(folder / 'checkpoints' / 'best')
    step, score = best['step'], (best.get('figures') or {}).get('miou')
    # One of a later step is of before a crash, and will be written again.
    if step is not None and step <= stored.step and score is not None:
      progress.best_step, miou[step] = step, score
  progress.miou = dict(sorted(miou.items()))
  return state, progress


def _recorded(path: pathlib.Path, run: RunConfig) -> RunConfig:
  """Reads which run a checkpoint is of; what older versions did not record yet is as in `run`.

  They had published heads and episodes alone, whatever `run` has.
  """
  published = to_json(RunConfig())
  given = to_json(run) | {name: published[name] for name in _SINCE}
  stored = checkpoints.read_config(path)
  known = {name: stored.get(name, value) for name, value in given.items()}
  return from_json(RunConfig, known, source=str(path))


def _check_same_run(path: pathlib.Path, stored: RunConfig, run: RunConfig) -> None:
  """Raises InputError, with the difference, where a checkpoint is of a run of other settings."""
  before, now = to_json(stored), to_json(run)
  # Of how the network is used later training knows nothing.
  other = {name for name in now if before[name] != now[name]} - {'presence_threshold'}
  if not other:
    return
  # What is recorded beside the settings, and may follow from them or from what comes before here.
  beside = {
    'lists': 'other images: some have come or gone since; put back what was there',
    'backbone_weights': 'other backbone weights; give the same `backbone_weights`, or'
    ' `random_backbone`',
    'schedule_steps': f'a cosine schedule that ends at step {stored.schedule_steps}, not'
    f' {run.schedule_steps}; give the same `epochs` and `max_steps`',
  }
  implied = {*beside, 'val_episodes'} if 'lists' in other else {*beside}
  named = [f'`{name}`={before[name]}, not {now[name]}' for name in now if name in other - implied]
  if named:
    differ = f'{", ".join(named)}; give the same'
  else:
    differ = next(beside[name] for name in beside if name in other)
  raise InputError(
    f'{path}: its run has {differ} to resume it, `overwrite` to replace it, or another `run_dir`'
  )


def make_hooks(
  benchmark: Benchmark,
  run: RunConfig,
  val: Batches,
  folder: pathlib.Path,
  *,
  mesh: Mesh,
  parallel: str = 'jit',
  stopping: Callable[[], bool] = lambda: False,
  keep: int = 1,
) -> Hooks:
  """Makes step, validation and saving, for `experiments.training.loop.fit`.

  Args:
    benchmark: what is trained on.
    run: what the run is.
    val: validation batches.
    folder: the run's.
    mesh: the devices.
    parallel: how rows are divided over them, a key of `PARALLEL`.
    stopping: whether the run is to stop; see `experiments.training.processes.stopped_by_sigterm`.
    keep: how many of the newest checkpoints there are to be.

  Returns:
    The hooks; their step takes what `data_pipelines.to_devices` gives.
  """
  compiled = _compiled_step(
    seed=run.seed,
    augment=run.augment,
    exchange=run.exchange,
    parallel=parallel,
    mesh=mesh,
    accumulate=run.accumulate,
    foreground_weight=run.foreground_weight,
    boundary_weight=run.boundary_weight,
    dice=run.dice,
    ignore=run.test_classes == 'ignored',
  )
  schedule = jax.jit(schedule_of(run))

  def learning_rate(step: int) -> Any:
    with jax.numpy_dtype_promotion('standard'):  # As in the step: optax counts on it.
      return jax.device_get(schedule(jax.device_put(np.int32(step))))

  return Hooks(
    step=lambda state, placed: compiled(state, placed.device),
    validate=make_validation(
      benchmark, val, fold=run.fold, combine=run.combine, mesh=mesh, stopping=stopping
    ),
    saver=Saver(folder / 'checkpoints', to_json(run), writes=is_writer(), keep=keep),
    learning_rate=learning_rate,
    stopping=stopping,
  )
