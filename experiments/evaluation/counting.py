"""Counts what a method predicts on batches of episodes; evaluation and validation do it alike."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, Sharding
from jaxtyping import Array

from data_pipelines.benchmark import Benchmark
from data_pipelines.loading.placement import Placed, to_devices
from experiments.evaluation.gallery import Extremes, Gallery
from experiments.evaluation.tally import Columns
from experiments.reporting.pictures import Panel
from hsnet_jax.errors import InputError
from hsnet_jax.inference import combination, mean_margin
from hsnet_jax.metrics.calibration import probability_summary
from hsnet_jax.metrics.presence import presence_score
from hsnet_jax.metrics.table import ABSENT_METRICS, METRICS, Metric
from hsnet_jax.training.sharding import batch_sharding, replicated
from hsnet_jax.training.steps import count_logits

Batch = Mapping[str, Any]
# (variables, batch) -> logits `[K, B, h, w, 2]`, one set a shot, or a single one; channel 1 is the
# foreground. Or those and a score of each row `[B]`, the higher the surer that the object is there.
Logits = Callable[[Any, Batch], Any]
# A batch on the devices -> for all of its rows what is counted, `prediction`, and `row_facts`.
Step = Callable[[Batch], Mapping[str, Any]]


# What is known of each episode by itself, beside the rows of metrics that are kept; the last three
# where they are counted.
_KEPT = ('index', 'class_id', 'mean_probability', 'max_probability', 'presence_score')


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Holds what came out.

  Attributes:
    columns: {head: figures}, as `reporting.tables` lays them out; the last is of all episodes.
    panels: pictures of some episodes.
    rows: of every episode in their order `index`, `class_id`, `mean_probability`,
      `max_probability` and, where that is counted, `presence_score` `[N]`, and the rows of each
      metric that has intervals, such as `counts` `[N, 4]`.
    empty_supports: in how many a support mask had no foreground (after resizing).
    seconds: how long it took, compilation included.
    extremes: pictures of the best episodes, those nearest the median and the worst.
  """

  columns: dict[str, dict[str, Any]]
  panels: list[Panel]
  rows: dict[str, np.ndarray]
  empty_supports: int
  seconds: float
  extremes: list[Panel] = dataclasses.field(default_factory=list)

  @property
  def episodes(self) -> int:
    """Returns how many were counted."""
    return len(self.rows.get('index', ()))

  @property
  def figures(self) -> dict[str, Any]:
    """Returns the figures over all episodes."""
    return list(self.columns.values())[-1]


@dataclasses.dataclass(frozen=True)
class BoundLogits:
  """Computes the logits of a method with its network; equal to one of the same two.

  Attributes:
    function: the method's, `(model, variables, batch, **found) -> [K, B, h, w, 2]`.
    model: the network.
    found: (keyword, number) of what else the function takes.
    combine: how shots become one prediction, of `hsnet_jax.inference.COMBINATIONS`.
  """

  function: Callable[..., Any]
  model: Any
  found: tuple[tuple[str, float], ...] = ()
  combine: str = 'vote'

  def __call__(self, variables: Any, batch: Batch) -> Any:
    """Returns the logits of a batch; of a network that judges presence its likenesses as well."""
    combine = functools.partial(combination(self.combine), sizes=batch.get('query_size'))
    if getattr(self.model, 'presence_threshold', None) is None:
      return combine(self.function(self.model, variables, batch, **dict(self.found)))
    logits, score = self.function(self.model, variables, batch, with_likeness=True)
    return combine(logits), score


def row_facts(batch: Batch) -> dict[str, Any]:
  """Collects what must be known of each row of a batch, beside what is counted on it.

  Args:
    batch: arrays of the host or the device.

  Returns:
    `index`, `class_id` and `valid`, each `[B]`, and `empty` `[B]`, whether a support mask has no
    foreground.
  """
  shown = batch['support_masks'].any(axis=(2, 3))
  return {name: batch[name] for name in ('index', 'class_id', 'valid')} | {
    'empty': ~shown.all(axis=1)
  }


