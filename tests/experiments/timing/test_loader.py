"""The loaders that experiments/speed.py compares; the figures are nobody's test."""

import contextlib
import itertools
import multiprocessing

import numpy as np
import pytest

from data_pipelines import eval_batches, make_benchmark
from data_pipelines.prepared.preparation import Preparation
from experiments.timing import loader, plain_loader
from experiments.timing.loader_report import loader_report
from hsnet_jax.errors import InputError
from tests import trees

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OPTIONS = {'fold': 1, 'batch_size': 4}


@pytest.fixture
def pascal(tmp_path):
  data, lists = trees.save_pascal(tmp_path)
  return data, lists, make_benchmark('pascal', data_dir=data, splits_dir=lists)


def assert_same_episodes(plain, ours):
  images = np.concatenate([ours['query_image'], ours['support_images'][:, 0]])
  normal = ((images / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
  pixels = np.concatenate([plain['query_image'], plain['support_image']])
  assert pixels.dtype == np.float32 and pixels.shape == normal.shape
  np.testing.assert_allclose(pixels, normal, atol=1e-5)
  for name in ('query_mask', 'query_ignore'):
    np.testing.assert_array_equal(plain[name], ours[name])
  np.testing.assert_array_equal(plain['support_mask'], ours['support_masks'][:, 0])


def test_both_loaders_give_the_same_episodes_over_and_over(pascal):
  *_, benchmark = pascal
  jobs = loader.plain_jobs(benchmark, count=13, **OPTIONS)
  assert [len(job) for job in jobs] == [4, 4, 4]
  ours = list(eval_batches(benchmark, count=12, image_size=(40, 33), num_threads=0, **OPTIONS))
  with contextlib.closing(plain_loader.PlainLoader(jobs, (40, 33), 1)) as plain:
    for _, expected in zip(range(5), itertools.cycle(ours), strict=False):
      assert_same_episodes({k: v.copy() for k, v in next(plain).items()}, expected)
  assert not multiprocessing.active_children()


def test_the_table_compares_round_by_round():
  class Counter:
    def __init__(self):
      self.taken, self.closed = 0, False
      started.append(self)

    def __next__(self):
      self.taken += 1

    def close(self):
      self.closed = True

  started = []
  found = [loader.Contender(n, w, Counter) for n, w in (('plain', 2), ('ours', 4))]
  rates = loader.measure(found, rounds=3, batches=7)
  assert [len(r) for r in rates] == [3, 3] and min(map(min, rates)) > 0
  # What lay ready was taken before each round: five a worker.
  assert [c.taken for c in started] == [3 * (10 + 7), 3 * (20 + 7)]
  assert all(c.closed for c in started)
  lines = loader.table(found, [[1.0, 2.0, 4.0], [2.0, 8.0, 8.0]], 10)
  assert lines[2:] == [
    '| plain | 2 | 20.0 | 10.0 | 40.0 | 1.00 |',
    '| ours | 4 | 80.0 | 20.0 | 80.0 | 2.00 |',
  ]


@pytest.mark.heavy  # Prepares a set and reads all of it twice.
def test_the_report_is_of_the_folder_and_the_prepared_set(pascal, tmp_path):
  data, lists, benchmark = pascal
  Preparation(benchmark, tmp_path / 'prepared', image_size=32, data_dir=data).make()
  given = {
    'data_dir': str(data),
    'splits_dir': str(lists),
    'prepared_dir': str(tmp_path / 'prepared'),
    'fold': 2,
    'image_size': 32,
    'batch_size': 2,
    'episodes': 4,
    'workers': [0],
    'images': 300,
    'records': 600,
    'rounds': 2,
  }
  lines = list(loader_report(**given))
  assert lines[0].startswith('a prepared set of 80 records opened in ')
  assert lines[1].startswith('a made set of 600 records written in ') and 'opened in' in lines[1]
  assert 'an epoch of 300 made images with 0 workers' in lines[2]
  assert 'an epoch of the prepared set at 32 x 32 with 0 workers' in lines[3]
  rows = [line.split('|')[1].strip() for line in lines if line.startswith('|')][2:]
  assert rows == ['plain', 'from the folder', 'from the prepared set']
  for change, facts in (
    ({'prepared_dir': str(tmp_path / 'elsewhere')}, 'elsewhere'),
    ({'fold': 4}, 'fold 4'),
    ({'episodes': 1}, '`episodes`=1'),
    ({'image_size': 16}, '32 x 32.*16 x 16'),
  ):
    with pytest.raises(InputError, match=facts):
      list(loader_report(**{**given, **change}))
