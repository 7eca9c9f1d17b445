import functools

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.episodes import training_episode
from data_pipelines.loading.packed import PackedSplit
from data_pipelines.splits import Split, trainable
from tests.facts import refused

# Names of several lengths and alphabets; an image may be of several classes, and listed twice.
ITEMS = st.lists(
  st.tuples(st.sampled_from(['a', 'bb', 'dir/ccc.jpg', 'é', '犬', '', 'a b']), st.integers(0, 2)),
  min_size=1,
  max_size=20,
)


@pytest.mark.filterwarnings('ignore:.*left out:UserWarning')
@settings(deadline=None)
@given(
  items=ITEMS,
  shots=st.integers(1, 3),
  distinct=st.booleans(),
  class_first=st.booleans(),
  absent=st.sampled_from([0.0, 0.5]),
)
def test_episodes_are_those_of_the_list(items, shots, distinct, class_first, absent):
  # Enough images of one class that something is left to draw.
  items = [*items, *((f'extra{i}', 2) for i in range(5))]
  split = Split('made', tuple(items), class_first=class_first)
  split = trainable(split, least=shots + 1 if distinct else 2)
  packed = PackedSplit(split)
  assert packed.epoch_size == split.epoch_size
  for index in range(split.epoch_size):
    rngs = [np.random.default_rng((1, index)) for _ in range(2)]
    options = {'shots': shots, 'distinct': distinct, 'absent': absent}
    expected = training_episode(split, index, rngs[0], **options)
    assert packed.episode(index, rngs[1], **options) == expected


def test_a_copy_is_little_more_than_the_names():
  items = tuple((f'train2014/COCO_train2014_{i:012d}.jpg', i % 80) for i in range(2000))
  size = len(cloudpickle.dumps(PackedSplit(Split('made', items))))
  assert size < len(items) * (len(items[0][0]) + 24)


@pytest.mark.parametrize('class_first', [False, True])
def test_a_class_that_is_too_small_is_named_as_the_list_names_it(class_first):
  split = Split('made', (('a', 1), ('a', 1)), ('ant', 'bee'), class_first=class_first)
  for drawing in (PackedSplit(split).episode, functools.partial(training_episode, split)):
    with refused('made: ', "'bee'", 'class_id 1', '1 image'):
      drawing(0, np.random.default_rng(0))
    with refused('`shots`', 0):
      drawing(0, np.random.default_rng(0), shots=0)
