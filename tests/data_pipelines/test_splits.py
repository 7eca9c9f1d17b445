import warnings

import pytest

from data_pipelines.splits import Split, read_pascal_list, trainable
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
  with pytest.raises(InputError, match='2 images'):
    trainable(Split('s', (('a', 0), ('b', 1)), NAMES))
