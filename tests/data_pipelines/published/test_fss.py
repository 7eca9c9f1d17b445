"""FSS-1000 in its real layout, made small: class/1.jpg to class/10.jpg with their gray masks."""

import io
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from data_pipelines import Fss1000, eval_batches, make_benchmark, trainable, training_episode
from data_pipelines.prepared.preparation import Preparation
from data_pipelines.reading.images import Encoded
from tests.facts import refused, warned

LISTS = {'trn': ('yak', 'bat'), 'val': ("thor's_hammer", 'ab_wheel', 'cpu'), 'test': ('bus',)}
TEXT_ORDER = [1, 10, 2, 3, 4, 5, 6, 7, 8, 9]
GRAYS = np.array([0, 1, 127, 128, 129, 255], np.uint8)


@pytest.fixture(scope='session')
def made_fss(tmp_path_factory):
  """The folder that holds what `fss` copies."""
  made = tmp_path_factory.mktemp('fss')
  rng = np.random.default_rng(0)
  (made / 'splits' / 'fss').mkdir(parents=True)
  for split, categories in LISTS.items():
    text = ''.join(f'{category}\n' for category in categories)
    (made / 'splits' / 'fss' / f'{split}.txt').write_text(text)
    for category in categories:
      folder = made / 'data' / category
      folder.mkdir(parents=True)
      for n in range(1, 11):
        pixels = rng.integers(0, 256, (12, 18, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{n}.jpg')
        gray = np.tile(np.repeat(GRAYS, 3), (12, 1))
        # The masks that were published are of either kind.
        mask = np.repeat(gray[..., None], 3, axis=2) if n % 2 else gray
        Image.fromarray(mask).save(folder / f'{n}.png')
  return made


@pytest.fixture
def fss(made_fss, tmp_path):
  """(data_dir, splits_dir) that a test may change."""
  shutil.copytree(made_fss, tmp_path, dirs_exist_ok=True)
  return tmp_path / 'data', tmp_path / 'splits'


def test_classes_are_numbered_by_list_and_sorted_name(fss):
  benchmark = Fss1000(*fss)
  ids = {'trn': (0, 1), 'val': (520, 521, 522), 'test': (760,)}
  for split, categories in LISTS.items():
    assert benchmark.test_classes(0, split) == ids[split]
    named = [benchmark.class_names[c] for c in ids[split]]
    assert named == sorted(categories)
    expected = [(f'{name}/{n}.jpg', c) for name, c in zip(named, ids[split], strict=True)
                for n in TEXT_ORDER]  # fmt: skip
    assert list(benchmark.split(0, split).items) == expected
    # The lists alone know as much.
    assert make_benchmark('fss', splits_dir=fss[1], lists_only=True).split(0, split).items == tuple(
      expected
    )
  with refused('fold 1', 'fss', 'fold 0'):
    benchmark.split(1, 'val')


def test_every_image_of_the_list_is_a_query_once(fss):
  episodes = Fss1000(*fss).test_episodes(0, shots=3)
  assert [e.query for e in episodes] == [
    f'{c}/{n}.jpg' for c in sorted(LISTS['val']) for n in TEXT_ORDER
  ]
  for episode in episodes:
    folder = episode.query.split('/')[0]
    assert episode.query not in episode.supports
    assert set(episode.supports) <= {f'{folder}/{n}.jpg' for n in range(1, 11)}
  assert Fss1000(None, fss[1]).test_episodes(0, shots=3) == episodes
  assert Fss1000(*fss).test_episodes(0, shots=3, count=7) == episodes[:7]
  for episode in Fss1000(*fss).test_episodes(0, split='test', shots=9, distinct=True):
    assert len({episode.query, *episode.supports}) == 10
  with refused("'bus'", 'class_id 760', '10 images'):
    Fss1000(*fss).test_episodes(0, split='test', shots=10, distinct=True)


@pytest.mark.parametrize('n', [1, 2])
def test_masks_are_foreground_from_128(fss, n):
  image, label = Fss1000(*fss).load(f'cpu/{n}.jpg')
  np.testing.assert_array_equal(image, np.asarray(Image.open(fss[0] / 'cpu' / f'{n}.jpg')))
  assert label.dtype == np.uint16
  np.testing.assert_array_equal(label[0], np.repeat([0, 0, 0, 522, 522, 522], 3))


def test_gray_counts_as_pillow_converts_it(fss):
  grid = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), axis=-1).reshape(18, -1, 3)
  mask = Image.fromarray(grid.astype(np.uint8))
  Image.new('RGB', mask.size).save(fss[0] / 'bat' / '1.jpg')
  mask.save(fss[0] / 'bat' / '1.png')
  label = Fss1000(*fss).load('bat/1.jpg')[1]
  np.testing.assert_array_equal(label, np.asarray(mask.convert('L')) >= 128)


