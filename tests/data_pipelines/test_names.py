"""`import data_pipelines` is cheap, and gives every public name when it is asked for."""

import subprocess
import sys

import pytest

import data_pipelines

HEAVY = ('jax', 'grain', 'tensorflow_datasets', 'numpy', 'PIL', 'absl')


@pytest.mark.parametrize('name', data_pipelines.__all__)
def test_every_public_name_is_there(name):
  value = getattr(data_pipelines, name)
  assert name in dir(data_pipelines)
  assert name == 'BENCHMARKS' or value.__name__ == name


def test_a_name_that_is_not_there():
  with pytest.raises(AttributeError, match='no_such_name'):
    data_pipelines.no_such_name  # noqa: B018


def test_the_names_of_the_benchmarks_cost_nothing():
  code = f"""
import sys, data_pipelines
print(sorted(data_pipelines.BENCHMARKS), [m for m in {HEAVY} if m in sys.modules])
"""
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert done.stdout.split('] [') == ["['coco', 'folder', 'fss', 'pascal', 'shapes'", ']\n']
