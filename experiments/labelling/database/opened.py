"""Opens the database of a folder: its tables, and transactions that are whole or not at all.

WAL and full synchronization: what a transaction has written is on the disk when it returns, and
what ends the process in its middle leaves the state before it. One connection serves all threads,
one at a time; no transaction computes anything, so none lasts.
"""

import contextlib
import pathlib
import sqlite3
import threading
from collections.abc import Iterator

from hsnet_jax.errors import InputError

# Of the tables; a later version reads earlier ones.
FORMAT = 1
# What the folder of the database is called, beside the pictures, and the file in it.
FOLDER, FILE = '.hsnet', 'labels.sqlite'

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS classes (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, color TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS pictures (
  name TEXT PRIMARY KEY,
  width INTEGER NOT NULL, height INTEGER NOT NULL,
  bytes INTEGER NOT NULL, mtime INTEGER NOT NULL, sha TEXT,
  problem TEXT,
  decision TEXT, is_support INTEGER NOT NULL DEFAULT 0,
  drawn_areas TEXT, drawn_revision INTEGER NOT NULL DEFAULT 0,
  pinned INTEGER,
  revision INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS drawn (name TEXT PRIMARY KEY, mask BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS runs (number INTEGER PRIMARY KEY, done INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS found (
  name TEXT NOT NULL, run INTEGER NOT NULL,
  areas TEXT NOT NULL, confidence REAL NOT NULL, presence REAL NOT NULL, mask BLOB NOT NULL,
  PRIMARY KEY (name, run)
);
INSERT OR IGNORE INTO meta VALUES ('revision', 1), ('run', 0), ('last_run', 0);
INSERT OR IGNORE INTO runs VALUES (0, 1);
INSERT INTO classes SELECT 1, 'object', '#0072b2' WHERE NOT EXISTS (SELECT 1 FROM classes);
"""

_FULL = ('SQLITE_FULL', 'SQLITE_IOERR')


class Database:
  """Holds the one connection.

  Args:
    path: the file; made where it is missing.

  Raises:
    InputError: it cannot be opened or written to, is no such file, or of a later version.
  """

  def __init__(self, path: pathlib.Path):
    """Opens the file, and makes its tables where they are missing."""
    self.path = path
    self._lock = threading.RLock()
    try:
      self._connection = sqlite3.connect(
        path, timeout=10, isolation_level=None, check_same_thread=False
      )
    except sqlite3.Error as error:
      raise InputError(f'{path}: cannot be opened ({error}); check the folder') from error
    self._connection.row_factory = sqlite3.Row
    try:
      (version,) = self._connection.execute('PRAGMA user_version').fetchone()
      if version > FORMAT:
        raise InputError(f'{path}: of a later version of this program; use that one')
      self._connection.execute('PRAGMA journal_mode = WAL')
      self._connection.execute('PRAGMA synchronous = FULL')
      self._connection.executescript(f'BEGIN IMMEDIATE; {_TABLES} COMMIT')
      self._connection.execute(f'PRAGMA user_version = {FORMAT}')
    except sqlite3.Error as error:
      self._connection.close()
      raise InputError(
        f'{path}: cannot be read or written ({error}); make the folder writable and its disk free,'
        ' or move a damaged file away'
      ) from error
    except InputError:
      self._connection.close()
      raise

  def close(self) -> None:
    """Closes the file."""
    with self._lock:
      self._connection.close()

  @contextlib.contextmanager
  def reading(self) -> Iterator[sqlite3.Connection]:
    """Gives the connection to read from; other threads wait meanwhile."""
    with self._lock:
      yield self._connection

  @contextlib.contextmanager
  def changing(self) -> Iterator[tuple[sqlite3.Connection, int]]:
    """Gives the connection in a transaction, and the revision that it makes.

    Yields:
      The connection, and the new revision. All is undone where anything raises.
    """
    with self._lock:
      self._connection.execute('BEGIN IMMEDIATE')
      try:
        self._connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")
        yield self._connection, number(self._connection, 'revision')
        self._connection.execute('COMMIT')
      except BaseException:
        if self._connection.in_transaction:
          self._connection.execute('ROLLBACK')
        raise


def number(connection: sqlite3.Connection, key: str) -> int:
  """Returns one of the numbers in `meta`: 'revision', 'run' or 'last_run'."""
  return connection.execute('SELECT value FROM meta WHERE key = ?', (key,)).fetchone()[0]


def is_full(error: BaseException) -> bool:
  """Says whether SQLite could not write because its disk, quota or file size is used up."""
  return isinstance(error, sqlite3.Error) and (
    getattr(error, 'sqlite_errorname', '') or ''
  ).startswith(_FULL)
