"""Training pictures that show a test class: left out, or those pixels out of the loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data_pipelines import HeldOut, LeftOut, Pascal5i, eval_batches, hidden_classes, train_batches
from data_pipelines.published.fss import Fss1000
from data_pipelines.reading.arrays import class_pixels
from tests.data_pipelines.loading.test_loader import OPTIONS, assert_same
from tests.facts import refused, warned

# Of the toy's fold 0, which tests on classes 0 and 1: what the left edge of each picture shows.
BESIDE = {'20': 1, '23': 2, '31': 255, '32': 3, '34': 2}


@pytest.fixture
def mixed(toy_class):
  """A benchmark some of whose training pictures show another class in one pixel of their corner."""

  class Mixed(toy_class):
    def load(self, image_name):
      image, label = super().load(image_name)
      label[0, 0] = BESIDE.get(image_name, 0)
      return image, label

  return Mixed()


@given(
  label=hnp.arrays(np.uint16, (3, 4), elements=st.integers(0, 300)),
  classes=st.sets(st.integers(0, 299)),
)
def test_pixels_of_classes(label, classes):
  expected = [[int(value) - 1 in classes for value in row] for row in label]
  np.testing.assert_array_equal(class_pixels(label, classes), expected)


def test_what_training_must_not_see(toy, voc, shared):
  assert hidden_classes(toy, 0) == (0, 1) and hidden_classes(toy, 1) == (2, 3)
  # What is held out is looked at in validation, and the test's own classes stay hidden.
  held = HeldOut(Pascal5i(*voc))
  assert hidden_classes(held, 3) == (*range(5), *range(15, 20))
  # One of a single picture, too, which validation leaves out; training does all the same.
  path = voc[1] / 'pascal' / 'trn' / 'fold3.txt'
  lines = path.read_text().split()
  path.write_text('\n'.join(line for line in lines if line[-2:] != '19' or '_190' in line))
  held = HeldOut(Pascal5i(*voc))
  with warned('class_id 18'):
    assert 18 not in held.test_classes(2)
  assert hidden_classes(held, 2) == hidden_classes(LeftOut(held), 2) == tuple(range(10, 20))
  fss = Fss1000(None, shared / 'splits')
  assert hidden_classes(fss, 0) == tuple(range(520, 1000))


def test_pictures_with_one_pixel_of_a_test_class_are_left_out(mixed):
  strict = LeftOut(mixed)
  kept = [name for name, _ in strict.split(0, 'trn').items]
  # 255 is no class, and a class that is trained on may be anywhere.
  assert kept == ['21', '22', '24', '30', '31', '32', '33']
  assert strict.left_out(0) == (3, 10)
  assert strict.split(0, 'val') == mixed.split(0, 'val')
  # In the other fold these pictures are the test.
  assert strict.left_out(1) == (0, 10)
  assert strict.split(1, 'trn').items == mixed.split(1, 'trn').items
  assert strict.split(0, 'trn').digest != mixed.split(0, 'trn').digest
  own = {
    str(n) for b in train_batches(strict, epochs=1, **OPTIONS) for n in b['query_image'][:, 0, 0, 0]
  }
  assert own == {*kept}
  assert_same(eval_batches(strict, count=7, **OPTIONS), eval_batches(mixed, count=7, **OPTIONS))


def test_nothing_is_left_to_train_on(toy_class):
  class Everywhere(toy_class):
    def load(self, image_name):
      image, label = super().load(image_name)
      label[0] = 1 if int(image_name) >= 20 else 4
      return image, label

  with refused('toy fold 0 trn', '`test_classes`=ignored'):
    LeftOut(Everywhere()).split(0, 'trn')


def test_ignored_pixels_are_told_from_those_of_the_metrics(mixed):
  options = {**OPTIONS, 'epochs': 1, 'shots': 2}
  plain = list(train_batches(mixed, **options))
  marked = list(train_batches(mixed, ignored=hidden_classes(mixed, 0), **options))
  seen = set()
  for before, after in zip(plain, marked, strict=True):
    assert_same([{**before, 'query_ignore': 0}], [{**after, 'query_ignore': 0}])
    for row, name in enumerate(before['query_image'][:, 0, 0, 0]):
      expected = before['query_ignore'][row].copy()
      corner = BESIDE.get(str(name), 0)
      expected[0, 0] = 2 if corner in (1, 2) else expected[0, 0]
      np.testing.assert_array_equal(after['query_ignore'][row], expected)
      seen |= {*after['query_ignore'][row].ravel().tolist()}
  assert seen == {0, 1, 2} and after['query_ignore'].dtype == np.uint8


# Of the photographs in the shared folder, with the lists beside them: how many of a fold's training
# pictures show a test class, counted with NumPy and Pillow alone.
LEFT_OUT = {0: (21, 723), 1: (134, 495), 2: (260, 572), 3: (48, 533)}


@pytest.mark.heavy  # Reads some hundred photographs.
@pytest.mark.parametrize('fold', range(4))
def test_photographs_left_out(shared, fold):
  benchmark = Pascal5i(shared / 'data' / 'VOC2012', shared / 'data' / 'splits')
  assert LeftOut(benchmark).left_out(fold) == LEFT_OUT[fold]
