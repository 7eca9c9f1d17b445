"""Keeps entries and files in a zoo's folder: each model whole or not at all.

A file is complete on the disk under its own name before the row is written that makes it a model; a
row is gone before its file is. So a process that is killed leaves a file that no row names, and
never the other way round. Rows are written by one process at a time, the others wait.
"""

import contextlib
import os
import pathlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from experiments.model_zoo.entry import (
  Entry,
  Summary,
  from_text,
  packaged_entry,
  packaged_summaries,
  to_text,
)
from hsnet_jax.errors import InputError
from hsnet_jax.weights.zoo import (
  BUSY_SECONDS,
  DATABASE,
  FORMAT_VERSION,
  MODELS,
  PACKAGED,
  check_file,
  file_of,
  format_of,
  is_name,
  naming_damage,
  packaged_path,
  reading,
  unknown,
)

_LISTED = ', '.join(Summary._fields)
_TABLES = (
  """CREATE TABLE models (name TEXT PRIMARY KEY, backbone TEXT NOT NULL, benchmark TEXT,
    fold INTEGER, shots INTEGER, miou REAL, miou_low REAL, miou_high REAL, size INTEGER NOT NULL,
    added TEXT NOT NULL, checksum TEXT NOT NULL, entry TEXT NOT NULL)""",
  # All that a list shows, so that it reads no entry.
  f'CREATE INDEX listed ON models ({_LISTED})',
  f'PRAGMA user_version = {FORMAT_VERSION}',
)
_TEXT, _WHOLE, _REAL = str | None, int | None, float | int | None
_KINDS = (str, str, _TEXT, _WHOLE, _WHOLE, _REAL, _REAL, _REAL, int, str)  # Of a summary.
_ADDING = '.adding-'
_LEFT_SECONDS = 3600  # What is older was left by a process that was killed.


def list_models(folder: pathlib.Path) -> list[Summary]:
  """Lists the models of a zoo: those that come with the package, then the others by name.

  Args:
    folder: the zoo's.

  Returns:
    A `Summary` each.

  Raises:
    InputError: the database is damaged.
  """
  with reading(folder) as connection:
    rows = connection.execute(f'SELECT {_LISTED} FROM models ORDER BY name') if connection else ()
    return [*packaged_summaries(), *(_summary(row) for row in rows)]


def _summary(row: tuple[Any, ...]) -> Summary:
  """Makes a summary of a row; raises InputError for one that no zoo wrote."""
  if not all(map(isinstance, row, _KINDS)):
    raise InputError(f'{row[0]}: its entry in the zoo is damaged; remove it and add it again')
  return Summary._make(row)


def find_model(folder: pathlib.Path, name: str) -> Entry:
  """Finds the entry of a model.

  Args:
    folder: the zoo's.
    name: the model's.

  Returns:
    The entry.

  Raises:
    InputError: there is no such model (the nearest names are said), or the database is damaged.
  """
  if name in PACKAGED:
    return packaged_entry(name)
  with reading(folder) as connection:
    found = None
    if connection is not None:
      found = connection.execute('SELECT entry FROM models WHERE name = ?', (name,)).fetchone()
    if found is None:
      raise unknown(name, [summary.name for summary in list_models(folder)])
  return from_text(found[0], source=f'{folder / DATABASE}, entry {name}')


def path_of(folder: pathlib.Path, entry: Entry) -> pathlib.Path:
  """Returns the file of a model."""
  packaged = entry.name in PACKAGED
  return packaged_path(entry.name) if packaged else file_of(folder, entry.name, entry.checksum)


def verify_model(folder: pathlib.Path, name: str) -> Entry:
  """Makes sure that a model's file is what was added, and returns its entry.

  Args:
    folder: the zoo's.
    name: the model's.

  Raises:
    InputError: there is no such model, or its file is missing or has changed; the message has both
      checksums.
  """
  entry = find_model(folder, name)
  check_file(path_of(folder, entry), name=name, size=entry.size, checksum=entry.checksum)
  return entry


def check_new(folder: pathlib.Path, name: str) -> None:
  """Raises InputError unless a model may be added under a name."""
  if name in PACKAGED:
    raise InputError(f'{name}: comes with the package and stays as it is; choose another name')
  if not is_name(name):
    raise InputError(
      f'{name}: a name has lower case letters, digits, ".", "_" and "-", at most 64, begins with'
      ' a letter or digit and does not end in .safetensors'
    )
  with reading(folder) as connection:
    if connection is not None:
      _check_free(connection, name)


