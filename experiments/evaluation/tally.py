"""Pools what is counted over all episodes, and over the first so many of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.benchmark import Benchmark
from data_pipelines.episodes import Episode
from hsnet_jax.metrics import METRICS, Metric, Tally, figure_intervals


@dataclasses.dataclass(frozen=True)
class Columns:
  """Collects the columns of a table of results.

  Attributes:
    all: the tally of all episodes.
    first: {N: the tally of the first N episodes}.
  """

  all: Tally
  first: Mapping[int, Tally]

  @classmethod
  def empty(
    cls,
    num_classes: int,
    first: Sequence[int] = (),
    *,
    metrics: Mapping[str, Metric] = METRICS,
  ) -> 'Columns':
    """Returns columns with nothing counted, for class ids in [0, num_classes)."""
    none = Tally.empty(num_classes, metrics=metrics)
    return cls(none, dict.fromkeys(first, none))

  def update(self, rows: Mapping[str, Any]) -> 'Columns':
    """Returns columns with the episodes of a batch added, of which `rows` says everything."""
    valid, index = np.asarray(rows['valid']), np.asarray(rows['index'])

    def add(tally: Tally, counted: np.ndarray) -> Tally:
      return tally.update(rows, rows['class_id'], counted) if counted.any() else tally

    first = {n: add(tally, valid & (index < n)) for n, tally in self.first.items()}
    return Columns(add(self.all, valid), first)

  def running(self) -> dict[str, Any]:
    """Returns the figures so far, over the classes that have come."""
    return self.all.result()

  def figures(self, benchmark: Benchmark, classes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Computes the columns as `reporting.tables` lays them out.

    Args:
      benchmark: whose names the classes have.
      classes: over which means go.

    Returns:
      {head: figures}; the last column is of all episodes. The first N are left out where there are
      no more.
    """
    episodes = int(self.all.episodes.sum())
    columns = {f'first {n}': tally for n, tally in self.first.items() if n < episodes}
    columns[f'all {episodes}'] = self.all
    return {head: _named(tally, benchmark, classes) for head, tally in columns.items()}


def _named(tally: Tally, benchmark: Benchmark, classes: Sequence[int]) -> dict[str, Any]:
  """Returns a tally's figures, classes under their names."""
  figures, names = tally.result(classes), benchmark.class_names
  for metric in tally.metrics.values():
    for key in (figure.by_class for figure in metric.figures if figure.by_class):
      figures[key] = {names[c]: value for c, value in figures[key].items()}
  figures['class_episodes'] = {names[c]: int(tally.episodes[c]) for c in classes}
  return figures


def add_intervals(
  columns: Mapping[str, dict[str, Any]],
  rows: Mapping[str, np.ndarray],
  episodes: Sequence[Episode],
  classes: Sequence[int],
  names: Sequence[str],
  *,
  metrics: Mapping[str, Metric] = METRICS,
) -> None:
  """Adds to every column the intervals of its figures, by bootstrap over the query pictures.

  Args:
    columns: of `Columns.figures`, each of the first so many episodes. `miou_interval` and so on are
      added, its two ends, and `class_iou_interval` {class name: its two ends}.
    rows: of every episode in their order `index`, `class_id`, and the rows of the metrics.
    episodes: those that `index` numbers.
    classes: over which means go.
    names: of all classes.
    metrics: which figures there are.
  """
  numbers = {name: i for i, name in enumerate(dict.fromkeys(e.query for e in episodes))}
  picture = np.array([numbers[episodes[i].query] for i in rows['index']], np.int64)
  for figures in columns.values():
    n = sum(figures['class_episodes'].values())
    part = {name: rows[name][:n] for name in metrics if name in rows}
    of = rows['class_id'][:n], picture[:n]
    rng = np.random.default_rng(0)
    found = figure_intervals(rng, part, *of, classes=classes, metrics=metrics)
    for name, ends in found.items():
      if isinstance(ends, dict):
        figures[f'{name}_interval'] = {names[c]: list(own) for c, own in ends.items()}
      elif not np.isnan(ends).any():
        figures[f'{name}_interval'] = list(ends)
