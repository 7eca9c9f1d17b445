"""COCO-20i in its real layout, made small: JPEG photographs, pickled lists, PNG or JSON masks."""

import contextlib
import itertools
import json
import pathlib
import pickle
import warnings
from concurrent import futures

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coder

from data_pipelines import (
  Coco20i,
  HeldOut,
  make_benchmark,
  read_label,
  train_batches,
  trainable,
  training_episode,
)
from tests.facts import refused, warned

HEIGHT, WIDTH = 24, 32
IDS = {0: 1, 1: 2, 11: 13, 79: 90}  # class_id: COCO's own number, at both ends and past a gap


def image_name(subset, number):
  return f'{subset}/COCO_{subset}_{number:012d}.jpg'


def save_list(path, lists):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(pickle.dumps({c: lists.get(c, []) for c in range(80)}, protocol=3))


def numbers(class_id):
  return [3 * class_id + i for i in (2, 0, 1)]


@pytest.fixture(scope='session')
def made_coco(tmp_path_factory):
  """(data_dir, splits_dir): three images a class in each subset, masks as published."""
  made = tmp_path_factory.mktemp('coco')
  data, lists = made / 'COCO2014', made / 'splits'
  rng = np.random.default_rng(0)
  for subset in ('train2014', 'val2014'):
    (data / subset).mkdir(parents=True)
    (data / 'annotations' / subset).mkdir(parents=True)
    for class_id in range(80):
      for number in numbers(class_id):
        name = image_name(subset, number)
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(data / name)
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        label[4:12, 6:20] = class_id + 1
        Image.fromarray(label).save((data / 'annotations' / name).with_suffix('.png'))
  for fold in range(4):
    for split, subset in (('trn', 'train2014'), ('val', 'val2014')):
      classes = [c for c in range(80) if (c % 4 == fold) == (split == 'val')]
      names = {c: [image_name(subset, n) for n in numbers(c)] for c in classes}
      save_list(lists / 'coco' / split / f'fold{fold}.pkl', names)
  return data, lists


def instances(*annotations, names=('COCO_val2014_000000000001.jpg',)):
  """An `instances_*.json`: annotations are (category, segmentation, crowd) of the first image."""
  return {
    'images': [
      {'id': 10 + i, 'file_name': name, 'height': HEIGHT, 'width': WIDTH}
      for i, name in enumerate(names)
    ],
    'annotations': [
      {'id': i, 'image_id': 10, 'category_id': c, 'segmentation': s, 'iscrowd': int(crowd)}
      for i, (c, s, crowd) in enumerate(annotations)
    ],
    'categories': [{'id': i, 'name': f'{c}'} for c, i in IDS.items()],
  }


def box(top, left, bottom, right):
  return [[left, top, right, top, right, bottom, left, bottom]]


def run_lengths(mask):
  """COCO's uncompressed form: columns first, beginning with the background."""
  flat = mask.ravel(order='F').astype(int)
  starts = np.flatnonzero(np.diff(flat)) + 1
  counts = np.diff([0, *starts, flat.size]).tolist()
  return {'size': list(mask.shape), 'counts': [0, *counts] if flat[0] else counts}


@pytest.fixture
def drawn(tmp_path, made_coco):
  """Makes a benchmark whose masks of val2014 are drawn from what is given."""

  def make(content):
    (tmp_path / 'annotations').mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / 'annotations' / 'instances_val2014.json').write_text(text)
    with warned('annotations', 'val2014'):
      return Coco20i(tmp_path, made_coco[1])

  return make


def label_of(benchmark):
  return read_label(benchmark.encoded(image_name('val2014', 1))[1])


def test_folds_take_every_fourth_class(made_coco):
  benchmark = Coco20i(*made_coco)
  for fold in range(4):
    held = set(range(fold, 80, 4))
    assert set(benchmark.test_classes(fold)) == held
    assert set(benchmark.split(fold, 'val').by_class) == held
    assert set(benchmark.split(fold, 'trn').by_class) == set(range(80)) - held
  assert benchmark.split(3, 'val').by_class[7] == tuple(
    image_name('val2014', n) for n in numbers(7)
  )
  assert len(benchmark.class_names) == len(set(benchmark.class_names)) == 80
  assert [benchmark.class_names[c] for c in (0, 72, 79)] == ['person', 'refrigerator', 'toothbrush']


def test_loads_a_photograph_and_its_published_mask(made_coco):
  benchmark = Coco20i(*made_coco)
  name = image_name('val2014', numbers(42)[0])
  image, label = benchmark.load(name)
  np.testing.assert_array_equal(image, np.asarray(Image.open(made_coco[0] / name)))
  assert np.all(label[4:12, 6:20] == 43) and np.count_nonzero(label) == 8 * 14
  benchmark.check_images(benchmark.image_names())


