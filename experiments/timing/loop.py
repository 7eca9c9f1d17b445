"""Measures what the training loop adds to its steps: the host's work, and checkpoints."""

import contextlib
import dataclasses
import functools
import io
import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np

from data_pipelines import to_devices
from experiments.evaluation.counting import Evaluation
from experiments.timing.lines import Line, spread
from experiments.timing.step import random_batch
from experiments.training.log import RunLog
from experiments.training.loop import Hooks, Limits, fit
from experiments.training.saver import Saver
from hsnet_jax.backbones import get_backbone
from hsnet_jax.models import describe_devices, network
from hsnet_jax.training import create_train_state, train_step
from hsnet_jax.training.sharding import batch_sharding, data_mesh, jit_step, place, replicated

SAVES = 3  # In each stretch of steps that saves.
FORMS = ('bare step', 'training loop', 'training loop that saves')


def loop_report(
  backbone: str, *, image_size: int, batch_size: int, rounds: int, save_every: int
) -> Iterator[str]:
  """Measures what the training loop and its checkpoints add to the steps.

  Args:
    backbone: its name; weights are random.
    image_size: side of the images.
    batch_size: episodes a step.
    rounds: how often each form is measured.
    save_every: a checkpoint every so many steps.

  Yields:
    Lines of `loop_table`, and what they are of.
  """
  yield f'device: {describe_devices()}'
  steps = (SAVES + 1) * save_every
  what = f'{backbone}, {image_size} x {image_size}, batch {batch_size}, {steps} steps'
  yield f'training loop: {what}, {SAVES} of which'
  yield 'are followed by a checkpoint in the last form'
  loop = make_loop(backbone, image_size=image_size, batch_size=batch_size, steps=steps)
  yield from loop_table(*measure_loop(loop, rounds=rounds))


@dataclasses.dataclass(frozen=True)
class Loop:
  """Holds a training step and what it needs, for the same steps in three ways; see `FORMS`."""

  step: Callable
  new_state: Callable
  batch: dict
  steps: int

  def bare(self) -> float:
    """Returns seconds a step, one after the other, on a batch that is there."""
    state, batch = self.new_state(), place(self.batch, batch_sharding(data_mesh()))
    state, metrics = self.step(state, batch)
    jax.block_until_ready(metrics)
    start = time.perf_counter()
    for _ in range(self.steps):
      state, metrics = self.step(state, batch)
    jax.block_until_ready((state, metrics))
    return (time.perf_counter() - start) / self.steps

  def loop(self, *, save_every: int | None) -> np.ndarray:
    """Returns seconds of each step from the second to the last, in the training loop."""
    calls = []

    def step(state, placed):
      calls.append(time.perf_counter())
      return self.step(state, placed.device)

    def validate(state):
      del state
      figures = {'miou': 0.0, 'fb_iou': 0.0, 'auc': 0.0}
      return Evaluation({'all 0': figures}, [], {}, empty_supports=0, seconds=0.0)

    # The last checkpoint has as many steps after it as the others.
    count = self.steps
    limits = Limits(
      epochs=1, steps=count, minutes=None, steps_per_epoch=count, save_every=save_every
    )
    with contextlib.ExitStack() as stack:
      folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
      log = stack.enter_context(contextlib.closing(RunLog(folder)))
      source = to_devices(itertools.repeat(self.batch), sharding=batch_sharding(data_mesh()))
      batches = stack.enter_context(contextlib.closing(source))
      saver = Saver(folder / 'checkpoints', {'backbone': 'tiny'})
      hooks = Hooks(step, validate, saver, lambda step: 1e-3)
      stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
      fit(self.new_state(), batches, hooks, limits=limits, log=log, num_classes=1)
    return np.diff(calls[1:])


def make_loop(backbone: str, *, image_size: int, batch_size: int, steps: int) -> Loop:
  """Compiles a training step over all devices.

  Args:
    backbone: its name; weights are random.
    image_size: side of the images.
    batch_size: episodes a step.
    steps: how many a measurement takes; a multiple of `SAVES + 1`.

  Returns:
    The `Loop`.
  """
  mesh, key = data_mesh(), jax.random.key(0)
  weights = jax.jit(get_backbone(backbone).init)(key)
  model = network({'backbone': backbone})
  state = create_train_state(key, model=model, backbone=weights)
  new_state = functools.partial(place, state, replicated(mesh))
  return Loop(jit_step(train_step, mesh), new_state, random_batch(batch_size, image_size), steps)


def measure_loop(loop: Loop, *, rounds: int) -> tuple[dict[str, list[float]], list[float]]:
  """Measures each of `FORMS` in turn, after one round that does not count.

  Args:
    loop: what to measure.
    rounds: how often.

  Returns:
    Seconds a step by form and round; and by round what a checkpoint holds the steps up by, as a
    share of one: what steps take beyond their stretch's median, which waits for no checkpoint, less
    as much without checkpoints.
  """
  save_every = loop.steps // (SAVES + 1)
  run = (loop.bare, lambda: loop.loop(save_every=None), lambda: loop.loop(save_every=save_every))
  seconds, held = {form: [] for form in FORMS}, []
  for _ in range(rounds + 1):
    taken = [function() for function in run]
    for form, values in zip(FORMS, taken, strict=True):
      seconds[form].append(float(np.mean(values)))
    beyond = [float(np.sum(values / np.median(values) - 1)) for values in taken[1:]]
    held.append((beyond[1] - beyond[0]) / SAVES)
  return {form: values[1:] for form, values in seconds.items()}, held[1:]


def loop_table(seconds: Mapping[str, Sequence[float]], held: Sequence[float]) -> Iterator[str]:
  """Yields a Markdown table, the host's share of a step, and what a checkpoint holds steps up."""
  yield '| form | median s/step | least | most |'
  yield '|---|---|---|---|'
  for form, values in seconds.items():
    yield Line(
      f'| {form} | {statistics.median(values):.4f} | {min(values):.4f} | {max(values):.4f} |',
      form=form,
      seconds=spread(values),
    )
  host = [loop / bare - 1 for bare, loop in zip(*(seconds[f] for f in FORMS[:2]), strict=True)]
  for what, values in (
    ('the host adds to a step', host),
    ('a checkpoint holds the steps up, in all, by', held),
  ):
    least, median, most = (100 * f(values) for f in (min, statistics.median, max))
    yield Line(
      f'{what} {median:.1f}% of one ({least:.1f} to {most:.1f} over {len(values)} rounds)',
      what=what,
      share_of_a_step=spread(values),
    )
