"""Reads PASCAL-5i, 20 classes in four folds, straight from a VOC2012 folder."""

import os
from collections.abc import Iterable
from pathlib import Path

from data_pipelines.benchmark import Benchmark
from data_pipelines.published.lists import read_pascal_list
from data_pipelines.reading import files
from data_pipelines.reading.files import AnyPath
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

IMAGES = 'JPEGImages'
LABELS = 'SegmentationClassAug'


class Pascal5i(Benchmark):
  """Reads PASCAL-5i (OSLSM's folds of PASCAL VOC 2012 with the SBD masks).

  The lists of training hold a fold's own classes, so a fold trains on the lists of the other three.

  Args:
    data_dir: a VOC2012 folder; holds JPEGImages/*.jpg and SegmentationClassAug/*.png. Like
      splits_dir, it may begin with `~`.
    splits_dir: holds pascal/{trn,val}/fold{0,1,2,3}.txt.

  Raises:
    InputError: a folder is missing.
  """

  name = 'pascal'
  num_classes = 20
  num_folds = 4
  class_names = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle',
    'bus', 'car', 'cat', 'chair', 'cow',
    'diningtable', 'dog', 'horse', 'motorbike', 'person',
    'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
  )  # fmt: skip

  def __init__(self, data_dir: AnyPath | None, splits_dir: AnyPath):
    """Checks that the folders are there; without `data_dir` there are lists alone."""
    self._data = None if data_dir is None else Path(os.path.expanduser(data_dir))
    for folder in () if self._data is None else (self._data / IMAGES, self._data / LABELS):
      if not folder.is_dir():
        raise InputError(
          f'{folder}: no such folder; `data_dir` must name the folder that holds {IMAGES} and'
          f' {LABELS}'
        )
    self._lists = files.lists_folder(splits_dir, self.name)

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; raises InputError where a list is missing, damaged or misplaced."""
    self.check_split(fold, name)
    folds = [fold] if name == 'val' else [f for f in range(self.num_folds) if f != fold]
    items = [item for f in folds for item in self._read_list(name, f)]
    return Split(f'{self.name} fold {fold} {name}', tuple(items), self.class_names)

  def encoded(self, image_name: str) -> tuple[Path, Path]:
    """See `Benchmark.encoded`: the photograph and its label, a PNG with a palette."""
    if self._data is None:
      raise files.lists_alone(self.name)
    return self._data / IMAGES / f'{image_name}.jpg', self._data / LABELS / f'{image_name}.png'

  def check_images(self, image_names: Iterable[str]) -> None:
    """See `Benchmark.check_images`."""
    files.check_listed(self.encoded(name) for name in image_names)

  def _read_list(self, name: str, fold: int) -> tuple[tuple[str, int], ...]:
    path = self._lists / name / f'fold{fold}.txt'
    items = read_pascal_list(path, num_classes=self.num_classes)
    classes = self.test_classes(fold)
    for image_name, class_id in items:
      # A list in the wrong place would put classes of the test into the training.
      if class_id not in classes:
        raise InputError(
          f'{path}: {image_name}__{class_id + 1:02d} is not of this fold, whose classes are'
          f' {classes[0] + 1} to {classes[-1] + 1}; put the published list back'
        )
    return items
