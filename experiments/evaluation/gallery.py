"""Keeps pictures of episodes: the first of each class; the best, middling and worst of all."""

import bisect
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from PIL import Image

from data_pipelines.benchmark import Benchmark
from experiments.reporting.pictures import Panel
from hsnet_jax.metrics import episode_iou


class Gallery:
  """Collects panels of some episodes, as batches come."""

  def __init__(self, number: int, num_classes: int):
    """Starts empty.

    Args:
      number: of panels at most.
      num_classes: how many classes share them.
    """
    self._number, self._each = number, math.ceil(number / num_classes)
    self._kept: dict[int, list[Panel]] = {}

  def add(
    self, batch: Mapping[str, np.ndarray], rows: Mapping[str, Any], benchmark: Benchmark
  ) -> None:
    """Keeps what is missing of a class.

    Args:
      batch: rows of episodes, as this process read them.
      rows: what was found on those of all processes: `counts`, `prediction`, `index`, `valid`.
      benchmark: whose names the classes have.
    """
    for i, row in _own_rows(batch, rows):
      kept = self._kept.setdefault(int(batch['class_id'][i]), [])
      if len(kept) < self._each:
        kept.append(_panel(batch, i, rows, row, benchmark))

  @property
  def panels(self) -> list[Panel]:
    """Lists them by class; where they do not go round, the first classes have one more."""
    turns = [(turn, c) for turn in range(self._each) for c in self._kept]
    shown = [(c, turn) for turn, c in turns if turn < len(self._kept[c])][: self._number]
    return [self._kept[c][turn] for c, turn in sorted(shown)]


class Extremes:
  """Collects panels of the best and worst episodes, and of those nearest the median IoU.

  Episodes whose query lacks the object have no IoU to be told by, and are left out.
  """

  def __init__(self, number: int):
    """Starts empty.

    Args:
      number: of panels of each kind at most.
    """
    self._number = number
    self._seen: list[float] = []  # IoUs in order; a number an episode, so pictures are few.
    self._kept: dict[str, list[tuple[float, Panel]]] = {'best': [], 'median': [], 'worst': []}

  def add(
    self, batch: Mapping[str, np.ndarray], rows: Mapping[str, Any], benchmark: Benchmark
  ) -> None:
    """Keeps an episode that is better, worse or nearer the median so far than one that is kept.

    Args:
      batch: rows of episodes, as this process read them.
      rows: what was found on those of all processes, as for `Gallery.add`.
      benchmark: whose names the classes have.
    """
    if not self._number:
      return
    counts = np.asarray(rows['counts'], np.int64)
    for i, row in _own_rows(batch, rows):
      true, false_positive, missed, _ = counts[row].tolist()
      if true + missed == 0:
        continue
      iou = 100 * true / (true + false_positive + missed)
      bisect.insort(self._seen, iou)
      panel = None
      for kind, kept in self._kept.items():
        place = len(kept)
        if place == self._number:
          place = max(range(place), key=lambda k: self._rank(kind, kept[k][0]))
          if self._rank(kind, iou) >= self._rank(kind, kept[place][0]):
            continue
        panel = panel or _panel(batch, i, rows, row, benchmark)
        kept[place : place + 1] = [(iou, panel)]

  def _rank(self, kind: str, iou: float) -> float:
    """Returns how far an episode is from what a kind wants; the median is that of now."""
    median = self._seen[len(self._seen) // 2]
    return {'best': -iou, 'median': abs(iou - median), 'worst': iou}[kind]

  @property
  def panels(self) -> list[Panel]:
    """Lists as many of each kind: the best, those nearest the median, the worst first of theirs."""
    return [
      dataclasses.replace(panel, caption=f'{kind}: {panel.caption}')
      for kind, kept in self._kept.items()
      for _, panel in sorted(kept, key=lambda one: self._rank(kind, one[0]))
    ]


def _own_rows(
  batch: Mapping[str, np.ndarray], rows: Mapping[str, Any]
) -> Iterator[tuple[int, int]]:
  """Yields where an episode is in its batch, and where in the rows of all processes."""
  # These are in the order of the devices: an episode's number finds its own.
  numbers = np.where(rows['valid'], rows['index'], -1).tolist()
  for i in np.flatnonzero(batch['valid']).tolist():
    yield i, numbers.index(batch['index'][i])


def _panel(
  batch: Mapping[str, np.ndarray],
  i: int,
  rows: Mapping[str, Any],
  row: int,
  benchmark: Benchmark,
) -> Panel:
  # Copies: a panel that is kept would keep its whole batch.
  episode = {name: np.array(values[i]) for name, values in batch.items()}
  found = {name: np.array(rows[name][row]) for name in ('counts', 'prediction')}
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
