"""Evaluates a predictor on batches of episodes; training validates with the same code."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines import Benchmark
from experiments.pictures import Panel
from hsnet_jax.metrics import Confusion, RocHistogram, episode_iou

# batch -> counts [B, 4], histogram [B, 2, bins], prediction [B, H, W].
Step = Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What came out.

  Attributes:
    columns: {head: figures}, as `experiments.reports` lays them out; the last is of all episodes.
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
    pictured: how many pictures to keep, of the first episodes of each class.
    on_batch: called after each batch with its number of episodes and the running figures.

  Returns:
    The `Evaluation`.
  """
  start = time.monotonic()
  tallies = {n: _Tally.empty(benchmark.num_classes) for n in (*first, None)}
  gallery, episodes, empty = _Gallery(pictured, len(classes)), 0, 0
  for batch, out in _one_ahead(step, batches):
    valid = batch['valid']
    for number in tallies:
      counted = valid if number is None else valid & (batch['index'] < number)
      if counted.any():
        tallies[number] = tallies[number].update(out, batch['class_id'], counted)
    area = batch['support_masks'].sum(axis=(2, 3), dtype=np.int64)
    empty += int(((area == 0).any(axis=1) & valid).sum())
    episodes += int(valid.sum())
    gallery.add(batch, out, benchmark)
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
      yield waiting
    waiting = batch, out
  if waiting is not None:
    yield waiting


@dataclasses.dataclass(frozen=True)
class _Tally:
  confusion: Confusion
  roc: RocHistogram

  @classmethod
  def empty(cls, num_classes: int) -> '_Tally':
    return cls(Confusion.empty(num_classes), RocHistogram.empty())

  def update(self, out: Mapping[str, Any], class_id: np.ndarray, valid: np.ndarray) -> '_Tally':
    return _Tally(
      self.confusion.update(out['counts'], class_id, valid),
      self.roc.update(out['histogram'], valid),
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

  def add(self, batch: Mapping[str, np.ndarray], out: Mapping[str, Any], benchmark: Benchmark):
    for i in np.flatnonzero(batch['valid']):
      kept = self._kept.setdefault(int(batch['class_id'][i]), [])
      if len(kept) < self._each:
        kept.append(_panel(batch, out, i, benchmark))

  @property
  def panels(self) -> list[Panel]:
    """Class by class; where they do not go round, the classes that came first have one more."""
    turns = [(turn, c) for turn in range(self._each) for c in self._kept]
    shown = [(c, turn) for turn, c in turns if turn < len(self._kept[c])][: self._number]
    return [self._kept[c][turn] for c, turn in sorted(shown)]


def _panel(batch: Mapping[str, np.ndarray], out: Mapping[str, Any], i: int, benchmark: Benchmark):
  iou = float(episode_iou(np.asarray(out['counts'])[i]))
  name = benchmark.class_names[int(batch['class_id'][i])]
  query, shown = batch['query_image'][i], ...
  if 'query_size' in batch:  # Masks of the photograph's own size lie in the top left corner.
    height, width = batch['query_size'][i].tolist()
    query = np.asarray(Image.fromarray(query).resize((width, height), Image.Resampling.BILINEAR))
    shown = slice(height), slice(width)
  return Panel(
    supports=list(zip(batch['support_images'][i], batch['support_masks'][i], strict=True)),
    query=query,
    prediction=np.asarray(out['prediction'])[i][shown],
    target=batch['query_mask'][i][shown],
    ignore=batch['query_ignore'][i][shown],
    caption=f'{name}, episode {int(batch["index"][i])}: IoU {iou:.1f}',
  )
