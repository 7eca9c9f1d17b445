"""Two evaluations of the same episodes: what one has more, and what is refused."""

import numpy as np
import pytest

from data_pipelines.episodes import Episode
from experiments.reporting.paired import paired_rows, read_counted
from experiments.reporting.tables import episodes_csv
from hsnet_jax.errors import InputError

NAMES = ('dog', 'cat')
EPISODES = [Episode(f'q{i // 2}', ('a', 'b c'), i % 2) for i in range(40)]


def written(folder, counts, episodes=EPISODES):
  folder.mkdir()
  class_id = np.array([e.class_id for e in episodes])
  rows = {'index': np.arange(len(counts)), 'class_id': class_id[: len(counts)], 'counts': counts}
  (folder / 'episodes.csv').write_text(episodes_csv(rows, episodes, NAMES), encoding='utf-8')
  return read_counted(folder)


def test_what_is_written_is_read(tmp_path):
  counts = np.random.default_rng(0).integers(0, 10**6, (40, 4))
  found = written(tmp_path / 'a', counts)
  np.testing.assert_array_equal(found.counts, counts)
  assert found.episodes[3] == ('3', 'cat', 'q1', '["a", "b c"]')
  np.testing.assert_array_equal(read_counted(tmp_path / 'a' / 'episodes.csv').counts, counts)


def test_episodes_with_neither_object_nor_mark_are_compared(tmp_path):
  """Their `iou` is empty; only counts are read."""
  counts = np.tile([0, 0, 0, 9], (40, 1))
  first = written(tmp_path / 'a', counts)
  counts[:20] = 5, 5, 0, 0
  second = written(tmp_path / 'b', counts)
  assert paired_rows(second, first, names=('b', 'a'))[1][:4] == ['mIoU', '50.00', '0.00', '50.00']


def test_the_difference_is_paired(tmp_path):
  # IoUs are all over the place, but the first has always ten points more.
  iou = np.random.default_rng(0).integers(100, 800, 40)
  zero = 0 * iou
  first = written(tmp_path / 'a', np.stack([iou + 100, 900 - iou, zero, zero], axis=1))
  second = written(tmp_path / 'b', np.stack([iou, 1000 - iou, zero, zero], axis=1))
  heads, miou, dog, _ = paired_rows(first, second, names=('a', 'b'))
  assert heads == ['percent', 'a', 'b', 'difference', '95% interval']
  assert miou[0] == 'mIoU' and miou[3:] == ['10.00', '10.0 to 10.0']
  of_dogs = 100 * (iou[::2].sum() + 2000) / 20000
  assert dog == ['  dog', f'{of_dogs:.2f}', f'{of_dogs - 10:.2f}', '10.00', '10.0 to 10.0']


def test_others_are_refused(tmp_path):
  counts = np.ones((40, 4), int)
  whole, fewer = written(tmp_path / 'a', counts), written(tmp_path / 'b', counts[:7])
  with pytest.raises(InputError, match='a and b are of other episodes, from number 7 on'):
    paired_rows(whole, fewer, names=('a', 'b'))
  swapped = [EPISODES[0], EPISODES[1]._replace(query='z'), *EPISODES[2:]]
  other = written(tmp_path / 'c', counts, swapped)
  with pytest.raises(InputError, match='from number 1 on'):
    paired_rows(whole, other, names=('a', 'c'))


@pytest.mark.parametrize(
  'text, words',
  [
    (None, 'No such file'),
    ('', 'has no episode'),
    ('a,b\n1,2\n', 'no episodes.csv'),
    ('episode,class,query,supports\n0,dog,q,a\n', 'no episodes.csv'),
  ],
)
def test_a_file_that_is_no_such_one_is_named(tmp_path, text, words):
  path = tmp_path / 'episodes.csv'
  if text is not None:
    path.write_text(text, encoding='utf-8')
  with pytest.raises(InputError, match=f'{path}: .*{words}'):
    read_counted(tmp_path)
