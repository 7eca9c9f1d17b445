"""A segmenter as ONNX, run by onnxruntime. No requirement brings jax2onnx: .ci/run does."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.export import export_onnx, largest_difference, read_exported
from hsnet_jax.export.program import make_program
from tests.hsnet_jax.segmenter.test_segmenter import fitted, model

QUERIES = np.random.default_rng(4).integers(0, 256, (3, 32, 32, 3), np.uint8)

# Those of jax2onnx and what it brings.
pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.fixture(autouse=True)
def needed():
  """Skips where what writes, reads or runs ONNX is missing."""
  for name in ('jax2onnx', 'onnx', 'onnxruntime'):
    pytest.importorskip(name)


@pytest.fixture(autouse=True)
def broadcasting():
  """Lets jax2onnx, which does, broadcast ranks."""
  with jax.numpy_rank_promotion('allow'):
    yield


@pytest.mark.parametrize('combine', ['vote', 'best'])
def test_it_says_what_the_segmenter_says(combine, tmp_path):
  segmenter = fitted(['dog', 'cat', 'dog'], combine=combine)
  about = export_onnx(tmp_path / 'dogs.onnx', segmenter, batch_size=3)
  program = read_exported(tmp_path / 'dogs.onnx')
  assert program.about == json.loads(json.dumps(about))
  assert [one['name'] for one in about['outputs']] == ['mask', 'probability', 'logits']
  found = program(QUERIES)
  expected = jax.jit(make_program(segmenter, batch_size=3).function)(QUERIES)
  np.testing.assert_array_equal(found['mask'], expected['mask'])
  for name in ('probability', 'logits'):
    np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_supports_may_be_given_and_pictures_be_any_number(tmp_path):
  unfitted = hs.Segmenter.from_pretrained(model())
  export_onnx(tmp_path / 'any.onnx', unfitted, shots=3, batch_size=None)
  program = read_exported(tmp_path / 'any.onnx')
  supports = fitted().fitted.supports
  for queries in (QUERIES, QUERIES[:1]):
    found = program(queries, supports.images, supports.masks)
    expected = jax.jit(make_program(fitted(), batch_size=len(queries)).function)(queries)
    np.testing.assert_allclose(found['logits'], expected['logits'], atol=1e-5)
  assert largest_difference(program, unfitted, QUERIES[0]) <= 1e-5


def test_what_is_no_onnx_is_refused(tmp_path):
  for data in (b'', b'no program'):
    (tmp_path / 'a.onnx').write_bytes(data)
    with pytest.raises(hs.InputError, match=r'a\.onnx: no exported program'):
      read_exported(tmp_path / 'a.onnx')
  with pytest.raises(hs.InputError, match=r'a\.on: .*\.onnx'):
    export_onnx(tmp_path / 'a.on', fitted())


def test_photos_on_a_photograph(root, tmp_path, monkeypatch):
  photographs = root / 'experiments' / 'photographs'
  segmenter = hs.Segmenter.from_pretrained('photos')
  segmenter = segmenter.fit([photographs / 'coins.jpg'], [photographs / 'coins_mask.png'])
  export_onnx(tmp_path / 'dogs.onnx', segmenter)
  program = read_exported(tmp_path / 'dogs.onnx')
  assert largest_difference(program, segmenter, photographs / 'more_coins.jpg') <= 1e-3
  # What the page says to run it with.
  page = (root / 'docs' / 'export.md').read_text('utf-8')
  (code,) = re.findall(r'^```text\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
  shutil.copy(photographs / 'more_coins.jpg', tmp_path / 'query.jpg')
  monkeypatch.chdir(tmp_path)
  exec(code, names := {})
  expected = segmenter.predict('query.jpg').mask
  assert (names['mask'] != expected).mean() < 0.02 < expected.mean()
