import errno
import os

import pytest

from experiments.command.app import machine_error
from hsnet_jax import whole_files
from hsnet_jax.checkpoints import read_config, save_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.models import find_checkpoint


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
  path = tmp_path / 'x.txt'
  whole_files.write_text(path, 'old')
  with pytest.raises(RuntimeError), whole_files.replacing(path) as part:
    part.write_text('half')
    raise RuntimeError
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_names_the_file(tmp_path):
  path = tmp_path / 'x.txt'
  with pytest.raises(OSError) as full, whole_files.replacing(path) as part:
    part.symlink_to('/dev/full')
    part.write_text('x')
  assert machine_error(full.value) == f'{path}: the disk is full'
  with pytest.raises(PermissionError) as refused, whole_files.replacing(path) as part:
    raise PermissionError(errno.EACCES, 'no', str(part))
  assert machine_error(refused.value) == f'{path}: permission denied'
  assert list(tmp_path.iterdir()) == []


def test_home_is_meant_by_a_tilde(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert whole_files.writable_folder('~/x', argument='run_dir') == tmp_path / 'x'
  (tmp_path / 'x' / 'checkpoints' / 'best').mkdir(parents=True)
  assert find_checkpoint('~/x') == tmp_path / 'x' / 'checkpoints' / 'best'


@pytest.mark.parametrize('left', ['best', '.best.new'])
def test_a_run_s_folder_stands_for_its_best_checkpoint(tmp_path, left):
  save_checkpoint(
    tmp_path / 'run' / 'checkpoints' / 'best', {'params': {'w': 1}}, config={'backbone': 'tiny'}
  )
  os.rename(tmp_path / 'run' / 'checkpoints' / 'best', tmp_path / 'run' / 'checkpoints' / left)
  for path in (tmp_path / 'run', tmp_path / 'run' / 'checkpoints' / 'best'):
    assert read_config(find_checkpoint(path))['backbone'] == 'tiny'


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
  (tmp_path / 'x').write_text('')
  with pytest.raises(InputError, match='x: .*`run_dir`'):
    whole_files.writable_folder(tmp_path / 'x', argument='run_dir')


def test_a_checked_folder_is_left_empty(tmp_path):
  assert list(whole_files.writable_folder(tmp_path / 'a' / 'b', argument='run_dir').iterdir()) == []


def test_several_processes_may_check_a_folder_at_once(tmp_path, monkeypatch):
  """The other one takes away the file that both wrote."""
  replace = os.replace

  def then_taken_away(source, target):
    replace(source, target)
    os.remove(target)

  monkeypatch.setattr(os, 'replace', then_taken_away)
  assert whole_files.writable_folder(tmp_path / 'a', argument='run_dir') == tmp_path / 'a'
  assert list((tmp_path / 'a').iterdir()) == []
