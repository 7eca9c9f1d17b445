"""One process at a time, and what file systems and machines answer."""

import errno
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.storage import locks
from hsnet_jax.errors import InputError


def test_a_second_process_is_kept_out(tmp_path):
  with locks.alone(tmp_path, does='trains there'):
    refused = pytest.raises(InputError, match=f'{tmp_path}.*trains there')
    with refused, locks.alone(tmp_path, does='trains there'):
      pass
    with locks.alone(tmp_path, does='trains there', name=locks.of_this_machine()):
      pass
  with locks.alone(tmp_path, does='trains there'):
    pass


HOLDING = """
import pathlib, sys
from experiments.storage.locks import alone
with alone(pathlib.Path(sys.argv[1]), does='holds it'):
  print('held', flush=True)
  input()
"""


def test_a_lock_lasts_as_long_as_the_process_that_has_it(root, tmp_path):
  command = [sys.executable, '-c', HOLDING, str(tmp_path)]
  pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
  with subprocess.Popen(command, cwd=root, **pipes) as child:
    assert child.stdout.readline() == b'held\n'
    assert not locks.is_free(tmp_path)
    child.kill()
  assert locks.is_free(tmp_path)


OWNING = """
import pathlib, sys
from experiments.storage.locks import own_folder
with own_folder(pathlib.Path(sys.argv[1]), prefix='.part-') as folder:
  (folder / 'a.png').touch()
  print(folder, flush=True)
  input()
"""


def test_the_folder_of_a_killed_process_goes_with_the_next(root, tmp_path):
  (tmp_path / '.part-of-another-program').mkdir()
  command = [sys.executable, '-c', OWNING, str(tmp_path)]
  pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
  with subprocess.Popen(command, cwd=root, **pipes) as child:
    theirs = Path(child.stdout.readline().strip())
    with locks.own_folder(tmp_path, prefix='.part-') as ours:
      assert ours.is_dir() and not list(ours.iterdir())
      assert (theirs / 'a.png').exists(), 'its process lives'
    child.kill()
  assert theirs.exists() and not ours.exists()
  with locks.own_folder(tmp_path, prefix='.part-'):
    assert not theirs.parent.exists()
  assert [path.name for path in tmp_path.iterdir()] == ['.part-of-another-program']


def test_without_locks_no_folder_is_taken_for_one_that_was_left(tmp_path, monkeypatch):
  monkeypatch.setattr(locks, 'fcntl', None)
  with locks.own_folder(tmp_path, prefix='.part-') as first:
    with locks.own_folder(tmp_path, prefix='.part-') as second:
      assert first.is_dir() and second.is_dir()
  assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch):
  alone = functools.partial(locks.alone, tmp_path / 'set', does='prepares this set')

  def answer(code):
    def refuse(*_):
      raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.fcntl, 'flock', refuse)

  for code in (errno.ENOLCK, errno.EOPNOTSUPP):
    answer(code)
    with pytest.warns(UserWarning, match='has no locks'), alone():
      pass
  answer(errno.EIO)
  with pytest.raises(OSError, match=os.strerror(errno.EIO)), alone():
    pass
  monkeypatch.setattr(locks, 'fcntl', None)
  with alone():
    pass
