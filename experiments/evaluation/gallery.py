"""Keeps pictures of the first episodes of each class: they are shown, not chosen."""

import math
from collections.abc import Mapping
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
    """Lists them by class; where they do not go round, the first classes have one more."""
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
