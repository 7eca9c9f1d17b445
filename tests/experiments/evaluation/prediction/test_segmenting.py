"""Photographs become masks, several at a time: what the library segments, bit for bit."""

import re
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import hsnet_jax as hs
from experiments.evaluation.prediction import segmenting
from experiments.evaluation.prediction.queries import find_queries, read_query
from experiments.evaluation.prediction.segmenting import (
  Unreadable,
  images_at_once,
  predictor,
  segment_files,
)
from hsnet_jax.extensions.head import PUBLISHED
from hsnet_jax.extensions.tiles import blend_tiles
from hsnet_jax.models import Model
from hsnet_jax.segmenter.programs import encode, judge_in_strips, mask, match
from tests.experiments.evaluation.given import judged, picture
from tests.made import variables

SIZE = (50, 81)


def predicted_and_segmented(shots, head=PUBLISHED):
  """What predicts, a query, and the mask of `SIZE` that the library finds in it by itself."""
  rng, made = np.random.default_rng(1), variables('tiny')
  module = hs.HSNet('tiny', head=head)
  query = rng.integers(0, 256, (64, 96, 3), np.uint8)
  images = rng.integers(0, 256, (shots, 64, 96, 3), np.uint8)
  masks = np.zeros((shots, 64, 96), np.uint8)
  masks[:, 20:50, 30:70] = 1

  @jax.jit
  def segment(made, query, images, masks):
    support_set = hs.encode_support(module, made, hs.normalize(images, 'tiny'), masks)
    query = hs.normalize(query[None], 'tiny')
    return hs.segment(module, made, query, support_set, output_size=SIZE).mask[0]

  expected = segment(made, query, images, masks)
  assert set(np.unique(expected)) == {0, 1}, 'a mask of one value would show nothing'
  return made_predictor(Model(module, made), images, masks), query, expected


def made_predictor(model, images, masks):
  """Masks of queries, a batch of any size, cut as those of photographs are."""

  def predict(queries, sizes):
    found = predictor(model, images, masks, rows=len(queries))(queries, sizes)
    found = [one.mask for one in found]
    for one, (height, width) in zip(found, sizes, strict=True):
      assert not one[height:].any() and not one[:, width:].any()
    return [np.asarray(one)[:h, :w] for one, (h, w) in zip(found, sizes, strict=True)]

  return predict


@pytest.mark.heavy  # Compiles anew; the test below has queries of several sizes at a time.
@pytest.mark.parametrize('shots', [1, 2])
def test_a_mask_is_what_the_library_segments(shots):
  predict, query, expected = predicted_and_segmented(shots)
  (found,) = predict(query[None], [SIZE])
  assert found.shape == SIZE and found.dtype == np.uint8
  np.testing.assert_array_equal(found, expected)


@pytest.mark.heavy
@pytest.mark.parametrize('head', [PUBLISHED, hs.Head(hybrid_masking=True)], ids=['', 'hybrid'])
def test_masks_of_several_sizes_are_found_at_a_time(head):
  predict, query, expected = predicted_and_segmented(2, head)
  other, found = predict(np.stack([query[::-1], query]), [(20, 30), SIZE])
  assert other.shape == (20, 30) and found.shape == SIZE
  # A batch of another size may differ by rounding.
  assert (np.asarray(found) != expected).mean() <= 1e-3


def made_queries(folder, count):
  paths = [picture(folder / f'{i}.png', size=(20 + i, 10)) for i in range(count)]
  return find_queries([str(path) for path in paths])[0]


