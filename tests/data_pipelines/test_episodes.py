import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.episodes import published_episodes, training_episode
from data_pipelines.splits import Split, read_pascal_list
from hsnet_jax.errors import InputError


@st.composite
def splits(draw, least=2):
  sizes = draw(st.lists(st.integers(least, 7), min_size=1, max_size=4))
  items = [(f'{c}_{i}', c) for c, size in enumerate(sizes) for i in range(size)]
  return Split('drawn', tuple(draw(st.permutations(items))))


@pytest.mark.parametrize('shots', [1, 5])
def test_published_lists_give_the_published_episodes(shared, shots):
  reference = json.loads((shared / 'episodes' / 'reference.json').read_text())
  expected = reference[f'pascal/fold0/{shots}shot']
  items = read_pascal_list(shared / 'splits' / 'pascal' / 'val' / 'fold0.txt')
  episodes = published_episodes(Split('val', items), shots=shots, count=expected['count'])
  plain = [[e.query, list(e.supports), e.class_id] for e in episodes]
  assert plain[: len(expected['first'])] == expected['first']
  text = json.dumps(plain, separators=(',', ':'))
  assert hashlib.sha256(text.encode()).hexdigest() == expected['sha256']


def plain_episodes(items, shots, count, seed):
  """The protocol as it is told: draws from the lists of names themselves."""
  rng = np.random.RandomState(seed)
  episodes = []
  for i in range(count):
    query, class_id = items[i % len(items)]
    supports = []
    while len(supports) < shots:
      name = rng.choice([n for n, c in items if c == class_id], 1, replace=False)[0]
      if name != query:
        supports.append(str(name))
    episodes.append((query, tuple(supports), class_id))
  return episodes


@settings(max_examples=30, deadline=None)
@given(splits(), st.integers(1, 4), st.integers(1, 12), st.integers(0, 9))
def test_published_episodes_match_the_plain_protocol(split, shots, count, seed):
  episodes = published_episodes(split, shots=shots, count=count, seed=seed)
  assert list(episodes) == plain_episodes(split.items, shots, count, seed)


def test_fewer_episodes_are_a_prefix():
  split = Split('s', tuple((f'{i}', i % 2) for i in range(9)))
  assert published_episodes(split, count=50)[:20] == published_episodes(split, count=20)


def test_supports_may_repeat_unless_distinct_is_asked_for():
  split = Split('s', tuple((f'{i}', 0) for i in range(4)))
  repeating = published_episodes(split, shots=3, count=40)
  assert any(len(set(e.supports)) < 3 for e in repeating)
  for episode in published_episodes(split, shots=3, count=40, distinct=True):
    assert len({episode.query, *episode.supports}) == 4


@pytest.mark.parametrize('items', [(('a', 0), ('b', 0), ('c', 1)), (('c', 1), ('c', 1))])
def test_a_class_without_a_support_is_named(items):
  split = Split('val', items, ('ant', 'bee'))
  with pytest.raises(InputError, match="class 'bee' .class_id 1. has 1 image"):
    # Even where the class is not reached: a short run must not hide it.
    published_episodes(split, count=1)


def test_distinct_supports_need_enough_images():
  split = Split('val', tuple((f'{i}', 0) for i in range(5)), ('ant',))
  assert published_episodes(split, shots=4, count=20, distinct=True)
  with pytest.raises(InputError, match="'ant' .* has 5 images"):
    published_episodes(split, shots=5, distinct=True)
  with pytest.raises(InputError, match="'ant'"):
    training_episode(split, 0, np.random.default_rng(0), shots=5, distinct=True)


@pytest.mark.parametrize('options', [{'shots': 0}, {'count': 0}])
def test_counts_must_be_positive(options):
  with pytest.raises(InputError, match=next(iter(options))):
    published_episodes(Split('s', (('a', 0), ('b', 0))), **options)


def test_an_empty_list_has_no_episode():
  with pytest.raises(InputError, match='empty'):
    published_episodes(Split('s', ()))


@settings(max_examples=50, deadline=None)
@given(splits(), st.data())
def test_training_episode_is_of_one_class_and_not_the_query(split, data):
  index = data.draw(st.integers(0, len(split.items) - 1))
  shots = data.draw(st.integers(1, 4))
  seed = data.draw(st.integers(0, 99))
  episode = training_episode(split, index, np.random.default_rng(seed), shots=shots)
  assert (episode.query, episode.class_id) == split.items[index]
  assert len(episode.supports) == shots
  assert set(episode.supports) <= set(split.by_class[episode.class_id]) - {episode.query}
  again = training_episode(split, index, np.random.default_rng(seed), shots=shots)
  assert again == episode


def test_training_supports_are_uniform_over_the_others():
  split = Split('s', tuple((f'{i}', 0) for i in range(5)))
  rng = np.random.default_rng(0)
  drawn = [training_episode(split, 2, rng).supports[0] for _ in range(4000)]
  counts = [drawn.count(name) for name in '01234']
  assert counts[2] == 0
  # Five standard deviations about 1000.
  assert all(abs(count - 1000) < 5 * np.sqrt(4000 * 0.25 * 0.75) for count in counts[:2])
