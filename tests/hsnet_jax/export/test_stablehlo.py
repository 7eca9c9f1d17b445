"""A segmenter as StableHLO: a program that needs JAX, and nothing of this project."""

import json
import os
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.export import export_stablehlo, largest_difference, read_exported
from hsnet_jax.export.program import make_program
from tests.hsnet_jax.segmenter.test_segmenter import fitted, model

RNG = np.random.default_rng(2)
QUERIES = RNG.integers(0, 256, (3, 32, 32, 3), np.uint8)

# What docs/export.md has, where neither this package nor what it is made of can be imported.
ALONE = """
import importlib.abc, json, sys, zipfile

class Hidden(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in ('hsnet_jax', 'flax', 'optax', 'jaxtyping'):
      raise ImportError(name)

sys.meta_path.insert(0, Hidden())
import jax, jax.export, numpy as np

with zipfile.ZipFile(sys.argv[1]) as file:
  about = json.loads(file.read('about.json'))
  program = jax.export.deserialize(bytearray(file.read('program.bin')))
inputs = [np.load(f'{one["name"]}.npy') for one in about['inputs']]
np.savez('found.npz', **jax.jit(program.call)(*inputs))
"""


def run_alone(path, folder, **inputs):
  """Runs a file in a process of its own, in a folder."""
  for name, array in inputs.items():
    np.save(folder / f'{name}.npy', array)
  environment = {**os.environ, 'XLA_FLAGS': ''}
  done = subprocess.run(
    [sys.executable, '-c', ALONE, path], cwd=folder, env=environment, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  with np.load(folder / 'found.npz') as found:
    return dict(found)


@pytest.fixture(scope='module')
def segmenter():
  return fitted(['dog', 'cat', 'dog'], combine='vote')


@pytest.fixture(scope='module')
def path(segmenter, tmp_path_factory):
  path = tmp_path_factory.mktemp('exported') / 'dogs.stablehlo'
  export_stablehlo(path, segmenter)
  return path


def test_it_runs_where_there_is_no_hsnet(segmenter, path, tmp_path):
  found = run_alone(path, tmp_path, images=QUERIES)
  expected = jax.jit(make_program(segmenter, batch_size=3).function)(QUERIES)
  np.testing.assert_array_equal(found['mask'], expected['mask'])
  for name in ('probability', 'logits'):
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)
  for i, query in enumerate(QUERIES):
    np.testing.assert_array_equal(found['mask'][i], segmenter.predict(query).masks)


@pytest.mark.heavy  # test_program.py has it of the function.
def test_supports_may_be_given(segmenter, tmp_path):
  export_stablehlo(tmp_path / 'any.stablehlo', hs.Segmenter.from_pretrained(model()), shots=3)
  program = read_exported(tmp_path / 'any.stablehlo')
  supports = fitted().fitted.supports
  found = program(QUERIES, supports.images, supports.masks)
  expected = jax.jit(make_program(fitted(), batch_size=3).function)(QUERIES)
  np.testing.assert_allclose(found['logits'], expected['logits'], rtol=1e-5, atol=1e-5)
  assert largest_difference(program, segmenter, QUERIES[0]) <= 1e-5


def test_one_program_serves_several_platforms(segmenter, path, tmp_path):
  with zipfile.ZipFile(path) as archive:
    program = jax.export.deserialize(bytearray(archive.read('program.bin')))
    about = json.loads(archive.read('about.json'))
  assert program.platforms == ('cpu', 'cuda', 'tpu') == tuple(about['platforms'])
  assert [one['name'] for one in about['outputs']] == ['logits', 'mask', 'probability']
  alone = export_stablehlo(tmp_path / 'a.stablehlo', segmenter, platforms=['cpu'], batch_size=2)
  assert (alone['platforms'], alone['inputs'][0]['shape']) == (['cpu'], [2, 32, 32, 3])
  with pytest.raises(hs.InputError, match=r'takes \[.*2, 32, 32, 3'):
    read_exported(tmp_path / 'a.stablehlo')(QUERIES)
  assert read_exported(tmp_path / 'a.stablehlo')(QUERIES[:2])['mask'].shape == (2, 2, 32, 32)


@pytest.mark.parametrize(
  'name, options, words',
  [
    ('a.hlo', {}, r'a\.hlo.*\.stablehlo'),
    ('a.stablehlo', {'platforms': ['gpu']}, r'`platforms`.*gpu.*cuda'),
    ('a.stablehlo', {'platforms': []}, '`platforms`'),
    ('a.stablehlo', {'batch_size': 0}, '`batch_size`'),
  ],
)
def test_what_does_not_fit_is_refused(segmenter, tmp_path, name, options, words):
  with pytest.raises(hs.InputError, match=words):
    export_stablehlo(tmp_path / name, segmenter, **options)
  assert not list(tmp_path.iterdir())


def test_nothing_is_written_by_half(segmenter, tmp_path):
  """The file is in the way of a folder of its name."""
  (tmp_path / 'a.stablehlo').mkdir()
  with pytest.raises(OSError):
    export_stablehlo(tmp_path / 'a.stablehlo', segmenter)
  assert [one.name for one in tmp_path.rglob('*')] == ['a.stablehlo']


def test_no_path_of_this_machine_is_in_it(path):
  before = jax.config.jax_traceback_in_locations_limit
  with zipfile.ZipFile(path) as archive:
    program = archive.read('program.bin')
  text = jax.export.deserialize(bytearray(program)).mlir_module()
  for own in (__file__, os.path.dirname(hs.__file__)):
    assert own.encode() not in program and own not in text
  assert before != 0  # As it was before the export.
