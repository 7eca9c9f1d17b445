"""Lists the metrics, one row each: whatever counts, pools, prints or logs figures reads it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer

from hsnet_jax.metrics.boundary import Boundary, boundary_counts
from hsnet_jax.metrics.calibration import Calibration, calibration_counts
from hsnet_jax.metrics.confusion import Confusion, confusion_counts
from hsnet_jax.metrics.presence import Presence, Risk, presence_counts, risk_counts
from hsnet_jax.metrics.roc import RocHistogram, probability_histogram
from hsnet_jax.metrics.rows import Mask, check_class_ids
from hsnet_jax.metrics.sizes import SizeIou

# (predicted masks, logit margins, true masks, what is left out) -> rows of counts, one an episode.
Count = Callable[
  [Mask, Float[Array | np.ndarray, '*batch h w'], Mask, Mask | None], Integer[Array, '...']
]


@dataclasses.dataclass(frozen=True)
class Figure:
  """Describes a number that a metric results in.

  Attributes:
    name: its key in the result.
    heading: what tables call it.
    by_class: the key in the result of the same for each class, {class id: number}; '' for none.
    logged: whether validation writes it to metrics.jsonl and into checkpoints.
  """

  name: str
  heading: str
  by_class: str = ''
  logged: bool = True


@dataclasses.dataclass(frozen=True)
class Metric:
  """Describes how figures come about, from masks to their headings: a row of the table.

  Attributes:
    figures: what its result holds that is printed, in the order of a table.
    count: on the device, of a batch: `(prediction, margin, target, ignore) -> rows`.
    empty: the accumulator of the host with nothing in it, `num_classes -> pooled`.
    update: `(pooled, rows, class_id, valid) -> pooled`.
    merge: of two accumulators, `(pooled, pooled) -> pooled`.
    result: `(pooled, classes) -> {name: number}`; classes None for those with an episode.
    resampled: the same of many draws of episodes, `(rows, class_id, often, classes) -> {name:
      [draws]}`, as `Confusion.resampled`: figures have intervals by it, and the rows of each
      episode are kept. None where these are too many to keep.
    ranks: whether it takes margins for nothing but `presence_score`, by which it ranks pictures.
  """

  figures: tuple[Figure, ...]
  count: Count
  empty: Callable[[int], Any]
  update: Callable[[Any, Any, Any, Any], Any]
  merge: Callable[[Any, Any], Any]
  result: Callable[[Any, Sequence[int] | None], Mapping[str, Any]]
  resampled: Callable[[Any, Any, Any, Sequence[int]], Mapping[str, Any]] | None = None
  ranks: bool = False


METRICS: Mapping[str, Metric] = {
  'counts': Metric(
    figures=(
      Figure('miou', 'mIoU', by_class='class_iou'),
      Figure('fb_iou', 'FB-IoU'),
      Figure('accuracy', 'accuracy', logged=False),
      Figure('sensitivity', 'sensitivity', logged=False),
      Figure('specificity', 'specificity', logged=False),
      Figure('precision', 'precision', logged=False),
      Figure('f1', 'F1', logged=False),
    ),
    count=lambda prediction, margin, target, ignore: confusion_counts(prediction, target, ignore),
    empty=Confusion.empty,
    update=Confusion.update,
    merge=Confusion.merge,
    result=Confusion.result,
    resampled=Confusion.resampled,
  ),
  'histogram': Metric(
    figures=(Figure('auc', 'AUC'),),
    count=lambda prediction, margin, target, ignore: probability_histogram(margin, target, ignore),
    empty=lambda num_classes: RocHistogram.empty(),
    update=lambda pooled, rows, class_id, valid: pooled.update(rows, valid),
    merge=RocHistogram.merge,
    result=lambda pooled, classes: pooled.result(),
  ),
  'boundary': Metric(
    figures=(
      Figure('boundary_iou', 'boundary IoU', logged=False),
      Figure('boundary_f', 'boundary F-score', logged=False),
    ),
    count=lambda prediction, margin, target, ignore: boundary_counts(prediction, target, ignore),
    empty=Boundary.empty,
    update=Boundary.update,
    merge=Boundary.merge,
    result=Boundary.result,
    resampled=Boundary.resampled,
  ),
  'calibration': Metric(
    figures=(Figure('ece', 'calibration error', logged=False),),
    count=lambda prediction, margin, target, ignore: calibration_counts(margin, target, ignore),
    empty=lambda num_classes: Calibration.empty(),
    update=lambda pooled, rows, class_id, valid: pooled.update(rows, valid),
    merge=Calibration.merge,
    result=lambda pooled, classes: pooled.result(),
    resampled=Calibration.resampled,
  ),
  'sizes': Metric(
    figures=(
      Figure('iou_under_1', 'IoU, object below 1%', logged=False),
      Figure('iou_1_to_5', 'IoU, object 1 to 5%', logged=False),
      Figure('iou_5_to_20', 'IoU, object 5 to 20%', logged=False),
      Figure('iou_over_20', 'IoU, object over 20%', logged=False),
    ),
    # The very counts of above, which the compiler counts once.
    count=lambda prediction, margin, target, ignore: confusion_counts(prediction, target, ignore),
    empty=lambda num_classes: SizeIou.empty(),
    update=lambda pooled, rows, class_id, valid: pooled.update(rows, valid),
    merge=SizeIou.merge,
    result=lambda pooled, classes: pooled.result(),
    resampled=SizeIou.resampled,
  ),
}

# Where some episodes are meant to lack the object, which the published ones are not.
ABSENT_METRICS: Mapping[str, Metric] = {
  **METRICS,
  'presence': Metric(
    figures=(
      Figure('presence_auc', 'presence AUC', logged=False),
      Figure('found', 'found where present', logged=False),
      Figure('left_empty', 'left empty where absent', logged=False),
      Figure('false_area', 'marked area where absent', logged=False),
    ),
    count=presence_counts,
    ranks=True,
    empty=lambda num_classes: Presence.empty(),
    update=lambda pooled, rows, class_id, valid: pooled.update(rows, valid),
    merge=Presence.merge,
    result=lambda pooled, classes: pooled.result(),
    resampled=Presence.resampled,
  ),
  'risk': Metric(
    figures=(Figure('aurc', 'area under risk-coverage', logged=False),),
    count=risk_counts,
    ranks=True,
    empty=lambda num_classes: Risk.empty(),
    update=lambda pooled, rows, class_id, valid: pooled.update(rows, valid),
    merge=Risk.merge,
    result=lambda pooled, classes: pooled.result(),
    resampled=Risk.resampled,
  ),
}


def count_episodes(
  prediction: Mask,
  margin: Float[Array | np.ndarray, '*batch h w'],
  target: Mask,
  ignore: Mask | None = None,
  *,
  metrics: Mapping[str, Metric] = METRICS,
  score: Float[Array | np.ndarray, '*batch'] | None = None,
) -> dict[str, Integer[Array, '...']]:
  """Counts a batch of episodes for all metrics, on the device.

  Args:
    prediction: predicted masks in {0, 1}, `[B, H, W]`.
    margin: foreground logit minus background logit, `[B, H, W]`.
    target: true masks in {0, 1}, `[B, H, W]`.
    ignore: 1 where a pixel is left out, `[B, H, W]`; none by default.
    metrics: the rows to count for.
    score: how sure it is that the object is there, by which pictures are ranked; by default the
      `presence_score` of the margins.

  Returns:
    {metric: its rows, one per episode}, for `Tally.update`.
  """
  counted, ranking = {}, margin
  if score is not None:  # Margins that are all the same have that `presence_score`.
    ranking = jnp.broadcast_to(jnp.asarray(score)[..., None, None], margin.shape)
  for name, metric in metrics.items():
    counted[name] = metric.count(prediction, ranking if metric.ranks else margin, target, ignore)
  return counted


@dataclasses.dataclass(frozen=True, eq=False)
class Tally:
  """Pools all metrics of some episodes on the host.

  Attributes:
    pooled: the accumulator of each metric.
    episodes: how many episodes of each class were counted, int64 `[num_classes]`.
    metrics: the rows of the table that are counted for.
  """

  pooled: Mapping[str, Any]
  episodes: Int[np.ndarray, ' classes']
  metrics: Mapping[str, Metric] = dataclasses.field(default_factory=lambda: METRICS)

  @classmethod
  def empty(cls, num_classes: int, *, metrics: Mapping[str, Metric] = METRICS) -> 'Tally':
    """Returns one with nothing counted yet, for class ids in [0, num_classes)."""
    pooled = {name: metric.empty(num_classes) for name, metric in metrics.items()}
    return cls(pooled, np.zeros(num_classes, np.int64), metrics)

  def update(
    self,
    rows: Mapping[str, Any],
    class_id: Integer[Array | np.ndarray, '*batch'],
    valid: Bool[Array | np.ndarray, '*batch'],
  ) -> 'Tally':
    """Adds episodes.

    Args:
      rows: of each metric at least, as `count_episodes` gives them.
      class_id: the class of each row, 0-based.
      valid: False for rows that do not count.

    Returns:
      A new tally.

    Raises:
      ValueError: if a counted class id is out of range.
    """
    counted = np.asarray(class_id)[np.asarray(valid)]
    check_class_ids(counted, len(self.episodes))
    pooled = {
      name: metric.update(self.pooled[name], rows[name], class_id, valid)
      for name, metric in self.metrics.items()
    }
    episodes = self.episodes + np.bincount(counted, minlength=len(self.episodes))
    return dataclasses.replace(self, pooled=pooled, episodes=episodes)

  def merge(self, other: 'Tally') -> 'Tally':
    """Returns both together, as if one had seen all episodes."""
    pooled = {
      name: metric.merge(self.pooled[name], other.pooled[name])
      for name, metric in self.metrics.items()
    }
    return dataclasses.replace(self, pooled=pooled, episodes=self.episodes + other.episodes)

  def result(self, classes: Sequence[int] | None = None) -> dict[str, Any]:
    """Computes the figures of all metrics, in percent.

    Args:
      classes: over which means go; by default those with at least one episode.

    Returns:
      {figure's name: number}, {class id: number} under the `by_class` of those that have one, and
      tables beside them, such as `figure_episodes`: of how many episodes a figure is that is not of
      all, `reliability` and `risk_coverage`.
    """
    results = {}
    for name, metric in self.metrics.items():
      results.update(metric.result(self.pooled[name], classes))
    return results
