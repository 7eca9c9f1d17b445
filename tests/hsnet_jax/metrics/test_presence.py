"""Presence against plain NumPy and scikit-learn."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hsnet_jax.metrics import Risk, risk_counts
from hsnet_jax.metrics.presence import Presence, presence_counts, presence_score
from hsnet_jax.metrics.table import ABSENT_METRICS, Tally, count_episodes

SIZE = (9, 13)
COUNT = jax.jit(functools.partial(count_episodes, metrics=ABSENT_METRICS))


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
  rows = COUNT(prediction, margin, target, ignore)
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
  rows = COUNT(prediction, margin, target, ignore)
  tally = Tally.empty(1, metrics=ABSENT_METRICS).update(rows, np.zeros(12, int), np.ones(12, bool))
  names = {figure.name for figure in ABSENT_METRICS['presence'].figures}
  assert names == set(Presence.empty().update(rows['presence']).result()) <= set(tally.result())


def risk_oracle(scores, lost):
  """The risk at each coverage, which ties in every order give on average."""
  risks, total = [], 0.0
  for k in range(len(scores)):
    of_rank = sorted(scores, reverse=True)[k]
    tied = [x for s, x in zip(scores, lost, strict=True) if s == of_rank]
    total += sum(tied) / len(tied)
    risks.append(total / (k + 1))
  return risks


def lost_oracle(prediction, target, ignore):
  found, true = prediction & ~ignore, target & ~ignore
  if not true.any():
    return 100.0 * found.any()
  return 100 - 100 * (found & true).sum() / (found | true).sum()


@pytest.mark.parametrize('transform', [lambda f: f, jax.jit], ids=['plain', 'jit'])
def test_risk_is_that_of_a_loop(transform):
  prediction, margin, target, ignore = episodes(30)
  prediction = prediction & (np.arange(30) % 3 > 0)[:, None, None]
  margin[4:8] = margin[4]  # Four tie, with masks of their own.
  ignore[4:8] = ignore[4]
  rows = transform(risk_counts)(prediction, margin, target, ignore)
  scores = [score_oracle(m, i, 0.01) for m, i in zip(margin, ignore, strict=True)]
  lost = [lost_oracle(*x) for x in zip(prediction, target, ignore, strict=True)]
  assert {0.0, 100.0} < set(lost)
  expected, result = risk_oracle(scores, lost), Risk.empty().update(rows).result()
  np.testing.assert_allclose(result['aurc'], np.mean(expected), rtol=1e-9)
  curve, ordered = result['risk_coverage'], sorted(scores, reverse=True)
  assert len(curve) == 20 and curve[-1]['coverage'] == 100
  for row in curve:
    k = round(row['coverage'] * 30 / 100) - 1
    np.testing.assert_allclose(row['risk'], expected[k], rtol=1e-9)
    np.testing.assert_allclose(row['score'], ordered[k], rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 12), cut=st.integers(0, 12))
def test_risk_of_parts_in_any_order_with_padding_is_that_of_the_whole(seed, count, cut):
  rng = np.random.default_rng(seed)
  scores, union = rng.integers(-2, 3, count).astype(np.float32), rng.integers(0, 3, count)
  rows = np.stack([scores.view(np.int32), rng.binomial(union, 0.5), union], axis=1)
  lost = [100 * (1 - (inside / of if of else 1)) for _, inside, of in rows.tolist()]
  padded, valid = np.concatenate([rows, rows]), np.arange(2 * count) < count
  parts = [Risk.empty().update(padded[p], valid[p]) for p in (np.s_[:cut], np.s_[cut:])]
  for one, other in (parts, parts[::-1]):
    result = one.merge(other).result()
    np.testing.assert_allclose(result['aurc'], np.mean(risk_oracle(scores, lost)), atol=1e-9)
    assert len(result['risk_coverage']) == min(count, 20)


def test_a_sure_method_that_is_right_risks_nothing():
  rows = np.array([[2, 4, 4], [1, 0, 0], [0, 0, 7]])  # An object, an empty mask, a false one.
  rows[:, 0] = rows[:, 0].astype(np.float32).view(np.int32)
  result = Risk.empty().update(rows).result()
  assert [row['risk'] for row in result['risk_coverage']] == pytest.approx([0, 0, 100 / 3])
  assert result['aurc'] == pytest.approx(100 / 9)
  none = Risk.empty().result()
  assert np.isnan(none['aurc']) and none['risk_coverage'] == []