def test_images_go_through_a_few_at_a_time_and_each_is_read_once(tmp_path, monkeypatch):
  queries = made_queries(tmp_path, 7)
  read, calls = [], []

  def reading(query):
    read.append(query)
    return read_query(query)

  def predict_batch(images, sizes):
    calls.append((len(images), len(sizes), len(read)))
    return [judged(np.full(size, i, np.uint8)) for i, size in enumerate(sizes)]

  monkeypatch.setattr(segmenting, 'read_query', reading)
  size = (800, 800)
  assert images_at_once(7, size) == 2 and images_at_once(7, (64, 64)) == 7
  assert images_at_once(33, (64, 64)) == 17 and images_at_once(3, (4000, 4000)) == 1
  assert images_at_once(9, (64, 64), largest=6000 * 4000) == 1, 'large photographs one by one'
  found = list(segment_files(predict_batch, queries, size=size, rows=2))
  assert [one.query for one in found] == queries == read
  assert [one.mask.shape for one in found] == [(10, 20 + i) for i in range(7)]
  assert [one.mask.max() for one in found] == [0, 1, 0, 1, 0, 1, 0]
  # The same number of rows each time, the last filled up; nothing is read long before its turn.
  assert calls == [(2, 2, 2), (2, 2, 4), (2, 2, 6), (2, 1, 7)]


@pytest.mark.parametrize('side', [512, 1024])
def test_a_mask_holds_no_canvas(tmp_path, side):
  path = picture(tmp_path / 'wide.png', size=(512, 20))
  canvases = []

  def predict_batch(images, sizes):
    canvas = np.zeros((512, side), np.uint8)
    canvases.append(weakref.ref(canvas))
    return [judged(canvas)]

  found = segment_files(predict_batch, find_queries([str(path)])[0], size=(8, 8), rows=1)
  assert next(found).mask.shape == (20, 512)
  assert canvases[0]() is None


@pytest.mark.parametrize('rows', [1, 2, 5])
def test_what_cannot_be_read_takes_no_ones_place(tmp_path, rows):
  queries = made_queries(tmp_path, 5)
  for i in (0, 3):
    queries[i].path.write_text('no image')

  def predict_batch(images, sizes):
    assert len(images) == rows
    return [judged(np.full(size, size[1], np.uint8)) for size in sizes]

  found = list(segment_files(predict_batch, queries, size=(8, 8), rows=rows))
  assert [one.query for one in found] == queries
  assert [isinstance(one, Unreadable) for one in found] == [True, False, False, True, False]
  assert [one.mask[0, 0] for one in found if hasattr(one, 'mask')] == [21, 22, 24]
  assert '0.png' in str(found[0].error)


def test_nothing_is_compiled_twice_whatever_the_sizes(caplog):
  query, images = np.random.default_rng(1).integers(0, 256, (2, 1, 64, 96, 3), np.uint8)
  model = Model(hs.HSNet('tiny'), variables('tiny'))
  for program in (encode, mask, match, judge_in_strips):
    program.clear_cache()
  with jax.log_compiles(), caplog.at_level('WARNING'):
    predict_batch = predictor(model, images, np.ones((1, 64, 96), np.uint8), rows=1)
    for size in ((50, 81), (375, 500), (500, 333), (512, 512)):
      predict_batch(query, [size])
  compiled = re.findall(r'^Compiling (?:jit\()?(\w+)', '\n'.join(caplog.messages), re.M)
  # The query and the support are of one shape, and share the backbone's program.
  assert sorted(compiled) == ['encode', 'judge_in_strips', 'mask', 'match']


