"""One process at a time, and what file systems and machines answer."""

import errno
import functools
import os

import pytest

from experiments import locks
from hsnet_jax.errors import InputError


def test_a_second_process_is_kept_out(tmp_path):
  with locks.alone(tmp_path, does='trains there'):
    refused = pytest.raises(InputError, match='another process trains there; wait for its end')
    with refused, locks.alone(tmp_path, does='trains there'):
      pass
    with locks.alone(tmp_path, does='trains there', name=locks.of_this_machine()):
      pass
  with locks.alone(tmp_path, does='trains there'):
    pass


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