def test_lists_alone_give_episodes_but_no_image(made_coco):
  benchmark = make_benchmark('coco', splits_dir=made_coco[1], lists_only=True)
  episodes = benchmark.test_episodes(1, shots=2)
  assert len(episodes) == 1000
  assert {e.class_id for e in episodes} == set(range(1, 80, 4))
  for call in (benchmark.load, lambda name: benchmark.check_images([name])):
    with refused('coco', '`data_dir`'):
      call(episodes[0].query)


def test_a_class_of_the_fold_without_images_is_named(made_coco, tmp_path):
  lists = {c: [image_name('val2014', n) for n in numbers(c)] for c in range(0, 80, 4) if c != 8}
  save_list(tmp_path / 'coco' / 'val' / 'fold0.pkl', lists)
  with refused('coco fold 0 val', "'boat'", 'class_id 8', '0 images'):
    Coco20i(None, tmp_path).test_episodes(0)


def test_a_list_of_another_fold_is_refused(made_coco, tmp_path):
  lists = made_coco[1] / 'coco'
  for split in ('trn', 'val'):
    (tmp_path / 'coco' / split).mkdir(parents=True)
    (tmp_path / 'coco' / split / 'fold1.pkl').symlink_to(lists / split / 'fold0.pkl')
    with refused('fold1.pkl', 'fold 1'):
      Coco20i(None, tmp_path).split(1, split)


def test_training_draws_each_class_equally_often(tmp_path):
  common = [image_name('train2014', i) for i in range(30)]
  rare = [*common[:1], image_name('train2014', 99)]  # one image shows both classes
  save_list(tmp_path / 'coco' / 'trn' / 'fold0.pkl', {1: common, 2: rare, 3: rare[:1]})
  benchmark = Coco20i(None, tmp_path)
  whole = benchmark.split(0, 'trn')
  with warned("'motorcycle'", 'class_id 3', '1 image'):
    split = trainable(whole)
  assert len(split.items) == 32 and split.epoch_size == 31
  drawn = [training_episode(split, i % 31, np.random.default_rng(i)) for i in range(1000)]
  assert all(e.query in split.by_class[e.class_id] and e.query not in e.supports for e in drawn)
  assert {e.query for e in drawn} == {*common, *rare}
  # Five standard deviations about a half.
  assert abs(sum(e.class_id == 2 for e in drawn) - 500) < 5 * np.sqrt(250)


def test_an_epoch_has_as_many_episodes_as_there_are_images(made_coco):
  benchmark = Coco20i(*made_coco)
  with contextlib.closing(
    iter(train_batches(benchmark, fold=0, batch_size=60, epochs=1, image_size=8, num_threads=0))
  ) as batches:
    found = list(batches)
  index = np.concatenate([b['index'][b['valid']] for b in found])
  assert sorted(index) == list(range(180))
  assert not set(np.concatenate([b['class_id'] for b in found])) & set(range(0, 80, 4))
  assert all(b['query_mask'].any(axis=(1, 2)).all() for b in found)
  assert not any(b['query_ignore'].any() for b in found)


@pytest.mark.parametrize('class_id', IDS)
def test_masks_drawn_from_json_count_classes_from_one(drawn, class_id):
  benchmark = drawn(instances((IDS[class_id], box(4, 6, 12, 20), False)))
  expected = np.zeros((HEIGHT, WIDTH), np.uint8)
  expected[4:12, 6:20] = class_id + 1
  np.testing.assert_array_equal(label_of(benchmark), expected)


def test_smaller_objects_lie_over_larger_ones_and_crowds_under_all(drawn):
  crowd = np.zeros((HEIGHT, WIDTH), bool)
  crowd[0:3, 0:3] = crowd[10:12, 8:30] = True
  for order in itertools.permutations(
    [
      (13, box(8, 10, 10, 14), False),
      (90, box(4, 6, 16, 20), False),
      (1, run_lengths(crowd), True),
    ]
  ):
    label = label_of(drawn(instances(*order)))
    expected = crowd.astype(np.uint8)
    expected[4:16, 6:20] = 80
    expected[8:10, 10:14] = 12
    np.testing.assert_array_equal(label, expected)


def test_an_object_may_have_several_parts_and_each_kind_of_run_lengths(drawn):
  mask = np.zeros((HEIGHT, WIDTH), np.uint8)
  mask[3:9, 5:7] = mask[0, 0] = 1
  packed = coder.encode(np.asfortranarray(mask))
  packed = {'size': packed['size'], 'counts': packed['counts'].decode()}
  parts = [*box(3, 5, 9, 7), *box(0, 0, 1, 1)]
  for segmentation in (parts, run_lengths(mask), packed):
    label = label_of(drawn(instances((2, segmentation, False))))
    np.testing.assert_array_equal(label, 2 * mask)


