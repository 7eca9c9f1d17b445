"""The embedded benchmark: the same pictures everywhere, honest labels, classes kept apart."""

import hashlib
import pickle
import threading

import numpy as np
import pytest

from data_pipelines.shapes import others, outlines, raster, render
from data_pipelines.shapes.benchmark import Shapes
from data_pipelines.shapes.lessons import draw_lesson, draw_lessons
from tests.facts import refused

# What six pictures and their labels hash to: on every machine, with every release of NumPy.
_DIGEST = 'c3072e5f29018827d5da74e9307aeb00e5f75c0fc5c4457ad249e2c895229835'
_DIGEST_OF = ('star_0000', 'key_0012', 'gear_0100', 'leaf_0007', 'umbrella_0149', 'crown_0042')


@pytest.fixture(scope='module')
def shapes():
  return Shapes()


def test_pictures_are_the_same_on_every_machine(shapes):
  digest = hashlib.sha256()
  for name in _DIGEST_OF:
    for array in shapes.load(name):
      digest.update(array.tobytes())
  assert digest.hexdigest() == _DIGEST


def test_a_picture_depends_on_name_and_seed_alone(shapes):
  again, other = Shapes(), Shapes(1)
  again.load('cup_0001')
  np.testing.assert_array_equal(again.load('cup_0000')[0], shapes.load('cup_0000')[0])
  assert (other.load('cup_0000')[0] != shapes.load('cup_0000')[0]).any()
  assert (shapes.load('cup_0001')[0] != shapes.load('cup_0000')[0]).any()


def test_folds_share_neither_classes_nor_pictures(shapes):
  tested = [shapes.test_classes(fold) for fold in range(shapes.num_folds)]
  assert sorted(sum(tested, ())) == list(range(20))
  for fold in range(4):
    train, test = shapes.split(fold, 'trn'), shapes.split(fold, 'val')
    assert set(test.by_class) == set(tested[fold])
    assert not set(train.by_class) & set(test.by_class)
    assert {len(v) for v in train.by_class.values()} == {100}
    assert {len(v) for v in test.by_class.values()} == {50}
    assert all(name.startswith(f'{shapes.class_names[c]}_') for name, c in train.items)
    # Any first few episodes are spread over the classes.
    assert [c for _, c in test.items[:5]] == list(tested[fold])
  seen = {name for name, _ in shapes.split(0, 'trn').items}
  assert not seen & {name for name, _ in shapes.split(1, 'val').items}


@pytest.mark.parametrize('fold', range(4))
def test_pictures_show_their_class_and_nothing_of_another_fold(shapes, fold):
  allowed = {0, render.BOUNDARY} | {c + 1 for c in shapes.test_classes(fold)}
  with_rivals = 0
  for name, class_id in shapes.split(fold, 'val').items[:40]:
    image, label = shapes.load(name)
    assert image.shape == (128, 128, 3) and image.dtype == label.dtype == np.uint8
    values = set(np.unique(label).tolist())
    assert values <= allowed
    assert (label == class_id + 1).sum() > 200, name
    with_rivals += len(values - {0, render.BOUNDARY, class_id + 1}) > 0
  assert with_rivals >= 20


@pytest.mark.heavy
def test_color_does_not_tell_the_class(shapes):
  """Nearest mean color, learned on half of the pictures, is near chance (20%) on the others."""
  colors, classes = [], []
  for name, class_id in shapes.split(0, 'val').items[:150]:
    image, label = shapes.load(name)
    colors.append(image[label == class_id + 1].mean(axis=0))
    classes.append(class_id)
  colors, classes = np.array(colors), np.array(classes)
  means = np.stack([colors[:75][classes[:75] == c].mean(axis=0) for c in range(5)])
  nearest = np.square(colors[75:, None] - means[None]).sum(axis=-1).argmin(axis=1)
  assert (nearest == classes[75:]).mean() < 0.35


def test_nobody_can_change_what_is_kept(shapes):
  image, label = shapes.load('fish_0003')
  assert not image.flags.writeable and not label.flags.writeable


def test_a_small_cache_is_safe_between_threads():
  bounded = Shapes(cache_images=3)
  names = [f'arrow_{n:04d}' for n in range(6)]
  expected = {name: Shapes().load(name)[0] for name in names}
  wrong = []

  def read(order):
    for name in order:
      if not np.array_equal(bounded.load(name)[0], expected[name]):
        wrong.append(name)

  threads = [threading.Thread(target=read, args=(order,)) for order in (names, names[::-1])]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not wrong


