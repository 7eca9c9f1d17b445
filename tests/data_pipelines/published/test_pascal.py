import shutil

import numpy as np
import pytest

from data_pipelines import Pascal5i, make_benchmark
from data_pipelines.reading.images import read_image, read_label
from tests.facts import refused


def test_training_is_on_the_other_folds_classes(voc):
  benchmark = Pascal5i(*voc)
  for fold in range(4):
    held = set(range(5 * fold, 5 * fold + 5))
    assert set(benchmark.test_classes(fold)) == held
    assert set(benchmark.split(fold, 'val').by_class) == held
    assert set(benchmark.split(fold, 'trn').by_class) == set(range(20)) - held


def test_lists_keep_their_order_fold_by_fold(voc):
  data, lists = voc
  expected = [
    (line[:-4], int(line[-2:]) - 1)
    for fold in (0, 1, 3)
    for line in (lists / 'pascal' / 'trn' / f'fold{fold}.txt').read_text().split()
  ]
  assert list(Pascal5i(data, lists).split(2, 'trn').items) == expected


def test_loads_an_image_and_its_label(voc):
  image, label = Pascal5i(*voc).load('2007_val_131')
  data = voc[0]
  np.testing.assert_array_equal(image, read_image(data / 'JPEGImages' / '2007_val_131.jpg'))
  path = data / 'SegmentationClassAug' / '2007_val_131.png'
  np.testing.assert_array_equal(label, read_label(path))
  assert set(np.unique(label)) == {0, 13, 255}


def test_folders_may_be_under_the_users_home(voc, monkeypatch):
  monkeypatch.setenv('HOME', str(voc[0].parent))
  benchmark = Pascal5i('~/VOC2012', '~/splits')
  image = benchmark.load(benchmark.split(0, 'val').items[0][0])[0]
  assert image.ndim == 3


def test_a_missing_folder_is_named(voc):
  data, lists = voc
  with refused('nowhere/JPEGImages', '`data_dir`'):
    Pascal5i(data / 'nowhere', lists)
  with refused('nowhere/pascal', '`splits_dir`'):
    Pascal5i(data, lists / 'nowhere')
  shutil.rmtree(data / 'SegmentationClassAug')
  with refused('SegmentationClassAug', '`data_dir`'):
    Pascal5i(data, lists)


def test_a_missing_list_is_named(voc):
  data, lists = voc
  (lists / 'pascal' / 'val' / 'fold1.txt').unlink()
  with refused('fold1.txt', 'No such file'):
    Pascal5i(data, lists).split(1, 'val')


def test_a_list_of_another_fold_is_refused(voc):
  data, lists = voc
  folder = lists / 'pascal' / 'trn'
  shutil.copy(folder / 'fold2.txt', folder / 'fold0.txt')
  with refused('fold0.txt', '1 to 5'):
    Pascal5i(data, lists).split(1, 'trn')


@pytest.mark.parametrize('fold', [-1, 4])
def test_fold_out_of_range(voc, fold):
  benchmark = Pascal5i(*voc)
  for call in (benchmark.test_classes, lambda f: benchmark.split(f, 'val')):
    with refused(fold, '0 to 3'):
      call(fold)
  with refused("'test'", 'trn and val'):
    benchmark.split(0, 'test')


def test_missing_files_are_found_before_they_are_read(voc):
  benchmark = Pascal5i(*voc)
  names = [name for name, _ in benchmark.split(0, 'val').items]
  benchmark.check_images(names)
  (voc[0] / 'SegmentationClassAug' / f'{names[3]}.png').unlink()
  with refused(f'{names[3]}.png'):
    benchmark.check_images(names)
  for name in names[1:3]:
    (voc[0] / 'JPEGImages' / f'{name}.jpg').unlink()
  with refused(f'{names[1]}.jpg', '1 more'):
    benchmark.check_images(names)


def test_factory(voc):
  data, lists = voc
  assert make_benchmark('pascal', data_dir=data, splits_dir=lists).name == 'pascal'
  with refused('pascal', '`data_dir`'):
    make_benchmark('pascal')
  with refused('pascal/', '`splits_dir`'):
    make_benchmark('pascal', data_dir=data)
  with refused("'imagenet'", 'pascal, shapes'):
    make_benchmark('imagenet')
  with refused('shapes', '`data_dir`'):
    make_benchmark('shapes', data_dir=data)


def test_real_photographs_and_narrowed_lists(shared):
  benchmark = make_benchmark(
    'pascal', data_dir=shared / 'data' / 'VOC2012', splits_dir=shared / 'data' / 'splits'
  )
  training = benchmark.split(2, 'trn')
  assert len(training.items) == 611 and training.class_size(18) == 1
  assert {c: benchmark.split(2, 'val').class_size(c) for c in range(10, 15)} == {
    10: 4, 11: 125, 12: 76, 13: 3, 14: 77,
  }  # fmt: skip
  benchmark.check_images(name for name, _ in training.items)
  with refused("'bus'", 'class_id 5', '1 image'):
    benchmark.test_episodes(1)
  assert 18 not in benchmark.split(3, 'val').by_class
  for name, class_id in benchmark.split(2, 'val').items[:5]:
    image, label = benchmark.load(name)
    assert image.shape[:2] == label.shape and np.any(label == class_id + 1)
