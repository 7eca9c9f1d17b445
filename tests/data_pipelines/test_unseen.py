"""Tests on another benchmark without the classes that were trained on."""

import numpy as np
import pytest

from data_pipelines import Pascal5i, Unseen, class_key, eval_batches
from data_pipelines.published.coco import Coco20i
from data_pipelines.published.fss import Fss1000
from data_pipelines.unseen import KINDS
from tests.data_pipelines.loading.test_loader import OPTIONS
from tests.facts import refused


@pytest.mark.parametrize(
  'names',
  [
    ('aeroplane', 'airplane', 'Airliner'),
    ('tvmonitor', 'tv', 'television'),
    ('sofa', 'couch', 'studio_couch'),
    ('diningtable', 'dining table', 'dining_table'),
    ('motorbike', 'motorcycle'),
    ('pottedplant', 'potted plant', 'potted_plant'),
    ('hot dog', 'hotdog'),
    ('dog', 'golden_retriever', 'shih-tzu', 'flat-coated_retriever'),
    ('bird', 'brambling', 'bushtit', 'macaw'),
    ('truck', 'pickup', 'oiltank_car'),
    ('tie', 'bowtie', 'bolotie', 'windsor_tie'),
  ],
)
def test_names_of_one_class(names):
  assert len(set(map(class_key, names))) == 1


def test_names_of_several_classes():
  for one, other in [('hot dog', 'dog'), ('teddy bear', 'bear'), ('car', 'carrot'), ('', 'cat')]:
    assert class_key(one) != class_key(other)


def test_each_name_is_of_one_class():
  kinds = [kind for names in KINDS.values() for kind in names]
  assert len({*kinds}) == len(kinds) and not {*kinds} & {*KINDS}
  # A class is its own key, however often it is asked.
  assert all(class_key(class_key(name)) == class_key(name) for name in (*kinds, *KINDS))


def test_all_of_pascal_is_found_in_coco_and_every_name_is_of_a_benchmark(shared):
  coco = {class_key(name) for name in Coco20i.class_names}
  assert {class_key(name) for name in Pascal5i.class_names} <= coco
  fss = Fss1000(None, shared / 'splits').class_names
  known = {class_key(name) for name in (*Coco20i.class_names, *Pascal5i.class_names)}
  own = {name.replace(' ', '_') for names in KINDS.values() for name in names} & {*fss}
  assert len(own) > 150 and {class_key(name) for name in own} <= known
  plain = {name.replace(' ', '_') for names in KINDS.values() for name in names}
  assert plain - {*fss} == {'airplane', 'motorcycle', 'couch', 'tv'}


def test_classes_that_were_seen_are_left_out_of_lists_and_episodes(toy):
  unseen = Unseen(toy, ['BEE', 'doe', 'zebra', ''])
  assert unseen.left_out(0) == ('bee',) and unseen.test_classes(0) == (0,)
  assert unseen.left_out(1) == ('doe',) and unseen.test_classes(1) == (2,)
  assert unseen.split(0, 'trn') == toy.split(0, 'trn')
  assert unseen.split(0, 'val').classes() == (0,)
  # Those of the published sequence, and as many as are asked for.
  episodes = unseen.test_episodes(0, shots=2, count=12)
  longer = toy.test_episodes(0, shots=2, count=40)
  assert list(episodes) == [one for one in longer if one.class_id == 0][:12]
  batch = next(iter(eval_batches(unseen, count=3, **OPTIONS)))
  np.testing.assert_array_equal(batch['class_id'], 0)


def test_nothing_seen_and_everything_seen(toy):
  nothing = Unseen(toy, [])
  assert nothing.left_out(0) == () and nothing.test_episodes(0) == toy.test_episodes(0)
  everything = Unseen(toy, toy.class_names)
  with refused('toy fold 0', 'ant, bee', '`fold`'):
    everything.split(0, 'val')
  with refused('ant, bee'):
    everything.test_episodes(0)


def test_coco_draws_its_classes_in_the_published_order(shared):
  coco = Coco20i(None, shared / 'splits')
  unseen = Unseen(coco, Pascal5i.class_names)
  assert unseen.left_out(0) == ('person', 'airplane', 'boat', 'dog', 'chair', 'dining table')
  published = [e for e in coco.test_episodes(0, count=60) if e.class_id in unseen.test_classes(0)]
  assert 0 < len(published) < 60
  assert list(unseen.test_episodes(0, count=len(published))) == published


def test_fss_has_each_image_of_its_classes_once(shared):
  fss = Fss1000(None, shared / 'splits')
  unseen = Unseen(fss, ['cat', 'dog'])
  split = unseen.split(0, 'test')
  left_out = unseen.left_out(0, 'test')
  assert len(left_out) == 5 and {class_key(name) for name in left_out} == {'dog'}  # Cats train.
  episodes = unseen.test_episodes(0, split='test')
  assert [e.query for e in episodes] == [name for name, _ in split.items]
  assert len(episodes) == 2400 - 10 * len(left_out)
