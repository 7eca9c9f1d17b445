"""One process at a time, where the file system can say so."""

import contextlib
import errno
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
def alone(folder: Path) -> Iterator[None]:
  """Keeps a second process out that would write the same set.

  Args:
    folder: where the set goes; made where it is missing.

  Raises:
    InputError: another process is at it.
  """
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / '.lock', 'w', encoding='utf-8') as lock:
    try:
      take(lock)
    except BlockingIOError as error:
      raise InputError(f'{folder}: another process prepares this set; wait for its end') from error
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      warnings.warn(
        f'{folder}: its file system has no locks ({error.strerror}); take care that no other'
        ' process prepares this set',
        stacklevel=1,
      )
    yield