@pytest.mark.heavy
def test_tiles_are_windows_of_the_photograph_and_are_laid_together():
  rng, made = np.random.default_rng(2), variables('tiny')
  module = hs.HSNet('tiny')
  images = rng.integers(0, 256, (2, 64, 64, 3), np.uint8)
  masks = np.zeros((2, 64, 64), np.uint8)
  masks[:, 20:50, 10:50] = 1
  photograph = rng.integers(0, 256, (150, 200, 3), np.uint8)
  parts = segmenting.cut(photograph, (64, 64), tiles=2)
  # The whole, then tiles of 5/8 of the sides from corner to corner.
  boxes = [(0, 0, 200, 150)] + [(x, y, x + 125, y + 93.75) for y in (0, 56.25) for x in (0, 75)]
  by = Image.Resampling.BILINEAR
  for part, box in zip(parts, boxes, strict=True):
    expected = Image.fromarray(photograph).resize((64, 64), by, box=box)
    np.testing.assert_array_equal(part, np.asarray(expected))
  support_set = mask(module, made, encode(module, made, images), masks)
  found = match(module, made, encode(module, made, np.stack(parts)), support_set)
  height, width = found.shape[2:4]
  margin = blend_tiles(hs.mean_margin(found), tiles=2, size=(2 * height, 2 * width))
  logits = np.stack([np.zeros_like(margin), margin], axis=-1)[None]
  expected = hs.combine_shots(hs.resize_bilinear(jnp.asarray(logits), (150, 200))[None]).mask[0]
  # Three at a time: the last of the five is filled up with copies.
  predict_batch = predictor(Model(module, made), images, masks, rows=3, tiles=2)
  (canvas,) = predict_batch(np.stack([*parts, parts[-1]]), [(150, 200)])
  assert 0 < np.mean(expected) < 1, 'a mask of one value would show nothing'
  assert np.mean(np.asarray(canvas.mask)[:150, :200] != np.asarray(expected)) < 1e-3


@pytest.mark.heavy
def test_the_mean_of_several_supports_may_decide():
  rng, made = np.random.default_rng(3), variables('tiny')
  module = hs.HSNet('tiny')
  images = rng.integers(0, 256, (3, 64, 64, 3), np.uint8)
  masks = (rng.random((3, 64, 64)) < 0.3).astype(np.uint8)
  query = rng.integers(0, 256, (1, 64, 64, 3), np.uint8)
  support_set = mask(module, made, encode(module, made, images), masks)
  margin = hs.mean_margin(match(module, made, encode(module, made, query), support_set))[0]
  found = {
    by: np.asarray(
      predictor(Model(module, made), images, masks, rows=1, combine=by)(query, [margin.shape])[
        0
      ].mask
    )[: margin.shape[0], : margin.shape[1]]
    for by in ('vote', 'mean')
  }
  np.testing.assert_array_equal(found['mean'], margin > 0)
  assert (found['mean'] != found['vote']).any()


def test_photographs_in_tiles_are_segmented_one_by_one(tmp_path):
  for name in 'ab':
    picture(tmp_path / f'{name}.jpg')
  seen = []

  def predict_batch(images, sizes):
    seen.append((images.shape, len(sizes)))
    return [judged(np.ones(size, np.uint8)) for size in sizes]

  queries = find_queries([str(tmp_path)])[0]
  found = list(segment_files(predict_batch, queries, size=(8, 8), rows=4, tiles=2))
  assert seen == [((8, 8, 8, 3), 1)] * 2
  assert [one.mask.all() for one in found] == [True, True]


def test_what_is_passed_goes_through_beside_others_alone(tmp_path):
  """So that a batch is as it ever was, whatever is done of it."""
  queries = made_queries(tmp_path, 8)
  seen = []

  def predict_batch(images, sizes):
    seen.append([width - 20 for _, width in sizes])
    return [judged(np.full(size, size[1], np.uint8)) for size in sizes]

  def segmented(*numbers):
    passed = {queries[i] for i in range(8) if i not in numbers}
    options = {'size': (8, 8), 'rows': 3, 'passed': passed}
    return list(segment_files(predict_batch, queries, **options))

  found = segmented(4, 6, 7)
  assert [one.query for one in found] == [queries[i] for i in (4, 6, 7)]
  assert [one.mask[0, 0] for one in found] == [24, 26, 27]
  assert seen == [[3, 4, 5], [6, 7]]
  seen.clear()
  assert not segmented()
  queries[1].path.write_text('no image')
  (found,) = segmented(1)
  assert isinstance(found, Unreadable) and not seen, 'nothing is computed for what is done'
