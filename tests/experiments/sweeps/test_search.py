"""Which values trials get, and which are stopped; Ray is not started."""

import pathlib
import types

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from experiments.sweeps.config import SweepConfig
from experiments.sweeps.folder import Trial, read_trials
from experiments.sweeps.search import TrialSearch, best_so_far, make_scheduler
from experiments.sweeps.space import Domain, Space, draw

SPACE = Space(
  pathlib.Path('space.toml'),
  {'fold': 1, 'random_backbone': True},
  {
    'learning_rate': Domain('log_uniform', (1e-4, 1e-2)),
    'weight_decay': Domain('uniform', (0.0, 0.1)),
    'seed': Domain('integer', (0, 9)),
    'augment': Domain('choice', ('none', 'flip')),
  },
)


def config(**changes):
  return SweepConfig(**{'trials': 4, 'seed': 7, **changes})


def begun(number, status, values):
  return Trial(number, draw(SPACE, seed=1, number=number), status, values=values)


def suggestions(folder, *, trials=None, left=(1, 2, 3, 4), search='random', count=4):
  given = config(search=search, trials=count)
  suggesting = TrialSearch(folder, SPACE, given, trials=trials or {}, left=left)
  found = []
  while (given := suggesting.suggest(f'id{len(found)}')) != Searcher.FINISHED:
    found.append(given)
  return found


def test_random_trials_depend_on_seed_and_number(tmp_path):
  found = suggestions(tmp_path)
  assert [s['number'] for s in found] == [1, 2, 3, 4]
  assert [s['params'] for s in found] == [draw(SPACE, seed=7, number=n) for n in (1, 2, 3, 4)]
  later = suggestions(tmp_path, left=(4, 2))
  assert [s['params'] for s in later] == [found[3]['params'], found[1]['params']]
  # What a trial is told, and what is recorded of it before it starts.
  arguments = dict(a.removeprefix('--').split('=') for a in found[0]['arguments'])
  assert arguments['fold'] == '1' and arguments['random_backbone'] == 'true'
  assert float(arguments['learning_rate']) == found[0]['params']['learning_rate']
  assert found[0]['run_dir'] == str(tmp_path / 'trials' / '001')
  recorded = read_trials(tmp_path, metric='val/miou')
  assert {n: t.params for n, t in recorded.items()} == {s['number']: s['params'] for s in found}


def test_tpe_takes_up_what_had_begun_and_draws_the_rest_anew(tmp_path):
  # Of so many the first are drawn at random.
  first = suggestions(tmp_path, search='tpe', count=30)
  assert first == suggestions(tmp_path, search='tpe', count=30)
  trials = {1: begun(1, 'ended', {10: 5.0}), 2: begun(2, 'waiting', {10: 3.0})}
  found = suggestions(tmp_path, search='tpe', count=30, trials=trials, left=(2, 3, 4))
  assert [s['number'] for s in found] == [2, 3, 4]
  assert found[0]['params'] == trials[2].params
  # Not the first draws of the seed once more.
  before = [s['params'] for s in first]
  assert all(s['params'] not in before for s in found[1:])


def test_tpe_follows_what_did_well(tmp_path):
  trials = {n: begun(n, 'ended', {10: 0.0}) for n in range(1, 31)}
  for trial in trials.values():
    trial.values[20] = 100 - 1000 * abs(trial.params['weight_decay'] - 0.02)
  found = suggestions(tmp_path, search='tpe', trials=trials, left=range(31, 41))
  near = sum(s['params']['weight_decay'] < 0.05 for s in found)
  assert near >= 8  # At random, half of them.


def test_a_sweep_that_stops_suggests_no_more(tmp_path):
  (tmp_path / '.stop').touch()
  assert suggestions(tmp_path) == []


@pytest.mark.parametrize(('score', 'decision'), [(5.0, 'STOP'), (25.0, 'CONTINUE')])
def test_asha_compares_with_trials_that_are_done(score, decision):
  trials = {n: begun(n, 'ended', {1: 0.0, 2: 10.0 * n, 3: 50.0}) for n in (1, 2)}
  trials[3] = begun(3, 'waiting', {1: 90.0, 2: 99.0})
  scheduler = make_scheduler(config(asha=True, asha_grace=2, asha_factor=2), trials)
  trial = types.SimpleNamespace(trial_id='new')
  scheduler.on_trial_add(None, trial)
  results = [{'training_iteration': 1, 'score': 0.0}, {'training_iteration': 2, 'score': score}]
  decisions = [scheduler.on_trial_result(None, trial, result) for result in results]
  assert decisions == [TrialScheduler.CONTINUE, decision]


def test_without_asha_nothing_is_stopped():
  scheduler = make_scheduler(config(), {1: begun(1, 'ended', {1: 50.0})})
  trial = types.SimpleNamespace(trial_id='new')
  result = {'training_iteration': 1, 'score': 0.0}
  assert scheduler.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE


def test_best_so_far():
  assert best_so_far({20: 1.0, 10: 3.0, 30: 4.0}) == [3.0, 3.0, 4.0]
  assert best_so_far({}) == []
