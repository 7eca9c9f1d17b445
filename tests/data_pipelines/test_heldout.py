import pytest

from data_pipelines import Pascal5i, eval_batches
from data_pipelines.heldout import HeldOut
from data_pipelines.shapes.benchmark import Shapes
from tests.facts import refused, warned


@pytest.mark.parametrize('fold', range(4))
def test_training_validation_and_test_share_no_class_and_no_image(fold):
  shapes = Shapes()
  honest = HeldOut(shapes)
  parts = [honest.split(fold, 'trn'), honest.split(fold, 'val'), shapes.split(fold, 'val')]
  classes = [{class_id for _, class_id in part.items} for part in parts]
  images = [{name for name, _ in part.items} for part in parts]
  assert [len(c) for c in classes] == [10, 5, 5]
  assert set.union(*classes) == set(range(20))
  assert sum(map(len, images)) == len(set.union(*images))
  assert classes[1] == set(honest.test_classes(fold))
  # Nothing of the published training list is lost.
  assert images[0] | images[1] == {name for name, _ in shapes.split(fold, 'trn').items}


def test_episodes_are_of_the_classes_held_out():
  honest = HeldOut(Shapes())
  batch = next(iter(eval_batches(honest, fold=3, count=2, image_size=32, batch_size=2)))
  assert set(batch['class_id']) <= set(honest.test_classes(3))


def test_pascals_classes_take_turns_and_a_lone_image_is_left_out(voc):
  # The published lists go class by class; one of these classes has a single image.
  path = voc[1] / 'pascal' / 'trn' / 'fold3.txt'
  lines = path.read_text().split()
  path.write_text('\n'.join(line for line in lines if line[-2:] != '19' or '_190' in line))
  benchmark = Pascal5i(*voc)
  honest = HeldOut(benchmark)
  with warned('held-out val', "'train'", 'class_id 18', '1 image') as told:
    assert honest.test_classes(2) == (15, 16, 17, 19)
    items = honest.split(2, 'val').items
    episodes = honest.test_episodes(2, count=30)
  assert len(told) == 1
  assert [c for _, c in items] == [15, 16, 17, 19] * 3
  assert items[0] == (lines[0][:-4], 15) and len(set(items)) == 12
  assert [e.class_id for e in episodes[:4]] == [15, 16, 17, 19]
  # A class held out is not trained on either, however few images it has.
  assert set(honest.split(2, 'trn').by_class) == set(range(10))


def test_larger_classes_can_be_asked_for(voc):
  with refused('4 images'):
    HeldOut(Pascal5i(*voc), least=4).split(0, 'val')


def test_the_longest_classes_end_the_list(toy_class):
  class Uneven(toy_class):
    def split(self, fold, name):
      split = super().split(fold, name)
      return type(split)(split.name, split.items[:-3], split.class_names)

  assert [c for _, c in HeldOut(Uneven()).split(0, 'val').items] == [2, 3, 2, 3, 2, 2, 2]


def test_a_fold_that_is_not_there():
  with refused('fold 4', '0 to 3'):
    HeldOut(Shapes()).split(4, 'trn')
