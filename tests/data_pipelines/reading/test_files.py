"""Which files of a folder are pictures: not those that a prediction left beside them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines import make_benchmark
from data_pipelines.reading.files import IMAGE_ENDINGS, pictures_alone, predicted_from


@pytest.mark.parametrize(
  'name, picture',
  [
    ('a_predicted.png', 'a'),
    ('a_overlay-12.png', 'a'),
    ('x.tif_predicted.png', 'x.tif'),
    ('a-page3_predicted-2.png', 'a'),
    ('a_mask.png', None),
    ('a_predicted.jpg', None),
    ('_predicted.png', None),
  ],
)
def test_a_result_is_told_by_its_name(name, picture):
  assert predicted_from(Path(name)) == picture


def test_photographs_end_in_many_ways():
  assert {'.jpg', '.jfif', '.jpe', '.mpo', '.tif', '.webp'} <= IMAGE_ENDINGS
  assert not {'.pdf', '.ico', '.psd', '.mpg'} & IMAGE_ENDINGS


def test_results_are_pictures_only_where_their_own_is_not_there():
  names = [
    'a.jpg',
    'a_mask.png',
    'a_predicted.png',
    'b_overlay.png',
    '.a.jpg',
    'a.txt',
    'contact_sheet.png',
    'contact_sheet-2.png',
  ]
  assert [p.name for p in pictures_alone(map(Path, names))] == [
    'a.jpg',
    'a_mask.png',
    'b_overlay.png',
  ]


def test_predictions_in_a_class_folder_are_no_pictures_of_the_class(tmp_path):
  rng = np.random.default_rng(0)
  mask = np.zeros((20, 30), np.uint8)
  mask[5:15, 5:15] = 255
  for name in ('leaf/a', 'leaf/b', 'root/c', 'root/d'):
    path = tmp_path / f'{name}.jpg'
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    for ending in ('_mask', '_predicted', '_overlay-2'):
      Image.fromarray(mask).save(path.with_name(path.stem + ending + '.png'))
  folder = make_benchmark('folder', data_dir=str(tmp_path))
  found = {name for fold in range(2) for name, _ in folder.split(fold, 'val').items}
  assert found == {'leaf/a.jpg', 'leaf/b.jpg', 'root/c.jpg', 'root/d.jpg'}
