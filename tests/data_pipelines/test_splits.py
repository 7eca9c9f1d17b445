import warnings

import pytest

from data_pipelines.splits import Split, take_turns, trainable
from tests.facts import refused, warned

NAMES = ('ant', 'bee', 'cow')


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
  with warned("'ant'", '2 images', 3):
    kept = trainable(Split('s', items, NAMES), least=3)
  assert set(kept.by_class) == {1}


def test_nothing_is_said_where_every_class_has_two_images():
  split = Split('s', (('a', 0), ('b', 0)))
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert trainable(split) is split


def test_a_list_without_any_pair_cannot_train():
  with refused('s: ', 'empty'):
    trainable(Split('s', (), NAMES))
  with refused('s: ', '2 images'):
    trainable(Split('s', (('a', 0), ('b', 1)), NAMES))


def test_classes_take_turns_in_the_order_of_their_images():
  items = (('b0', 1), ('b1', 1), ('a0', 0), ('b2', 1), ('a1', 0))
  assert take_turns(items) == (('a0', 0), ('b0', 1), ('a1', 0), ('b1', 1), ('b2', 1))
