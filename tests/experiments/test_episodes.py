"""The command that prints episodes, on lists as they are published, made small."""

import json
import pickle

import pytest

from data_pipelines import make_benchmark


@pytest.fixture(scope='module')
def lists(tmp_path_factory):
  """A folder of lists of every benchmark that has some."""
  folder = tmp_path_factory.mktemp('splits')
  for part in ('pascal/val', 'coco/val', 'fss'):
    (folder / part).mkdir(parents=True)
  lines = [f'2007_{i:06d}__{i % 5 + 6:02d}' for i in range(40)]
  (folder / 'pascal' / 'val' / 'fold1.txt').write_text('\n'.join(lines))
  names = {
    c: [f'val2014/COCO_val2014_{10 * c + i:012d}.jpg' for i in range(4)] for c in range(2, 80, 4)
  }
  (folder / 'coco' / 'val' / 'fold2.pkl').write_bytes(pickle.dumps(names))
  for split in ('trn', 'val', 'test'):
    (folder / 'fss' / f'{split}.txt').write_text(f'{split}_b\n{split}_a\n')
  return folder


def printed(done):
  """What is on standard output, which must be one line of compact JSON."""
  assert done.returncode == 0, done.stderr
  assert not done.stderr
  episodes = json.loads(done.stdout)
  assert done.stdout == json.dumps(episodes, separators=(',', ':')) + '\n'
  return episodes


def plain(episodes):
  return [[e.query, list(e.supports), e.class_id] for e in episodes]


@pytest.mark.parametrize('name, fold, split', [
  ('pascal', 1, 'val'), ('coco', 2, 'val'), ('fss', 0, 'val'), ('fss', 0, 'test'),
])  # fmt: skip
def test_prints_the_published_list(served, lists, name, fold, split):
  flags = [f'--benchmark={name}', f'--fold={fold}', f'--split={split}', f'--splits_dir={lists}']
  benchmark = make_benchmark(name, splits_dir=lists, lists_only=True)
  expected = plain(benchmark.test_episodes(fold, split=split, shots=3))
  assert len(expected) == (20 if name == 'fss' else 1000)
  assert printed(served('episodes', *flags, '--shot=3')) == expected
  assert printed(served('episodes', *flags, '--shots=3', '--episodes=4')) == expected[:4]
  distinct = printed(served('episodes', *flags, '--shot=3', '--protocol=distinct'))
  assert all(len({query, *supports}) == 4 for query, supports, _ in distinct)
  assert distinct == plain(benchmark.test_episodes(fold, split=split, shots=3, distinct=True))


@pytest.mark.parametrize('name, fold', [('pascal', 1), ('coco', 2), ('shapes', 3)])
def test_the_test_list_is_the_validation_list_where_there_is_but_one(served, lists, name, fold):
  flags = [f'--benchmark={name}', f'--fold={fold}']
  if name != 'shapes':
    flags.append(f'--splits_dir={lists}')
  both = [printed(served('episodes', *flags, f'--split={split}')) for split in ('val', 'test')]
  assert both[0] == both[1] and len(both[0]) == 1000


def test_fold_0_and_one_support_are_the_default(served, lists):
  episodes = printed(served('episodes', '--benchmark=fss', f'--splits_dir={lists}'))
  assert episodes[0][0] == 'val_a/1.jpg' and episodes[1][0] == 'val_a/10.jpg'
  assert all(len(supports) == 1 for _, supports, _ in episodes)


@pytest.mark.parametrize('flags, words', [
  ([], 'no benchmark; give --benchmark'),
  (['--benchmark=coco'], 'needs --splits_dir: the folder that holds coco/'),
  (['--benchmark=coco', '--fold=4', '--splits_dir={}'], 'fold 4 is out of range'),
  (['--benchmark=coco', '--fold=1', '--splits_dir={}'], 'fold1.pkl: cannot read the image list'),
  (['--benchmark=coco', '--fold=2', '--splits_dir={}', '--shot=4', '--protocol=distinct'],
   'has 4 images, so a query has no 4 others'),
  (['--benchmark=folder'], 'needs --data_dir'),
  (['--benchmark=fss', '--split=trn', '--splits_dir={}'], 'trn'),
])  # fmt: skip
def test_what_cannot_be_printed_is_one_line(served, failure, lists, flags, words):
  done = served('episodes', *[flag.format(lists) for flag in flags])
  assert words in failure(done) and not done.stdout
