"""Presence against plain NumPy and scikit-learn."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hsnet_jax.metrics.presence import Presence, presence_counts, presence_score
from hsnet_jax.metrics.table import ABSENT_METRICS, Tally, count_episodes

SIZE = (9, 13)


def episodes(count=12, seed=0):
  rng = np.random.default_rng(seed)
  present = np.arange(count) % 2 == 0
  target = (rng.random((count, *SIZE)) < 0.3) & present[:, None, None]
  margin = rng.normal(size=(count, *SIZE)).astype(np.float32) * 3 + target
  ignore = rng.random((count, *SIZE)) < 0.2
  return margin > 2, margin, target, ignore


def score_oracle(margin, ignore, share):
  kept = np.sort(margin[~ignore])[::-1]
  count = max(1, round(share * kept.size))
  return kept[:count].mean() if kept.size else -np.inf


@pytest.mark.parametrize('transform', [lambda f: f, jax.jit], ids=['plain', 'jit'])
@pytest.mark.parametrize('share', [0.001, 0.05, 1.0])
def test_a_score_is_the_mean_of_the_highest(share, transform):
  _, margin, _, ignore = episodes()
  ignore[3] = True
  found = transform(lambda m, i: presence_score(m, i, share=share))(margin, ignore)
  expected = [score_oracle(m, i, share) for m, i in zip(margin, ignore, strict=True)]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 12))
def test_figures_are_those_of_plain_loops_in_any_parts(seed, cut):
  prediction, margin, target, ignore = episodes(seed=seed)
  counts = np.asarray(presence_counts(prediction, margin, target, ignore))
  pooled = Presence.empty().update(counts[cut:]).merge(Presence.empty().update(counts[:cut]))
  scores = [score_oracle(m, i, 0.01) for m, i in zip(margin, ignore, strict=True)]
  true = (target & ~ignore).any((1, 2))
  marked = [(p & ~i).sum() for p, i in zip(prediction, ignore, strict=True)]
  absent = [n for n in range(len(true)) if not true[n]]
  kept = sum((~ignore[n]).sum() for n in absent)
  expected = {
    'presence_auc': 100 * roc_auc_score(true, scores),
    'found': 100 * np.mean([marked[n] > 0 for n in range(len(true)) if true[n]]),
    'left_empty': 100 * np.mean([marked[n] == 0 for n in absent]),
    'false_area': 100 * sum(marked[n] for n in absent) / kept,
  }
  found = pooled.result()
  assert found.keys() == expected.keys()
  # Scores that share a bin are ties, of 36 pairs: half a pair at most.
  assert abs(found['presence_auc'] - expected['presence_auc']) <= 100 / 72 + 1e-9
  for name in ('found', 'left_empty', 'false_area'):
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)


def test_where_all_show_the_object_there_are_no_figures():
  prediction, margin, target, ignore = (x[::2] for x in episodes())
  rows = count_episodes(prediction, margin, target, ignore, metrics=ABSENT_METRICS)
  tally = Tally.empty(3, metrics=ABSENT_METRICS).update(rows, np.zeros(6, int), np.ones(6, bool))
  assert 'miou' in tally.result()
  assert not {'presence_auc', 'found', 'left_empty', 'false_area'} & set(tally.result())
  assert Presence.empty().result() == {}


def test_where_none_does_there_is_no_auc():
  prediction, margin, target, _ = (x[1::2] for x in episodes())
  result = Presence.empty().update(presence_counts(prediction, margin, target)).result()
  assert np.isnan(result['presence_auc']) and np.isnan(result['found'])
  assert 0 < result['false_area'] < 100


def test_rows_that_are_not_valid_count_nowhere():
  rows = presence_counts(*episodes())
  valid = np.arange(12) < 5
  some = Presence.empty().update(rows, valid).result()
  assert some == Presence.empty().update(np.asarray(rows)[:5]).result()


def test_what_lies_round_a_picture_changes_nothing():
  prediction, margin, target, ignore = episodes()
  size = ((0, 0), (0, 11), (0, 20))
  wide = [np.pad(x, size) for x in (prediction, margin, target)]
  around = np.pad(ignore, size, constant_values=True)
  np.testing.assert_array_equal(
    presence_counts(*wide, around), presence_counts(prediction, margin, target, ignore)
  )


def test_every_figure_has_a_heading():
  prediction, margin, target, ignore = episodes()
  rows = count_episodes(prediction, margin, target, ignore, metrics=ABSENT_METRICS)
  tally = Tally.empty(1, metrics=ABSENT_METRICS).update(rows, np.zeros(12, int), np.ones(12, bool))
  names = {figure.name for figure in ABSENT_METRICS['presence'].figures}
  assert names == set(Presence.empty().update(rows['presence']).result()) <= set(tally.result())