def test_decodes_copies_in_memory(fss):
  benchmark = Fss1000(*fss)
  files = benchmark.encoded('bus/3.jpg')
  copies = [Encoded(path.read_bytes(), path.name) for path in files]
  pairs = zip(benchmark.decode('bus/3.jpg', *copies), benchmark.load('bus/3.jpg'), strict=True)
  for copied, loaded in pairs:
    np.testing.assert_array_equal(copied, loaded)
  assert set(np.unique(benchmark.load('bus/3.jpg')[1])) == {0, 761}
  with refused("'tram'"):
    benchmark.decode('tram/3.jpg', *copies)


def test_batches_of_a_test(fss):
  (batch,) = eval_batches(
    Fss1000(*fss), fold=0, shots=2, count=10, image_size=12, batch_size=10, num_threads=0
  )
  assert batch['class_id'].tolist() == [520] * 10
  # A third of every mask is below 128 and a half of it above, whatever the size.
  assert batch['query_mask'].mean() == batch['support_masks'].mean() == 0.5
  assert not batch['query_ignore'].any()


def test_lists_alone_have_no_image(fss):
  benchmark = Fss1000(None, fss[1])
  for call in (benchmark.load, lambda name: benchmark.check_images([name])):
    with refused('fss', '`data_dir`'):
      call('bus/1.jpg')


def test_missing_images_change_the_episodes_with_a_warning(fss):
  published = Fss1000(*fss).test_episodes(0, shots=2)
  for n in (7, 9):
    (fss[0] / 'cpu' / f'{n}.jpg').unlink()
  benchmark = Fss1000(*fss)
  with warned('fss val', 'cpu/7.jpg', '1 more'):
    episodes = benchmark.test_episodes(0, shots=2)
  assert len(episodes) == 28
  used = {name for e in episodes for name in (e.query, *e.supports)}
  assert not used & {'cpu/7.jpg', 'cpu/9.jpg'} and 'cpu/10.jpg' in used
  # Classes before it are as they were, and so is the other list.
  assert episodes[:10] == published[:10]
  assert len(benchmark.test_episodes(0, split='test')) == 10
  for n in range(2, 11):
    (fss[0] / 'cpu' / f'{n}.jpg').unlink(missing_ok=True)
  with (
    warned('cpu/2.jpg', '8 more'),
    refused("'cpu'", 'class_id 521', '1 image'),
  ):
    benchmark.test_episodes(0)


def test_other_images_change_the_episodes_with_a_warning(fss):
  published = Fss1000(*fss).test_episodes(0)
  # What a Mac leaves beside a file that it copied.
  (fss[0] / 'ab_wheel' / '._1.jpg').write_bytes(b'')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert Fss1000(*fss).test_episodes(0) == published
  for name in ('11.jpg', 'copy.jpg'):
    shutil.copy(fss[0] / 'cpu' / '1.jpg', fss[0] / 'cpu' / name)
  with warned('fss val', 'cpu/11.jpg', '1 more') as caught:
    episodes = Fss1000(*fss).test_episodes(0)
  assert len(caught) == 1
  assert {e.query for e in episodes} - {e.query for e in published} == {
    'cpu/11.jpg',
    'cpu/copy.jpg',
  }


def test_training_leaves_out_a_class_with_one_image(fss):
  for n in range(2, 11):
    (fss[0] / 'bat' / f'{n}.jpg').unlink()
  (fss[0] / 'bat' / 'notes.txt').write_text('')
  whole = Fss1000(*fss).split(0, 'trn')
  with warned("'bat'", 'class_id 0', '1 image'):
    split = trainable(whole)
  assert split.epoch_size == 10
  drawn = [training_episode(split, i, np.random.default_rng(i), shots=2) for i in range(10)]
  assert [e.query for e in drawn] == [f'yak/{n}.jpg' for n in TEXT_ORDER]


