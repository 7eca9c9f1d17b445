"""What a checkpoint was trained on, and a test on another benchmark without it."""

import pytest

from data_pipelines.published.coco import Coco20i
from data_pipelines.published.pascal import Pascal5i
from data_pipelines.shapes.benchmark import Shapes
from experiments.evaluation.protocols.cross import leave_out_seen, trained_classes
from tests.facts import refused


def test_classes_that_a_fold_trains_on(shared):
  assert trained_classes('pascal', 0) == Pascal5i.class_names[5:]
  assert trained_classes('coco', 3) == tuple(
    c for i, c in enumerate(Coco20i.class_names) if i % 4 < 3
  )
  assert trained_classes('shapes', 3, splits_dir='not asked') == Shapes().class_names[:15]
  fss = trained_classes('fss', 0, splits_dir=str(shared / 'splits'))
  assert len(fss) == 520 and 'bus' not in trained_classes('pascal', 1)


@pytest.mark.parametrize(
  'recorded, facts',
  [
    ({}, ['does not say']),
    ({'benchmark': 'shapes'}, ['does not say']),
    ({'benchmark': 'another', 'fold': 0}, ['does not say']),
    ({'benchmark': 'shapes', 'fold': 1}, ['shapes', '`benchmark`']),
    ({'benchmark': 'folder', 'fold': 0}, ['folder', 'names']),
    ({'benchmark': 'fss', 'fold': 0}, ['fss', '`splits_dir`']),
  ],
)
def test_what_was_trained_on_must_be_known(recorded, facts):
  with refused('`protocol`=cross' if 'fss' not in facts else 'fss', *facts):
    leave_out_seen(Shapes(), recorded)


def test_what_was_trained_on_is_left_out(shared):
  pascal = Pascal5i(None, shared / 'splits')
  for fold, kept in enumerate(
    (('aeroplane', 'boat'), ('chair',), ('diningtable', 'dog', 'person'))
  ):
    unseen = leave_out_seen(pascal, {'benchmark': 'coco', 'fold': 0})
    own = pascal.class_names[5 * fold : 5 * fold + 5]
    assert set(unseen.left_out(fold)) == {*own} - {*kept}
    assert tuple(pascal.class_names[c] for c in unseen.test_classes(fold)) == kept
  # A drawn bottle is one as well.
  assert leave_out_seen(pascal, {'benchmark': 'shapes', 'fold': 0}).left_out(0) == ('bottle',)
