import copyreg
import pickle
import warnings

import numpy as np
import pytest

from data_pipelines.splits import (
  Split,
  read_coco_list,
  read_fss_list,
  read_pascal_list,
  trainable,
)
from hsnet_jax.errors import InputError

NAMES = ('ant', 'bee', 'cow')


def test_list_keeps_the_order_and_counts_classes_from_zero(tmp_path):
  path = tmp_path / 'fold0.txt'
  path.write_bytes(b'2007_b__15\r\n\r\n2007_a__01\r\n2007_a__15\r\n')
  assert read_pascal_list(path) == (('2007_b', 14), ('2007_a', 0), ('2007_a', 14))


@pytest.mark.parametrize(
  'text, words',
  [
    ('2007_a__01\n2007_b 02\n', 'line 2'),
    ('2007_a__00\n', '1 to 20'),
    ('2007_a__21\n', '1 to 20'),
    (f'2007_a__{"1" * 5000}\n', 'line 1'),
    ('/etc/passwd__01\n', 'line 1 is ./etc/passwd__01.; expected an image'),
    ('2007_a__01\n../../x__02\n', 'line 2'),
    ('..\\x__02\n', 'line 1'),
    ('2007\0a__02\n', 'line 1'),
    ('2007_a__01\n2007_b__01\n2007_a__01\n', '2007_a__01 is in lines 1 and 3; keep one'),
    ('\n', 'empty'),
    (None, 'No such file'),
  ],
)
def test_bad_list_is_one_line_that_names_the_file(tmp_path, text, words):
  path = tmp_path / 'fold0.txt'
  if text is not None:
    path.write_text(text)
  with pytest.raises(InputError, match=words) as caught:
    read_pascal_list(path)
  assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def coco_names(*numbers):
  return [f'val2014/COCO_val2014_{number:012d}.jpg' for number in numbers]


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_coco_list_keeps_the_order_within_a_class(tmp_path, protocol):
  path = tmp_path / 'fold0.pkl'
  # An image of two classes is one object in the pickle, which refers back to it.
  names = coco_names(3, 1, 2)
  path.write_bytes(pickle.dumps({4: names, 8: [], 0: names[1:]}, protocol))
  lists = read_coco_list(path)
  assert list(lists.items()) == [(0, tuple(names[1:])), (4, tuple(names))]


class Call:
  def __init__(self, function, *args):
    self._reduced = function, args

  def __reduce__(self):
    return self._reduced


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
  'content, name',
  [
    ({0: Call(open, 'written', 'w')}, 'open'),
    ({0: coco_names(1), 1: print}, 'print'),
    ({np.int64(0): coco_names(1)}, 'scalar'),
    (Call(eval, "open('written', 'w')"), 'eval'),
  ],
)
def test_a_pickle_that_asks_for_any_global_is_refused(
  tmp_path, monkeypatch, protocol, content, name
):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / 'fold0.pkl'
  path.write_bytes(pickle.dumps(content, protocol))
  with pytest.raises(InputError, match=rf'fold0.pkl: refused, .* asks for [\w.]+\.{name}; '):
    read_coco_list(path)
  assert [p.name for p in tmp_path.iterdir()] == ['fold0.pkl']


def test_globals_by_a_registered_number_are_refused(tmp_path):
  path = tmp_path / 'fold0.pkl'
  copyreg.add_extension('builtins', 'print', 77)
  try:
    path.write_bytes(pickle.dumps({0: print}, 2))
    with pytest.raises(InputError, match='refused, .* builtins.print'):
      read_coco_list(path)
  finally:
    copyreg.remove_extension('builtins', 'print', 77)


@pytest.mark.parametrize(
  'content, words',
  [
    ([1], 'not a dict'),
    ({0: 'names'}, 'not a dict'),
    ({0: [b'name']}, 'not a dict'),
    ({'0': coco_names(1)}, 'not a dict'),
    ({True: coco_names(1)}, 'not a dict'),
    ({0: coco_names(1), 80: coco_names(2)}, 'class 80 is out of range: 0 to 79'),
    ({-1: coco_names(1)}, 'class -1 is out of range'),
    ({10**5000: coco_names(1)}, 'class of many digits is out of range: 0 to 79'),
    ({-(10**5000): coco_names(1)}, 'class of many digits is out of range: 0 to 79'),
    ({5: coco_names(1, 2, 1)}, 'class 5 lists val2014/COCO_val2014_0*1.jpg more than once'),
    ({5: ['val2014/../secret.jpg']}, "'val2014/../secret.jpg' of class 5 is no photograph"),
    ({5: ['val2014/a\0.jpg']}, 'of class 5 is no photograph'),
    ({5: ['dog.jpg']}, "'dog.jpg' of class 5 is no photograph"),
    ({0: []}, 'empty'),
  ],
)
def test_a_bad_coco_list_is_one_line_that_names_the_file(tmp_path, content, words):
  path = tmp_path / 'fold0.pkl'
  path.write_bytes(pickle.dumps(content))
  with pytest.raises(InputError, match=words) as caught:
    read_coco_list(path)
  assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_a_damaged_coco_list_is_named_wherever_it_breaks_off(tmp_path):
  path = tmp_path / 'fold0.pkl'
  with pytest.raises(InputError, match='cannot read the image list .No such file'):
    read_coco_list(path)
  whole = pickle.dumps({0: coco_names(1, 2)}, 3)
  for size in range(len(whole)):
    path.write_bytes(whole[:size])
    with pytest.raises(InputError, match='fold0.pkl: truncated or damaged, or no pickle'):
      read_coco_list(path)
  path.write_bytes(b'version https://git-lfs.example/spec/v1\noid sha256:0\n')
  with pytest.raises(InputError, match='fold0.pkl: truncated or damaged, or no pickle'):
    read_coco_list(path)


