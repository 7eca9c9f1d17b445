"""The same benchmark, read from a prepared set."""

import json
import pickle
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data_pipelines import HeldOut, eval_batches, make_benchmark, train_batches
from data_pipelines.prepared.builders import builder_class
from data_pipelines.prepared.checks import all_lists
from data_pipelines.prepared.reader import Prepared
from data_pipelines.prepared.record import list_key
from data_pipelines.shapes.benchmark import Shapes
from tests import trees
from tests.facts import refused, warned


def prepare(benchmark, folder, *, skipped=(), **options):
  lists = all_lists(benchmark)
  builder = builder_class(benchmark.name)(
    benchmark,
    data_dir=folder,
    names=[name for name in benchmark.image_names() if name not in skipped],
    record={
      'benchmark': benchmark.name,
      'skipped': {name: 'damaged' for name in skipped},
      'lists': {list_key(*key): split.digest for key, split in lists.items()},
      'description': benchmark.description(),
    },
    **options,
  )
  builder.write()
  return builder.folder


@pytest.fixture(scope='session')
def made(tmp_path_factory):
  """(data_dir, splits_dir, prepared_dir) of a PASCAL-5i in three shards."""
  root = tmp_path_factory.mktemp('prepared')
  data, lists = trees.save_pascal(root)
  benchmark = make_benchmark('pascal', data_dir=data, splits_dir=lists)
  folder = prepare(benchmark, root / 'prepared', records_per_shard=32)
  assert len(list(folder.glob('*.array_record-*'))) == 3
  return data, lists, root / 'prepared'


@pytest.fixture
def copied(made, tmp_path):
  """The same, to be changed: (splits_dir, prepared_dir, the set's own folder)."""
  shutil.copytree(made[1], tmp_path / 'splits')
  shutil.copytree(made[2], tmp_path / 'prepared')
  return tmp_path / 'splits', tmp_path / 'prepared', tmp_path / 'prepared' / 'pascal5i' / '1.0.0'


def opened(splits, folder):
  return make_benchmark('pascal', splits_dir=splits, prepared_dir=folder)


def assert_same_images(a, b):
  assert a.image_names() == b.image_names()
  for name in a.image_names():
    for x, y in zip(a.load(name), b.load(name), strict=True):
      np.testing.assert_array_equal(x, y, strict=True)


@pytest.mark.parametrize('name', ['pascal', 'coco', 'fss'])
def test_a_set_takes_the_place_of_the_folder(name, tmp_path):
  data, lists = getattr(trees, f'save_{name}')(tmp_path)
  benchmark = make_benchmark(name, data_dir=data, splits_dir=lists)
  prepare(benchmark, tmp_path / 'prepared')
  shutil.rmtree(data)
  prepared = make_benchmark(name, splits_dir=lists, prepared_dir=tmp_path / 'prepared')
  getattr(trees, f'save_{name}')(tmp_path / 'again')
  again = make_benchmark(name, data_dir=tmp_path / 'again' / data.name, splits_dir=lists)
  assert prepared.prepared_size is None and len(prepared) == len(again.image_names())
  assert_same_images(prepared, again)
  for attribute in ('name', 'num_classes', 'num_folds', 'splits', 'boundary', 'class_names'):
    assert getattr(prepared, attribute) == getattr(again, attribute)
  for fold in range(again.num_folds):
    assert all(prepared.split(fold, s) == again.split(fold, s) for s in again.splits)
    assert prepared.test_classes(fold) == again.test_classes(fold)
  assert prepared.test_episodes(0, shots=5) == again.test_episodes(0, shots=5)


def test_a_folder_of_ones_own_brings_its_lists(tmp_path):
  benchmark = make_benchmark('folder', data_dir=trees.save_classes(tmp_path))
  prepare(benchmark, tmp_path / 'prepared')
  prepared = make_benchmark('folder', prepared_dir=tmp_path / 'prepared')
  assert_same_images(prepared, benchmark)
  assert prepared.test_episodes(1) == benchmark.test_episodes(1)


def test_drawn_pictures(tmp_path):
  benchmark = Shapes(size=32, train_images=1, test_images=1)
  prepare(benchmark, tmp_path)
  assert_same_images(Prepared(benchmark, tmp_path), benchmark)


def test_pixels_at_a_size_give_the_same_batches(tmp_path):
  data, lists = trees.save_pascal(tmp_path)
  benchmark = make_benchmark('pascal', data_dir=data, splits_dir=lists)
  prepare(benchmark, tmp_path / 'prepared', image_size=(24, 24))
  prepared = opened(lists, tmp_path / 'prepared')
  assert prepared.prepared_size == (24, 24)
  for batches in (train_batches, eval_batches):
    options = {'fold': 2, 'image_size': 24, 'batch_size': 4, 'num_threads': 0}
    options |= {'epochs': 1} if batches is train_batches else {'count': 12}
    pairs = zip(batches(benchmark, **options), batches(prepared, **options), strict=True)
    for a, b in pairs:
      for key in a:
        np.testing.assert_array_equal(a[key], b[key], strict=True)
  # Encoded again for another set: the pixels stay.
  name = prepared.image_names()[0]
  for a, b in zip(prepared.decode(name, *prepared.encoded(name)), prepared.load(name), strict=True):
    np.testing.assert_array_equal(a, b)


