"""The published lists, and what is no list."""

import copyreg
import pickle
import tracemalloc

import numpy as np
import pytest

from data_pipelines import read_coco_list, read_fss_list, read_pascal_list
from tests.facts import refused


def test_list_keeps_the_order_and_counts_classes_from_zero(tmp_path):
  path = tmp_path / 'fold0.txt'
  path.write_bytes(b'2007_b__15\r\n\r\n2007_a__01\r\n2007_a__15\r\n')
  assert read_pascal_list(path) == (('2007_b', 14), ('2007_a', 0), ('2007_a', 14))


@pytest.mark.parametrize(
  'text, facts',
  [
    ('2007_a__01\n2007_b 02\n', ['line 2']),
    ('2007_a__00\n', ['1 to 20']),
    ('2007_a__21\n', ['1 to 20']),
    (f'2007_a__{"1" * 5000}\n', ['line 1']),
    ('/etc/passwd__01\n', ['line 1', "'/etc/passwd__01'"]),
    ('2007_a__01\n../../x__02\n', ['line 2']),
    ('..\\x__02\n', ['line 1']),
    ('2007\0a__02\n', ['line 1']),
    ('2007_a__01\n2007_b__01\n2007_a__01\n', ['2007_a__01', 'lines 1 and 3']),
    ('\n', ['empty']),
    (None, ['No such file', '`splits_dir`']),
  ],
)
def test_bad_list_is_one_line_that_names_the_file(tmp_path, text, facts):
  path = tmp_path / 'fold0.txt'
  if text is not None:
    path.write_text(text)
  with refused(path, *facts):
    read_pascal_list(path)


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
  with refused('fold0.pkl', f'.{name}'):
    read_coco_list(path)
  assert [p.name for p in tmp_path.iterdir()] == ['fold0.pkl']


def test_globals_by_a_registered_number_are_refused(tmp_path):
  path = tmp_path / 'fold0.pkl'
  copyreg.add_extension('builtins', 'print', 77)
  try:
    path.write_bytes(pickle.dumps({0: print}, 2))
    with refused('fold0.pkl', 'builtins.print'):
      read_coco_list(path)
  finally:
    copyreg.remove_extension('builtins', 'print', 77)


@pytest.mark.parametrize(
  'content, facts',
  [
    ([1], ['dict']),
    ({0: 'names'}, ['dict']),
    ({0: [b'name']}, ['dict']),
    ({'0': coco_names(1)}, ['dict']),
    ({True: coco_names(1)}, ['dict']),
    ({0: coco_names(1), 80: coco_names(2)}, ['class 80', '0 to 79']),
    ({-1: coco_names(1)}, ['class -1', '0 to 79']),
    ({10**5000: coco_names(1)}, ['many digits', '0 to 79']),
    ({-(10**5000): coco_names(1)}, ['many digits', '0 to 79']),
    ({5: coco_names(1, 2, 1)}, ['class 5', *coco_names(1)]),
    ({5: ['val2014/../secret.jpg']}, ["'val2014/../secret.jpg'", 'class 5']),
    ({5: ['val2014/a\0.jpg']}, ['class 5']),
    ({5: ['dog.jpg']}, ["'dog.jpg'", 'class 5']),
    ({0: []}, ['empty']),
  ],
)
def test_a_bad_coco_list_is_one_line_that_names_the_file(tmp_path, content, facts):
  path = tmp_path / 'fold0.pkl'
  path.write_bytes(pickle.dumps(content))
  with refused(path, *facts):
    read_coco_list(path)


# What a list never needs, each asking for gigabytes or for a place far outside of the file.
HUNGRY = {
  'memo': b'\x80\x02}q\x00K\x00]q\x01X\x05\x00\x00\x00aaaaar'
  + (846_096_737).to_bytes(4, 'little')
  + b'as.',
  'old memo': b'(dI0\n(lp846096737\ns.',
  'a byte array': b'\x80\x05\x96' + (1 << 36).to_bytes(8, 'little') + b'a.',
  'a buffer': b'\x80\x05\x97.',
  'an id of its own': b'Pgigabytes\n.',
  'a long text': b'\x80\x04\x8d' + (1 << 36).to_bytes(8, 'little') + b'a.',
  'a long frame': b'\x80\x04\x95' + (1 << 36).to_bytes(8, 'little') + b'}.',
}


@pytest.mark.parametrize('what', HUNGRY)
def test_a_coco_list_that_asks_for_more_than_it_holds_is_refused_at_once(tmp_path, what):
  path = tmp_path / 'fold0.pkl'
  path.write_bytes(HUNGRY[what])
  tracemalloc.start()
  with refused('fold0.pkl', 'damaged'):
    read_coco_list(path)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 1e6


def test_a_damaged_coco_list_is_named_wherever_it_breaks_off(tmp_path):
  path = tmp_path / 'fold0.pkl'
  with refused('fold0.pkl', 'No such file'):
    read_coco_list(path)
  whole = pickle.dumps({0: coco_names(1, 2)}, 3)
  for size in range(len(whole)):
    path.write_bytes(whole[:size])
    with refused('fold0.pkl', 'damaged'):
      read_coco_list(path)
  path.write_bytes(b'version https://git-lfs.example/spec/v1\noid sha256:0\n')
  with refused('fold0.pkl', 'damaged'):
    read_coco_list(path)


def test_fss_list_has_a_category_a_line(tmp_path):
  path = tmp_path / 'val.txt'
  path.write_bytes(b"handcuff\r\nthor's_hammer\r\n\r\nab_wheel\r\n")
  assert read_fss_list(path) == ('handcuff', "thor's_hammer", 'ab_wheel')


@pytest.mark.parametrize(
  'text, facts',
  [
    ('cpu\nbus\ncpu\n', ['cpu', 'lines 1 and 3']),
    ('cpu\n../bus\n', ['line 2', "'../bus'"]),
    ('..\n', ['line 1']),
    ('c\0pu\n', ['line 1']),
    ('', ['empty']),
    (None, ['No such file', '`splits_dir`']),
  ],
)
def test_a_bad_fss_list_is_one_line_that_names_the_file(tmp_path, text, facts):
  path = tmp_path / 'val.txt'
  if text is not None:
    path.write_text(text)
  with refused(path, *facts):
    read_fss_list(path)


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
