"""Says how far a figure, or the difference of two mIoUs, may be off: by bootstrap over pictures.

A thousand episodes draw a few hundred pictures many times over, so episodes are no independent
samples: pictures are drawn anew here, each with all of its episodes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from hsnet_jax.metrics.confusion import Confusion
from hsnet_jax.metrics.table import METRICS, Metric

_DRAWS_AT_ONCE = 250


def miou_interval(
  rng: np.random.Generator,
  counts: Integer[np.ndarray, 'episodes 4'],
  class_id: Integer[np.ndarray, ' episodes'],
  picture: Integer[np.ndarray, ' episodes'],
  *,
  classes: Sequence[int],
  draws: int = 2000,
  level: float = 0.95,
) -> tuple[float, float]:
  """Computes an interval of mIoU by percentiles of the bootstrap.

  Args:
    rng: draws the pictures.
    counts: of each episode true and false positives, false and true negatives.
    class_id: its class.
    picture: the number of its query picture.
    classes: over which the mean goes, as for `Confusion.result`.
    draws: how often as many pictures as there are are drawn, with replacement.
    level: how likely such intervals are to hold what endlessly many pictures would give.

  Returns:
    The lower and the upper end, in percent. A class that a draw has no picture of is left out of
    its mean. NaN where there is no episode or no class.
  """
  (found,) = _drawn(rng, [counts], class_id, picture, classes=classes, draws=draws)
  return _ends(found, level)


def miou_difference_interval(
  rng: np.random.Generator,
  counts: Integer[np.ndarray, 'episodes 4'],
  others: Integer[np.ndarray, 'episodes 4'],
  class_id: Integer[np.ndarray, ' episodes'],
  picture: Integer[np.ndarray, ' episodes'],
  *,
  classes: Sequence[int],
  draws: int = 2000,
  level: float = 0.95,
) -> tuple[float, float]:
  """Computes an interval of the difference of two mIoUs on the same episodes, paired.

  Args:
    rng: draws the pictures, the same for both.
    counts: as for `miou_interval`.
    others: those of the other method on the same episodes.
    class_id: as there.
    picture: as there.
    classes: as there.
    draws: as there.
    level: as there.

  Returns:
    The ends of what the first has more than the other, in percent.
  """
  found = _drawn(rng, [counts, others], class_id, picture, classes=classes, draws=draws)
  return _ends(found[0] - found[1], level)


def figure_intervals(
  rng: np.random.Generator,
  rows: Mapping[str, Integer[np.ndarray, 'episodes ...']],
  class_id: Integer[np.ndarray, ' episodes'],
  picture: Integer[np.ndarray, ' episodes'],
  *,
  classes: Sequence[int],
  metrics: Mapping[str, Metric] = METRICS,
  draws: int = 2000,
  level: float = 0.95,
) -> dict[str, Any]:
  """Computes an interval of every figure that episodes' rows tell, all by the same draws.

  Args:
    rng: as for `miou_interval`, whose interval is the same here.
    rows: of each metric its rows, as `count_episodes` gives them; one may be missing.
    class_id: as there.
    picture: as there.
    classes: as there.
    metrics: whose `resampled` is asked; without one, as AUC's histograms have none, a figure has no
      interval.
    draws: as there. Those in which a figure does not exist are left out of its interval.
    level: as there.

  Returns:
    {figure: (lower end, upper end)}, in percent, and {class id: ends} under a figure's `by_class`,
    for those classes that have two pictures at least. NaN where no draw has the figure.
  """
  found: dict[str, list[np.ndarray]] = {}
  for often in _weights(rng, picture, draws):
    for name, metric in metrics.items():
      if metric.resampled and name in rows:
        for figure, values in metric.resampled(rows[name], class_id, often, classes).items():
          found.setdefault(figure, []).append(values)
  by_class = {figure.by_class for metric in metrics.values() for figure in metric.figures}
  intervals: dict[str, Any] = {}
  for figure, parts in found.items():
    values = np.concatenate(parts)
    if figure in by_class:
      several = [i for i, c in enumerate(classes) if len({*picture[class_id == c].tolist()}) > 1]
      intervals[figure] = {classes[i]: _ends(values[:, i], level) for i in several}
    else:
      intervals[figure] = _ends(values, level)
  return intervals


def _drawn(
  rng: np.random.Generator,
  methods: Sequence[Integer[np.ndarray, 'episodes 4']],
  class_id: Integer[np.ndarray, ' episodes'],
  picture: Integer[np.ndarray, ' episodes'],
  *,
  classes: Sequence[int],
  draws: int,
) -> list[Float[np.ndarray, ' draws']]:
  """Computes the mIoU of each draw of pictures, for each method; nothing where there is none."""
  found = [[np.zeros(0)] for _ in methods]
  if len(classes):
    for often in _weights(rng, picture, draws):
      for values, counts in zip(found, methods, strict=True):
        values.append(Confusion.resampled(counts, class_id, often, classes)['miou'])
  return [np.concatenate(values) for values in found]


def _weights(
  rng: np.random.Generator, picture: Integer[np.ndarray, ' episodes'], draws: int
) -> Iterator[Integer[np.ndarray, 'part episodes']]:
  """Yields how often draws of pictures have each episode; nothing where there is none."""
  if len(picture):
    pictures, number = np.unique(picture, return_inverse=True)
    shares = np.full(len(pictures), 1 / len(pictures))
    for start in range(0, draws, _DRAWS_AT_ONCE):
      size = min(_DRAWS_AT_ONCE, draws - start)
      yield rng.multinomial(len(pictures), shares, size=size)[:, number]


def _ends(found: np.ndarray, level: float) -> tuple[float, float]:
  found = found[~np.isnan(found)]
  if not len(found):
    return float('nan'), float('nan')
  low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
  return float(low), float(high)
