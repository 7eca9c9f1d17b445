"""Finds stored models by name: those that come with the package, and those of the user's zoo.

A zoo is a folder: `zoo.sqlite`, a row for each model, and `models/`, a `.safetensors` for each,
called by name and checksum, so that no file ever takes the place of another one.
`experiments.model_zoo` writes it; here it is only read, by the standard library alone.
"""

import contextlib
import difflib
import hashlib
import importlib.resources
import os
import pathlib
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping

from hsnet_jax.errors import InputError

# Models that come with the package, by name: files beside the code that reads them.
PACKAGED = {'photos': 'photos.safetensors'}

DATABASE, MODELS = 'zoo.sqlite', 'models'
FORMAT_VERSION = 1
BUSY_SECONDS = 60.0  # So long one process waits for another one's row.
_VARIABLE = 'HSNET_ZOO'
# Lower case alone: some disks do not tell 'Dogs' from 'dogs'.
_NAME = re.compile(r'[a-z0-9][a-z0-9._-]{0,63}')
_OF_CHECKSUM = 12  # Digits in a file's name.
_CHECKSUM = re.compile('[0-9a-f]{64}')
# What else than damage can be wrong with a database, by SQLite's codes.
_REFUSALS = {
  sqlite3.SQLITE_BUSY: 'other processes are writing to it; try again',
  sqlite3.SQLITE_LOCKED: 'other processes are writing to it; try again',
  sqlite3.SQLITE_FULL: 'the disk is full',
  sqlite3.SQLITE_CANTOPEN: 'it cannot be opened; check who may read and write there',
  sqlite3.SQLITE_READONLY: 'it may not be written to',
  sqlite3.SQLITE_PERM: 'permission denied',
}


def packaged_path(name: str) -> pathlib.Path:
  """Returns the file of a model that comes with the package, by its name in `PACKAGED`."""
  return pathlib.Path(str(importlib.resources.files('hsnet_jax.weights'))) / PACKAGED[name]


def is_name(text: str) -> bool:
  """Says whether a text can be a model's name in a zoo: what has a slash is a path."""
  return bool(_NAME.fullmatch(text)) and not text.endswith('.safetensors')


def zoo_folder(
  *, environment: Mapping[str, str] | None = None, platform: str = sys.platform
) -> pathlib.Path:
  """Says where the user's zoo is, whether there is one or not.

  Args:
    environment: such as `os.environ`, the default.
    platform: such as `sys.platform`.

  Returns:
    $HSNET_ZOO, or else `hsnet_jax/zoo` in the folder that the system has for this user's data.
  """
  found = os.environ if environment is None else environment
  if found.get(_VARIABLE):
    return pathlib.Path(found[_VARIABLE]).expanduser()
  home = pathlib.Path(found.get('USERPROFILE' if platform == 'win32' else 'HOME') or '~')
  own = pathlib.Path(found.get('LOCALAPPDATA' if platform == 'win32' else 'XDG_DATA_HOME', ''))
  parts = {'darwin': ('Library', 'Application Support'), 'win32': ('AppData', 'Local')}
  # XDG's own rule: a relative path is none. macOS has no such variable.
  if platform == 'darwin' or not own.is_absolute():
    own = home.expanduser().joinpath(*parts.get(platform, ('.local', 'share')))
  return own / 'hsnet_jax' / 'zoo'


def file_of(folder: pathlib.Path, name: str, checksum: str) -> pathlib.Path:
  """Returns where a zoo keeps a model's file."""
  return folder / MODELS / f'{name}-{checksum[:_OF_CHECKSUM]}.safetensors'


def is_of_zoo(path: pathlib.Path, *, folder: pathlib.Path | None = None) -> bool:
  """Says whether a file lies where a zoo, by default the user's, keeps its models."""
  return path.parent == (folder or zoo_folder()) / MODELS


