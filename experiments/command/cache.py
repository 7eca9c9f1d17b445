"""Keeps what a command compiles in the user's cache folder, so that the next one starts at once.

Only commands do so: the library leaves JAX's settings alone. They are environment variables here,
which JAX reads when it is imported, after the flags; processes that a command starts inherit them.
"""

import contextlib
import glob
import os
import pathlib
import re
import stat
import sys
import time
import warnings
from collections.abc import Mapping, MutableMapping

from absl import flags

# What is defined here counts as a flag of the command that asks for it, and is in its --help.
flags.disclaim_key_flags()

_FLAG = 'cache'
_FOLDER = 'JAX_COMPILATION_CACHE_DIR'
_ENABLED = 'JAX_ENABLE_COMPILATION_CACHE'
# Programs that take less are compiled as fast as they are read.
_LEAST = 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'
_LEAST_SECONDS = '0.1'
# A network's programs are 0.1 to 0.5 MB each. JAX's own bound needs a lock, and a file beside each
# entry: where a process was killed between the two, nothing is ever stored again.
_MOST_BYTES = 512 * 2**20
_UNREADABLE = 'Error reading persistent compilation cache entry for'
# What is younger may be one that another command is writing.
_WRITTEN_SECONDS = 60


def define_cache() -> None:
  """Defines --cache, for the command that calls this as it is imported."""
  flags.DEFINE_bool(
    _FLAG,
    True,
    "Keep compiled programs in the user's cache folder, or in $JAX_COMPILATION_CACHE_DIR: the next"
    ' command starts in seconds. --nocache neither reads nor writes any.',
  )


def use_cache(environment: MutableMapping[str, str]) -> None:
  """Sets JAX up as --cache says, before it is imported; without that flag does nothing.

  A folder that cannot be used is no reason to stop or to warn: the command compiles.

  Args:
    environment: such as `os.environ`; what it sets of JAX's cache stays, --nocache aside.
  """
  if _FLAG not in flags.FLAGS:
    return
  if not flags.FLAGS[_FLAG].value:
    environment[_ENABLED] = 'false'
    return
  if _FOLDER in environment or 'jax' in sys.modules:  # Someone has decided already.
    return
  found = cache_folder(environment, platform=sys.platform)
  if found is None or not is_ours(folder := pathlib.Path(found)):
    return
  bound(folder, most=_MOST_BYTES)
  _mend(folder)
  environment[_FOLDER] = str(folder)
  environment.setdefault(_LEAST, _LEAST_SECONDS)


def cache_folder(environment: Mapping[str, str], *, platform: str) -> pathlib.PurePath | None:
  """Says where compiled programs are kept.

  Args:
    environment: such as `os.environ`.
    platform: such as `sys.platform`.

  Returns:
    `hsnet_jax/compiled` in the folder that the system has for caches of this user; None where it
    has none.
  """
  windows = platform == 'win32'
  make = pathlib.PureWindowsPath if windows else pathlib.PurePosixPath
  base = make(environment.get('LOCALAPPDATA' if windows else 'XDG_CACHE_HOME', ''))
  # XDG's own rule: a relative path is none. macOS has no such variable.
  if platform == 'darwin' or not base.is_absolute():
    home = make(environment.get('USERPROFILE' if windows else 'HOME', ''))
    if not home.is_absolute():
      return None
    parts = {'darwin': ('Library', 'Caches'), 'win32': ('AppData', 'Local')}
    base = home.joinpath(*parts.get(platform, ('.cache',)))
  return base / 'hsnet_jax' / 'compiled'


def is_ours(folder: pathlib.Path) -> bool:
  """Makes the folder, unless there is no home to make it in, and says whether it may be used.

  Programs are code: what someone else could have put there is not run.

  Args:
    folder: as `cache_folder` has it.

  Returns:
    Whether it and the one around it are folders, not links to some, of this user, where no one else
    may write; and this command may.
  """
  # Caches at the root of a file system are in no one's home.
  if len(folder.parents) < 3:
    return False
  try:
    if not folder.parents[2].is_dir():
      return False
    # Before the inner one is made: not where a link leads.
    for one in (folder.parent, folder):
      one.mkdir(mode=0o700, parents=True, exist_ok=True)
      about = one.lstat()
      own = os.name != 'posix' or (about.st_uid == os.geteuid() and not about.st_mode & 0o022)
      if not (stat.S_ISDIR(about.st_mode) and own):
        return False
  except OSError:
    return False
  return os.access(folder, os.R_OK | os.W_OK | os.X_OK)


def bound(folder: pathlib.Path, *, most: int) -> None:
  """Removes the programs that were not used for longest, so that the rest fits.

  Args:
    folder: of programs.
    most: bytes of the rest.
  """
  used = []
  for path in folder.glob('*-cache'):
    with contextlib.suppress(OSError):  # Another command does the same.
      about = path.stat()
      used.append((max(about.st_atime, about.st_mtime), about.st_size, path))
  total = 0
  for _, size, path in sorted(used, reverse=True):
    total += size
    if total > most:
      with contextlib.suppress(OSError):
        path.unlink()


def remove_unreadable(folder: pathlib.Path, name: str) -> None:
  """Removes what may be a program that JAX could not read, and would never replace.

  JAX says the program's name alone, which those for other shapes have too, and has no public way to
  read an entry. So all of that name go that are empty or older than a minute: one that another
  command is writing stays, and those that were whole are compiled once more.

  Args:
    folder: of programs.
    name: such as `jit_encode`.
  """
  oldest = time.time() - _WRITTEN_SECONDS
  for path in folder.glob(f'{glob.escape(name)}-*-cache'):
    with contextlib.suppress(OSError):  # Another command does the same.
      about = path.stat()
      if not about.st_size or about.st_mtime < oldest:
        path.unlink()


def _mend(folder: pathlib.Path) -> None:
  """Removes a program that JAX cannot read, such as half a one, as JAX warns of it."""
  show = warnings.showwarning

  def hook(message, category, filename, lineno, file=None, line=None) -> None:
    found = re.match(f"{_UNREADABLE} '(.*?)'", str(message))
    if found is None:
      show(message, category, filename, lineno, file, line)
      return
    remove_unreadable(folder, found[1])

  warnings.showwarning = hook
  warnings.filterwarnings('always', _UNREADABLE, UserWarning)
