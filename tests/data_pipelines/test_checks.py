"""Which images are read again when preparing goes on."""

import json

from data_pipelines import make_benchmark
from data_pipelines.checks import check_images
from tests.own_pictures import coco_content, save_coco


def test_an_outline_that_was_edited_is_noticed(tmp_path):
  journal = tmp_path / 'journal.jsonl'

  def check(content):
    (tmp_path / 'mine' / 'labels.json').write_text(json.dumps(content))
    benchmark = make_benchmark('folder', data_dir=tmp_path / 'mine')
    return check_images(benchmark, {name: {c} for name, c in benchmark._items}, journal=journal)

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
