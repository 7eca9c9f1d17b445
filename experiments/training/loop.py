"""Loops over steps, validation and checkpoints, and knows when to stop."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.evaluation.counting import Evaluation
from experiments.reporting.pictures import draw_grid
from experiments.reporting.progress import progress_bar
from experiments.training.log import Log
from experiments.training.saver import Saver
from hsnet_jax.errors import InputError
from hsnet_jax.metrics import METRICS, Confusion
from hsnet_jax.training import TrainState

# Every so many steps the mean loss of as many, where the epoch has had them, is written down.
LOSS_EVERY = 10

# What is written down of a validation, and recorded by checkpoints.
LOGGED = tuple(f.name for metric in METRICS.values() for f in metric.figures if f.logged)

TrainStep = Callable[[TrainState, Any], tuple[TrainState, Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Limits:
  """Says when training ends: at whichever comes first.

  Attributes:
    epochs: passes over the training list.
    steps: optimizer steps; None for no limit.
    minutes: wall-clock time since the call of `fit`; None for no limit. The validation of the
      last, perhaps unfinished epoch comes on top.
    steps_per_epoch: after how many steps an epoch ends.
    val_every: validate after every so many epochs, and at the end.
    save_every: also save after every so many steps; None for after validation alone.
  """

  epochs: int
  steps: int | None
  minutes: float | None
  steps_per_epoch: int
  val_every: int = 1
  save_every: int | None = None

  def saves_after(self, step: int) -> bool:
    """Returns whether `save_every` asks for a checkpoint after a step."""
    return bool(self.save_every) and step % self.save_every == 0

  @property
  def last_step(self) -> int:
    """Returns the step that training ends with unless time is up before."""
    steps = self.epochs * self.steps_per_epoch
    return steps if self.steps is None else min(steps, self.steps)


@dataclasses.dataclass(frozen=True)
class Hooks:
  """Holds what the loop asks for from outside.

  Attributes:
    step: the compiled training step, `(state, batch) -> (state, metrics)`.
    validate: `state -> Evaluation` on the validation episodes; raises `Stopped` where the run is
      to stop meanwhile.
    saver: what writes checkpoints, an `experiments.training.saver.Saver`.
    learning_rate: by step.
    stopping: whether the run is to stop; asked after each step.
  """

  step: TrainStep
  validate: Callable[[TrainState], Evaluation]
  saver: Saver
  learning_rate: Callable[[int], Any]
  stopping: Callable[[], bool] = lambda: False


@dataclasses.dataclass
class Progress:
  """Says how far a run has come.

  Attributes:
    step: steps done.
    miou: validation mIoU by the step it was measured at.
    best_step: the step of the best of them.
    figures: of the last validation.
    epoch: what the steps of an epoch that is not done add up to, as its checkpoint records it.
    seconds_per_step: median over the steps, waiting for data included.
    data_wait: share of the time that steps waited for data.
  """

  step: int = 0
  miou: dict[int, float] = dataclasses.field(default_factory=dict)
  best_step: int | None = None
  figures: dict[str, float] | None = None
  epoch: Mapping[str, Any] | None = None
  seconds_per_step: float = float('nan')
  data_wait: float = 0.0


class Stopped(Exception):
  """Says that the run was asked to stop, and what it has done is saved."""


class NonFiniteLoss(InputError):
  """Says that the loss is NaN or infinite, at which step, and which checkpoint is still good."""


def fit(
  state: TrainState,
  batches: Iterator[Any],
  hooks: Hooks,
  *,
  limits: Limits,
  log: Log,
  num_classes: int,
  progress: Progress | None = None,
) -> tuple[TrainState, Progress]:
  """Trains until a limit is reached; keeps the best checkpoint and the last.

  Args:
    state: the training state; given away, since the step reuses its memory.
    batches: what the step takes, without end.
    hooks: step, validation and saving.
    limits: when to stop.
    log: where figures go.
    num_classes: class ids are below.
    progress: of the run that is resumed.

  Returns:
    The final state and the progress.

  Raises:
    NonFiniteLoss: at the step after; no checkpoint is written any more.
    Stopped: the hooks said so; the checkpoint 'last' is of the step that was under way.
  """
  progress = progress or Progress()
  deadline = math.inf if limits.minutes is None else time.monotonic() + 60 * limits.minutes
  # An epoch may have had all its steps, and been stopped while it was validated.
  while (progress.step < limits.last_step or progress.epoch) and time.monotonic() < deadline:
    figures = _EpochFigures(progress, num_classes, hooks, log, limits)
    state = _epoch(state, batches, figures, deadline)
    done = progress.step >= limits.last_step or time.monotonic() >= deadline
    if figures.epoch % limits.val_every == 0 or done:
      _validate(state, figures)
    else:
      figures.write()
      if limits.saves_after(progress.step):
        hooks.saver.save(('last',), state, step=progress.step, figures=progress.figures)
    progress.epoch = None
  hooks.saver.wait()
  return state, progress


def _epoch(
  state: TrainState, batches: Iterator[Any], figures: '_EpochFigures', deadline: float
) -> TrainState:
  """Steps up to the end of the epoch or the deadline, at least one; returns the state."""
  progress, hooks, limits = figures.progress, figures.hooks, figures.limits
  stop = min(figures.epoch * limits.steps_per_epoch, limits.last_step)
  marks, waiting, waited = [time.monotonic()], None, 0.0
  silent = jax.process_index() > 0
  desc = f'epoch {figures.epoch}'
  with progress_bar(stop - progress.step, unit='step', desc=desc, silent=silent) as bar:
    while progress.step < stop and (len(marks) == 1 or time.monotonic() < deadline):
      asked = time.monotonic()
      batch = next(batches)
      waited += time.monotonic() - asked
      state, metrics = hooks.step(state, batch)
      progress.step += 1
      # The figures of the step before are read while the device works on this one.
      if waiting is not None:
        figures.add(*waiting, bar)
      waiting = progress.step, metrics
      marks.append(time.monotonic())
      stop_here = hooks.stopping()
      if stop_here or (limits.saves_after(progress.step) and progress.step < stop):
        figures.add(*waiting, bar)
        waiting = None
        _save_unfinished(state, figures, stop=stop_here)
    if waiting is not None:
      figures.add(*waiting, bar)
  _check_finite(state, figures)
  if len(marks) > 3:
    # The first interval of a run holds the compilation.
    progress.seconds_per_step = float(np.median(np.diff(marks[1:])))
    progress.data_wait = waited / (marks[-1] - marks[0])
  return state


def _save_unfinished(state: TrainState, figures: '_EpochFigures', *, stop: bool) -> None:
  """Saves within an epoch; raises Stopped where that is why."""
  progress, saver = figures.progress, figures.hooks.saver
  _check_finite(state, figures)
  saver.save(('last',), state, step=progress.step, figures=progress.figures, epoch=figures.record())
  if stop:
    saver.wait()
    raise Stopped(f'stopped at step {progress.step}, which is saved')


class _EpochFigures:
  """Adds up the steps of one epoch, and knows what they are part of."""

  def __init__(self, progress: Progress, num_classes: int, hooks: Hooks, log: Log, limits: Limits):
    """Begins an epoch, or resumes one that is not done."""
    self.progress, self.hooks, self.log, self.limits = progress, hooks, log, limits
    self.epoch = progress.step // limits.steps_per_epoch + 1
    self._losses: list[float] = []
    self._confusion = Confusion.empty(num_classes)
    if progress.epoch:
      self.epoch, self._losses = progress.epoch['number'], list(progress.epoch['losses'])
      counts, episodes = (np.array(progress.epoch[k], np.int64) for k in ('counts', 'episodes'))
      self._confusion = Confusion(counts, episodes)

  def record(self) -> dict[str, Any]:
    """Returns all of it, for a checkpoint: an epoch that is resumed ends with the same figures."""
    counts, episodes = self._confusion.counts.tolist(), self._confusion.episodes.tolist()
    return {
      'number': self.epoch,
      'losses': list(self._losses),
      'counts': counts,
      'episodes': episodes,
    }

  def add(self, step: int, metrics: Mapping[str, Any], bar: 'tqdm[Any]') -> None:
    """Reads a step's figures from the device, which it waits for."""
    metrics = jax.device_get(metrics)
    loss = float(metrics['loss'])
    if not math.isfinite(loss):
      raise _non_finite(f'the loss is {loss} at step {step}', self.hooks.saver)
    self._losses.append(loss)
    counted = metrics['counts'], metrics['class_id'], metrics['valid']
    self._confusion = self._confusion.update(*counted)
    if step % LOSS_EVERY == 0:
      self.log.scalars(step, {'train/running_loss': float(np.mean(self._losses[-LOSS_EVERY:]))})
    mean, miou = np.mean(self._losses), self._confusion.result()['miou']
    bar.set_postfix(loss=f'{mean:.4f}', mIoU=f'{miou:.2f}', refresh=False)
    bar.update()

  def result(self) -> dict[str, float]:
    """Returns the epoch's figures."""
    counted = self._confusion.result()
    figures = {name: counted[name] for name in ('miou', 'fb_iou')}
    return {'loss': float(np.mean(self._losses)), **figures}

  def write(self) -> None:
    """Writes the epoch's figures to the log."""
    progress = self.progress
    figures = {f'train/{name}': value for name, value in self.result().items()}
    figures['train/learning_rate'] = float(self.hooks.learning_rate(progress.step - 1))
    figures['time/seconds_per_step'] = progress.seconds_per_step
    episodes = self._confusion.episodes.sum() / len(self._losses)
    figures['time/episodes_per_second'] = episodes / progress.seconds_per_step
    figures['time/data_wait'] = progress.data_wait
    self.log.scalars(progress.step, figures)


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
  return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _check_finite(state: TrainState, figures: _EpochFigures) -> None:
  """Raises NonFiniteLoss for the last update, which came after its step's loss was computed."""
  if not jax.device_get(_all_finite(state.params)):
    step = figures.progress.step
    raise _non_finite(f'parameters are not finite after step {step}', figures.hooks.saver)