def test_the_pictures_read_last_are_kept():
  bounded = Shapes(cache_images=3)
  names = [f'arrow_{n:04d}' for n in range(5)]
  first = {name: bounded.load(name) for name in names}
  # What is kept is the very picture, what is not is drawn again.
  assert [bounded.load(name) is first[name] for name in names[:1:-1]] == [True] * 3
  assert bounded.load(names[1]) is not first[names[1]]


def test_a_copy_for_another_process_draws_the_same(shapes):
  image, label = shapes.load('cup_0000')
  copied = pickle.loads(pickle.dumps(shapes))
  assert len(pickle.dumps(shapes)) < 2000  # Not the pictures.
  np.testing.assert_array_equal(copied.load('cup_0000')[0], image)
  np.testing.assert_array_equal(copied.load('cup_0000')[1], label)


@pytest.mark.parametrize('name', ['gear', 'gear_12', 'gear_00x1', 'whale_0001', ''])
def test_an_unknown_picture_is_named(shapes, name):
  with refused(f"'{name}'"):
    shapes.load(name)


def test_a_fold_or_split_out_of_range_is_an_error(shapes):
  with refused('fold 4', '0 to 3'):
    shapes.split(4, 'trn')
  with refused("'test'", 'trn and val'):
    shapes.split(0, 'test')


def test_sines_agree_with_the_library():
  turns = np.linspace(-2.3, 3.1, 1001)
  np.testing.assert_allclose(outlines.sin_turns(turns), np.sin(2 * np.pi * turns), atol=1e-11)
  np.testing.assert_allclose(outlines.cos_turns(turns), np.cos(2 * np.pi * turns), atol=1e-11)


def _inside(contours, x, y):
  """Even-odd rule for one point, by its definition: crossings of a ray to the left."""
  crossings = 0
  for contour in contours:
    for (x0, y0), (x1, y1) in zip(contour, np.roll(contour, -1, axis=0), strict=True):
      if (y0 <= y) != (y1 <= y):
        crossings += x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x
  return crossings % 2


def test_polygons_are_filled_by_the_even_odd_rule():
  rng = np.random.RandomState(0)
  contours = [rng.randint(-40, 240, (n, 2)) for n in (3, 7)]
  filled = raster.fill(contours, 20, 24)
  checked = 0
  for row in range(20):
    for column in range(24):
      # Crossings are rounded to a unit, a sixteenth of a point: points that near have no say.
      left, right = (_inside(contours, 16 * column + 8 + d, 16 * row + 8) for d in (-1.01, 1.01))
      if left == right:
        assert filled[row, column] == left, (row, column)
        checked += 1
  assert checked > 440


def test_coverage_measures_area_and_is_cropped_to_the_picture():
  square = outlines.solid(outlines.box(-1, -1, 1, 1))
  piece = raster.place(square, size=64, center=(20.25, 30.5), radius=8)
  assert piece.coverage.sum() == 16 * 16 * 16
  assert piece.coverage.max() == 16
  cropped = raster.place(square, size=64, center=(0.0, 60.0), radius=8)
  assert (cropped.top, cropped.left) == (52, 0)
  assert cropped.coverage.sum() == 16 * 8 * 12
  holed = raster.place(
    square + outlines.cut(outlines.box(-0.5, -0.5, 0.5, 0.5)), size=64, center=(32, 32), radius=8
  )
  assert holed.coverage.sum() == 16 * (16 * 16 - 8 * 8)


@pytest.mark.heavy
def test_the_backbones_classes_resemble_none_of_the_benchmarks():
  numbers = others.other_classes(30)
  assert len(set(numbers)) == 30
  for number in numbers:
    assert others.resemblance(others.other_class(number)(np.random.RandomState(0))) < 0.75
  for make in outlines.CLASSES.values():
    assert others.resemblance(make(np.random.RandomState(0))) > 0.9


def test_lessons_tell_objects_apart():
  lessons = draw_lessons(3, plain=False, num_classes=6)
  assert lessons.image.shape == (3, 128, 128, 3)
  for image, label, classes, silhouettes in zip(*lessons, strict=True):
    assert image.std() > 10
    count = max(v for v in np.unique(label) if v != render.BOUNDARY)
    assert 2 <= count <= 5
    assert classes.max() < 6
    assert (silhouettes[1 : count + 1].max(axis=(1, 2)) == 16).all()
    assert not silhouettes[0].any()
  plain = draw_lesson(0, plain=True, num_classes=6)
  # One color to an object.
  for value in set(np.unique(plain.label).tolist()) - {0, render.BOUNDARY}:
    colors = np.unique(plain.image[plain.label == value], axis=0)
    shadowless = np.abs(colors.astype(int) - colors[-1]).max()
    assert len(colors) <= 40 and shadowless <= 120
