"""Runs a training from beginning to end: `train(TrainConfig(...))`."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from data_pipelines import (
  Batches,
  Benchmark,
  HeldOut,
  LeftOut,
  eval_batches,
  hidden_classes,
  to_devices,
  train_batches,
)
from experiments.settings.recipe import recipe_of
from experiments.settings.sources import (
  given_threshold,
  open_backbone,
  open_benchmark,
  support_margin,
)
from experiments.storage.locks import alone, of_this_machine
from experiments.training.config import RunConfig, TrainConfig
from experiments.training.folder import check_run_folder, clear_run, step_of_last
from experiments.training.log import Log, RunLog, SilentLog, note, say
from experiments.training.loop import Limits, Progress, Stopped, fit
from experiments.training.processes import agree, is_writer, never_stopped
from experiments.training.profiling import one_trace
from experiments.training.session import make_hooks, new_state, resumed_state
from hsnet_jax.errors import InputError
from hsnet_jax.models import check_image_size, count_parameters, describe_devices, digest
from hsnet_jax.training import TrainState
from hsnet_jax.training.sharding import (
  batch_sharding,
  check_batch_size,
  data_mesh,
  place,
  replicated,
)
from hsnet_jax.whole_files import writable_folder

# While its value is held, gives what says whether the run is to stop.
Stopping = Callable[[], contextlib.AbstractContextManager[Callable[[], bool]]]


@dataclasses.dataclass(frozen=True)
class Outcome:
  """Says what came of a run.

  Attributes:
    folder: the run's, with checkpoints, curves and pictures.
    progress: how far it has come: steps, validations, the step of the best.
    stopped: why it ended before its end; None where it did not.
  """

  folder: pathlib.Path
  progress: Progress
  stopped: Stopped | None = None

  @property
  def best(self) -> pathlib.Path | None:
    """Returns the best checkpoint; None where nothing was validated."""
    return None if self.progress.best_step is None else self.folder / 'checkpoints' / 'best'


@dataclasses.dataclass(frozen=True)
class _Plan:
  """Holds what a run works with, once its settings are found to be good."""

  benchmark: Benchmark
  run: RunConfig
  train: Batches
  val: Batches
  limits: Limits
  mesh: Mesh
  folder: pathlib.Path
  resume: bool


def train(
  config: TrainConfig,
  *,
  stopping: Stopping = never_stopped,
  mesh: Mesh | None = None,
) -> Outcome:
  """Trains HSNet, or resumes a run; says on stdout how it goes.

  Args:
    config: what to train on, how, and where to.
    stopping: what has the run stop, entered once its steps begin; a command has
      `stopped_by_sigterm`.
    mesh: the devices to train on; all of all processes by default.

  Returns:
    What came of it. A run that was stopped has saved its step: the same call resumes it.

  Raises:
    InputError: a setting does not fit what is there, or the folder holds another run.
    NonFiniteLoss: the loss is no number any more.
  """
  if config.parallel == 'pmap' and jax.process_count() > 1:
    raise InputError('`parallel`=pmap is for the devices of one process; leave it out')
  if config.max_minutes is not None and jax.process_count() > 1:
    raise InputError('`max_minutes` is for one process: clocks differ; give `max_steps`')
  # A guard against transfers is there for the steps: what comes before them is moved as it comes.
  with jax.transfer_guard('allow'):
    plan, state, progress = _begin(config, data_mesh() if mesh is None else mesh)
  limits, folder = plan.limits, plan.folder
  # Every process has read what is there before one of them writes to it.
  agree(plan.run, limits, progress.step, progress.epoch)
  outcome = Outcome(folder, progress)
  if progress.step >= limits.last_step and not progress.epoch:
    say(folder, f'nothing to do: the run is at step {progress.step} already')
  else:
    with _log(plan, progress, overwrite=config.overwrite) as log:
      _announce(plan, state, log)
      if plan.resume:
        log.say(f'resuming from step {progress.step}')
      # Under the same name: nothing is to keep the copy that the devices have no use for.
      state = place(state, replicated(plan.mesh))
      stopped = _steps(state, plan, progress, log, config=config, stopping=stopping)
      outcome = dataclasses.replace(outcome, stopped=stopped)
      if stopped is not None:
        note(folder, str(stopped))
  if outcome.stopped is None:
    say(folder, _conclusion(progress))
  return outcome


def _begin(config: TrainConfig, mesh: Mesh) -> tuple[_Plan, TrainState, Progress]:
  """Finds out all that may be wrong, and reads what there is; writes nothing."""
  benchmark, fold = open_benchmark(config)
  recipe = recipe_of(config.recipe or benchmark.name)
  backbone = config.backbone or recipe.backbone
  folder, resume = check_run_folder(
    config.run_dir or f'runs/{benchmark.name}-fold{fold}-{config.shots}shot-{backbone}',
    resume=config.resume,
    overwrite=config.overwrite,
  )
  if config.validation == 'heldout':
    benchmark = HeldOut(benchmark, least=config.shots + 1 if config.distinct else 2)
  if config.test_classes == 'left_out':
    benchmark = LeftOut(benchmark)
  run = _run_config(config, benchmark.name, fold)
  check_batch_size(run.batch_size, mesh, accumulate=run.accumulate)
  train, val = _batches(benchmark, run, distinct=config.distinct, num_workers=config.num_workers)
  limits = Limits(
    epochs=config.epochs or recipe.epochs,
    steps=config.max_steps,
    minutes=config.max_minutes,
    steps_per_epoch=train.steps_per_epoch,
    val_every=config.val_every,
    save_every=config.save_every,
  )
  weights = open_backbone(config, config.recipe or benchmark.name)[1]
  run = dataclasses.replace(
    run,
    val_episodes=val.num_episodes,
    lists={name: benchmark.split(fold, name).digest[:12] for name in ('trn', 'val')},
    # Of a cosine schedule the length is part of the recipe: a run is resumed with the same alone.
    schedule_steps=limits.last_step if run.schedule == 'cosine' else None,
    backbone_weights='random' if config.random_backbone else digest(weights)[:12],
  )
  state, progress = new_state(run, weights), Progress()
  check_image_size(state.model, state.variables, run.image_size)
  if resume:
    state, progress = resumed_state(state, folder, run)
  return _Plan(benchmark, run, train, val, limits, mesh, folder, resume), state, progress


def _run_config(config: TrainConfig, benchmark: str, fold: int) -> RunConfig:
  """Returns what the settings alone say of the run, with the recipe."""
  name = config.recipe or benchmark
  recipe = recipe_of(name)
  shared = {field.name for field in dataclasses.fields(RunConfig)} & {*vars(config)}
  # What is not of a recipe has its default here.
  given = {n: _given(getattr(config, n), getattr(recipe, n, None)) for n in shared}
  given.update(benchmark=benchmark, fold=fold, precision=config.precision or 'float32')
  given['support_margin'] = support_margin(config, name)
  given['presence_threshold'] = given_threshold(
    config.presence_threshold, recipe.presence_threshold
  )
  run = RunConfig(**given)
  if run.exchange and run.test_classes == 'ignored':
    raise InputError(
      '`exchange` makes queries of supports, of whose pixels none is ignored; give `exchange`=0, or'
      ' `test_classes`=left_out'
    )
  return run


def _given(value: Any, default: Any) -> Any:
  """Returns what was asked for, or else what the recipe has."""
  return default if value is None else value


def _batches(
  benchmark: Benchmark, run: RunConfig, *, distinct: bool, num_workers: int
) -> tuple[Batches, Batches]:
  """Makes training and validation batches, of which each process reads its part."""
  train = train_batches(
    benchmark,
    fold=run.fold,
    shots=run.shots,
    image_size=run.image_size,
    support_margin=run.support_margin,
    batch_size=run.batch_size,
    seed=run.seed,
    distinct=distinct,
    absent=run.absent,
    ignored=hidden_classes(benchmark, run.fold) if run.test_classes == 'ignored' else (),
    process_index=jax.process_index(),
    process_count=jax.process_count(),
    num_workers=num_workers,
  )
  # Validation is short and comes often: workers would take longer to start than they save.
  val = eval_batches(
    benchmark,
    fold=run.fold,
    shots=run.shots,
    count=run.val_episodes,
    image_size=run.image_size,
    support_margin=run.support_margin,
    batch_size=run.batch_size,
    distinct=distinct,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )
  return train, val


@contextlib.contextmanager
def _log(plan: _Plan, progress: Progress, *, overwrite: bool) -> Iterator[Log]:
  """Gives the run's log in a folder that is its own; of several processes one writes."""
  if not is_writer():
    yield SilentLog()
    return
  folder = plan.folder
  writable_folder(folder, argument='run_dir')
  with alone(folder, does='trains there', name=of_this_machine()):
    last = progress.step if plan.resume else None
    if step_of_last(folder) != last and not overwrite:
      raise InputError(f'{folder}: another process has trained there meanwhile; try again')
    if not plan.resume:
      clear_run(folder)
    log = RunLog(folder, last_step=last, unfinished=bool(progress.epoch))
    with contextlib.closing(log), _noted_end(folder):
      yield log


