import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines import (
  Episode,
  class_first_episodes,
  make_benchmark,
  published_episodes,
  training_episode,
)
from data_pipelines.episodes import with_absent
from data_pipelines.splits import Split
from tests.facts import refused


@st.composite
def splits(draw, least=2):
  sizes = draw(st.lists(st.integers(least, 7), min_size=1, max_size=4))
  items = [(f'{c}_{i}', c) for c, size in enumerate(sizes) for i in range(size)]
  return Split('drawn', tuple(draw(st.permutations(items))))


def test_published_lists_give_the_published_episodes(shared):
  reference = json.loads((shared / 'episodes' / 'reference.json').read_text())
  assert reference
  for name, expected in reference.items():
    benchmark_name, part, shots = name.split('/')
    benchmark = make_benchmark(benchmark_name, splits_dir=shared / 'splits', lists_only=True)
    fold, split = (int(part[-1]), 'val') if part.startswith('fold') else (0, part)
    shots = int(shots.removesuffix('shot'))
    episodes = benchmark.test_episodes(fold, split=split, shots=shots)
    assert len(episodes) == expected['count'], name
    plain = [[e.query, list(e.supports), e.class_id] for e in episodes]
    assert plain[: len(expected['first'])] == expected['first'], name
    text = json.dumps(plain, separators=(',', ':'))
    assert hashlib.sha256(text.encode()).hexdigest() == expected['sha256'], name
    # However few are asked for, they are those of the whole test.
    first = benchmark.test_episodes(fold, split=split, shots=shots, count=10)
    assert first == episodes[:10], name


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


def plain_class_first(items, classes, shots, count, seed, distinct):
  """The protocol of COCO-20i as it is told: draws from the lists themselves."""
  rng = np.random.RandomState(seed)
  episodes = []
  for _ in range(count):
    class_id = rng.choice(classes, 1, replace=False)[0]
    names = [n for n, c in items if c == class_id]
    query = rng.choice(names, 1, replace=False)[0]
    supports = []
    while len(supports) < shots:
      name = rng.choice(names, 1, replace=False)[0]
      if name != query and not (distinct and name in supports):
        supports.append(name)
    episodes.append((str(query), tuple(map(str, supports)), int(class_id)))
  return episodes


@settings(max_examples=30, deadline=None)
@given(splits(least=5), st.integers(1, 4), st.integers(1, 12), st.integers(0, 9), st.booleans())
def test_class_first_episodes_match_the_plain_protocol(split, shots, count, seed, distinct):
  classes = tuple(split.by_class)
  episodes = class_first_episodes(
    split, classes, shots=shots, count=count, seed=seed, distinct=distinct
  )
  assert list(episodes) == plain_class_first(split.items, classes, shots, count, seed, distinct)


@settings(max_examples=30, deadline=None)
@given(splits(), st.integers(1, 4), st.integers(1, 12))
def test_candidates_are_what_supports_are_drawn_from(split, shots, count):
  reordered = {c: names[::-1] for c, names in split.by_class.items()}
  episodes = published_episodes(split, shots=shots, count=count, candidates=reordered)
  assert [e.query for e in episodes] == [split.items[i % len(split.items)][0] for i in range(count)]
  rng = np.random.RandomState(0)
  for episode in episodes:
    supports = []
    while len(supports) < shots:
      name = rng.choice(reordered[episode.class_id], 1, replace=False)[0]
      if name != episode.query:
        supports.append(name)
    assert list(episode.supports) == supports


def by_class_first(split, **options):
  return class_first_episodes(split, tuple(split.by_class), **options)


PROTOCOLS = pytest.mark.parametrize('protocol', [published_episodes, by_class_first])


@PROTOCOLS
def test_fewer_episodes_are_a_prefix(protocol):
  split = Split('s', tuple((f'{i}', i % 2) for i in range(9)))
  assert protocol(split, count=50)[:20] == protocol(split, count=20)


@PROTOCOLS
def test_supports_may_repeat_unless_distinct_is_asked_for(protocol):
  split = Split('s', tuple((f'{i}', 0) for i in range(4)))
  repeating = protocol(split, shots=3, count=40)
  assert any(len(set(e.supports)) < 3 for e in repeating)
  assert all(e.query not in e.supports for e in repeating)
  for episode in protocol(split, shots=3, count=40, distinct=True):
    assert len({episode.query, *episode.supports}) == 4


