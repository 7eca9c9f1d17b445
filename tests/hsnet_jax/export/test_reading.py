"""Exported files that are none, and programs of something else."""

import json
import sys
import zipfile

import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.export import (
  Exported,
  export_onnx,
  export_stablehlo,
  largest_difference,
  read_exported,
)
from tests.hsnet_jax.segmenter.test_segmenter import MASKS, PHOTOS, fitted, model

QUERY = np.random.default_rng(3).integers(0, 256, (40, 30, 3), np.uint8)


@pytest.fixture(scope='module')
def segmenter():
  return fitted(combine='mean')


@pytest.fixture(scope='module')
def path(segmenter, tmp_path_factory):
  path = tmp_path_factory.mktemp('exported') / 'dogs.stablehlo'
  export_stablehlo(path, segmenter, batch_size=1, platforms=['cpu'])
  return path


def test_a_file_says_how_far_it_differs(segmenter, path):
  program = read_exported(path)
  assert isinstance(program, Exported) and program.about['combine'] == 'mean'
  assert largest_difference(program, segmenter, QUERY) <= 1e-5
  other = hs.Segmenter.from_pretrained(model(combine='mean')).fit(PHOTOS[:1], MASKS[:1])
  assert largest_difference(program, other, QUERY) > 1e-3
  with pytest.raises(hs.InputError, match='another segmenter'):
    largest_difference(program, fitted(['a', 'b', 'a'], combine='mean'), QUERY)


@pytest.mark.parametrize(
  'inputs',
  [(), (QUERY[None],), (np.zeros((1, 32, 32, 3)),), (np.zeros((1, 32, 32, 3), np.uint8),) * 2],
)
def test_a_program_refuses_other_inputs(path, inputs):
  with pytest.raises(hs.InputError, match='the program takes'):
    read_exported(path)(*inputs)


def test_what_is_no_exported_file_is_refused(path, tmp_path):
  with pytest.raises(hs.InputError, match=r'none\.stablehlo: there is no such file'):
    read_exported(tmp_path / 'none.stablehlo')
  (tmp_path / 'a.txt').write_text('a')
  with pytest.raises(hs.InputError, match=r'a\.txt.*\.stablehlo or \.onnx'):
    read_exported(tmp_path / 'a.txt')
  whole = path.read_bytes()
  broken = tmp_path / 'broken.stablehlo'
  flipped = bytearray(whole)
  flipped[len(whole) // 2] ^= 1
  for data in (b'', b'no archive', whole[: len(whole) // 2], bytes(flipped)):
    broken.write_bytes(data)
    with pytest.raises(hs.InputError, match=r'broken\.stablehlo: no exported program'):
      read_exported(broken)


@pytest.mark.parametrize(
  'changes, words', [({'format': 'x'}, 'not a file'), ({'format_version': 99}, 'newer')]
)
def test_other_formats_are_told_apart(path, tmp_path, changes, words):
  with zipfile.ZipFile(path) as archive:
    about = {**json.loads(archive.read('about.json')), **changes}
    program = archive.read('program.bin')
  with zipfile.ZipFile(tmp_path / 'other.stablehlo', 'w') as archive:
    archive.writestr('about.json', json.dumps(about))
    archive.writestr('program.bin', program)
  with pytest.raises(hs.InputError, match=words):
    read_exported(tmp_path / 'other.stablehlo')


@pytest.mark.parametrize(
  'missing, ending, words',
  [
    ('jax2onnx', None, r'jax2onnx.*hsnet-jax\[onnx\]'),
    ('flatbuffers', '.stablehlo', 'pip install flatbuffers'),
    ('onnxruntime', '.onnx', 'pip install onnxruntime'),
  ],
)
def test_what_is_missing_is_named(segmenter, tmp_path, monkeypatch, missing, ending, words):
  monkeypatch.setitem(sys.modules, missing, None)
  with pytest.raises(hs.InputError, match=words):
    if ending is None:
      export_onnx(tmp_path / 'a.onnx', segmenter)
    else:
      (tmp_path / f'a{ending}').touch()
      read_exported(tmp_path / f'a{ending}')