@contextlib.contextmanager
def _noted_end(folder: pathlib.Path) -> Iterator[None]:
  """Notes in the run's log what ended it before its time."""
  try:
    yield
  except BaseException as error:
    words = ' '.join(str(error).split())
    with contextlib.suppress(OSError):  # The disk may be what failed.
      note(folder, f'ended by {type(error).__name__}{": " if words else ""}{words}')
    raise


def _steps(
  state: TrainState,
  plan: _Plan,
  progress: Progress,
  log: Log,
  *,
  config: TrainConfig,
  stopping: Stopping,
) -> Stopped | None:
  """Trains until done; returns why if it was stopped before."""
  with contextlib.ExitStack() as stack:
    stop = stack.enter_context(stopping())
    source = plan.train.from_step(progress.step)
    batches = to_devices(source, sharding=batch_sharding(plan.mesh))
    stack.enter_context(contextlib.closing(batches))
    hooks = make_hooks(
      plan.benchmark,
      plan.run,
      plan.val,
      plan.folder,
      mesh=plan.mesh,
      parallel=config.parallel,
      stopping=stop,
      keep=config.keep,
    )
    if config.profile and is_writer():
      traced = stack.enter_context(one_trace(hooks.step, plan.folder / 'tensorboard'))
      hooks = dataclasses.replace(hooks, step=traced)
    try:
      fit(
        state,
        batches,
        hooks,
        limits=plan.limits,
        log=log,
        num_classes=plan.benchmark.num_classes,
        progress=progress,
      )
    except Stopped as stopped:
      return stopped
  return None


