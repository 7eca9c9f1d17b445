"""Says how far an mIoU, or the difference of two, may be off: intervals by bootstrap over pictures.

A thousand episodes draw a few hundred pictures many times over, so episodes are no independent
samples: pictures are drawn anew here, each with all of its episodes.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer

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
  chosen = np.asarray(classes, np.int64).reshape(-1)
  if not len(picture) or not len(chosen):
    return [np.zeros(0)] * len(methods)
  pictures, number = np.unique(picture, return_inverse=True)
  own = np.asarray(class_id)[:, None] == chosen
  shares, weights = np.full(len(pictures), 1 / len(pictures)), []
  for start in range(0, draws, _DRAWS_AT_ONCE):
    size = min(_DRAWS_AT_ONCE, draws - start)
    weights.append(rng.multinomial(len(pictures), shares, size=size))
  found = []
  for counts in methods:
    # Of each picture and class: intersection, union, and how many episodes.
    summed = np.zeros((len(pictures), len(chosen), 3))
    pixels = np.stack([counts[:, 0], counts[:, :3].sum(1), np.ones(len(counts))], axis=-1)
    np.add.at(summed, number, own[..., None] * pixels[:, None])
    found.append(np.concatenate([_mious(often, summed) for often in weights]))
  return found


def _mious(often: np.ndarray, summed: np.ndarray) -> np.ndarray:
  """Computes the mIoU of draws that have each picture so often."""
  inside, union, episodes = np.moveaxis(np.tensordot(often, summed, 1), -1, 0)
  # What has no episode in any draw has IoU 0, as in the figure itself.
  there = (episodes > 0) | (summed[..., 2].sum(0) == 0)
  iou = 100 * inside / np.maximum(union, 1)
  return (iou * there).sum(1) / np.maximum(there.sum(1), 1)


def _ends(found: np.ndarray, level: float) -> tuple[float, float]:
  if not len(found):
    return float('nan'), float('nan')
  low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
  return float(low), float(high)
