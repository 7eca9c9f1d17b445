"""Validates a training run: a state on the validation episodes, over all devices."""

import functools
from collections.abc import Callable, Mapping

import jax
from jax.sharding import Mesh

from data_pipelines import Batches, Benchmark
from experiments.evaluation.counting import (
  BoundLogits,
  Evaluation,
  count_batches,
  counting_step,
)
from experiments.evaluation.methods import METHODS
from experiments.reporting.progress import progress_bar
from experiments.training.loop import Stopped
from experiments.training.processes import is_writer
from hsnet_jax.metrics import METRICS
from hsnet_jax.training import TrainState
from hsnet_jax.training.sharding import batch_sharding, replicated

_PICTURES = 10  # Two of each class where a fold has five.


def make_validation(
  benchmark: Benchmark,
  val: Batches,
  *,
  fold: int,
  combine: str = 'vote',
  mesh: Mesh,
  stopping: Callable[[], bool] = lambda: False,
) -> Callable[[TrainState], Evaluation]:
  """Makes what validates a state, each process reading its part of `val`.

  Args:
    benchmark: what is trained on.
    val: validation batches.
    fold: whose test classes are counted.
    combine: how shots become one prediction.
    mesh: the devices.
    stopping: whether the run is to stop; asked after each batch.

  Returns:
    `state -> Evaluation`, which raises `Stopped` where the run is to stop meanwhile.
  """

  classes = benchmark.test_classes(fold)
  # What nobody writes down need not be counted.
  logged = {
    name: metric for name, metric in METRICS.items() if any(f.logged for f in metric.figures)
  }

  def validate(state: TrainState) -> Evaluation:
    method = METHODS['hsnet']
    logits = BoundLogits(method.load(method.logits), state.model, combine=combine)
    step = counting_step(logits, mesh, names=tuple(logged))
    variables = jax.device_put(state.eval_variables, replicated(mesh))
    silent = not is_writer()
    with progress_bar(val.num_episodes, unit='episode', desc='validation', silent=silent) as bar:

      def on_batch(count: int, figures: Mapping[str, float]) -> None:
        del figures
        if stopping():
          raise Stopped
        bar.update(count)

      return count_batches(
        functools.partial(step, variables),
        val,
        benchmark,
        classes=classes,
        metrics=logged,
        sharding=batch_sharding(mesh),
        pictured=0 if silent else _PICTURES,
        on_batch=on_batch,
      )

  return validate
