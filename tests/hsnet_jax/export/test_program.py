"""The function that is exported: what the segmenter says, from pictures as they are read."""

import json

import jax
import numpy as np
import pytest

import hsnet_jax as hs
from hsnet_jax.export.program import OUTPUTS, make_program
from tests.hsnet_jax.segmenter.test_segmenter import MASKS, PHOTOS, fitted, model

RNG = np.random.default_rng(1)
# Of the size that the network sees, so that the segmenter resizes nothing either.
QUERIES = RNG.integers(0, 256, (3, 32, 32, 3), np.uint8)


def run(program, *inputs):
  return {name: np.asarray(x) for name, x in jax.jit(program.function)(*inputs).items()}


@pytest.mark.parametrize('combine, rows', [('vote', 3), ('mean', 2)])
def test_it_says_what_the_segmenter_says(combine, rows):
  segmenter = fitted(['dog', 'cat', 'dog'], combine=combine)
  program = make_program(segmenter, batch_size=3)
  found = run(program, QUERIES)
  assert found['logits'].shape == (3, rows, 8, 8, 2)
  assert len(program.about['rows_of_logits']) == rows
  for i, query in enumerate(QUERIES):
    expected = segmenter.predict(query)
    np.testing.assert_array_equal(found['mask'][i], expected.masks)
    np.testing.assert_allclose(found['probability'][i], expected.probabilities, atol=1e-6)
  assert 0 < found['mask'].mean() < 1, 'the example decides nothing'


@pytest.mark.parametrize('shots, unroll', [(1, False), (2, True)])
def test_supports_that_are_given_do_what_those_baked_in_do(shots, unroll):
  segmenter = hs.Segmenter.from_pretrained(model()).fit(PHOTOS[:shots], MASKS[:shots])
  seen = segmenter.fitted.supports
  baked = run(make_program(segmenter, batch_size=3), QUERIES)
  program = make_program(segmenter, batch_size=3, shots=shots, unroll=unroll)
  given = run(program, QUERIES, seen.images, seen.masks)
  assert [*program.inputs] == ['images', 'support_images', 'support_masks']
  assert [program.about[name] for name in ('supports', 'classes')] == ['given', ['object']]
  for name in OUTPUTS:
    np.testing.assert_allclose(given[name], baked[name], atol=1e-5)


@pytest.mark.parametrize('shots', [None, 2])
def test_what_is_portable_takes_any_number_of_pictures(shots):
  segmenter = fitted()
  program = make_program(segmenter, shots=shots, implementation='portable')
  found = jax.eval_shape(program.function, *program.inputs.values())
  rows = 3 if shots is None else shots
  assert str(found['logits'].shape) == f'(batch, {rows}, 8, 8, 2)'
  assert [str(found[name].shape) for name in OUTPUTS[:2]] == ['(batch, 1, 32, 32)'] * 2
  assert [found[name].dtype for name in OUTPUTS] == ['uint8', 'float32', 'float32']


def test_what_it_says_of_itself_is_json():
  about = make_program(fitted(['b', 'a', 'b'], combine='vote', support_margin=0.2)).about
  assert json.loads(json.dumps(about)) == about
  expected = {
    'image_size': 32,
    'classes': ['a', 'b'],
    'rows_of_logits': ['a', 'b', 'b'],
    'supports': 'baked in',
    'support_margin': 0.2,
    'combine': 'vote',
    'inputs': [{'name': 'images', 'dtype': 'uint8', 'shape': ['batch', 32, 32, 3]}],
  }
  assert about | expected == about


def test_a_network_of_short_numbers_may_compute_in_float32():
  short = hs.Segmenter.from_pretrained(model())
  short = hs.Segmenter.from_pretrained(
    hs.Model(short.model.module.clone(dtype='bfloat16'), short.model.variables, {'image_size': 32})
  ).fit(PHOTOS, MASKS)
  assert make_program(short).about['precision'] == 'bfloat16'
  assert make_program(short, float32=True).about['precision'] == 'float32'


def test_what_does_not_fit_is_refused():
  with pytest.raises(hs.InputError, match='no supports to bake in.*`shots`'):
    make_program(hs.Segmenter.from_pretrained(model()))
  for name in ('shots', 'batch_size'):
    with pytest.raises(hs.InputError, match=f'`{name}` is 0'):
      make_program(fitted(), **{name: 0})