def test_labels_of_pixels_are_decoded_as_labels(tmp_path):
  """Whatever the benchmark's own masks are: those of FSS-1000 are gray and hold no class."""
  data, lists = trees.save_fss(tmp_path)
  benchmark = make_benchmark('fss', data_dir=data, splits_dir=lists)
  prepare(benchmark, tmp_path / 'prepared', image_size=(8, 8))
  prepared = make_benchmark('fss', splits_dir=lists, prepared_dir=tmp_path / 'prepared')
  image, label = prepared.decode('yurt/3.jpg', *prepared.encoded('yurt/3.jpg'))
  for decoded, loaded in zip((image, label), prepared.load('yurt/3.jpg'), strict=True):
    np.testing.assert_array_equal(decoded, loaded, strict=True)
  assert label.max() == 761


def test_pixels_at_a_size_are_given_at_no_other(tmp_path):
  benchmark = Shapes(size=32, train_images=1, test_images=1)
  prepare(benchmark, tmp_path, image_size=(16, 16))
  prepared = Prepared(benchmark, tmp_path)
  prepared.check_size(16)
  prepared.check_size((16, 16))
  with refused('16 x 16', '24 x 24', '`image_size`=16'):
    prepared.check_size(24)
  with refused('16 x 16', '`original_size`') as e:
    prepared.check_size(None)
  assert '`image_size`' not in str(e.value)
  for batches in (train_batches, eval_batches):
    with refused('16 x 16', '24 x 24'):
      batches(HeldOut(prepared), fold=0, image_size=24)
  with refused('16 x 16', '`original_size`'):
    eval_batches(prepared, fold=0, image_size=16, original_size=True)


def test_files_as_they_came_are_given_at_any_size(made):
  for size in (None, 24, (24, 32)):
    opened(*made[1:]).check_size(size)


def test_copies_and_threads_read_the_same(made):
  prepared = opened(*made[1:])
  names = prepared.image_names()
  copy = pickle.loads(pickle.dumps(prepared))
  with ThreadPoolExecutor(8) as pool:
    for benchmark in (prepared, copy):
      for name, (image, _) in zip(3 * names, pool.map(benchmark.load, 3 * names), strict=True):
        np.testing.assert_array_equal(image, prepared.load(name)[0])


def test_classes_held_out_of_a_set(made):
  data, lists, folder = made
  folds = [
    HeldOut(make_benchmark('pascal', splits_dir=lists, **source))
    for source in ({'data_dir': data}, {'prepared_dir': folder})
  ]
  assert folds[0].test_episodes(1) == folds[1].test_episodes(1)
  assert_same_images(*folds)


def test_images_left_out_as_bad_leave_the_lists(tmp_path):
  data, lists = trees.save_pascal(tmp_path, images=3)
  benchmark = make_benchmark('pascal', data_dir=data, splits_dir=lists)
  bad = ['2007_val_112', '2007_trn_010']
  prepare(benchmark, tmp_path / 'prepared', skipped=bad)
  with warned('2 listed images', '2007_val_112') as told:
    prepared = opened(lists, tmp_path / 'prepared')
  assert len(told) == 1 and set(prepared.skipped) == set(bad)
  assert prepared.split(2, 'val').class_size(10) == 2
  left = [name for name, _ in prepared.split(2, 'val').items]
  assert left == [name for name, _ in benchmark.split(2, 'val').items if name not in bad]
  names = {n for e in prepared.test_episodes(2, count=200) for n in (e.query, *e.supports)}
  assert names == set(left)
  assert prepared.image_names() == tuple(n for n in benchmark.image_names() if n not in bad)
  with refused('2007_val_112'):
    prepared.load('2007_val_112')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    pickle.loads(pickle.dumps(prepared))


def test_a_list_that_loses_every_image(tmp_path):
  data, lists = trees.save_pascal(tmp_path, images=1)
  benchmark = make_benchmark('pascal', data_dir=data, splits_dir=lists)
  prepare(benchmark, tmp_path / 'prepared', skipped=[f'2007_val_{n:02d}0' for n in range(1, 6)])
  with warned('5 listed images'):
    prepared = opened(lists, tmp_path / 'prepared')
  with refused('pascal fold 0 val'):
    prepared.split(0, 'val')


