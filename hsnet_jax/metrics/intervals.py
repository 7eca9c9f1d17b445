"""Says how far an mIoU may be off: an interval by bootstrap over pictures.

A thousand episodes draw a few hundred pictures many times over, so episodes are no independent
samples: pictures are drawn anew here, each with all of its episodes.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

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
  chosen = np.asarray(classes, np.int64).reshape(-1)
  if not len(counts) or not len(chosen):
    return float('nan'), float('nan')
  pictures, number = np.unique(picture, return_inverse=True)
  # Of each picture and class: intersection, union, and how many episodes.
  summed = np.zeros((len(pictures), len(chosen), 3))
  own = np.asarray(class_id)[:, None] == chosen
  pixels = np.stack([counts[:, 0], counts[:, :3].sum(1), np.ones(len(counts))], axis=-1)
  np.add.at(summed, number, own[..., None] * pixels[:, None])
  found = []
  for start in range(0, draws, _DRAWS_AT_ONCE):
    often = rng.multinomial(
      len(pictures),
      np.full(len(pictures), 1 / len(pictures)),
      size=min(_DRAWS_AT_ONCE, draws - start),
    )
    inside, union, episodes = np.moveaxis(np.tensordot(often, summed, 1), -1, 0)
    # What has no episode in any draw has IoU 0, as in the figure itself.
    there = (episodes > 0) | (summed[..., 2].sum(0) == 0)
    iou = 100 * inside / np.maximum(union, 1)
    found.append((iou * there).sum(1) / np.maximum(there.sum(1), 1))
  low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
  return float(low), float(high)
