"""Writes whole files or none, by a temporary name beside the target and one rename.

And says in words what the machine refuses: a full disk, a folder that may not be written to,
memory, a device that JAX does not start.
"""

import contextlib
import errno
import os
import pathlib
import traceback
from collections.abc import Iterator

from hsnet_jax.errors import InputError

# What the machine refuses, and a user can mend; other OSErrors are bugs until shown otherwise.
REFUSALS = {
  errno.ENOSPC: 'the disk is full',
  errno.EDQUOT: 'the disk quota is used up',
  errno.EFBIG: 'the file is larger than allowed here',
  errno.EACCES: 'permission denied',
  errno.EPERM: 'permission denied',
  errno.EROFS: 'the disk is read-only',
  errno.ENOTDIR: 'a part of the path is a file, not a folder',
  errno.EISDIR: 'this is a folder, not a file',
  errno.EEXIST: 'a file of this name is in the way',
  errno.ENAMETOOLONG: 'the name is too long',
  errno.EMFILE: 'too many files are open',
  errno.ENFILE: 'too many files are open',
  errno.ENOMEM: 'out of memory',
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# These keep a file from being read that may be whole.
_UNREADABLE = (
  *(errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOMEM),
  *_FULL,
)
# What XLA and Python say of memory, and JAX of a platform; where it looks for one.
_NO_MEMORY = ('RESOURCE_EXHAUSTED', "can't start new thread")
_NO_BACKEND, _BACKENDS = 'Unable to initialize backend', 'jax._src.xla_bridge'


def machine_error(error: BaseException | None) -> str | None:
  """Says what the machine refused, in one line, if that is what an exception comes from.

  Args:
    error: an exception; those it was raised from are looked through as well.

  Returns:
    The line, or None if the exception is something else.
  """
  for one in _chain(error):
    if isinstance(one, OSError) and one.errno in REFUSALS:
      where = f'{one.filename}: ' if one.filename else ''
      return f'{where}{REFUSALS[one.errno]}'
    # Storage libraries in C++ keep the system's words and lose its number.
    for code in (*_FULL, errno.EACCES):
      if os.strerror(code) in str(one):
        return REFUSALS[code]
    words = _lack_of_memory(one) or _missing_backend(one)
    if words is not None:
      return words
  return None


def is_disk_full(error: BaseException | None) -> bool:
  """Says whether an error, however wrapped, comes from a disk, quota or file size limit."""
  for one in _chain(error):
    if isinstance(one, OSError) and one.errno in _FULL:
      return True
    if any(os.strerror(code) in str(one) for code in _FULL):
      return True
  return False


def is_unreadable(error: BaseException) -> bool:
  """Says whether an error of reading, however wrapped, is the machine's and not of the file."""
  return any(
    _lack_of_memory(one) is not None
    or _missing_backend(one) is not None
    or any(os.strerror(code) in str(one) for code in _UNREADABLE)
    for one in _chain(error)
  )


def _lack_of_memory(error: BaseException) -> str | None:
  """Says in a line that memory was lacking, the host's or a device's, if that is what failed."""
  words = _line(error)
  if isinstance(error, MemoryError) or any(sign in words for sign in _NO_MEMORY):
    return 'out of memory' + (f': {words}' if words else '')
  return None


def _missing_backend(error: BaseException) -> str | None:
  """Says in a line, JAX's own where it has one, which of its backends does not start."""
  if isinstance(error, RuntimeError) and _NO_BACKEND in str(error):
    return _line(error)
  # Of a GPU that is asked for and not there JAX says nothing.
  last = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
  if isinstance(error, AssertionError) and last and last[0].f_globals['__name__'] == _BACKENDS:
    asked = os.environ.get('JAX_PLATFORMS', '')
    return f'JAX_PLATFORMS={asked}: JAX finds no such device here (unset it to use what there is)'
  return None


def _line(error: BaseException) -> str:
  return ' '.join(str(error).split())


def _chain(error: BaseException | None) -> Iterator[BaseException]:
  """Yields an exception and those that it was raised from."""
  seen = set()
  while error is not None and id(error) not in seen:
    seen.add(id(error))
    yield error
    error = error.__cause__ or error.__context__


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives a temporary path to write to, which becomes `path` if nothing went wrong.

  Args:
    path: the file to write; its folder is made where it is missing.

  Yields:
    The temporary path, with the same ending, since writers choose a format by it.

  Raises:
    OSError: the file cannot be written; `filename` is `path`.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
  try:
    with naming(path, instead_of=part):
      yield part
      os.replace(part, path)
  finally:
    part.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike, *, instead_of: str | os.PathLike = '') -> Iterator[None]:
  """Gives an OSError that names no file, as those of writing do not, the file being written.

  Args:
    path: the file.
    instead_of: a name that errors may carry and that would tell the user nothing.
  """
  try:
    yield
  except OSError as error:
    if error.filename is None or os.fspath(error.filename) == os.fspath(instead_of):
      error.filename, error.filename2 = os.fspath(path), None
    raise


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text file in UTF-8, whole or not at all."""
  with replacing(path) as part:
    part.write_text(text, encoding='utf-8')


def writable_folder(path: str | os.PathLike, *, argument: str) -> pathlib.Path:
  """Makes a folder, and makes sure before a long run that files can be written to it.

  Args:
    path: the folder.
    argument: what the caller calls it, such as 'run_dir', for the message.

  Returns:
    The folder.

  Raises:
    InputError: the folder cannot be made or written to.
  """
  folder = pathlib.Path(path).expanduser()
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / '.writable') as part:
      part.touch()
    # Another process may have asked at this moment, too.
    (folder / '.writable').unlink(missing_ok=True)
  except OSError as error:
    raise InputError(
      f'{folder}: cannot write there ({error.strerror}); name another folder with `{argument}`'
    ) from error
  return folder
