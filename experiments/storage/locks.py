"""Keeps a folder to one process at a time, where the file system can say so."""

import contextlib
import errno
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path

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
