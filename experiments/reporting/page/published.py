"""Reads what the paper reports of its own network, from published.csv beside this file.

The rows are those of HSNet itself, and of HSNet without support masking (Eq. 1), in Tables 1 to 3
of https://arxiv.org/abs/2104.01538, in percent; an empty cell was not published. FB-IoU there is
the mean of all folds, as `miou` is.
"""

import csv
import dataclasses
import functools
import importlib.resources
from collections.abc import Mapping
from typing import Any

HSNET, UNMASKED = 'HSNet', 'HSNet without support masking'
# Of how many folds the mean of a table is, by benchmark.
FOLDS = {'pascal': 4, 'coco': 4, 'fss': 1}
# What the published results were evaluated at, where ours can differ.
SETTINGS = {
  'pascal': {'image_size': 400, 'episodes': 1000},
  'coco': {'image_size': 400, 'episodes': 1000},
  'fss': {'image_size': 400},
}

# What results record where it is not as published.
_OTHERWISE = {
  'support_margin': 'supports are cut to a window with a margin of {}',
  'combine': 'several supports are combined by {}, where the paper votes',
  'test_classes': 'training had `test_classes`={}, where the paper has them as background',
  'drawn_masks': 'the masks of {} are drawn, where the published ones are files',
}


@dataclasses.dataclass(frozen=True)
class Published:
  """Holds a row of a published table.

  Attributes:
    method: its name there.
    backbone: as this project calls it.
    shots: K.
    folds: the mIoU of each fold that is there.
    miou: the mean over folds.
    fb_iou: its FB-IoU; None where that is not reported.
    source: the paper and its table.
  """

  method: str
  backbone: str
  shots: int
  folds: dict[int, float]
  miou: float
  fb_iou: float | None
  source: str


@functools.cache
def published_rows(benchmark: str, *, method: str = HSNET) -> tuple[Published, ...]:
  """Returns the rows of a benchmark and a method; none where the paper has none."""
  file = importlib.resources.files('experiments.reporting.page') / 'published.csv'
  found = []
  for row in csv.DictReader(file.read_text(encoding='utf-8').splitlines()):
    if row['benchmark'] == benchmark and row['method'] == method:
      folds = {fold: float(row[f'fold{fold}']) for fold in range(4) if row[f'fold{fold}']}
      # Of a benchmark with one fold that is the mean.
      folds = folds or {0: float(row['miou'])}
      fb_iou = float(row['fb_iou']) if row['fb_iou'] else None
      of = row['method'], row['backbone'], int(row['shots'])
      found.append(Published(*of, folds, float(row['miou']), fb_iou, row['source']))
  return tuple(found)


def departures(about: Mapping[str, Any], benchmark: str) -> list[str]:
  """Says what of an evaluation is not as the published ones were made.

  Args:
    about: what was evaluated, as results.json has it.
    benchmark: its benchmark; of one that the paper has not, nothing is said.
  """
  found = []
  for name, usual in SETTINGS.get(benchmark, {}).items():
    form = {'image_size': '{} x {} pixels', 'episodes': '{} episodes'}[name]
    value = about.get(name)
    if value not in (None, usual):
      own, theirs = (form.format(one, one) for one in (value, usual))
      found.append(f'{own}, where the paper has {theirs}')
  for name, text in _OTHERWISE.items() if benchmark in SETTINGS else ():
    value = about.get(name)
    if value not in (None, []):
      found.append(text.format(', '.join(value) if isinstance(value, list) else value))
  return found
