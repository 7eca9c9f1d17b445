"""What a sweep says and records of its trials, and how signals stop it; Ray is not started."""

import os
import signal
from types import SimpleNamespace

import pytest

from experiments.sweeps import engine
from experiments.sweeps.folder import STOP_FILE, begin_sweep, read_trials

METRIC = 'val/miou'


@pytest.mark.parametrize(
  'ending, status, said',
  [
    ({'outcome': 'ended'}, 'ended', 'ended'),
    ({'score': 3.0}, 'stopped', 'stopped early by ASHA'),
    ({'outcome': 'failed', 'reason': 'exit code 2'}, 'failed', 'failed: exit code 2'),
    ({'outcome': 'interrupted'}, None, 'interrupted'),
    (None, 'failed', 'failed: Ray lost the process'),
  ],
)
def test_how_a_trial_ends_is_said_and_recorded(tmp_path, capsys, ending, status, said):
  begin_sweep(tmp_path, {'seed': 0})
  teller = engine._Teller(tmp_path, METRIC, {})
  trial = SimpleNamespace(config={'number': 7, 'params': {'clip': 0.5}}, last_result=ending)
  teller.on_trial_start(0, [], trial)
  for step, outcome in ((10, {}), (10, {'outcome': 'ended'})):
    result = {'at_step': step, 'value': 2.0, 'score': 3.0} | outcome
    teller.on_trial_result(0, [], trial, result)
  if ending is None:
    teller.on_trial_error(0, [], trial)
  else:
    teller.on_trial_complete(0, [], trial)
  begun, validated, last = capsys.readouterr().out.splitlines()
  assert begun == 'trial 007  clip 0.5'
  assert validated == f'trial 007  step 10  {METRIC} 2.00  best 3.00'
  assert last.startswith(f'trial 007  {said}')
  recorded = read_trials(tmp_path, metric=METRIC)
  assert {number: t.status for number, t in recorded.items()} == ({7: status} if status else {})


def test_the_first_signal_stops_trials_and_the_second_the_sweep(tmp_path, capsys):
  with pytest.raises(KeyboardInterrupt):
    with engine._stopped_by_signals(tmp_path) as received:
      os.kill(os.getpid(), signal.SIGTERM)
      assert received == [signal.SIGTERM] and (tmp_path / STOP_FILE).exists()
      os.kill(os.getpid(), signal.SIGINT)
  assert capsys.readouterr().out == 'stopping: each trial that runs saves its step\n'
  assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
  'cpus, gpus, words', [(8, 0, None), (9, 0, 'has 8 CPUs and 1 GPUs'), (1, 2, 'no')]
)
def test_a_share_that_no_machine_has_is_refused(monkeypatch, cpus, gpus, words):
  nodes = [
    {'Alive': True, 'Resources': {'CPU': 8.0, 'GPU': 1.0}},
    {'Alive': False, 'Resources': {'CPU': 99}},
  ]
  monkeypatch.setattr(engine.ray, 'nodes', lambda: nodes)
  options = SimpleNamespace(cpus=cpus, gpus=gpus)
  if words is None:
    engine._check_share(options)
  else:
    with pytest.raises(engine.InputError, match=words):
      engine._check_share(options)