def test_drawn_masks_take_the_place_of_files(drawn, made_coco, tmp_path):
  content = instances((2, box(4, 6, 12, 20), False), names=[
    image_name('val2014', n).split('/')[1] for n in (3, 4)
  ])  # fmt: skip
  benchmark = drawn(content)
  (tmp_path / 'val2014').symlink_to(made_coco[0] / 'val2014')
  (tmp_path / 'train2014').symlink_to(made_coco[0] / 'train2014')
  (tmp_path / 'annotations' / 'train2014').symlink_to(made_coco[0] / 'annotations' / 'train2014')
  for copy in (benchmark, pickle.loads(pickle.dumps(benchmark))):
    for known, from_file in zip(
      copy.load(image_name('val2014', 3)),
      Coco20i(*made_coco).load(image_name('val2014', 3)),
      strict=True,
    ):
      np.testing.assert_array_equal(known, from_file)
    # Nothing is annotated in the second image.
    assert not copy.load(image_name('val2014', 4))[1].any()
  benchmark.check_images([image_name('val2014', 3), image_name('train2014', 3)])
  with refused('instances_val2014.json', 'COCO_val2014_000000000005.jpg'):
    benchmark.check_images([image_name('val2014', n) for n in (3, 5)])


def counted_reads(monkeypatch):
  """The files that are read whole from here on."""
  reads, read = [], pathlib.Path.read_bytes
  monkeypatch.setattr(pathlib.Path, 'read_bytes', lambda path: reads.append(path) or read(path))
  return reads


def test_the_json_is_read_once_whatever_the_threads(drawn, monkeypatch):
  reads = counted_reads(monkeypatch)
  benchmark = drawn(instances((1, box(4, 6, 12, 20), False)))
  assert not reads
  with futures.ThreadPoolExecutor(4) as pool:
    labels = list(pool.map(lambda _: label_of(benchmark), range(16)))
  assert len(reads) == 1 and all(np.array_equal(label, labels[0]) for label in labels)


def test_drawn_masks_are_said(made_coco, tmp_path):
  data, lists = made_coco
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    for published in (Coco20i(data, lists), Coco20i(None, lists)):
      assert published.drawn_masks == ()
  (tmp_path / 'annotations').mkdir()
  for subset in ('train2014', 'val2014'):
    (tmp_path / 'annotations' / f'instances_{subset}.json').write_text('{}')
  with warned('train2014 and val2014') as caught:
    benchmark = Coco20i(tmp_path, lists)
  assert len(caught) == 1
  assert benchmark.drawn_masks == HeldOut(benchmark).drawn_masks == ('train2014', 'val2014')
  # A half that is as published is drawn no more, and the other one is still named.
  (tmp_path / 'annotations' / 'val2014').symlink_to(data / 'annotations' / 'val2014')
  with warned('train2014'):
    assert Coco20i(tmp_path, lists).drawn_masks == ('train2014',)


def test_a_damaged_json_is_read_once(drawn, monkeypatch):
  reads = counted_reads(monkeypatch)
  benchmark = drawn('{"images": [')
  for _ in range(3):
    with refused('instances_val2014.json', 'damaged'):
      label_of(benchmark)
  assert len(reads) == 1


@pytest.mark.parametrize(
  'content, facts',
  [
    ('{"images": ' + 10**5 * '[', ['damaged']),
    ('{"images": [', ['damaged']),
    ('[]', ['COCO']),
    ('{"images": []}', ['COCO', "KeyError: 'annotations'"]),
    (instances((12, box(1, 1, 5, 5), False)), ['annotation 0', 'category 12']),
    (instances(names=['a.jpg', 'a.jpg']), ['two images']),
    (instances((1, [[[0, 0, 9], [5, 5, 9]] * 3], False)), ['0001.jpg', 'pairs']),
    (instances((1, [[1, 2, 3, 4]], False)), ['0001.jpg', '3 points']),
    (instances((1, [[1, 2, 3, 4, 5, float('nan')]], False)), ['0001.jpg', '32 x 24']),
    (instances((1, {'size': [3, 4], 'counts': [12]}, True)), ['0001.jpg', '[3, 4]']),
    (instances((1, {'size': [HEIGHT, WIDTH], 'counts': [9]}, True)), ['0001.jpg', 'run lengths']),
    (instances((1, {'size': [HEIGHT, WIDTH]}, True)), ['0001.jpg', 'damaged']),
    (instances((1, 'outline', False)), ['0001.jpg', 'damaged']),
  ],
)
def test_a_damaged_json_is_named(drawn, content, facts):
  with refused('instances_val2014.json', *facts):
    label_of(drawn(content))


def test_missing_folders_and_files_are_named(made_coco, tmp_path):
  data, lists = made_coco
  with refused('annotations', '`data_dir`'):
    Coco20i(tmp_path, lists)
  with refused('coco', '`splits_dir`'):
    Coco20i(data, tmp_path)
  (tmp_path / 'annotations').mkdir()
  name = image_name('val2014', 3)
  benchmark = Coco20i(tmp_path, lists)
  with refused(name):
    benchmark.check_images([name])
  (tmp_path / 'val2014').symlink_to(data / 'val2014')
  with refused('annotations/val2014/', '03.png', '1 more'):
    benchmark.check_images([name, image_name('val2014', 4)])
