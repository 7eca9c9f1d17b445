"""Writes whole files or none: a temporary name beside the target, then one rename."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from hsnet_jax.errors import InputError


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


def writable_folder(path: str | os.PathLike, *, flag: str) -> pathlib.Path:
  """Makes a folder, and makes sure before a long run that files can be written to it.

  Args:
    path: the folder.
    flag: the flag that named it, for the message.

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
    (folder / '.writable').unlink()
  except OSError as error:
    raise InputError(
      f'{folder}: cannot write there ({error.strerror}); name another folder with {flag}'
    ) from error
  return folder
