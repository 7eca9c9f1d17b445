"""Evaluates a predictor on batches of episodes; training validates with the same code."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from data_pipelines import Benchmark
from experiments.reporting.pictures import Panel
from hsnet_jax.metrics import Confusion, RocHistogram, episode_iou

# batch -> counts [B, 4], histogram [B, 2, bins], prediction [B, H, W]. Where several processes read
# a part of each batch: of all its rows, with what `count_rows` says of them.
Step = Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What came out.

  Attributes:
    columns: {head: figures}, as `reporting.tables` lays them out; the last is of all episodes.
    panels: pictures of some episodes.
    episodes: how many were counted.
    empty_supports: in how many a support mask had no foreground (after resizing).
    seconds: how long it took, compilation included.
  """

  columns: dict[str, dict[str, Any]]
  panels: list[Panel]
  episodes: int
  empty_supports: int
  seconds: float

  @property
  def figures(self) -> dict[str, Any]:
    """The figures over all episodes."""
    return list(self.columns.values())[-1]


def count_rows(batch: Mapping[str, Any]) -> dict[str, Any]:
  """What evaluation must know of each row of a batch, beside what the predictor counts.

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


def evaluate(
  step: Step,
  batches: Iterable[Mapping[str, np.ndarray]],
  benchmark: Benchmark,
  *,
  classes: Sequence[int],
  first: Sequence[int] = (),
  pictured: int = 0,
  on_batch: Callable[[int, dict[str, float]], None] | None = None,
) -> Evaluation:
  """Runs all batches through a predictor.

  Args:
    step: the compiled predictor, from a batch to what is counted.
    batches: batches of episodes, `index` numbering them from 0.
    benchmark: whose names the classes have.
    classes: over which mIoU is averaged, also where one has no episode.
    first: further columns, over the first so many episodes.
    pictured: how many pictures to keep, of the first episodes of each class; of several processes
      each has those of the rows that it reads.
    on_batch: called after each batch with its number of episodes and the running figures.

  Returns:
    The `Evaluation`.
  """
  start = time.monotonic()
  tallies = {n: _Tally.empty(benchmark.num_classes) for n in (*first, None)}
  gallery, episodes, empty = _Gallery(pictured, len(classes)), 0, 0
  for batch, out in _one_ahead(step, batches):
    rows = count_rows(batch) | out
    index, valid = np.asarray(rows['index']), np.asarray(rows['valid'])
    for number in tallies:
      counted = valid if number is None else valid & (index < number)
      if counted.any():
        tallies[number] = tallies[number].update(rows, counted)
    empty += int((np.asarray(rows['empty']) & valid).sum())
    episodes += int(valid.sum())
    gallery.add(batch, rows, benchmark)
    if on_batch:
      on_batch(int(valid.sum()), tallies[None].confusion.result())
  columns = {f'first {n}': tallies[n].figures(benchmark, classes) for n in first if n < episodes}
  columns[f'all {episodes}'] = tallies[None].figures(benchmark, classes)
  return Evaluation(columns, gallery.panels, episodes, empty, time.monotonic() - start)


def _one_ahead(step: Step, batches: Iterable):
  """Yields (batch, result on the host) while the device works on the next batch already."""
  waiting = None
  for batch in batches:
    out = step(batch)
    if waiting is not None:
      yield waiting[0], jax.device_get(waiting[1])
    waiting = batch, out
  if waiting is not None:
    yield waiting[0], jax.device_get(waiting[1])


@dataclasses.dataclass(frozen=True)
class _Tally:
  confusion: Confusion
  roc: RocHistogram

  @classmethod
  def empty(cls, num_classes: int) -> '_Tally':
    return cls(Confusion.empty(num_classes), RocHistogram.empty())

  def update(self, rows: Mapping[str, Any], counted: np.ndarray) -> '_Tally':
    return _Tally(
      self.confusion.update(rows['counts'], rows['class_id'], counted),
      self.roc.update(rows['histogram'], counted),
    )

  def figures(self, benchmark: Benchmark, classes: Sequence[int]) -> dict[str, Any]:
    figures = {**self.confusion.result(classes), **self.roc.result()}
    names = benchmark.class_names
    figures['class_iou'] = {names[c]: iou for c, iou in figures['class_iou'].items()}
    figures['class_episodes'] = {names[c]: int(self.confusion.episodes[c]) for c in classes}
    return figures


class _Gallery:
  """Keeps pictures of the first episodes of each class: they are shown, not chosen."""

  def __init__(self, number: int, num_classes: int):
    self._number, self._each = number, math.ceil(number / num_classes)
    self._kept: dict[int, list[Panel]] = {}

  def add(self, batch: Mapping[str, np.ndarray], rows: Mapping[str, Any], benchmark: Benchmark):
    # The rows of all processes are in the order of the devices: an episode's number finds its own.
    numbers = np.where(rows['valid'], rows['index'], -1).tolist()
    for i in np.flatnonzero(batch['valid']):
      kept = self._kept.setdefault(int(batch['class_id'][i]), [])
      if len(kept) < self._each:
        row = numbers.index(batch['index'][i])
        found = {name: np.asarray(rows[name])[row] for name in ('counts', 'prediction')}
        kept.append(_panel({name: x[i] for name, x in batch.items()}, found, benchmark))

  @property
  def panels(self) -> list[Panel]:
    """Class by class; where they do not go round, the classes that came first have one more."""
    turns = [(turn, c) for turn in range(self._each) for c in self._kept]
    shown = [(c, turn) for turn, c in turns if turn < len(self._kept[c])][: self._number]
    return [self._kept[c][turn] for c, turn in sorted(shown)]


def _panel(episode: Mapping[str, Any], found: Mapping[str, Any], benchmark: Benchmark) -> Panel:
  iou = float(jax.device_get(jax.jit(episode_iou)(jax.device_put(found['counts']))))
  name = benchmark.class_names[int(episode['class_id'])]
  query, shown = episode['query_image'], ...
  if 'query_size' in episode:  # Masks of the photograph's own size lie in the top left corner.
    height, width = episode['query_size'].tolist()
    query = np.asarray(Image.fromarray(query).resize((width, height), Image.Resampling.BILINEAR))
    shown = slice(height), slice(width)
  return Panel(
    supports=list(zip(episode['support_images'], episode['support_masks'], strict=True)),
    query=query,
    prediction=found['prediction'][shown],
    target=episode['query_mask'][shown],
    ignore=episode['query_ignore'][shown],
    caption=f'{name}, episode {int(episode["index"])}: IoU {iou:.1f}',
  )