def _non_finite(what: str, saver: Saver) -> NonFiniteLoss:
  """Makes the error, once it is known which checkpoint is good."""
  saver.wait()
  good = 'no checkpoint was written before it'
  if saver.saved is not None:
    good = f'the last good checkpoint is {saver.saved[0]} of step {saver.saved[1]}'
  return NonFiniteLoss(f'{what}; {good}; try a lower `learning_rate`')


def _validate(state: TrainState, figures: _EpochFigures) -> None:
  """Validates, and only then writes the epoch's figures: a run stopped here does all of it anew."""
  progress, hooks, log = figures.progress, figures.hooks, figures.log
  try:
    evaluation = hooks.validate(state)
  except Stopped:
    _save_unfinished(state, figures, stop=True)
    raise
  # Of a run that ends before its first 'last' is complete, one validation at most is in the log.
  hooks.saver.wait()
  figures.write()
  result = evaluation.figures
  progress.miou[progress.step] = result['miou']
  progress.figures = kept = {name: result[name] for name in LOGGED}
  log.scalars(progress.step, {f'val/{name}': value for name, value in kept.items()})
  if evaluation.panels:
    title = f'step {progress.step}: validation mIoU {result["miou"]:.1f}'
    log.picture('validation', progress.step, draw_grid(evaluation.panels, title=title))
  better = progress.best_step is None or result['miou'] > progress.miou[progress.best_step]
  if better:
    progress.best_step = progress.step
  # The best first: a run stopped in between resumes from an earlier last, and has its best.
  names = ('best', 'last') if better else ('last',)
  hooks.saver.save(names, state, step=progress.step, figures=kept)
  trained = figures.result()
  pace = progress.seconds_per_step
  timed = f'{pace:.2f} s/step, ' if math.isfinite(pace) else ''  # Not of a run's first steps.
  log.say(
    f'epoch {figures.epoch}  step {progress.step}  loss {trained["loss"]:.4f}'
    f'  train mIoU {trained["miou"]:.2f}  val mIoU {result["miou"]:.2f}'
    f'  val FB-IoU {result["fb_iou"]:.2f}'
    f'  {timed}validation {evaluation.seconds:.0f} s'
    f'{"  best" if better else ""}'
  )
