"""The training loop: steps, validation, checkpoints, and when to stop."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.evaluation import Evaluation
from experiments.pictures import draw_grid
from experiments.runlog import RunLog, progress_bar
from hsnet_jax.errors import InputError
from hsnet_jax.metrics import Confusion

# Every so many steps the mean loss over as many is written down.
LOSS_EVERY = 10

TrainStep = Callable[[Any, Mapping[str, np.ndarray]], tuple[Any, Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Limits:
  """When training ends: at whichever comes first.

  Attributes:
    epochs: passes over the training list.
    steps: optimizer steps; None for no limit.
    minutes: wall-clock time since the call of `fit`; None for no limit. The validation of the
      last, perhaps unfinished epoch comes on top.
    steps_per_epoch: after how many steps an epoch ends.
    val_every: validate after every so many epochs, and at the end.
  """

  epochs: int
  steps: int | None
  minutes: float | None
  steps_per_epoch: int
  val_every: int = 1

  @property
  def last_step(self) -> int:
    """The step that training ends with unless time is up before."""
    steps = self.epochs * self.steps_per_epoch
    return steps if self.steps is None else min(steps, self.steps)


@dataclasses.dataclass(frozen=True)
class Hooks:
  """What the loop asks for from outside.

  Attributes:
    step: the compiled training step, `(state, batch) -> (state, metrics)`.
    validate: `state -> Evaluation` on the validation episodes.
    save: `(name, state, step, figures) -> path`, writes a checkpoint named 'best' or 'last'.
  """

  step: TrainStep
  validate: Callable[[Any], Evaluation]
  save: Callable[[str, Any, int, dict[str, float]], Any]


@dataclasses.dataclass
class Progress:
  """How far a run has come.

  Attributes:
    step: steps done.
    miou: validation mIoU by the step it was measured at.
    best_step: the step of the best of them.
    saved: (path, step) of the newest checkpoint, None before the first.
    seconds_per_step: median over the steps, waiting for data included.
  """

  step: int = 0
  miou: dict[int, float] = dataclasses.field(default_factory=dict)
  best_step: int | None = None
  saved: tuple[Any, int] | None = None
  seconds_per_step: float = float('nan')


class NonFiniteLoss(InputError):
  """The loss is NaN or infinite; says at which step, and which checkpoint is still good."""


def fit(
  state: Any,
  batches: Iterator[Mapping[str, np.ndarray]],
  hooks: Hooks,
  *,
  limits: Limits,
  log: RunLog,
  num_classes: int,
  progress: Progress | None = None,
) -> tuple[Any, Progress]:
  """Trains until a limit is reached; keeps the best checkpoint and the last.

  Args:
    state: the training state; given away, since the step reuses its memory.
    batches: training batches, without end.
    hooks: step, validation and saving.
    limits: when to stop.
    log: where figures go.
    num_classes: class ids are below.
    progress: of the run that is continued.

  Returns:
    The final state and the progress.

  Raises:
    NonFiniteLoss: at the step after; no checkpoint is written any more.
  """
  progress = progress or Progress()
  deadline = math.inf if limits.minutes is None else time.monotonic() + 60 * limits.minutes
  while progress.step < limits.last_step and time.monotonic() < deadline:
    epoch = progress.step // limits.steps_per_epoch + 1
    stop = min(epoch * limits.steps_per_epoch, limits.last_step)
    figures = _EpochFigures(epoch, num_classes, progress, log)
    state = _epoch(state, batches, hooks, figures, stop, deadline)
    figures = figures.result()
    log.scalars(progress.step, {f'train/{name}': value for name, value in figures.items()})
    done = progress.step >= limits.last_step or time.monotonic() >= deadline
    if epoch % limits.val_every == 0 or done:
      _validate(state, hooks, progress, log, epoch, figures)
  return state, progress


def _epoch(state, batches, hooks, figures, stop, deadline):
  """Steps up to `stop` or the deadline, at least one; returns the state."""
  progress, marks, waiting = figures.progress, [], None
  with progress_bar(stop - progress.step, unit='step', desc=f'epoch {figures.epoch}') as bar:
    while progress.step < stop and (waiting is None or time.monotonic() < deadline):
      state, metrics = hooks.step(state, next(batches))
      progress.step += 1
      # The figures of the step before are read while the device works on this one.
      if waiting is not None:
        figures.add(*waiting, bar)
      waiting = progress.step, metrics
      marks.append(time.monotonic())
    figures.add(*waiting, bar)
  _check_finite(state, progress)
  if len(marks) > 2:
    # The first interval of a run holds the compilation.
    progress.seconds_per_step = float(np.median(np.diff(marks)))
  return state


class _EpochFigures:
  """What the steps of one epoch add up to."""

  def __init__(self, epoch: int, num_classes: int, progress: Progress, log: RunLog):
    self.epoch, self.progress = epoch, progress
    self._log, self._losses, self._confusion = log, [], Confusion.empty(num_classes)

  def add(self, step: int, metrics: Mapping[str, Any], bar) -> None:
    """Reads a step's figures from the device, which it waits for."""
    metrics = jax.device_get(metrics)
    loss = float(metrics['loss'])
    if not math.isfinite(loss):
      raise _non_finite(f'the loss is {loss} at step {step}', self.progress)
    self._losses.append(loss)
    counted = metrics['counts'], metrics['class_id'], metrics['valid']
    self._confusion = self._confusion.update(*counted)
    if step % LOSS_EVERY == 0:
      self._log.scalars(step, {'train/running_loss': np.mean(self._losses[-LOSS_EVERY:])})
    mean, miou = np.mean(self._losses), self._confusion.result()['miou']
    bar.set_postfix(loss=f'{mean:.4f}', mIoU=f'{miou:.2f}', refresh=False)
    bar.update()

  def result(self) -> dict[str, float]:
    """The epoch's figures."""
    return {
      'loss': float(np.mean(self._losses)),
      'miou': self._confusion.result()['miou'],
      'seconds_per_step': self.progress.seconds_per_step,
    }


