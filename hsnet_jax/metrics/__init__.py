"""Computes what a test reports: mIoU, FB-IoU, AUC, boundaries, calibration, and so on.

Each figure is made in two halves. A pure function counts pixels on the device, one row per
episode, in int32 (an episode's own pixels fit). An immutable accumulator on the host pools the
rows in 64 bits, because the totals of a real test outgrow int32 and float32:

    empty() -> update(rows, ...) -> ... -> merge(other) -> result()

Masks are `[B, H, W]` with 1 on the foreground. Pixels of the ignore region count nowhere. Rows
with `valid=False` (padding of a last batch) count nowhere. Rows may carry any leading axes, such
as one over devices. All figures are in percent. A figure whose denominator is 0 is NaN, with one
exception, the IoU of a class and of its boundaries, where the protocol counts an empty union as 1
and the IoU is 0.

A metric is a file here and a row of `table.METRICS`: evaluation, tables and logs read the table.
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.metrics.boundary import Boundary, boundary_counts, boundary_f
  from hsnet_jax.metrics.calibration import Calibration, calibration_counts, probability_summary
  from hsnet_jax.metrics.confusion import Confusion, confusion_counts, episode_iou
  from hsnet_jax.metrics.intervals import (
    figure_intervals,
    miou_difference_interval,
    miou_interval,
  )
  from hsnet_jax.metrics.presence import (
    Presence,
    Risk,
    presence_counts,
    presence_score,
    risk_counts,
  )
  from hsnet_jax.metrics.roc import RocHistogram, label_histogram, probability_histogram
  from hsnet_jax.metrics.rows import check_class_ids, select_rows
  from hsnet_jax.metrics.sizes import SizeIou, object_share
  from hsnet_jax.metrics.table import ABSENT_METRICS, METRICS, Figure, Metric, Tally, count_episodes

__all__ = [
  'ABSENT_METRICS',
  'Boundary',
  'Calibration',
  'Confusion',
  'Figure',
  'METRICS',
  'Metric',
  'Presence',
  'Risk',
  'RocHistogram',
  'SizeIou',
  'Tally',
  'boundary_counts',
  'boundary_f',
  'calibration_counts',
  'check_class_ids',
  'confusion_counts',
  'count_episodes',
  'episode_iou',
  'figure_intervals',
  'label_histogram',
  'miou_difference_interval',
  'miou_interval',
  'object_share',
  'presence_counts',
  'presence_score',
  'probability_histogram',
  'probability_summary',
  'risk_counts',
  'select_rows',
]

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.boundary': ('Boundary', 'boundary_counts', 'boundary_f'),
    '.calibration': ('Calibration', 'calibration_counts', 'probability_summary'),
    '.confusion': ('Confusion', 'confusion_counts', 'episode_iou'),
    '.intervals': ('figure_intervals', 'miou_difference_interval', 'miou_interval'),
    '.presence': ('Presence', 'Risk', 'presence_counts', 'presence_score', 'risk_counts'),
    '.roc': ('RocHistogram', 'label_histogram', 'probability_histogram'),
    '.rows': ('check_class_ids', 'select_rows'),
    '.sizes': ('SizeIou', 'object_share'),
    '.table': ('ABSENT_METRICS', 'METRICS', 'Figure', 'Metric', 'Tally', 'count_episodes'),
  },
)
