"""Checkpoints that a thread writes: which there are, and what of older ones is kept."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.training.saver import Saver
from hsnet_jax.checkpoints import load_checkpoint, read_config
from hsnet_jax.errors import InputError

CONFIG = {'backbone': 'tiny'}


def state(value):
  """One with an average of its parameters, which differ from them."""
  params, averaged = ({'w': np.full(3, x, np.float32)} for x in (value, value + 0.5))
  backbone = {'b': np.ones(2, np.float32)}
  return SimpleNamespace(
    backbone=backbone,
    opt_state={'m': np.full(3, -value, np.float32)},
    variables={'params': params, 'backbone': backbone},
    eval_variables={'params': averaged, 'backbone': backbone},
  )


def save(saver, *steps, names=('last',)):
  for step in steps:
    saver.save(names, state(step), step=step, figures=None)
  saver.wait()


def found(folder):
  return {path.name: read_config(path)['step'] for path in sorted(folder.iterdir())}


def test_the_best_is_to_be_used_and_the_last_to_be_resumed_from(tmp_path):
  saver = Saver(tmp_path, CONFIG)
  save(saver, 4, names=('best', 'last'))
  save(saver, 6)
  best, last = (load_checkpoint(tmp_path / name) for name in ('best', 'last'))
  assert best.step == 4 and last.step == 6 and saver.saved == (tmp_path / 'last', 6)
  np.testing.assert_array_equal(best.variables['params']['w'], [4.5] * 3)
  np.testing.assert_array_equal(last.variables['params']['w'], [6] * 3)
  with pytest.raises(InputError, match=f'{tmp_path / "best"}'):
    load_checkpoint(tmp_path / 'best', opt_state={'m': np.zeros(3, np.float32)})
  assert found(tmp_path) == {'best': 4, 'last': 6}


@pytest.mark.parametrize(
  'keep, older', [(1, []), (2, [8]), (3, [6, 8]), (9, [2, 4, 6, 8])], ids=lambda x: str(x)
)
def test_the_newest_are_kept_each_whole(tmp_path, keep, older):
  (tmp_path / 'step_backup').mkdir()  # A user's, which is none of ours.
  save(Saver(tmp_path, CONFIG, keep=keep), 2, 4, 6, 8, 10)
  (tmp_path / 'step_backup').rmdir()
  assert found(tmp_path) == {'last': 10, **{f'step_{step:08}': step for step in older}}
  for step in older:
    kept = load_checkpoint(tmp_path / f'step_{step:08}', opt_state=state(0).opt_state)
    np.testing.assert_array_equal(kept.opt_state['m'], [-step] * 3)


def test_a_step_that_is_saved_twice_is_kept_once(tmp_path):
  saver = Saver(tmp_path, CONFIG, keep=3)
  save(saver, 2, 2, 4, 4)
  assert found(tmp_path) == {'last': 4, 'step_00000002': 2}
  # A run that is resumed from an older one comes by the same steps again.
  save(Saver(tmp_path, CONFIG, keep=3), 2, 4)
  assert found(tmp_path) == {'last': 4, 'step_00000002': 2, 'step_00000004': 4}


def test_what_a_death_left_of_an_older_one_is_removed(tmp_path):
  (tmp_path / '.step_00000002.old' / 'variables').mkdir(parents=True)
  save(Saver(tmp_path, CONFIG), 4)
  assert found(tmp_path) == {'last': 4}


def test_one_of_several_processes_writes(tmp_path):
  save(Saver(tmp_path, CONFIG, writes=False), 2, names=('best', 'last'))
  assert list(tmp_path.iterdir()) == []