@functools.lru_cache(maxsize=8)
def counting_step(
  logits: Logits, mesh: Mesh, *, names: tuple[str, ...] | None = None
) -> Callable[[Any, Batch], dict[str, Array]]:
  """Compiles what counts a batch, its rows over all devices.

  Each device runs the program of one device on rows of its own: as many rows a device give the same
  figures to the last bit, however many devices there are.

  Args:
    logits: of a method, `(variables, batch) -> [K, B, h, w, 2]`, such as `BoundLogits`. For an
      equal one what was compiled before is used again.
    mesh: the devices, which may be of several processes.
    names: of the rows of `hsnet_jax.metrics.ABSENT_METRICS` to count for; all of `METRICS` by
      default.

  Returns:
    `(variables, batch) -> rows`, whole on every device: the rows of each metric, the voted
    `prediction`, `row_facts`, and beside `calibration` and `presence` what they are made of, by
    itself: `mean_probability`, `max_probability` and `presence_score`.
  """

  def count_rows(variables, batch):
    # Of several processes each reads a part: what all of them must know comes from the devices.
    metrics = METRICS if names is None else {name: ABSENT_METRICS[name] for name in names}
    found = logits(variables, batch)
    found, score = found if isinstance(found, tuple) else (found, None)
    facts = row_facts(batch) | _scores(mean_margin(found), score, batch['query_ignore'], metrics)
    counted = count_logits(found, batch, metrics=metrics, score=score)
    for name in facts.keys() & counted.keys():
      raise InputError(f'a metric is named {name!r}, as a fact of every row is; rename it')
    return facts | counted

  rows = batch_sharding(mesh).spec
  specs = {'in_specs': (replicated(mesh).spec, rows), 'out_specs': rows}
  # No sum crosses rows, so none that crosses devices is to be looked for.
  divided = jax.shard_map(count_rows, mesh=mesh, check_vma=False, **specs)
  return jax.jit(divided, out_shardings=replicated(mesh))


def _scores(
  margin: Array, score: Array | None, ignore: Array, metrics: Mapping[str, Metric]
) -> dict[str, Array]:
  """Computes, of each row, the numbers that metrics count in bins."""
  scores = {}
  if 'calibration' in metrics:
    summary = probability_summary(margin, ignore)
    scores |= {'mean_probability': summary[..., 0], 'max_probability': summary[..., 1]}
  if 'presence' in metrics:
    scores['presence_score'] = presence_score(margin, ignore) if score is None else score
  return scores


def count_batches(
  step: Step,
  batches: Iterable[Mapping[str, np.ndarray]],
  benchmark: Benchmark,
  *,
  classes: Sequence[int],
  sharding: Sharding | None = None,
  first: Sequence[int] = (),
  metrics: Mapping[str, Metric] = METRICS,
  pictured: int = 0,
  extremes: int = 0,
  on_batch: Callable[[int, dict[str, float]], None] | None = None,
) -> Evaluation:
  """Runs all batches through a method.

  Args:
    step: the compiled method, from a batch on the devices to its rows.
    batches: batches of episodes, `index` numbering them from 0; of several processes each gives
      its part of each.
    benchmark: whose names the classes have.
    classes: over which mIoU is averaged, also where one has no episode.
    sharding: where rows go, as for `to_devices`; None for the default device.
    first: further columns, over the first so many episodes.
    metrics: what the step counts for.
    pictured: how many pictures to keep, of the first episodes of each class; of several processes
      each has those of the rows that it reads.
    extremes: how many to keep of the best, of the worst, and of those nearest the median.
    on_batch: called after each batch with its number of episodes and the running figures.

  Returns:
    The `Evaluation`.
  """
  start = time.monotonic()
  columns = Columns.empty(benchmark.num_classes, first, metrics=metrics)
  gallery, chosen, kept, empty = Gallery(pictured, len(classes)), Extremes(extremes), [], 0
  names = {*_KEPT, *(name for name, metric in metrics.items() if metric.resampled)}
  with contextlib.closing(to_devices(batches, sharding=sharding)) as placed:
    for batch, rows in _one_ahead(step, placed):
      valid = np.asarray(rows['valid'])
      columns = columns.update(rows)
      empty += int((np.asarray(rows['empty']) & valid).sum())
      kept.append({name: np.asarray(rows[name])[valid] for name in names & rows.keys()})
      for pictures in (gallery, chosen):
        pictures.add(batch, rows, benchmark)
      if on_batch:
        on_batch(int(valid.sum()), columns.running())
  figures = columns.figures(benchmark, classes)
  seconds = time.monotonic() - start
  return Evaluation(figures, gallery.panels, _in_order(kept), empty, seconds, chosen.panels)


def _in_order(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """Puts the rows of all batches, which several processes may have mixed, in episodes' order."""
  if not parts:
    return {}
  rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
  order = np.argsort(rows['index'], kind='stable')
  return {name: values[order] for name, values in rows.items()}


def _one_ahead(step: Step, batches: Iterable[Placed]) -> Iterator[tuple[Batch, Mapping[str, Any]]]:
  """Yields (batch, result), both of the host, while the device works on the next batch already."""
  waiting = None
  for placed in batches:
    rows = step(placed.device)
    if waiting is not None:
      yield waiting[0], jax.device_get(waiting[1])
    waiting = placed.host, rows
  if waiting is not None:
    yield waiting[0], jax.device_get(waiting[1])
