"""One process at a time, and what file systems and machines answer."""

import errno
import functools
import os
import subprocess
import sys

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
