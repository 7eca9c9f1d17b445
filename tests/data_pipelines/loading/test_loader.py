import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines import Batches, Pascal5i
from data_pipelines.loading.loader import eval_batches, train_batches
from data_pipelines.reading.arrays import class_mask
from hsnet_jax.errors import InputError
from tests.facts import refused, warned

OPTIONS = {'fold': 0, 'image_size': (6, 8), 'batch_size': 4, 'num_threads': 0}


def assert_same(left, right):
  left, right = list(left), list(right)
  assert len(left) == len(right)
  for a, b in zip(left, right, strict=True):
    assert a.keys() == b.keys()
    for name in a:
      np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def names(batch):
  """The image numbers that the toy's pixels hold, of the valid episodes."""
  valid = batch['valid']
  return batch['query_image'][valid, 0, 0, 0], batch['support_images'][valid, :, 0, 0, 0]


def test_shapes_and_types(toy):
  batch = next(iter(train_batches(toy, shots=3, **OPTIONS)))
  assert {name: (a.shape, a.dtype.name) for name, a in batch.items()} == {
    'query_image': ((4, 6, 8, 3), 'uint8'),
    'query_mask': ((4, 6, 8), 'uint8'),
    'query_ignore': ((4, 6, 8), 'uint8'),
    'support_images': ((4, 3, 6, 8, 3), 'uint8'),
    'support_masks': ((4, 3, 6, 8), 'uint8'),
    'class_id': ((4,), 'int32'),
    'index': ((4,), 'int32'),
    'valid': ((4,), 'bool'),
  }


