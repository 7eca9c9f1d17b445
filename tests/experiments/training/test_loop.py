"""The training loop with a step and a validation that are made up."""

import itertools
import json
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from experiments.training import loop
from experiments.training.log import RunLog
from experiments.training.loop import Hooks, Limits, NonFiniteLoss, Progress, fit


class Run:
  """Records what the loop asks for; losses and validation scores are given."""

  def __init__(self, tmp_path, losses=None, mious=None, **limits):
    self.losses = losses or [1.0] * 1000
    self.mious = iter(mious or itertools.count())
    self.saves, self.saved = [], None
    self.folder = tmp_path / 'run'
    self.limits = Limits(
      **{'epochs': 3, 'steps': None, 'minutes': None, 'steps_per_epoch': 4} | limits
    )
    self.hooks = Hooks(self.step, self.validate, self, lambda step: 0.5 + step, self.stopping)
    self.stop_at, self.stop_validation_at = None, None
    self.records, self.now = {}, 0

  def stopping(self):
    return self.now == self.stop_at

  def step(self, state, batch):
    assert batch == state.step
    self.now = state.step + 1
    params = {'x': np.float32(np.nan if self.losses[state.step] == 'update' else 0.0)}
    loss = 1.0 if self.losses[state.step] == 'update' else self.losses[state.step]
    metrics = {
      'loss': np.float32(loss),
      'counts': np.array([[3, 1, 0, 4]]),
      'class_id': np.array([1]),
      'valid': np.array([True]),
    }
    return SimpleNamespace(step=state.step + 1, params=params), metrics

  def validate(self, state):
    if state.step == self.stop_validation_at:
      self.stop_at = state.step
      raise loop.Stopped
    figures = {'miou': float(next(self.mious)), 'fb_iou': 1.0, 'auc': float('nan')}
    return SimpleNamespace(figures=figures, panels=[], seconds=0.0)

  def save(self, names, state, *, step, figures, epoch=None):
    assert state.step == step
    self.saves += [(name, step) for name in names]
    self.saved = f'checkpoints/{names[-1]}', step  # As a Saver has it.
    self.records[step] = json.loads(json.dumps(epoch))

  def wait(self):
    pass

  def fit(self, step=0, epoch=None):
    log = RunLog(self.folder, last_step=step or None, unfinished=bool(epoch))
    start = SimpleNamespace(step=step, params={'x': np.float32(0)})
    try:
      return fit(
        start,
        iter(range(step, 10**6)),
        self.hooks,
        limits=self.limits,
        log=log,
        num_classes=2,
        progress=Progress(step=step, epoch=epoch),
      )[1]
    finally:
      log.close()

  @property
  def lines(self):
    return [json.loads(line) for line in (self.folder / 'metrics.jsonl').read_text().splitlines()]


def test_keeps_the_best_and_the_last(tmp_path):
  run = Run(tmp_path, mious=[5.0, 9.0, 7.0])
  progress = run.fit()
  assert run.saves == [('best', 4), ('last', 4), ('best', 8), ('last', 8), ('last', 12)]
  assert progress.best_step == 8 and progress.miou == {4: 5.0, 8: 9.0, 12: 7.0}


def test_figures_are_written_as_json_and_curves(tmp_path):
  run = Run(tmp_path, epochs=1)
  run.fit()
  train, val = run.lines
  assert train['step'] == val['step'] == 4
  assert train['train/loss'] == 1.0 and train['train/miou'] == pytest.approx(75.0)
  assert train['train/learning_rate'] == 3.5 and 0 <= train['time/data_wait'] <= 1
  assert val['val/miou'] == 0.0 and val['val/auc'] is None
  assert list((run.folder / 'tensorboard').iterdir())


@pytest.mark.parametrize('steps, timed', [(1, False), (4, True)])
def test_what_too_few_steps_do_not_tell_is_left_out(tmp_path, capsys, steps, timed):
  run = Run(tmp_path, steps=steps)
  run.fit()
  said = capsys.readouterr()
  assert 'nan' not in (said.out + said.err).lower()
  assert ('s/step' in said.out) == timed and 'validation 0 s' in said.out
  assert (run.lines[0]['time/seconds_per_step'] is not None) == timed


@pytest.mark.parametrize('limits, steps', [({'steps': 6}, 6), ({'epochs': 2}, 8)])
def test_stops_at_the_first_limit_and_validates_there(tmp_path, limits, steps):
  run = Run(tmp_path, **limits)
  progress = run.fit()
  assert progress.step == steps and run.saves[-2:] == [('best', steps), ('last', steps)]


def test_time_that_is_up_ends_the_epoch(tmp_path):
  run = Run(tmp_path, minutes=0.002, epochs=10**6)
  progress = run.fit()
  assert 0 < progress.step < 10**5
  assert ('last', progress.step) in run.saves