@PROTOCOLS
@pytest.mark.parametrize('items', [(('a', 0), ('b', 0), ('c', 1)), (('c', 1), ('c', 1))])
def test_a_class_without_a_support_is_named(items, protocol):
  split = Split('val', items, ('ant', 'bee'))
  with refused("'bee'", 'class_id 1', '1 image'):
    # Even where the class is not reached: a short run must not hide it.
    protocol(split, count=1)


@PROTOCOLS
def test_distinct_supports_need_enough_images(protocol):
  split = Split('val', tuple((f'{i}', 0) for i in range(5)), ('ant',))
  assert protocol(split, shots=4, count=20, distinct=True)
  with refused("'ant'", '5 images'):
    protocol(split, shots=5, distinct=True)
  with refused("'ant'"):
    training_episode(split, 0, np.random.default_rng(0), shots=5, distinct=True)


@PROTOCOLS
@pytest.mark.parametrize('options', [{'shots': 0}, {'count': 0}])
def test_counts_must_be_positive(options, protocol):
  with refused(f'`{next(iter(options))}`', 0):
    protocol(Split('s', (('a', 0), ('b', 0))), **options)


def test_of_two_images_each_is_the_others_support():
  split = Split('s', (('a', 3), ('b', 3)))
  expected = (Episode('a', ('b',), class_id=3), Episode('b', ('a',), class_id=3))
  assert published_episodes(split, count=2) == expected
  drawn = [training_episode(split, i, np.random.default_rng(0)) for i in range(2)]
  assert tuple(drawn) == expected


def test_an_empty_list_has_no_episode():
  for count in (0, 1):
    with refused('s: ', 'empty'):
      published_episodes(Split('s', ()), count=count)


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
  assert all(
    abs(count - 1000) < 5 * np.sqrt(4000 * 0.25 * 0.75) for count in (*counts[:2], *counts[3:])
  )


def test_supports_of_another_class_come_as_often_as_asked():
  items = [(f'{c}_{i}', c) for c in range(3) for i in range(4)]
  split, rng = Split('s', tuple(items)), np.random.default_rng(0)
  drawn = [training_episode(split, 5, rng, shots=2, absent=0.25) for _ in range(4000)]
  assert {e.query for e in drawn} == {'1_1'}
  for episode in drawn:
    assert set(episode.supports) <= set(split.by_class[episode.class_id]) - {'1_1'}
  counts = [sum(e.class_id == c for e in drawn) for c in range(3)]
  # Five standard deviations about an eighth each, and three quarters.
  for count, share in zip(counts, (1 / 8, 3 / 4, 1 / 8), strict=True):
    assert abs(count - 4000 * share) < 5 * np.sqrt(4000 * share * (1 - share))


def test_where_there_is_one_class_none_is_absent():
  split = Split('s', tuple((str(i), 0) for i in range(3)))
  assert training_episode(split, 0, np.random.default_rng(0), absent=1.0).class_id == 0


def test_a_list_without_classes_has_no_episode():
  with refused('s: ', 'no class'):
    class_first_episodes(Split('s', (('a', 0), ('b', 0))), ())


def test_a_share_of_queries_is_of_another_class():
  split = Split('s', tuple((f'{c}_{i}', c) for c in range(3) for i in range(4)))
  episodes = published_episodes(split, count=600)
  drawn = with_absent(episodes, 0.5, split=split)
  assert with_absent(episodes, 0.0, split=split) == episodes
  assert with_absent(episodes[:100], 0.5, split=split) == drawn[:100]
  other = [a for a, b in zip(drawn, episodes, strict=True) if a != b]
  for a, b in zip(drawn, episodes, strict=True):
    assert (a.supports, a.class_id) == (b.supports, b.class_id)
  assert all(int(e.query[0]) != e.class_id for e in other)
  assert abs(len(other) - 300) < 5 * np.sqrt(150)
  with refused('`absent`', 2):
    with_absent(episodes, 2, split=split)


def test_a_query_of_another_class_is_no_support():
  """Where an image shows two classes, it may be a support of the one."""
  split = Split('s', (('a', 0), ('both', 0), ('both', 1)))
  episode = Episode('a', ('both',), 0)
  assert with_absent([episode], 1.0, split=split) == (episode,)
  alone = Split('s', (('a', 0), ('b', 0)))
  assert with_absent([Episode('a', ('b',), 0)], 1.0, split=alone) == (Episode('a', ('b',), 0),)
