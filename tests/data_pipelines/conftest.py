"""A small PASCAL folder made on the spot, and a benchmark that lives in memory."""

import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines.benchmark import Benchmark
from data_pipelines.splits import Split

PALETTE = [0, 0, 0] + [(37 * i) % 256 for i in range(3 * 255)]


def save_label(path, label):
  image = Image.fromarray(label, 'L').copy()
  image.putpalette(PALETTE)
  image.save(path)


def blob(rng, height, width, value):
  """A label with one rectangle of `value` inside a 255 outline."""
  label = np.zeros((height, width), np.uint8)
  top, left = rng.integers(2, height // 2), rng.integers(2, width // 2)
  label[top - 1 : top + height // 3 + 1, left - 1 : left + width // 3 + 1] = 255
  label[top : top + height // 3, left : left + width // 3] = value
  return label


@pytest.fixture(scope='session')
def made_voc(tmp_path_factory):
  """The folder that holds what `voc` copies."""
  rng, made = np.random.default_rng(0), tmp_path_factory.mktemp('made')
  data, lists = made / 'VOC2012', made / 'splits'
  for folder in (data / 'JPEGImages', data / 'SegmentationClassAug'):
    folder.mkdir(parents=True)
  for split in ('trn', 'val'):
    (lists / 'pascal' / split).mkdir(parents=True)
    for fold in range(4):
      lines = []
      for number in range(5 * fold + 1, 5 * fold + 6):
        for i in range(3):
          name = f'2007_{split}_{number:02d}{i}'
          height, width = int(rng.integers(30, 60)), int(rng.integers(30, 60))
          pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
          Image.fromarray(pixels).save(data / 'JPEGImages' / f'{name}.jpg')
          label = blob(rng, height, width, number)
          save_label(data / 'SegmentationClassAug' / f'{name}.png', label)
          lines.append(f'{name}__{number:02d}')
      (lists / 'pascal' / split / f'fold{fold}.txt').write_text('\n'.join(lines) + '\n')
  return made


@pytest.fixture
def voc(made_voc, tmp_path):
  """(data_dir, splits_dir) of a PASCAL-5i with three images a class, of several sizes."""
  shutil.copytree(made_voc, tmp_path, dirs_exist_ok=True)
  return tmp_path / 'VOC2012', tmp_path / 'splits'


class Toy(Benchmark):
  """Two folds of two classes; an image's pixels all hold its number."""

  name = 'toy'
  num_classes = 4
  num_folds = 2
  class_names = ('ant', 'bee', 'cow', 'doe')

  def __init__(self, images_per_class=5):
    self._count = images_per_class

  def split(self, fold, name):
    self.check_split(fold, name)
    held = self.test_classes(fold)
    classes = held if name == 'val' else [c for c in range(4) if c not in held]
    items = tuple((f'{10 * c + i}', c) for c in classes for i in range(self._count))
    return Split(f'toy fold {fold} {name}', items, self.class_names)

  def load(self, image_name):
    number = int(image_name)
    label = np.zeros((6, 8), np.uint8)
    label[2:4, 2:5] = number // 10 + 1
    label[4, 2:5] = 255
    return np.full((6, 8, 3), number, np.uint8), label


@pytest.fixture
def toy():
  return Toy()


@pytest.fixture(scope='session')
def toy_class():
  return Toy
