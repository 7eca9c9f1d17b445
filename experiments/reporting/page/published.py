"""Reads what the paper reports of its own network, from published.csv beside this file.

The rows are those of HSNet itself, and of HSNet without support masking (Eq. 1), in Tables 1 to 3
of https://arxiv.org/abs/2104.01538, in percent; an empty cell was not published. FB-IoU there is
the mean of all folds, as `miou` is.
"""

import csv
import dataclasses
import functools
import importlib.resources

HSNET, UNMASKED = 'HSNet', 'HSNet without support masking'
# Of how many folds the mean of a table is, by benchmark.
FOLDS = {'pascal': 4, 'coco': 4, 'fss': 1}
# What the published results were evaluated at, where ours can differ.
SETTINGS = {
  'pascal': {'image_size': 400, 'episodes': 1000},
  'coco': {'image_size': 400, 'episodes': 1000},
  'fss': {'image_size': 400},
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