def sha256(path: pathlib.Path) -> str:
  """Computes the SHA-256 of a file."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


@contextlib.contextmanager
def reading(folder: pathlib.Path) -> Iterator[sqlite3.Connection | None]:
  """Opens a zoo's database to read from it.

  Args:
    folder: the zoo's.

  Yields:
    A connection; None where there is no zoo, or nothing in it yet.

  Raises:
    InputError: the database is damaged, cannot be read, or is of a newer format.
  """
  path = folder / DATABASE
  if not path.exists():
    yield None
    return
  # Where this user may not write, SQLite cannot make the files beside the database that it needs.
  log = path.with_name(f'{DATABASE}-wal')
  mode = 'ro' if os.access(folder, os.W_OK) or log.exists() else 'ro&immutable=1'
  with naming_damage(folder):
    connection = sqlite3.connect(
      f'{path.absolute().as_uri()}?mode={mode}', uri=True, timeout=BUSY_SECONDS
    )
    with contextlib.closing(connection):
      yield connection if format_of(connection, folder) else None


def format_of(connection: sqlite3.Connection, folder: pathlib.Path) -> int:
  """Returns the format of a zoo's database, 0 for an empty one; raises for a newer one."""
  (version,) = connection.execute('PRAGMA user_version').fetchone()
  if version > FORMAT_VERSION:
    raise InputError(
      f'{folder / DATABASE}: format {version} of the zoo is newer than this program, which reads up'
      f' to {FORMAT_VERSION}; update it'
    )
  return version


@contextlib.contextmanager
def naming_damage(folder: pathlib.Path) -> Iterator[None]:
  """Makes an InputError of what SQLite raises about a zoo's database."""
  try:
    yield
  except sqlite3.DatabaseError as error:
    code = getattr(error, 'sqlite_errorcode', sqlite3.SQLITE_CORRUPT)
    said = _REFUSALS.get(code & 0xFF)
    if said is None:
      said = (
        f'the database is damaged ({error}); the models in {folder / MODELS} are as they were: move'
        ' the folder away and add them to a new one'
      )
    raise InputError(f'{folder / DATABASE}: {said}') from error


def find_stored(name: str, *, folder: pathlib.Path | None = None) -> pathlib.Path | None:
  """Finds the file of a model in a zoo, and makes sure that it is what was added.

  Args:
    name: the model's.
    folder: the zoo's; by default the user's.

  Returns:
    The file; None where there is no zoo.

  Raises:
    InputError: the zoo has no such model, its file is missing or has changed, or the database is
      damaged.
  """
  folder = folder or zoo_folder()
  with reading(folder) as connection:
    if connection is None:
      return None
    row = connection.execute('SELECT size, checksum FROM models WHERE name = ?', (name,)).fetchone()
    if row is None:
      known = [found for (found,) in connection.execute('SELECT name FROM models')]
      raise unknown(name, known)
  path = file_of(folder, name, str(row[1]))
  check_file(path, name=name, size=row[0], checksum=row[1])
  return path


def unknown(name: str, known: Iterable[object]) -> InputError:
  """Makes the error for a name that no model has, with those nearest to it."""
  names = [one for one in known if isinstance(one, str)]  # Of a damaged row it may be anything.
  near = difflib.get_close_matches(name, [*PACKAGED, *names], n=3)
  hint = f'; nearest: {", ".join(near)}' if near else ''
  return InputError(
    f'{name}: there is no such checkpoint or model of the zoo{hint} ("experiments.zoo list" shows'
    ' all)'
  )


def check_file(path: pathlib.Path, *, name: str, size: int, checksum: str) -> None:
  """Makes sure that a model's file is what was added.

  Args:
    path: the file.
    name: the model's, for messages.
    size: in bytes, when it was added.
    checksum: its SHA-256 then.

  Raises:
    InputError: it is missing, or has changed; the message names both checksums.
  """
  if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
    raise InputError(f'{name}: its entry in the zoo is damaged; remove it and add the model again')
  mend = 'remove the entry and add the model again'
  if not path.is_file():
    raise InputError(f'{name}: its file {path} is missing; {mend}')
  found = sha256(path)
  if found != checksum or path.stat().st_size != size:
    raise InputError(
      f'{name}: its file {path} has changed since it was added: SHA-256 {found}, not {checksum};'
      f' {mend}'
    )
