"""Reads benchmarks: their splits and episodes, and batches of them.

Example:
  benchmark = make_benchmark('pascal', data_dir='VOC2012', splits_dir='splits')
  for batch in eval_batches(benchmark, fold=2, count=300): ...
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from data_pipelines.benchmark import Benchmark
  from data_pipelines.catalog import BENCHMARKS, make_benchmark
  from data_pipelines.episodes import (
    Episode,
    class_first_episodes,
    published_episodes,
    training_episode,
  )
  from data_pipelines.heldout import HeldOut
  from data_pipelines.loading.loader import eval_batches, train_batches
  from data_pipelines.loading.placement import Placed, to_devices
  from data_pipelines.loading.workers import Batches
  from data_pipelines.published.coco import Coco20i
  from data_pipelines.published.fss import Fss1000
  from data_pipelines.published.lists import read_coco_list, read_fss_list, read_pascal_list
  from data_pipelines.published.pascal import Pascal5i
  from data_pipelines.reading.arrays import resize_image, resize_mask
  from data_pipelines.reading.images import read_image, read_label, read_pair
  from data_pipelines.reading.masks import mask_values, read_mask
  from data_pipelines.splits import Split, trainable
  from data_pipelines.strict import LeftOut, hidden_classes
  from data_pipelines.unseen import Unseen, class_key

__all__ = [
  'BENCHMARKS',
  'Batches',
  'Benchmark',
  'Coco20i',
  'Episode',
  'Fss1000',
  'HeldOut',
  'LeftOut',
  'Pascal5i',
  'Placed',
  'Split',
  'Unseen',
  'class_first_episodes',
  'class_key',
  'eval_batches',
  'hidden_classes',
  'make_benchmark',
  'mask_values',
  'published_episodes',
  'read_coco_list',
  'read_fss_list',
  'read_image',
  'read_label',
  'read_mask',
  'read_pair',
  'read_pascal_list',
  'resize_image',
  'resize_mask',
  'to_devices',
  'train_batches',
  'trainable',
  'training_episode',
]

_MODULES = {
  'benchmark': ('Benchmark',),
  'catalog': ('BENCHMARKS', 'make_benchmark'),
  'episodes': ('Episode', 'class_first_episodes', 'published_episodes', 'training_episode'),
  'heldout': ('HeldOut',),
  'loading.loader': ('eval_batches', 'train_batches'),
  'loading.placement': ('Placed', 'to_devices'),
  'loading.workers': ('Batches',),
  'published.coco': ('Coco20i',),
  'published.fss': ('Fss1000',),
  'published.lists': ('read_coco_list', 'read_fss_list', 'read_pascal_list'),
  'published.pascal': ('Pascal5i',),
  'reading.arrays': ('resize_image', 'resize_mask'),
  'reading.images': ('read_image', 'read_label', 'read_pair'),
  'reading.masks': ('mask_values', 'read_mask'),
  'splits': ('Split', 'trainable'),
  'strict': ('LeftOut', 'hidden_classes'),
  'unseen': ('Unseen', 'class_key'),
}
__getattr__, __dir__ = lazy_names(
  __name__,
  {f'.{module}': names for module, names in _MODULES.items()},
)
