"""Keeps a folder to one process at a time, where the file system can say so."""

import contextlib
import errno
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from hsnet_jax.errors import InputError

try:
  import fcntl
except ImportError:  # Windows has no such locks.
  fcntl = None

# What file systems without locks answer, those of networks among them.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def alone(folder: Path, *, does: str, name: str = '.lock') -> Iterator[None]:
  """Keeps a second process out that would write to the same folder.

  Args:
    folder: the folder; made where it is missing.
    does: what is done there, for messages, such as 'prepares this set'.
    name: of the file in it that is locked.

  Raises:
    InputError: another process is at it.
  """
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / name, 'a', encoding='utf-8') as lock:
    try:
      if fcntl is not None:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise InputError(f'{folder}: another process {does}; wait for its end') from error
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      warnings.warn(
        f'{folder}: its file system has no locks ({error.strerror}); take care that no other'
        f' process {does}',
        stacklevel=1,
      )
    yield


def is_free(folder: Path, *, name: str = '.lock') -> bool:
  """Returns whether no other process keeps this one out of a folder, by a file as for `alone`."""
  try:
    with alone(folder, does='is at work', name=name):
      return True
  except InputError:
    return False


@contextlib.contextmanager
def own_folder(parent: Path, *, prefix: str) -> Iterator[Path]:
  """Makes a folder of this process alone, which goes when it is done; removes those of killed ones.

  Where the file system cannot say whether the process that made one still lives, it stays.

  Args:
    parent: where to make it.
    prefix: of its name, by which those of earlier processes are found; hidden, such as '.part-'.

  Yields:
    An empty folder in it, beside the lock.
  """
  for left in parent.glob(f'{prefix}*'):
    with contextlib.suppress(OSError), open(left / '.lock', 'r+', encoding='utf-8') as lock:
      if _take(lock):
        shutil.rmtree(left, ignore_errors=True)
  folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
  try:
    inside = folder / 'files'
    inside.mkdir()
    with open(folder / '.new', 'w', encoding='utf-8') as lock:
      # It has the name that others look for once it is taken.
      if _take(lock):
        os.rename(folder / '.new', folder / '.lock')
      yield inside
  finally:
    shutil.rmtree(folder, ignore_errors=True)


def _take(lock: IO[str]) -> bool:
  """Takes a lock; returns whether it was to be had."""
  if fcntl is None:
    return False
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    return False
  return True


def of_this_machine() -> str:
  """Names the file of a lock that keeps out processes of this machine, since it started, alone.

  For what another machine must be able to resume: one that is lost may leave a network disk's
  lock behind for ever.
  """
  try:
    machine = Path('/proc/sys/kernel/random/boot_id').read_text(encoding='utf-8')[:8]
  except OSError:
    machine = platform.node()
  return f'.lock-{machine}'