def test_fss_list_has_a_category_a_line(tmp_path):
  path = tmp_path / 'val.txt'
  path.write_bytes(b"handcuff\r\nthor's_hammer\r\n\r\nab_wheel\r\n")
  assert read_fss_list(path) == ('handcuff', "thor's_hammer", 'ab_wheel')


@pytest.mark.parametrize(
  'text, words',
  [
    ('cpu\nbus\ncpu\n', 'cpu is in lines 1 and 3; keep one of them'),
    ('cpu\n../bus\n', 'line 2 is .*expected the name of a category'),
    ('..\n', 'line 1'),
    ('c\0pu\n', 'line 1'),
    ('', 'the category list is empty'),
    (None, 'cannot read the category list .No such file'),
  ],
)
def test_a_bad_fss_list_is_one_line_that_names_the_file(tmp_path, text, words):
  path = tmp_path / 'val.txt'
  if text is not None:
    path.write_text(text)
  with pytest.raises(InputError, match=words) as caught:
    read_fss_list(path)
  assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_published_lists_are_read_whole(shared):
  lists = shared / 'splits'
  images = {
    (split, fold): read_coco_list(lists / 'coco' / split / f'fold{fold}.pkl')
    for split in ('trn', 'val')
    for fold in range(4)
  }
  for (split, fold), by_class in images.items():
    held = set(range(fold, 80, 4))
    assert set(by_class) == (held if split == 'val' else set(range(80)) - held)
    subset = {'trn': 'train2014/', 'val': 'val2014/'}[split]
    assert all(name.startswith(subset) for names in by_class.values() for name in names)
  sizes = {s: len(read_fss_list(lists / 'fss' / f'{s}.txt')) for s in ('trn', 'val', 'test')}
  assert sizes == {'trn': 520, 'val': 240, 'test': 240}
  for split in ('trn', 'val'):
    for fold in range(4):
      found = {c for _, c in read_pascal_list(lists / 'pascal' / split / f'fold{fold}.txt')}
      assert found == set(range(5 * fold, 5 * fold + 5))


def test_by_class_keeps_the_order_of_the_list():
  split = Split('s', (('c', 1), ('a', 0), ('b', 1), ('a', 1)))
  assert dict(split.by_class) == {0: ('a',), 1: ('c', 'b', 'a')}
  assert list(split.by_class) == [0, 1]


def test_classes_with_one_image_are_left_out_with_one_warning():
  items = (('a', 0), ('b', 1), ('c', 0), ('d', 2), ('d', 2))
  with pytest.warns(UserWarning) as caught:
    kept = trainable(Split('s', items, NAMES))
  assert kept.items == (('a', 0), ('c', 0))
  assert set(kept.by_class) == {0}
  message = str(caught[0].message)
  assert len(caught) == 1
  # An image listed twice is still one image.
  assert "'bee'" in message and "'cow'" in message and '1 image' in message


def test_supports_that_must_differ_need_larger_classes():
  items = tuple((f'{c}{i}', c) for c, size in enumerate((2, 3)) for i in range(size))
  with pytest.warns(UserWarning, match="'ant' .* with 2 images; 3 are needed"):
    kept = trainable(Split('s', items, NAMES), least=3)
  assert set(kept.by_class) == {1}


def test_nothing_is_said_where_every_class_has_two_images():
  split = Split('s', (('a', 0), ('b', 0)))
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert trainable(split) is split


def test_a_list_without_any_pair_cannot_train():
  with pytest.raises(InputError, match='s: the image list is empty; there is nothing to train on'):
    trainable(Split('s', (), NAMES))
  with pytest.raises(InputError, match='2 images'):
    trainable(Split('s', (('a', 0), ('b', 1)), NAMES))
