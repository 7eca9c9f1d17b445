"""Records of trials, and what is made of them."""

import csv
import json

import pytest
from PIL import Image

from experiments.reporting.rows import text_table
from experiments.storage import results
from experiments.sweeps.folder import (
  Trial,
  begin_sweep,
  check_sweep_folder,
  last_line,
  read_trials,
  trial_folder,
  write_trial,
)
from experiments.sweeps.report import best_run, ranked, table_rows, write_results
from experiments.sweeps.space import Domain
from experiments.training.folder import read_validations
from hsnet_jax.errors import InputError

DOMAINS = {
  'learning_rate': Domain('log_uniform', (1e-4, 1e-2)),
  'augment': Domain('choice', ('none', 'flip')),
}
METRIC = 'val/miou'


def trial(number, values, status='ended', **more):
  params = {'learning_rate': 1e-3 * number, 'augment': ('none', 'flip')[number % 2]}
  return Trial(number, params, status, values=values, **more)


@pytest.fixture
def trials():
  return {
    1: trial(1, {10: 20.0, 20: 25.125}),
    2: trial(2, {10: 31.0, 20: 30.0}, 'stopped'),
    3: trial(3, {}, 'failed', reason='exit code 2: error: the loss is nan'),
    4: trial(4, {10: 31.0}, 'waiting'),
  }


def test_the_best_comes_first_and_the_earlier_of_equals(trials):
  assert [t.number for t in ranked(trials)] == [2, 4, 1, 3]
  assert trials[2].best == (10, 31.0) and trials[3].best is None
  assert trial(5, {10: 1.0, 20: 1.0}).best == (10, 1.0)


def test_table(trials):
  rows = table_rows(trials, metric=METRIC, flags=list(DOMAINS))
  assert rows[0] == ['trial', 'status', METRIC, 'at step', 'validations', *DOMAINS]
  assert rows[1] == ['002', 'stopped', '31.00', '10', '2', '0.002', 'none']
  assert rows[-1] == ['003', 'failed', '-', '-', '0', '0.003', 'flip']
  lines = text_table(rows).splitlines()
  assert len({len(line) for line in lines}) == 1 and len(lines) == 5


def test_results_are_written(trials, tmp_path):
  printed = write_results(tmp_path, trials, metric=METRIC, domains=DOMAINS)
  assert printed.splitlines()[1].split()[:3] == ['002', 'stopped', '31.00']
  with open(tmp_path / 'results.csv', newline='') as file:
    lines = list(csv.DictReader(file))
  assert [line['trial'] for line in lines] == ['2', '4', '1', '3']
  assert float(lines[2][METRIC]) == 25.125 and lines[2]['step'] == '20'
  assert lines[3][METRIC] == '' and lines[3]['reason'].endswith('nan')
  markdown = (tmp_path / 'results.md').read_text().splitlines()
  assert len(markdown) == 6 and {line.count('|') for line in markdown} == {8}
  for name in ('curves.png', 'parameters.png'):
    with Image.open(tmp_path / name) as image:
      assert image.width > 400 and len(image.convert('RGB').getcolors(10**6)) > 10
  assert best_run(tmp_path, trials) == tmp_path / 'trials' / '002'


def test_without_validations_there_are_no_plots(tmp_path):
  trials = {1: trial(1, {}, 'failed')}
  write_results(tmp_path, trials, metric=METRIC, domains=DOMAINS)
  assert sorted(p.name for p in tmp_path.glob('[!.]*')) == ['results.csv', 'results.md']
  assert best_run(tmp_path, trials) is None


def test_records_come_back(trials, tmp_path):
  for each in trials.values():
    write_trial(tmp_path, each)
  log = trial_folder(tmp_path, 2) / 'metrics.jsonl'
  lines = [{'step': 10, 'train/loss': 1.0}, {'step': 10, METRIC: 31.0}, {'step': 20, METRIC: None}]
  log.write_text('\n'.join(map(json.dumps, lines)) + '\n{"step": 30, "val/mi')
  read = read_trials(tmp_path, metric=METRIC)
  assert list(read) == [1, 2, 3, 4]
  assert read[2].values == {10: 31.0} == read_validations(log.parent, metric=METRIC)
  assert read[3] == trials[3]
  assert [t.done for t in read.values()] == [True, True, False, False]
  (trial_folder(tmp_path, 2) / 'trial.json').write_text('{')
  with pytest.raises(InputError, match='002.trial.json'):
    read_trials(tmp_path, metric=METRIC)


def test_a_folder_is_taken_for_the_same_sweep_alone(tmp_path):
  folder, description = tmp_path / 'sweep', {'seed': 0, 'space': {'clip': {'uniform': [0.0, 1.0]}}}
  assert not check_sweep_folder(folder, description, overwrite=False)
  begin_sweep(folder, description)
  assert check_sweep_folder(folder, description, overwrite=False)
  other = {'seed': 1, 'space': {'clip': {'uniform': [0.0, 2.0]}}}
  with pytest.raises(InputError) as error:
    check_sweep_folder(folder, other, overwrite=False)
  assert 'seed: 0 there, 1 here' in str(error.value)
  assert 'space.clip.uniform: [0.0, 1.0] there, [0.0, 2.0] here' in str(error.value)
  assert not check_sweep_folder(folder, other, overwrite=True)


@pytest.mark.parametrize('overwrite', [False, True])
def test_a_folder_of_something_else_is_refused(tmp_path, overwrite):
  (tmp_path / 'notes.txt').write_text('mine')
  with pytest.raises(InputError, match=str(tmp_path)):
    check_sweep_folder(tmp_path, {}, overwrite=overwrite)
  with pytest.raises(InputError, match='notes.txt'):
    check_sweep_folder(tmp_path / 'notes.txt', {}, overwrite=overwrite)


def test_a_new_sweep_removes_what_the_old_one_wrote_and_no_more(trials, tmp_path):
  begin_sweep(tmp_path, {'seed': 0})
  write_trial(tmp_path, trials[1])
  (tmp_path / 'trials' / 'notes').mkdir()
  for name in ('results.csv', 'results.md'):
    (tmp_path / name).touch()
    results.mark(tmp_path / name, of={'command': 'sweep'})
  (tmp_path / 'results.md').write_text('my conclusions')
  (tmp_path / 'mine.txt').touch()
  begin_sweep(tmp_path, {'seed': 1})
  left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*'))
  assert left == [results.MARKS, 'mine.txt', 'results.md', 'sweep.json', 'trials', 'trials/notes']


def test_the_last_line_of_a_log_is_the_reason(tmp_path):
  path = tmp_path / 'output.txt'
  assert last_line(path) == ''
  path.write_text('epoch 1: 50%\rerror: the loss is nan\n   \r  \n')
  assert last_line(path) == 'error: the loss is nan'
