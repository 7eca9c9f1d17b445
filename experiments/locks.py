"""One process at a time, where the file system can say so."""

import contextlib
import errno
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from hsnet_jax.errors import InputError

try:
  import fcntl
except ImportError:  # Windows has no such locks.
  fcntl = None

# What file systems without locks answer, those of networks among them.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def take(file: TextIO) -> None:
  """Locks an open file, until all copies of it are closed; does nothing where there are no locks.

  Args:
    file: the file.

  Raises:
    BlockingIOError: another process holds it.
    OSError: its file system has no locks, or something else is wrong.
  """
  if fcntl is not None:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def alone(folder: Path, *, does: str, here: bool = False) -> Iterator[None]:
  """Keeps a second process out that would write to the same folder, by the file `.lock` in it.

  Args:
    folder: the folder; made where it is missing.
    does: what is done there, for messages, such as 'prepares this set'.
    here: whether to refuse on this machine alone. A machine that is lost may leave a network disk's
      lock behind for ever, and what another one is to go on with would never be gone on with.

  Raises:
    InputError: another process is at it.
  """
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / '.lock', 'a+', encoding='utf-8') as lock:
    try:
      take(lock)
    except BlockingIOError as error:
      lock.seek(0)
      if not here or lock.read() == _machine():
        raise InputError(f'{folder}: another process {does}; wait for its end') from error
      warnings.warn(
        f'{folder}: locked by another machine; take care that no process there {does} still',
        stacklevel=1,
      )
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      warnings.warn(
        f'{folder}: its file system has no locks ({error.strerror}); take care that no other'
        f' process {does}',
        stacklevel=1,
      )
    else:
      lock.truncate(0)
      lock.write(_machine())
      lock.flush()
    yield


def _machine() -> str:
  """What tells this machine, since it was started, from others."""
  try:
    return Path('/proc/sys/kernel/random/boot_id').read_text(encoding='utf-8')
  except OSError:
    return platform.node()