@jax.jit
def _all_finite(tree):
  return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _check_finite(state, progress) -> None:
  """The last step's loss was computed before its update: the update itself is checked here."""
  if not _all_finite(state.params):
    raise _non_finite(f'parameters are not finite after step {progress.step}', progress)


def _non_finite(what: str, progress: Progress) -> NonFiniteLoss:
  good = 'no checkpoint was written before it'
  if progress.saved is not None:
    good = f'the last good checkpoint is {progress.saved[0]} of step {progress.saved[1]}'
  return NonFiniteLoss(f'{what}; {good}; try a lower --learning_rate')


def _validate(state, hooks, progress, log, epoch, figures) -> None:
  evaluation = hooks.validate(state)
  result = evaluation.figures
  progress.miou[progress.step] = result['miou']
  kept = {name: result[name] for name in ('miou', 'fb_iou', 'auc')}
  log.scalars(progress.step, {f'val/{name}': value for name, value in kept.items()})
  if evaluation.panels:
    title = f'step {progress.step}: validation mIoU {result["miou"]:.1f}'
    log.picture('validation', progress.step, draw_grid(evaluation.panels, title=title))
  better = progress.best_step is None or result['miou'] > progress.miou[progress.best_step]
  if better:
    progress.best_step = progress.step
  # The best first: a run stopped in between goes on from an earlier last, and has its best.
  for name in ('best', 'last') if better else ('last',):
    progress.saved = hooks.save(name, state, progress.step, kept), progress.step
  print(
    f'epoch {epoch}  step {progress.step}  loss {figures["loss"]:.4f}'
    f'  train mIoU {figures["miou"]:.2f}  val mIoU {result["miou"]:.2f}'
    f'  val FB-IoU {result["fb_iou"]:.2f}'
    f'  {progress.seconds_per_step:.2f} s/step, validation {evaluation.seconds:.0f} s'
    f'{"  best" if better else ""}',
    flush=True,
  )
