"""Which images are read again when preparing is resumed."""

import json

import pytest

from data_pipelines import make_benchmark
from data_pipelines.prepared.checks import (
  all_lists,
  check_images,
  file_versions,
  files_digest,
  listed_classes,
)
from data_pipelines.shapes.benchmark import Shapes
from tests import trees
from tests.own_pictures import coco_content, save_coco


@pytest.mark.filterwarnings('ignore:.*left out categories')
def test_an_outline_that_was_edited_is_noticed(tmp_path):
  journal = tmp_path / 'journal.jsonl'

  def check(content):
    (tmp_path / 'mine' / 'labels.json').write_text(json.dumps(content))
    benchmark = make_benchmark('folder', data_dir=tmp_path / 'mine')
    return check_images(benchmark, listed_classes(all_lists(benchmark).values()), journal=journal)

  content = coco_content()
  save_coco(tmp_path / 'mine', content)
  before = check(content)
  assert check(content) == before
  outline = next(a for a in content['annotations'] if isinstance(a['segmentation'], list))
  name = next(i['file_name'] for i in content['images'] if i['id'] == outline['image_id'])
  outline['segmentation'][0][0] += 3
  after = check(content)
  changed = [n for n in before if before[n].files != after[n].files]
  assert changed == [name] and not any(finding.problem for finding in after.values())


def test_versions_tell_files_and_drawings_from_others(tmp_path):
  benchmark = make_benchmark('folder', data_dir=trees.save_classes(tmp_path))
  names, done = benchmark.image_names(), []
  before = file_versions(benchmark, names, on_image=lambda: done.append(1))
  assert list(before) == list(names) and len(done) == len(names)
  assert files_digest(before) == files_digest(file_versions(benchmark, names))
  (tmp_path / 'own' / 'bow' / 'bow1.png').unlink()
  after = file_versions(benchmark, names)
  assert [n for n in names if before[n] != after[n]] == ['bow/bow1.jpg']
  assert files_digest(before) != files_digest(after)
  shapes = [Shapes(size=32, train_images=1, test_images=1, seed=seed) for seed in (0, 0, 1)]
  drawn = [files_digest(file_versions(s, s.image_names())) for s in shapes]
  assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
  'damage',
  [
    *(b'\xff', b'7', b'[' * 100_000, b'{"name": ["a"]}', b'{"name": "a", "values": 3}'),
    *(b'{"name": "a", "values": ["1"]}', b'{"name": "a", "files": [["a", 1]]}', b'{"nome": 1}'),
  ],
  ids=range(8),
)
def test_a_damaged_line_of_the_journal_is_passed_over(tmp_path, damage):
  benchmark = make_benchmark('folder', data_dir=trees.save_classes(tmp_path))
  listed, journal = listed_classes(all_lists(benchmark).values()), tmp_path / 'journal.jsonl'
  whole = check_images(benchmark, listed, journal=journal)
  name = json.dumps(next(iter(listed))).encode()
  journal.write_bytes(journal.read_bytes() + damage.replace(b'"a"', name) + b'\n')
  assert check_images(benchmark, listed, journal=journal) == whole
