"""Entries and files for tests: what lies in a zoo, without a network where none is looked at."""

import hashlib

from experiments.model_zoo import Entry
from experiments.model_zoo.store import keep, staging

FIGURES = {
  'miou': 60.25,
  'miou_interval': [58.5, 62.0],
  'fb_iou': 76.5,
  'iou_under_1': 12.5,
  'class_iou': {'star': 70.5, 'cup|mug': 44.25, 'fish': 66.0},
  'class_episodes': {'star': 80, 'cup|mug': 90, 'fish': 80},
}
EVALUATION = {
  'model': 'hsnet',
  'benchmark': 'shapes',
  'fold': 1,
  'split': 'val',
  'shots': 1,
  'episodes': 250,
  'image_size': 64,
  'note': 'the checkpoint was chosen on these very test episodes',
  'figures': FIGURES,
}


def entry_of(content, name='dogs', **fields):
  """The entry of a file that holds these bytes."""
  known = {
    'backbone': 'tiny',
    'benchmark': 'shapes',
    'fold': 1,
    'shots': 1,
    'image_size': 64,
    'config': {'backbone': 'tiny', 'learning_rate': 0.001},
    'source': 'made',
    'added': '2026-01-01 00:00:00+00:00',
  }
  about = {'checksum': hashlib.sha256(content).hexdigest(), 'size': len(content)}
  return Entry(name=name, **known | about | fields)


def put(folder, name='dogs', content=b'a model', **fields):
  """Adds a file of these bytes; returns its entry."""
  entry = entry_of(content, name, **fields)
  with staging(folder) as file:
    file.write_bytes(content)
    keep(folder, entry, file)
  return entry
