"""Notes what a look at the files of the pictures shows: new, changed, gone."""

import dataclasses
import sqlite3

from experiments.labelling.database import rows

# Of a file whose mask still fits it; a person who accepts the mask says that it does.
CHANGED = 'the file has changed since its mask was made; accept the mask or draw it again'
RESIZED = 'the file has another size than its mask now; draw it again'
GONE = 'the file is gone; its mask is kept'
# What the network could not do is tried again by hand, and at each start.
FAILED = 'cannot be segmented'


@dataclasses.dataclass(frozen=True)
class File:
  """Holds what a look at a picture's file shows.

  Attributes:
    name: in the folder.
    bytes: its size.
    mtime: its time of change, in nanoseconds.
    width: turned upright; 0 where it cannot be read.
    height: likewise.
    problem: why it cannot be read; None where its head is sound.
    sha: SHA-256; None where it was not asked for.
  """

  name: str
  bytes: int
  mtime: int
  width: int = 0
  height: int = 0
  problem: str | None = None
  sha: str | None = None


def list_file(connection: sqlite3.Connection, file: File, revision: int) -> None:
  """Notes what is new or has changed; what was found in another file of this name is forgotten."""
  one, problem, sha = rows.find(connection, file.name), file.problem, None
  if one is not None:
    is_same = one.sha is not None and one.sha == file.sha
    sha = one.sha
    if not is_same:
      connection.execute(
        """DELETE FROM found WHERE name = ? AND run IS NOT (
        SELECT pinned FROM pictures p WHERE p.name = found.name)""",
        (file.name,),
      )
      # Who drew on the picture that was there is told, and another encoding is due.
      connection.execute(
        'UPDATE pictures SET drawn_revision = ? WHERE name = ?', (revision, file.name)
      )
    if problem is None and (one.state == 'drawn' or one.is_relied_on):
      resized = (one.width, one.height) != (file.width, file.height) and one.width > 0
      problem = RESIZED if resized or one.problem == RESIZED else CHANGED
      problem = None if is_same else problem
  connection.execute(
    """INSERT INTO pictures (name, width, height, bytes, mtime, problem, revision, sha)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET width = excluded.width,
    height = excluded.height, bytes = excluded.bytes, mtime = excluded.mtime,
    problem = excluded.problem, revision = excluded.revision""",
    (file.name, file.width, file.height, file.bytes, file.mtime, problem, revision, sha),
  )


def forget_file(connection: sqlite3.Connection, name: str, revision: int) -> None:
  """Notes that a file is gone; forgets it where no person did anything to it."""
  untouched = connection.execute(
    """DELETE FROM pictures WHERE name = ? AND drawn_areas IS NULL AND decision IS NULL
    AND pinned IS NULL RETURNING name""",
    (name,),
  ).fetchone()
  if untouched is not None:
    connection.execute('DELETE FROM found WHERE name = ?', (name,))
    return
  connection.execute(
    'UPDATE pictures SET problem = ?, revision = ? WHERE name = ?', (GONE, revision, name)
  )


def try_again(connection: sqlite3.Connection, revision: int) -> None:
  """Lets the propagation that is shown come again to what it could not segment."""
  tried = connection.execute(
    'UPDATE pictures SET problem = NULL, revision = ? WHERE problem LIKE ?',
    (revision, f'{FAILED}%'),
  )
  if tried.rowcount:
    reopen(connection)


def reopen(connection: sqlite3.Connection) -> None:
  """Lets the propagation that is shown go on: there is something new to segment."""
  connection.execute(
    """UPDATE runs SET done = 0 WHERE number > 0
    AND number = (SELECT value FROM meta WHERE key = 'run')"""
  )