def _announce(plan: _Plan, state: TrainState, log: Log) -> None:
  """Says what is going to happen."""
  run, limits = plan.run, plan.limits
  learnable, frozen = (count_parameters(tree) for tree in (state.params, state.backbone))
  minutes = f' or {limits.minutes:g} minutes' if limits.minutes is not None else ''
  for line in (
    f'device: {describe_devices()}',
    f'model: HSNet, backbone {run.backbone}, {learnable:,} learnable and {frozen:,} frozen'
    ' parameters',
    f'{run.benchmark} fold {run.fold}, {run.shots}-shot, {run.image_size} x {run.image_size}, batch'
    f' {run.batch_size}, Adam {run.learning_rate:g}, seed {run.seed}',
    f'{plan.train.num_episodes} training episodes, {limits.steps_per_epoch} steps an epoch, up to'
    f' step {limits.last_step}{minutes}; {plan.val.num_episodes} validation episodes'
    f' ({run.validation})',
    f'outputs: {plan.folder}',
  ):
    log.say(line)
  if isinstance(plan.benchmark, LeftOut):
    count, total = plan.benchmark.left_out(run.fold)
    log.say(f'left out: {count} of {total} training pictures, which show a test class')


def _conclusion(progress: Progress) -> str:
  """Returns what came out, in a line."""
  if progress.best_step is None:
    return 'no best checkpoint: time was up before the first validation'
  last = list(progress.miou.values())[-10:]
  return (
    f'best validation mIoU {progress.miou[progress.best_step]:.2f} at step {progress.best_step};'
    f' last {len(last)} validations: mean {np.mean(last):.2f}, standard deviation'
    f' {np.std(last):.2f}, {min(last):.2f} to {max(last):.2f}'
  )