def test_time_that_is_up_ends_an_epoch_whose_steps_are_all_saved(tmp_path):
  run = Run(tmp_path, minutes=0.002, epochs=1, steps_per_epoch=10**6, save_every=1)
  assert 0 < run.fit().step < 10**5


def test_time_that_is_up_before_an_epoch_s_first_step_leaves_one_step(tmp_path, monkeypatch):
  # The deadline is set, and the run begins; then an hour has gone by.
  clock = itertools.chain([0.0, 0.0], itertools.repeat(3600.0))
  monkeypatch.setattr(loop, 'time', SimpleNamespace(monotonic=lambda: next(clock)))
  run = Run(tmp_path, minutes=1)
  assert run.fit().step == 1 and run.saves == [('best', 1), ('last', 1)]


def test_the_running_loss_is_written_every_so_many_steps(tmp_path):
  run = Run(tmp_path, losses=[float(i) for i in range(100)], steps_per_epoch=25, epochs=1)
  run.fit()
  losses = {line['step']: line.get('train/running_loss') for line in run.lines}
  assert losses == {10: 4.5, 20: 14.5, 25: None}


def test_validates_every_so_many_epochs_and_at_the_end(tmp_path):
  run = Run(tmp_path, val_every=2)
  run.fit()
  assert [step for name, step in run.saves if name == 'last'] == [8, 12]


def test_a_run_resumes_where_it_stopped(tmp_path):
  run = Run(tmp_path)
  assert run.fit(step=6).step == 12
  assert [step for name, step in run.saves if name == 'last'] == [8, 12]


def without_times(lines):
  return [{k: v for k, v in line.items() if not k.startswith('time/')} for line in lines]


LOSSES = [1 / (3 + step) for step in range(100)]


@pytest.mark.parametrize(
  'where, at',
  [*(('stop_at', n) for n in (1, 3, 4, 6, 8)), *(('stop_validation_at', n) for n in (4, 8))],
)
def test_a_stopped_run_resumes_as_if_it_had_not_been(tmp_path, at, where):
  whole = Run(tmp_path / 'whole', losses=LOSSES)
  whole.fit()
  run = Run(tmp_path, losses=LOSSES)
  setattr(run, where, at)
  with pytest.raises(loop.Stopped, match=f'step {at}'):
    run.fit()
  assert run.saves[-1] == ('last', at)
  run.stop_at = run.stop_validation_at = None
  run.fit(step=at, epoch=run.records[at])
  assert without_times(run.lines) == without_times(whole.lines)


def test_saves_every_so_many_steps_and_resumes_from_there(tmp_path):
  run = Run(tmp_path, losses=LOSSES, save_every=3)
  run.fit()
  assert [s for name, s in run.saves if name == 'last'] == [3, 4, 6, 8, 9, 12]
  lines = without_times(run.lines)
  run.mious = itertools.count(1)
  run.fit(step=6, epoch=run.records[6])  # As after a crash: what was written later is taken out.
  assert without_times(run.lines) == lines


@pytest.mark.parametrize('save_every, saved', [(4, [4, 8, 12, 16]), (3, [3, 6, 9, 12, 15, 16])])
def test_saves_after_epochs_that_are_not_validated(tmp_path, save_every, saved):
  run = Run(tmp_path, losses=LOSSES, save_every=save_every, val_every=4, epochs=4)
  run.fit()
  assert [s for name, s in run.saves if name == 'last'] == saved
  lines = without_times(run.lines)
  run.mious = itertools.count()
  run.fit(step=12, epoch=run.records[12])
  assert without_times(run.lines) == lines


def test_a_checkpoint_that_fails_is_known_of_before_the_next_validation_is_written(tmp_path):
  """So what has no 'last' has one validation at most, and begins anew without being asked."""
  run, full = Run(tmp_path), OSError('full')
  run.wait = Mock(side_effect=[None, full])
  with pytest.raises(OSError, match='full'):
    run.fit()
  assert [line['step'] for line in run.lines if 'val/miou' in line] == [4]


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_loss_that_is_no_number_stops_the_run(tmp_path, bad):
  run = Run(tmp_path, losses=[1.0] * 5 + [bad] + [1.0] * 100)
  with pytest.raises(NonFiniteLoss, match='step 6.*checkpoints/last of step 4'):
    run.fit()


def test_an_update_that_is_no_number_is_never_saved(tmp_path):
  run = Run(tmp_path, losses=[1.0, 1.0, 1.0, 'update'])
  with pytest.raises(NonFiniteLoss, match='step 4'):
    run.fit()
  assert not run.saves
