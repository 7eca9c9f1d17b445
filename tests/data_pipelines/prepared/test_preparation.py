"""Preparing a set from code; `tests/experiments/test_prepare.py` does it by the command."""

import contextlib

import numpy as np
import pytest

from data_pipelines import make_benchmark
from data_pipelines.prepared.builders import builder_class
from data_pipelines.prepared.preparation import BadImages, MissingImages, Preparation
from hsnet_jax.errors import InputError
from tests import trees

IMAGES = 80


@pytest.fixture
def pascal(tmp_path):
  data, lists = trees.save_pascal(tmp_path)
  return data, make_benchmark('pascal', data_dir=data, splits_dir=lists)


class Passes:
  """A progress that remembers the passes, and how many images each was told of."""

  def __init__(self):
    self.seen = {}

  @contextlib.contextmanager
  def __call__(self, total, what):
    assert total == IMAGES
    self.seen[what] = 0

    def on_image():
      self.seen[what] += 1

    yield on_image


def test_a_set_is_made_once_and_then_opened(pascal, tmp_path):
  data, benchmark = pascal
  passes = Passes()
  job = Preparation(benchmark, tmp_path / 'sets', image_size=16, data_dir=data, progress=passes)
  assert not job.is_done() and not (tmp_path / 'sets').exists()
  made = job.make()
  assert (len(made), made.prepared_size, made.skipped) == (IMAGES, (16, 16), {})
  assert passes.seen == {'checking': IMAGES, 'writing': IMAGES}
  assert job.is_done() and job.skipped_in.is_file()
  assert len(job.open()) == IMAGES and passes.seen['comparing'] == IMAGES
  with pytest.raises(InputError, match='`prepare_size`=16.*`prepare_size`=8.*`prepared_dir`'):
    Preparation(benchmark, tmp_path / 'sets', image_size=8, data_dir=data).open()


def test_a_benchmark_of_any_name_is_prepared_from_what_it_loads(toy_class, tmp_path):
  class Digits(toy_class):
    name = 'mnist'  # TFDS has a data set of this name.

  made = Preparation(Digits(), tmp_path).make()
  assert (tmp_path / 'mnist').is_dir() and len(made) == 20
  for found, loaded in zip(made.load('3'), Digits().load('3'), strict=True):
    np.testing.assert_array_equal(found, loaded)
  assert builder_class('mnist') is builder_class('mnist')


def test_bad_images_are_told_apart_from_missing_ones(pascal, tmp_path):
  data, benchmark = pascal
  bad = data / 'JPEGImages' / '2007_val_010.jpg'
  bad.write_bytes(b'')
  job = Preparation(benchmark, tmp_path / 'sets', data_dir=data)
  with pytest.raises(BadImages, match='`on_bad_image`=skip') as caught:
    job.make()
  assert list(caught.value.problems) == ['2007_val_010']
  assert str(bad) in caught.value.listed_in.read_text()
  bad.unlink()
  with pytest.raises(MissingImages, match='2007_val_010.*`on_bad_image`=skip'):
    job.make()
  told = []
  with pytest.warns(UserWarning, match='1 listed image'):
    made = job.make(skip_bad=True, on_skipped=told.append)
  assert [list(problems) for problems in told] == [['2007_val_010']]
  assert len(made) == IMAGES - 1
  with pytest.warns(UserWarning), pytest.raises(InputError, match='1 listed .*2007_val_010'):
    job.open()


def test_nothing_is_prepared_of_bad_images_alone(pascal, tmp_path):
  data, benchmark = pascal
  for path in (data / 'JPEGImages').iterdir():
    path.write_bytes(b'')
  with pytest.raises(InputError, match='every image is bad'):
    Preparation(benchmark, tmp_path / 'sets', data_dir=data).make(skip_bad=True)