def test_other_lists_are_refused(copied):
  splits, folder, _ = copied
  path = splits / 'pascal' / 'val' / 'fold1.txt'
  lines = path.read_text().splitlines()
  path.write_text('\n'.join(reversed(lines)))
  with refused('pascal fold 1 val', '`splits_dir`'):
    opened(splits, folder).split(1, 'val')
  path.write_text('\n'.join([*lines, '2011_000001__06']))
  with refused('2011_000001', '`splits_dir`'):
    opened(splits, folder).split(1, 'val')
  assert opened(splits, folder).split(0, 'val').items


def test_an_image_that_is_in_no_list(made):
  with refused('2011_000001'):
    opened(*made[1:]).check_images(['2011_000001'])


def test_a_set_that_is_not_there(made, tmp_path):
  with refused('experiments.prepare', '`benchmark`=pascal', f'`prepared_dir`={tmp_path}'):
    opened(made[1], tmp_path)
  with refused('fss', 'pascal5i', 'experiments.prepare'):
    make_benchmark('fss', splits_dir=trees.save_fss(tmp_path)[1], prepared_dir=made[2])


def test_a_set_of_another_version(copied):
  splits, folder, own = copied
  own.rename(own.with_name('0.9.0'))
  with refused('0.9.0', '1.0.0'):
    opened(splits, folder)


def test_a_set_of_another_benchmark(copied):
  splits, folder, own = copied
  record = json.loads((own / 'metadata.json').read_text())
  (own / 'metadata.json').write_text(json.dumps({**record, 'benchmark': 'coco'}))
  with refused('coco', 'pascal'):
    opened(splits, folder)


def test_a_set_that_was_not_finished(copied):
  splits, folder, own = copied
  own.rename(own.with_name('1.0.0.unfinished'))
  (own.parent / 'incomplete.ABCDEF_1.0.0').mkdir()
  (own.parent / 'incomplete.ABCDEF_1.0.0' / 'dataset_info.json').touch()
  with refused(own, 'experiments.prepare'):
    opened(splits, folder)


@pytest.mark.parametrize('file', ['dataset_info.json', 'features.json', 'metadata.json'])
def test_a_file_that_a_copy_lost_is_named(copied, file):
  splits, folder, own = copied
  (own / file).write_text((own / file).read_text()[:-9])
  with refused(own, file):
    opened(splits, folder)
  (own / file).unlink()
  with refused(own, file):
    opened(splits, folder)


@pytest.mark.parametrize('content', ['[]', '"text"', '{}', '{"benchmark": "pascal", "names": 1}'])
def test_a_record_of_another_kind_is_named(copied, content):
  splits, folder, own = copied
  (own / 'metadata.json').write_text(content)
  with refused(own, 'metadata.json'):
    opened(splits, folder)


@pytest.mark.parametrize('file', ['dataset_info.json', 'features.json'])
def test_a_description_of_another_kind_is_named(copied, file):
  splits, folder, own = copied
  for content in ('[]', '{}', '{"splits": 1}'):
    (own / file).write_text(content)
    with refused(own, file):
      opened(splits, folder)


def test_a_worker_is_sent_each_name_once(made):
  prepared = opened(*made[1:])
  name = prepared.image_names()[0]
  assert any(item[0] == name for item in prepared.split(0, 'trn').items)
  assert pickle.dumps(prepared).count(name.encode()) == 1


def test_masks_that_were_drawn_are_known_of(tmp_path):
  benchmark = Shapes(size=32, train_images=1, test_images=1)
  folder = prepare(benchmark, tmp_path)
  assert Prepared(benchmark, tmp_path).drawn_masks == ()
  record = json.loads((folder / 'metadata.json').read_text())
  (folder / 'metadata.json').write_text(json.dumps({**record, 'drawn_masks': ['val2014']}))
  assert Prepared(benchmark, tmp_path).drawn_masks == ('val2014',)


def test_records_that_a_copy_lost(copied):
  splits, folder, own = copied
  shards = sorted(own.glob('*.array_record-*'))
  with open(shards[1], 'r+b') as file:
    file.truncate(shards[1].stat().st_size - 1)
  with refused(own, 'array_record'):
    opened(splits, folder)
  shards[1].unlink()
  with refused(own, 'array_record'):
    opened(splits, folder)


def test_records_that_are_damaged(copied):
  splits, folder, own = copied
  shard = sorted(own.glob('*.array_record-*'))[0]
  shard.write_bytes(bytes(shard.stat().st_size))
  prepared = opened(splits, folder)
  with refused(own, prepared.image_names()[0]):
    prepared.load(prepared.image_names()[0])


def test_records_of_other_images(copied):
  splits, folder, own = copied
  record = json.loads((own / 'metadata.json').read_text())
  names = record['names']
  record['names'] = [names[1], names[0], *names[2:]]
  (own / 'metadata.json').write_text(json.dumps(record))
  with refused('record 1', names[0], names[1]):
    opened(splits, folder).load(names[0])


def test_one_source_of_images(made):
  data, lists, folder = made
  with refused('`data_dir`', '`prepared_dir`'):
    make_benchmark('pascal', data_dir=data, splits_dir=lists, prepared_dir=folder)
