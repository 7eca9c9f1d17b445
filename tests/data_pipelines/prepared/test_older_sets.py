"""Sets that version 0.1.0 prepared: they are read unchanged.

`golden/prepared_0_1_0.tar.gz` holds one of a folder of one's own, the files as they came, one of
PASCAL-5i at 8 x 8, and the lists of that. The digests are of what 0.1.0 itself read from them.
"""

import hashlib
import tarfile

import pytest

from data_pipelines import make_benchmark


@pytest.fixture(scope='module')
def made(golden, tmp_path_factory):
  """The folder that holds `prepared` and `splits`."""
  folder = tmp_path_factory.mktemp('older')
  with tarfile.open(golden / 'prepared_0_1_0.tar.gz') as tar:
    tar.extractall(folder, filter='data')
  return folder


def digest(benchmark):
  """A digest of all pixels and labels, their shapes and types."""
  found = hashlib.sha256()
  for name in benchmark.image_names():
    for array in benchmark.load(name):
      found.update(f'{name}{array.shape, array.dtype.name}'.encode() + array.tobytes())
  return found.hexdigest()


def test_a_folder_as_it_came(made):
  prepared = make_benchmark('folder', prepared_dir=made / 'prepared')
  assert len(prepared) == 6 and prepared.class_names == ('axe', 'bow', 'cup')
  assert digest(prepared) == 'd645bf3bf48e6fc569f128de4ec54bb663c55569404ea7d3b0fe5b8384da6380'
  assert [e.query for e in prepared.test_episodes(0)] == ['axe/0.png', 'axe/1.png']


def test_pixels_at_a_size(made):
  folders = {'splits_dir': made / 'splits', 'prepared_dir': made / 'prepared'}
  prepared = make_benchmark('pascal', **folders)
  assert len(prepared) == 60 and prepared.prepared_size == (8, 8)
  assert digest(prepared) == '8d271bc36df5246dc9d7e264c3323daf05fd66253a62eeb0700acead359e1b97'
  assert prepared.test_episodes(3, count=2)[1].query == '2007_val_161'