def test_missing_folders_and_files_are_named(fss):
  data, lists = fss
  with refused('nowhere', '`data_dir`'):
    Fss1000(data / 'nowhere', lists)
  with refused('data/fss', '`splits_dir`'):
    Fss1000(data, data)
  benchmark = Fss1000(data, lists)
  names = benchmark.image_names()
  assert len(names) == len(set(names)) == 60
  benchmark.check_images(names)
  (data / 'bus' / '4.png').unlink()
  with refused('bus/4.png'):
    benchmark.check_images(names)
  shutil.rmtree(data / 'cpu')
  with refused('cpu', '`data_dir`'):
    benchmark.split(0, 'val')
  (data / 'cpu').mkdir()
  with refused('cpu', '1.jpg to 10.jpg'):
    benchmark.split(0, 'val')


def test_damaged_files_are_named(fss):
  data = fss[0]
  (data / 'cpu' / '2.png').write_bytes(b'')
  out = io.BytesIO()
  Image.new('RGB', (18, 12)).save(out, 'JPEG')
  (data / 'cpu' / '3.jpg').write_bytes(out.getvalue()[:-200])
  for n, facts in ((2, ['2.png', 'empty']), (3, ['3.jpg', 'truncated'])):
    with refused(*facts):
      Fss1000(*fss).load(f'cpu/{n}.jpg')


def scaled(gray, size):
  """Scales nearest as the protocol has it: float32 steps, rounded down; 1 from 128 on."""
  rows, columns = (
    np.minimum(
      (np.arange(out, dtype=np.float32) * (np.float32(n) / np.float32(out))).astype(int), n - 1
    )
    for n, out in zip(gray.shape, size, strict=True)
  )
  return gray[rows][:, columns] >= 128


def test_a_mask_of_another_size_goes_straight_to_the_size_of_the_episode(fss, tmp_path):
  gray = np.random.default_rng(0).integers(0, 256, (50, 40), dtype=np.uint8)
  for n in range(1, 11):
    Image.fromarray(gray).save(fss[0] / 'bus' / f'{n}.png')
  benchmark = Fss1000(*fss)
  image, label = benchmark.load('bus/6.jpg')
  assert image.shape == (12, 18, 3) and label.shape == gray.shape
  options = {'fold': 0, 'split': 'test', 'shots': 1, 'count': 1, 'batch_size': 1, 'image_size': 31}
  expected = scaled(gray, (31, 31))
  # By way of the photograph's size it would be another mask.
  assert (expected != scaled(255 * scaled(gray, (12, 18)).astype(np.uint8), (31, 31))).any()
  sets = [
    Preparation(benchmark, tmp_path / f'set{size}', image_size=size, data_dir=fss[0]).make()
    for size in (None, 31)
  ]
  for source in (benchmark, *sets):
    (batch,) = eval_batches(source, num_threads=0, **options)
    np.testing.assert_array_equal(batch['query_mask'][0], expected)
    np.testing.assert_array_equal(batch['support_masks'][0, 0], expected)
  for source in (benchmark, sets[0]):
    (batch,) = eval_batches(source, num_threads=0, original_size=True, **options)
    assert batch['query_size'].tolist() == [[12, 18]]
    np.testing.assert_array_equal(batch['query_mask'][0, :12, :18], scaled(gray, (12, 18)))
    np.testing.assert_array_equal(batch['support_masks'][0, 0], expected)


def test_a_category_in_two_lists_is_refused(fss):
  path = fss[1] / 'fss' / 'test.txt'
  path.write_text('bus\nyak\n')
  with refused('test.txt', 'yak'):
    Fss1000(*fss)
  path.write_text(''.join(f'c{i}\n' for i in range(241)))
  with refused('test.txt', 241, 240):
    Fss1000(*fss)


def test_a_category_whose_name_no_folder_can_have_is_named(tmp_path):
  data, lists = tmp_path / 'data', tmp_path / 'lists'
  data.mkdir()
  (lists / 'fss').mkdir(parents=True)
  for split, name in (('trn', 'x' * 5000), ('val', 'bus'), ('test', 'cup')):
    (lists / 'fss' / f'{split}.txt').write_text(name)
  benchmark = Fss1000(data, lists)
  with refused('x' * 5000, 'listed category'):
    benchmark.split(0, 'trn')
  name = f'{"x" * 5000}/1.jpg'
  with refused(name):
    benchmark.check_images([name])
  with refused(name):
    benchmark.load(name)
