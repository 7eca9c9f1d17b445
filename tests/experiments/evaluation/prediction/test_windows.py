"""Second looks: which photographs get one, at what, and what becomes of what is found."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from experiments.evaluation.prediction import segmenting
from experiments.evaluation.prediction.queries import find_queries
from experiments.evaluation.prediction.segmenting import predictor, segment_files
from experiments.evaluation.prediction.windows import cut_windows, largest_part, look_again
from hsnet_jax import HSNet, mean_margin
from hsnet_jax.extensions.second_look import blend_window
from hsnet_jax.extensions.windows import object_window
from hsnet_jax.models import Model
from tests.experiments.evaluation.given import judged, picture
from tests.made import SMALL, variables

SIZE = (16, 24)


def as_logits(margins):
  return np.stack([np.zeros_like(margins), margins], axis=-1).astype(np.float32)[None]


def first_looks():
  """Margins of four photographs: nothing, a spot, everything, another spot; and a copy."""
  margins = np.full((5, 8, 12), -1.0)
  margins[1, 2:4, 3:6], margins[2], margins[3, 0, 0] = 2.0, 1.0, 0.5
  return as_logits(margins)


@pytest.mark.parametrize('rows', [1, 3])
def test_what_was_found_is_seen_again_and_blended(rows):
  rng = np.random.default_rng(0)
  photographs = [rng.integers(0, 256, (500, 700, 3), np.uint8) for _ in range(4)]
  found, seen = first_looks(), []

  def logits(images):
    assert images.shape == (rows, *SIZE, 3)
    seen.extend(images)
    return as_logits(images.astype(np.float32).mean(-1)[:, ::2, ::2] / 64 - 2)

  looks = look_again(logits, found, photographs, size=SIZE, rows=rows)
  assert [look[0] is found for look in looks] == [True, False, True, False]
  assert [row for look, row in looks if look is found] == [0, 2]
  for number, i in enumerate((1, 3)):
    margin = found[0, i, ..., 1]
    window = object_window(margin > 0, margin=0.5, least_side=64 / 500)
    (part,) = cut_windows(photographs[i], SIZE, [window])
    np.testing.assert_array_equal(seen[number], part)
    again = part.astype(np.float32).mean(-1)[::2, ::2] / 64 - 2
    expected = blend_window(margin, again, window=window, size=(32, 48))
    np.testing.assert_allclose(mean_margin(looks[i][0])[0], expected, rtol=1e-4, atol=1e-5)
  assert len(seen) == (2 if rows == 1 else 3), 'copies fill the last ones up'


@pytest.mark.parametrize('share', [0.0, 0.1, 0.45, 0.6, 0.8, 1.0])
@pytest.mark.parametrize('size', [(1, 1), (1, 9), (30, 41)], ids=str)
def test_the_largest_part(share, size):
  for seed in range(5):
    mask = np.random.default_rng(seed).random(size) < share
    parts, count = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=1)[1:]
    found = largest_part(mask)
    if not count:
      assert not found.any()
      continue
    (of,) = set(parts[found])
    np.testing.assert_array_equal(found, parts == of)
    assert of > 0 and sizes[of - 1] == sizes.max()


def test_a_part_may_turn_often():
  spiral = np.array([list(row) for row in ('#######', '......#', '#####.#', '#...#.#', '#.###.#',
                                           '#.....#', '#######')]) == '#'  # fmt: skip
  np.testing.assert_array_equal(largest_part(spiral), spiral)


def test_a_stray_pixel_makes_no_window():
  margins = np.full((1, 32, 48), -1.0)
  margins[0, 4:8, 6:12] = 2.0
  alone = margins.copy()
  margins[0, -1, -1] = 2.0
  photograph, seen = np.random.default_rng(0).integers(0, 256, (500, 700, 3), np.uint8), []

  def logits(images):
    seen.append(images)
    return as_logits(np.ones((1, 8, 12)))

  for found in (alone, margins):
    look_again(logits, as_logits(found), [photograph], size=SIZE, rows=1)
  assert len(seen) == 2
  np.testing.assert_array_equal(*seen)


def test_where_nothing_is_found_there_is_no_second_look():
  found = as_logits(np.full((2, 8, 12), -1.0))
  photographs = [np.zeros((30, 40, 3), np.uint8)] * 2
  looks = look_again(lambda _: pytest.fail('looked'), found, photographs, size=SIZE, rows=2)
  assert [look[0] is found for look in looks] == [True, True]


def test_a_window_is_cut_from_the_photograph_at_its_own_size():
  photograph = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)
  (part,) = cut_windows(photograph, SIZE, [(0.25, 0.5, 0.5)])
  box = Image.fromarray(photograph).resize(
    SIZE[::-1], Image.Resampling.BILINEAR, box=(100, 25, 200, 75)
  )
  np.testing.assert_array_equal(part, np.asarray(box))


@pytest.mark.heavy
@pytest.mark.parametrize('tiles, combine', [(1, 'mean'), (2, 'agreement')])
def test_a_predictor_looks_again_with_all_supports(tiles, combine, monkeypatch):
  rng = np.random.default_rng(3)
  model = Model(HSNet(SMALL), variables(SMALL))
  images, masks = rng.integers(0, 256, (2, 64, 64, 3), np.uint8), np.ones((2, 64, 64), np.uint8)
  count = 1 if tiles == 1 else 5
  parts = rng.integers(0, 256, (count, 64, 64, 3), np.uint8)
  photograph = np.zeros((150, 200, 3), np.uint8)
  blended = as_logits(np.where(np.arange(8) < 4, 1.0, -1.0)[None, None].repeat(8, 1))

  def look(logits, found, photographs, *, size, rows):
    assert photographs == [photograph] and size == (64, 64) and rows == 1
    again = logits(parts[:1])
    assert again.shape[:2] == (1, 1), 'one set of both shots'
    height, width = again.shape[2:4]
    assert found.shape == (1, 1, tiles * height, tiles * width, 2)
    if tiles == 1:
      np.testing.assert_array_equal(found, again)
    return [(blended, 0)]

  monkeypatch.setattr(segmenting, 'look_again', look)
  predict_batch = predictor(model, images, masks, rows=count, tiles=tiles, combine=combine)
  (found,) = predict_batch(parts, [(150, 200)], [photograph])
  left = np.broadcast_to(np.arange(200) < 100, (150, 200))
  np.testing.assert_array_equal(np.asarray(found.mask)[:150, :200], left)


@pytest.mark.parametrize('tiles', [1, 2])
def test_photographs_are_given_where_they_are_to_be_looked_at_again(tmp_path, tiles):
  for i in range(3):
    picture(tmp_path / f'{i}.png', size=(20 + i, 10))
  given = []

  def predict_batch(images, sizes, photographs):
    given.append([image.shape[:2] for image in photographs] == sizes)
    return [judged(np.zeros(size, np.uint8)) for size in sizes]

  queries = find_queries([str(tmp_path)])[0]
  options = {'size': (8, 8), 'rows': 2, 'tiles': tiles}
  assert len(list(segment_files(predict_batch, queries, second_look=True, **options))) == 3
  assert given == [True] * (2 if tiles == 1 else 3)
