"""Results as `evaluate` and `train` leave them, made up."""

import json

import numpy as np
from PIL import Image

from data_pipelines.episodes import Episode
from experiments.reporting.tables import episodes_csv, write_results

NAMES = ('dog', '<b>cat</b> & 50%_a')
EPISODES = [Episode(f'q{i // 2}', ('a', 'b c'), i % 2) for i in range(40)]
ABOUT = {
  'model': 'hsnet',
  'backbone': 'resnet50',
  'checkpoint': 'runs/a b/checkpoints/best',
  'benchmark': 'pascal',
  'fold': 0,
  'split': 'val',
  'shots': 1,
  'protocol': 'published',
  'image_size': 400,
  'original_size': False,
  'versions': {'jax': '0.10.2'},
  'weights': '0123456789ab',
  'episodes': 40,
}


def counts_of(seed):
  """Counts of 1000 pixels each; every tenth query lacks the object."""
  rng = np.random.default_rng(seed)
  parts = rng.dirichlet((3, 1, 1, 20), size=40)
  counts = np.floor(1000 * parts).astype(np.int64)
  counts[::10, [0, 2]] = 0
  counts[:, 3] += 1000 - counts.sum(axis=1)
  return counts


def figures(seed, *, absent=False):
  """A column with intervals and both tables, no number of it like another."""
  rng = np.random.default_rng(seed)
  near = iter(rng.permutation(7000)[:200] / 100 + 13)

  def some(n=None):
    return float(next(near)) if n is None else [float(next(near)) for _ in range(n)]

  found = {name: some() for name in ('miou', 'fb_iou', 'auc', 'boundary_iou', 'ece')}
  found |= {f'{name}_interval': sorted(some(2)) for name in ('miou', 'fb_iou', 'ece')}
  found |= {name: some() for name in ('iou_under_1', 'iou_1_to_5', 'iou_5_to_20')}
  found |= {'iou_over_20': None, 'iou_1_to_5_interval': sorted(some(2)), 'auc_error': 0.0123}
  found['class_iou'] = {name: some() for name in NAMES}
  found['class_iou_interval'] = {NAMES[0]: sorted(some(2))}
  found['class_episodes'] = {name: 20 for name in NAMES}
  found['figure_episodes'] = {'iou_under_1': 7, 'iou_over_20': 0}
  found['reliability'] = [
    dict(zip(('from', 'to', 'pixels', 'probability', 'foreground'), line, strict=True))
    for line in ((0.0, 50.0, 70123, some(), some()), (50.0, 100.0, 0, None, None))
  ]
  if absent:
    found |= {'presence_auc': some(), 'aurc': some()}
    found['risk_coverage'] = [
      {'coverage': c, 'risk': some(), 'score': s} for c, s in ((50.0, 1.2345), (100.0, -0.5432))
    ]
  return found


SMALL = {'all 40': {'miou': 48.39, 'class_iou': {'dog': 48.39}, 'auc': None}}


def small(folder, **changes):
  """Writes an evaluation with one figure to draw, as of an earlier version."""
  made = evaluation(folder, pictures=False, **{'columns': SMALL, **changes})
  (folder / 'episodes.csv').unlink()
  return made


def evaluation(folder, *, seed=0, pictures=True, columns=None, **changes):
  """Writes an evaluation; returns its folder as text."""
  folder.mkdir(parents=True)
  about = {**ABOUT, **changes}
  columns = columns or {
    'first 20': figures(seed + 100, absent='absent' in about),
    'all 40': figures(seed, absent='absent' in about),
  }
  class_id = np.array([e.class_id for e in EPISODES])
  rows = {'index': np.arange(40), 'class_id': class_id, 'counts': counts_of(seed)}
  text = episodes_csv(rows, EPISODES, NAMES)
  write_results(folder, columns=columns, about=about, episodes=text)
  if pictures:
    for name in ('episodes.png', 'extremes.png'):
      Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(folder / name)
  return str(folder)


def run(folder, *, lines=None, log=True):
  """Writes what a run leaves, but for its checkpoints; returns its folder as text."""
  folder.mkdir(parents=True)
  if lines is None:
    lines = [{'step': s, 'train/running_loss': 0.9 - s / 100} for s in range(5, 30, 5)]
    lines += [
      {'step': s, 'train/loss': 0.8 - s / 100, 'train/miou': 20.0 + s, 'time/data_wait': None}
      for s in (10, 20)
    ]
    lines += [{'step': s, 'val/miou': score} for s, score in ((10, 41.23), (20, 37.5))]
  (folder / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
  if log:
    (folder / 'log.txt').write_text(''.join(f'line {i} <&>\n' for i in range(30)))
  return str(folder)
