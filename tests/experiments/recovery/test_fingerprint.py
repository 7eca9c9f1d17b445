"""What a run left as a hash: other times are the same, other parameters are not."""

import json

import numpy as np
import pytest

from experiments.recovery import ChaosConfig, fingerprint, kill_and_compare
from experiments.recovery.fingerprint import checkpoints_of
from hsnet_jax.checkpoints import save_checkpoint
from hsnet_jax.errors import InputError


def write_run(folder, *, value=1.0, seconds=3.0, score=5.0):
  variables = {'params': {'w': np.full(3, value, np.float32)}, 'backbone': {}}
  config = {'backbone': 'tiny', 'figures': {'miou': score}}
  for name in ('best', 'last'):
    save_checkpoint(folder / 'checkpoints' / name, variables, config=config, step=4)
  line = {'step': 4, 'time/seconds': seconds, 'val/miou': score}
  (folder / 'metrics.jsonl').write_text(json.dumps(line) + '\n')
  return folder


def test_runs_that_ended_alike_are_told_from_others(tmp_path):
  one = fingerprint(write_run(tmp_path / '1'))
  assert one == fingerprint(write_run(tmp_path / '2', seconds=9.0)) and len(one) == 16
  assert one != fingerprint(write_run(tmp_path / '3', value=2.0))
  assert one != fingerprint(write_run(tmp_path / '4', score=6.0))


def test_a_last_that_is_whole_but_not_in_its_place_counts(tmp_path):
  folder = write_run(tmp_path / 'run') / 'checkpoints'
  (folder / 'last').rename(folder / '.last.new')
  (folder / '.step_00000002.old').mkdir()
  assert [path.name for path in checkpoints_of(tmp_path / 'run')] == ['best', 'last']
  assert checkpoints_of(tmp_path / 'nothing') == []


def test_a_folder_of_other_things_is_left_alone(tmp_path):
  (tmp_path / 'notes.txt').touch()
  with pytest.raises(InputError, match='`output_dir`'):
    kill_and_compare(ChaosConfig(output_dir=str(tmp_path)))
  with pytest.raises(InputError, match='`rounds`'):
    ChaosConfig(rounds=0)
