"""What a sweep says and records of its trials, and how signals stop it; Ray is not started."""

import os
import signal
from types import SimpleNamespace

import pytest

from experiments.sweeps import engine
from experiments.sweeps.config import SweepConfig
from experiments.sweeps.folder import STOP_FILE, begin_sweep, read_trials
from experiments.sweeps.signals import stopped_by_signals
from hsnet_jax.errors import InputError

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
  teller = engine.Teller(tmp_path, METRIC, {})
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
    with stopped_by_signals(tmp_path) as received:
      os.kill(os.getpid(), signal.SIGTERM)
      assert received == [signal.SIGTERM] and (tmp_path / STOP_FILE).exists()
      os.kill(os.getpid(), signal.SIGINT)
  assert capsys.readouterr().out == 'stopping: each trial that runs saves its step\n'
  assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


MACHINES = [{'CPU': 8.0, 'GPU': 1.0}, {'CPU': 2.0}]


def test_a_share_that_a_machine_has_is_taken():
  with pytest.warns(UserWarning, match='`gpus_per_trial`=1'):
    engine.check_share(SweepConfig(cpus_per_trial=8), MACHINES)


@pytest.mark.parametrize('cpus, gpus', [(9, 0), (1, 2)])
def test_a_share_that_no_machine_has_is_refused(cpus, gpus):
  config = SweepConfig(cpus_per_trial=cpus, gpus_per_trial=gpus)
  words = f'`cpus_per_trial`={cpus} and `gpus_per_trial`={gpus}.*8 CPUs and 1 GPUs'
  with pytest.raises(InputError, match=words):
    engine.check_share(config, MACHINES)


@pytest.mark.parametrize('address', ['nothing', 'http://a:1', '127.0.0.1:1'])
def test_an_address_where_no_cluster_is_is_named(address):
  with pytest.raises(InputError, match=f'`address`={address}'):
    engine.check_address(address)