def test_an_epoch_has_every_query_once_and_a_filled_up_last_batch(toy):
  batches = train_batches(toy, epochs=1, **OPTIONS)
  epoch = list(batches)
  assert (batches.num_episodes, batches.steps_per_epoch) == (10, 3) and len(epoch) == 3
  valid = [[True] * 4, [True] * 4, [True, True, False, False]]
  np.testing.assert_array_equal([b['valid'] for b in epoch], valid)
  items = toy.split(0, 'trn').items
  seen = []
  for batch in epoch:
    queries, supports = names(batch)
    for query, support, class_id, index in zip(
      queries, supports, batch['class_id'], batch['index'], strict=False
    ):
      assert items[index] == (str(query), class_id)
      assert query not in support and {*support // 10} == {class_id}
      seen.append(index)
  assert sorted(seen) == list(range(10))
  last = epoch[-1]
  for name in last.keys() - {'valid'}:
    np.testing.assert_array_equal(last[name][2:], np.stack([last[name][1]] * 2))


def test_masks_of_a_batch(toy):
  batch = next(iter(eval_batches(toy, count=4, **OPTIONS)))
  mask = np.zeros((6, 8), np.uint8)
  ignore = mask.copy()
  mask[2:4, 2:5] = 1
  ignore[4, 2:5] = 1
  np.testing.assert_array_equal(batch['query_mask'], np.stack([mask] * 4))
  np.testing.assert_array_equal(batch['query_ignore'], np.stack([ignore] * 4))
  np.testing.assert_array_equal(batch['support_masks'][:, 0], np.stack([mask] * 4))


def test_epochs_differ_and_a_seed_repeats(toy):
  first = list(train_batches(toy, epochs=2, **OPTIONS))
  assert len(first) == 6
  order = [np.concatenate([names(b)[0] for b in part]) for part in (first[:3], first[3:])]
  assert sorted(order[0]) == sorted(order[1]) and np.any(order[0] != order[1])
  assert_same(first, train_batches(toy, epochs=2, **OPTIONS))
  # Without end, the epochs are the same ones.
  assert_same(first, itertools.islice(train_batches(toy, **OPTIONS), 6))
  other = list(train_batches(toy, epochs=2, seed=1, **OPTIONS))
  assert any(np.any(a['index'] != b['index']) for a, b in zip(first, other, strict=True))


def test_supports_are_drawn_anew_in_each_epoch(toy):
  batches = itertools.islice(train_batches(toy, **OPTIONS), 18)
  supports = {}
  for batch in batches:
    for index, support in zip(batch['index'], names(batch)[1][:, 0], strict=False):
      supports.setdefault(index, set()).add(int(support))
  # Of four candidates in six epochs, each query met several.
  assert all(len(met) >= 2 for met in supports.values())


@pytest.mark.parametrize('num_threads', [1, 3])
def test_threads_change_nothing(toy, num_threads):
  expected = list(train_batches(toy, epochs=3, **OPTIONS))
  options = {**OPTIONS, 'num_threads': num_threads}
  assert_same(expected, train_batches(toy, epochs=3, **options))


@pytest.mark.parametrize('num_threads', [0, 2])
def test_an_iterator_resumes_from_its_state(toy, num_threads):
  options = {**OPTIONS, 'num_threads': num_threads}
  iterator = iter(train_batches(toy, epochs=3, **options))
  for _ in range(4):
    next(iterator)
  state = iterator.get_state()
  rest = list(iterator)
  fresh = iter(train_batches(toy, epochs=3, **options))
  fresh.set_state(state)
  assert_same(rest, fresh)
  # What was taken is known by its number alone, too.
  again = train_batches(toy, epochs=3, **options)
  assert_same(rest, again.from_step(4))
  assert len(list(again.from_step(0))) == 9 and list(again.from_step(9)) == []


@pytest.mark.parametrize('state', [{}, {'next_batch': -1}, {'next_batch': 'x'}, {'next_index': 1}])
def test_another_state_is_refused(toy, state):
  with refused('next_batch'):
    iter(train_batches(toy, **OPTIONS)).set_state(state)


def test_a_closed_iterator_gives_nothing(toy):
  iterator = iter(train_batches(toy, **{**OPTIONS, 'num_threads': 2}))
  next(iterator)
  iterator.close()
  assert list(iterator) == [] and iterator.get_state() == {'next_batch': 1}


@settings(deadline=None, max_examples=12)
@given(
  images=st.integers(2, 9),
  rows=st.integers(1, 5),
  processes=st.sampled_from([1, 2, 3, 4]),
  epochs=st.integers(1, 3),
  shots=st.integers(1, 2),
)
def test_processes_divide_every_epoch(toy_class, images, rows, processes, epochs, shots):
  options = {**OPTIONS, 'batch_size': rows * processes, 'shots': shots, 'epochs': epochs}
  whole = train_batches(toy_class(images), **options)
  parts = [
    train_batches(toy_class(images), process_index=p, process_count=processes, **options)
    for p in range(processes)
  ]
  assert {(p.num_episodes, p.steps_per_epoch) for p in parts} == {
    (2 * images, whole.steps_per_epoch)
  }
  read = [list(part) for part in parts]
  joined = [
    {name: np.concatenate([part[name] for part in step]) for name in step[0]}
    for step in zip(*read, strict=True)
  ]
  assert_same(whole, joined)
  for epoch in range(epochs):
    steps = slice(epoch * whole.steps_per_epoch, (epoch + 1) * whole.steps_per_epoch)
    seen = [i for part in read for b in part[steps] for i in b['index'][b['valid']]]
    assert sorted(seen) == list(range(2 * images))


def test_test_episodes_come_in_order(toy):
  batches = eval_batches(toy, shots=2, count=23, **OPTIONS)
  assert isinstance(batches, Batches)
  read = list(batches)
  assert batches.steps_per_epoch == len(read) == 6
  assert [b['valid'].sum() for b in read] == [4] * 5 + [3]
  episodes = toy.test_episodes(0, shots=2, count=23)
  queries = np.concatenate([names(b)[0] for b in read])
  supports = np.concatenate([names(b)[1] for b in read])
  assert [str(q) for q in queries] == [e.query for e in episodes]
  assert [tuple(map(str, s)) for s in supports] == [e.supports for e in episodes]
  index = np.concatenate([b['index'][b['valid']] for b in read])
  np.testing.assert_array_equal(index, np.arange(23))


def test_an_empty_list_is_named(toy_class):
  with refused('toy fold 0 trn', 'empty'):
    train_batches(toy_class(0), **OPTIONS)
  with refused('toy fold 0 val', 'empty'):
    eval_batches(toy_class(0), count=None, **OPTIONS)


def test_no_episodes_are_none_too_few(toy):
  with refused('`count`', 0):
    eval_batches(toy, count=0, **OPTIONS)


@pytest.mark.parametrize('original_size', [False, True])
@pytest.mark.parametrize('boundary, value', [(255, 77), (255, 5), (None, 255), (65535, 255)])
def test_a_mask_of_an_unknown_class_is_named(toy_class, boundary, value, original_size):
  class Strange(toy_class):
    def load(self, image_name):
      image, label = super().load(image_name)
      label = label.astype(np.uint16)
      label[label == 255] = boundary or 0
      # One pixel, which a resize may skip.
      label[0, 1] = value if image_name == '2' else 4
      return image, label

  benchmark = Strange()
  benchmark.boundary = boundary
  next(iter(eval_batches(benchmark, count=1, **{**OPTIONS, 'fold': 1})))
  batches = eval_batches(benchmark, count=5, original_size=original_size, **OPTIONS)
  with refused('toy', 'mask of 2', value, '1 to 4'):
    list(batches)


@pytest.mark.parametrize('images', [2, 3])
def test_tiny_lists_work(toy_class, images):
  benchmark = toy_class(images)
  batches = list(train_batches(benchmark, epochs=2, **{**OPTIONS, 'batch_size': 50}))
  assert [b['valid'].sum() for b in batches] == [2 * images] * 2


def test_a_class_with_one_image(toy_class):
  class Lonely(toy_class):
    def split(self, fold, name):
      split = super().split(fold, name)
      return type(split)(split.name, split.items[:-4], split.class_names)

  with warned("'doe'", 'class_id 3', '1 image') as caught:
    batches = train_batches(Lonely(), epochs=1, **OPTIONS)
  assert len(caught) == 1 and batches.num_episodes == 5
  with refused("'bee'", 'class_id 1', '1 image'):
    eval_batches(Lonely(), **OPTIONS)


def test_supports_that_must_differ_leave_small_classes_out(toy_class):
  class Uneven(toy_class):
    def split(self, fold, name):
      split = super().split(fold, name)
      return type(split)(split.name, split.items[:-2], split.class_names)

  with warned("'doe'", '3 images', 4):
    batches = train_batches(Uneven(), shots=3, epochs=1, distinct=True, **OPTIONS)
  for batch in batches:
    assert all(len(set(supports)) == 3 for supports in names(batch)[1].tolist())


@pytest.mark.parametrize(
  'bad',
  [
    {'fold': 2},
    {'shots': 0},
    {'batch_size': 0},
    {'image_size': 0},
    {'seed': -1},
    {'epochs': 0},
    {'num_threads': -1},
    {'num_workers': -1},
    {'process_index': -1},
    {'process_index': 2, 'process_count': 2},
    {'process_count': 3},
  ],
)
def test_options_out_of_range(toy, bad):
  with pytest.raises(InputError):
    next(iter(train_batches(toy, **{**OPTIONS, **bad})))
  if not {'seed', 'epochs'} & set(bad):
    with pytest.raises(InputError):
      eval_batches(toy, **{**OPTIONS, **bad})


def test_the_label_at_the_photographs_own_size(voc):
  benchmark = Pascal5i(*voc)
  options = {'fold': 0, 'count': 7, 'image_size': 16, 'batch_size': 4, 'num_threads': 0}
  plain = list(eval_batches(benchmark, **options))
  batches = list(eval_batches(benchmark, original_size=True, **options))
  episodes = benchmark.test_episodes(0, count=7)
  sizes = {benchmark.load(e.query)[1].shape for e in episodes}
  assert len(sizes) > 2  # Else nothing here would be padded.
  for before, batch in zip(plain, batches, strict=True):
    assert batch['query_mask'].shape == batch['query_ignore'].shape == (4, 64, 64)
    for name in before.keys() - {'query_mask', 'query_ignore'}:
      np.testing.assert_array_equal(batch[name], before[name], err_msg=name)
    for row, index in enumerate(batch['index']):
      label = benchmark.load(episodes[index].query)[1]
      height, width = batch['query_size'][row]
      assert label.shape == (height, width) and batch['query_size'].dtype == np.int32
      mask, ignore = class_mask(label, episodes[index].class_id)
      np.testing.assert_array_equal(batch['query_mask'][row, :height, :width], mask)
      np.testing.assert_array_equal(batch['query_ignore'][row, :height, :width], ignore)
      assert not batch['query_mask'][row, height:].any()
      assert not batch['query_mask'][row, :, width:].any()
      assert batch['query_ignore'][row, height:].all()
      assert batch['query_ignore'][row, :, width:].all()


def test_own_sizes_are_padded_alike_in_every_process(toy_class):
  class Growing(toy_class):
    def load(self, image_name):
      image, label = super().load(image_name)
      times = 3 * (int(image_name) % 10) + 1
      return tuple(array.repeat(times, 0).repeat(times, 1) for array in (image, label))

  options = {**OPTIONS, 'count': 10, 'original_size': True}
  whole = list(eval_batches(Growing(), **options))
  parts = [eval_batches(Growing(), process_index=p, process_count=2, **options) for p in (0, 1)]
  joined = [
    {name: np.concatenate([part[name] for part in step]) for name in step[0]}
    for step in zip(*parts, strict=True)
  ]
  assert_same(whole, joined)
  # 13 times 6 x 8 is the largest.
  assert [b['query_mask'].shape for b in whole] == [(4, 64, 128), (4, 128, 128), (4, 128, 128)]


def test_the_split_is_the_callers(toy):
  trained = toy.split(0, 'trn').items
  batch = next(iter(eval_batches(toy, split='trn', **{**OPTIONS, 'batch_size': 10})))
  assert [str(n) for n in names(batch)[0]] == [name for name, _ in trained]


def test_pascal_from_files(voc):
  benchmark = Pascal5i(*voc)
  batches = train_batches(benchmark, fold=1, shots=2, image_size=32, batch_size=7, epochs=1)
  assert batches.num_episodes == 45
  for batch in batches:
    assert not set(batch['class_id']) & set(benchmark.test_classes(1))
    assert np.all(batch['query_mask'].any((1, 2))) and np.any(batch['query_ignore'])
    assert not np.any(batch['query_mask'] & batch['query_ignore'])


@pytest.mark.parametrize('num_threads', [0, 2])
def test_a_damaged_image_ends_the_run_with_its_name(voc, num_threads):
  benchmark = Pascal5i(*voc)
  path = voc[0] / 'JPEGImages' / '2007_val_010.jpg'
  path.write_bytes(path.read_bytes()[:300])
  batches = eval_batches(benchmark, fold=0, count=15, image_size=32, num_threads=num_threads)
  with refused('2007_val_010.jpg'):
    list(batches)


def test_a_missing_mask_is_found_before_the_first_batch(voc):
  (voc[0] / 'SegmentationClassAug' / '2007_trn_200.png').unlink()
  with refused('2007_trn_200.png'):
    train_batches(Pascal5i(*voc), fold=0)
