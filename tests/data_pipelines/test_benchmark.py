"""A benchmark of one's own, and one on top of another."""

import numpy as np
import pytest

from data_pipelines import BENCHMARKS, Benchmark, HeldOut, make_benchmark
from data_pipelines.benchmark import OnTop
from data_pipelines.episodes import class_first_episodes
from tests.facts import refused


def test_what_is_on_top_of_another_is_the_other_unless_it_says_so(toy_class):
  class Dressed(toy_class):
    splits = ('trn', 'val', 'test')
    drawn_masks = ('val',)
    checked = ()

    def encoded(self, image_name):
      return f'{image_name}.jpg', f'{image_name}.png'

    def decode(self, image_name, image, mask):
      return image, mask

    def episode_draw(self, items, fold, split):
      return lambda items, **asked: (fold, split, asked)

    def description(self):
      return {'of': 'toy'}

    def check_images(self, image_names):
      self.checked = tuple(image_names)

    def check_size(self, size):
      raise ValueError(size)

  below = Dressed()
  above = OnTop(below)
  for name in Benchmark.__annotations__:
    assert getattr(above, name) == getattr(below, name), name
  assert above.split(1, 'trn') == below.split(1, 'trn')
  assert above.test_classes(1) == (2, 3)
  assert above.encoded('7') == ('7.jpg', '7.png') == above.decode('7', *above.encoded('7'))
  assert above.description() == {'of': 'toy'}
  above.check_images(['7'])
  assert below.checked == ('7',)
  with pytest.raises(ValueError, match='40'):
    above.check_size(40)
  np.testing.assert_array_equal(above.load('7')[0], below.load('7')[0])
  asked = {'shots': 2, 'count': 3, 'distinct': True}
  assert above.test_episodes(1, **asked) == (1, 'val', asked) == below.test_episodes(1, **asked)


def test_classes_held_out_are_drawn_in_turn_whichever_the_benchmark(toy_class):
  class ClassFirst(toy_class):
    def episode_draw(self, items, fold, split):
      return lambda items, **asked: class_first_episodes(items, self.test_classes(fold), **asked)

  held = HeldOut(ClassFirst())
  queries = [e.query for e in held.test_episodes(0, count=8)]
  assert queries == [name for name, _ in held.split(0, 'val').items[:8]]


def test_a_benchmark_is_not_described_unless_it_says_how(toy):
  assert toy.description() is None
  with pytest.raises(NotImplementedError, match='toy'):
    type(toy).from_description({})


def test_what_is_loaded_is_encoded_without_loss(toy_class):
  class Many(toy_class):
    num_classes = 400

    def load(self, image_name):
      image, label = super().load(image_name)
      return image, np.where(label == 1, 400, label.astype(np.uint16))

  for benchmark in (toy_class(), Many()):
    image, label = benchmark.decode('7', *benchmark.encoded('7'))
    for found, loaded in zip((image, label), benchmark.load('7'), strict=True):
      np.testing.assert_array_equal(found, loaded)


def test_a_benchmark_that_reads_nothing_says_so(toy_class):
  class Nothing(toy_class):
    load = Benchmark.load

  with pytest.raises(NotImplementedError, match='toy'):
    Nothing().load('7')


def test_the_table_names_classes_that_there_are():
  for name, row in BENCHMARKS.items():
    cls = row.load()
    assert issubclass(cls, Benchmark) and cls.name == name
    assert row.described == (cls.description is not Benchmark.description)
  with refused("'imagenet'", ', '.join(sorted(BENCHMARKS))):
    make_benchmark('imagenet')
