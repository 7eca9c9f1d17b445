"""What a set records of itself, damaged so that it is still JSON."""

import json

import pytest

from data_pipelines import make_benchmark
from data_pipelines.prepared.preparation import Preparation
from tests import trees
from tests.facts import refused


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A prepared set of one's own pictures, the file of its record, and what that holds."""
  folder = tmp_path_factory.mktemp('sets')
  own = make_benchmark('folder', data_dir=trees.save_classes(folder))
  Preparation(own, folder / 'sets').make()
  (record,) = folder.glob('sets/*/*/metadata.json')
  return folder / 'sets', record, json.loads(record.read_text())


@pytest.mark.parametrize(
  'damage',
  [
    *({'names': [1]}, {'shard_bytes': ['1']}, {'image_size': [3]}, {'image_size': ['3', '3']}),
    *({'drawn_masks': 5}, {'skipped': {'a': None}}, {'lists': {'0 val': 3}}, {'data_dir': 0}),
  ],
  ids=range(8),
)
def test_a_record_of_other_types_is_damaged(made, damage):
  sets, record, content = made
  record.write_text(json.dumps({**content, **damage}))
  with refused(record.parent, 'metadata.json'):
    make_benchmark('folder', prepared_dir=sets)


def test_a_record_without_a_size_or_with_other_items_is_named(made):
  sets, record, content = made
  record.write_text(json.dumps({k: v for k, v in content.items() if k != 'image_size'}))
  with refused(record.parent, 'metadata.json'):
    make_benchmark('folder', prepared_dir=sets)
  described = {**content['description'], 'items': [['a.jpg']]}
  record.write_text(json.dumps({**content, 'description': described}))
  with refused(record.parent, 'prepare it again'):
    make_benchmark('folder', prepared_dir=sets)
  record.write_text(json.dumps(content))
  assert len(make_benchmark('folder', prepared_dir=sets).image_names()) == 8