def _check_free(connection: sqlite3.Connection, name: str) -> None:
  if connection.execute('SELECT 1 FROM models WHERE name = ?', (name,)).fetchone():
    raise InputError(f'{name}: the zoo has a model of this name; choose another, or remove it')


@contextlib.contextmanager
def staging(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """Gives the path of a file to write, on the zoo's disk, for `keep`; removes what is left there.

  Args:
    folder: the zoo's; made where it is missing.
  """
  models = folder / MODELS
  try:
    models.mkdir(parents=True, exist_ok=True)
    for left in models.glob(f'{_ADDING}*'):
      with contextlib.suppress(FileNotFoundError):  # Another process does the same.
        if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
          shutil.rmtree(left, ignore_errors=True)
    staged = tempfile.TemporaryDirectory(prefix=_ADDING, dir=models)
  except OSError as error:
    raise InputError(
      f'{folder}: cannot write there ({error.strerror}); name another folder with `zoo`'
    ) from error
  with staged as name:
    yield pathlib.Path(name) / 'model.safetensors'


def keep(folder: pathlib.Path, entry: Entry, file: pathlib.Path) -> None:
  """Makes a model of a file and its entry: the last step of adding one.

  Args:
    folder: the zoo's.
    entry: of the file.
    file: of `staging`; it is moved.

  Raises:
    InputError: another process has taken the name meanwhile, or the database is damaged.
  """
  _sync(file)
  target = file_of(folder, entry.name, entry.checksum)
  with _writing(folder) as connection:
    _check_free(connection, entry.name)
    os.replace(file, target)  # Whatever bears this name has the same checksum.
    _sync(target.parent)
    row = {**entry.summary._asdict(), 'checksum': entry.checksum, 'entry': to_text(entry)}
    places = ', '.join(f':{column}' for column in row)
    connection.execute(f'INSERT INTO models ({", ".join(row)}) VALUES ({places})', row)


def remove_model(folder: pathlib.Path, name: str) -> None:
  """Removes a model: its entry first, then its file.

  Args:
    folder: the zoo's.
    name: the model's.

  Raises:
    InputError: there is no such model, or it comes with the package.
  """
  if name in PACKAGED:
    raise InputError(f'{name}: comes with the package and stays as it is')
  ours = 'SELECT checksum FROM models WHERE name = ?', (name,)
  with reading(folder) as connection:
    found = connection.execute(*ours).fetchone() if connection else None
  if found is None:
    raise unknown(name, [summary.name for summary in list_models(folder)])
  with _writing(folder) as connection:
    connection.execute('DELETE FROM models WHERE name = ?', (name,))
  # Another process may have added the very same again.
  with _writing(folder) as connection:
    if connection.execute(*ours).fetchone() != found:
      file_of(folder, name, str(found[0])).unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[sqlite3.Connection]:
  """Opens the database to write to it, alone; what is written holds whole or not at all."""
  with naming_damage(folder):
    connection = sqlite3.connect(folder / DATABASE, timeout=BUSY_SECONDS, isolation_level=None)
    with contextlib.closing(connection):
      _log_ahead(connection)
      connection.execute('BEGIN IMMEDIATE')
      try:
        if not format_of(connection, folder):
          for statement in _TABLES:
            connection.execute(statement)
        yield connection
        connection.execute('COMMIT')
      except BaseException:
        if connection.in_transaction:
          connection.execute('ROLLBACK')
        raise


def _log_ahead(connection: sqlite3.Connection) -> None:
  """Lets readers read while another process writes; SQLite does not wait for its turn here."""
  until = time.monotonic() + BUSY_SECONDS
  while True:
    try:
      connection.execute('PRAGMA journal_mode = WAL').fetchone()
      return
    except sqlite3.OperationalError as error:
      if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
        raise
      time.sleep(0.01)


def _sync(path: pathlib.Path) -> None:
  """Waits until a file, or a folder's names, are on the disk."""
  if os.name != 'posix' and path.is_dir():
    return  # Windows opens no folders.
  descriptor = os.open(path, os.O_RDONLY if os.name == 'posix' else os.O_RDWR)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
