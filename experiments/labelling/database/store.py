"""Changes what the database holds: each method is one transaction, and one revision.

Each says in its name what a person or the network does. What is wrong with a request is a
`Refused`, with the HTTP status that a browser is answered with.
"""

import dataclasses
import json
import pathlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from experiments.labelling.database import history, rows
from experiments.labelling.database.opened import Database, number
from experiments.labelling.database.rows import Picture
from hsnet_jax.errors import InputError

# Of a file whose mask still fits it; a person who accepts the mask says that it does.
CHANGED = 'the file has changed since its mask was made; accept the mask or draw it again'
RESIZED = 'the file has another size than its mask now; draw it again'
GONE = 'the file is gone; its mask is kept'


class Refused(InputError):
  """Says why a request is refused.

  Args:
    status: of HTTP.
    line: one line for a person.
    picture: what the picture is now, where another browser was first.
  """

  def __init__(self, status: int, line: str, picture: Picture | None = None):
    """Keeps the status beside the line."""
    super().__init__(line)
    self.status, self.picture = status, picture


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


class Store:
  """Holds the labels of a folder.

  Args:
    path: of the database.
  """

  def __init__(self, path: pathlib.Path):
    """Opens the database."""
    self.database = Database(path)

  def read(self, query: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Runs a function of `rows` or `history` that reads."""
    with self.database.reading() as connection:
      return query(connection, *args, **options)

  def revision(self) -> int:
    """Returns the number of the last change."""
    return self.read(number, 'revision')

  def picture(self, name: str) -> Picture:
    """Returns one picture; `Refused` where there is none."""
    with self.database.reading() as connection:
      return _need(connection, name)

  def shown(self, name: str) -> tuple[Picture, bytes | None]:
    """Returns a picture with the PNG of its mask, None where it has none, of one moment."""
    with self.database.reading() as connection:
      one = _need(connection, name)
      return one, rows.mask_of(connection, one)

  def list_files(self, files: Iterable[File], gone: Iterable[str]) -> None:
    """Notes what a look at the folder shows.

    Args:
      files: those that are new or have changed.
      gone: names of pictures that are no longer there. What was never touched is forgotten.
    """
    files, gone = list(files), list(gone)
    if not files and not gone:
      return
    with self.database.changing() as (connection, revision):
      for one in files:
        _list_file(connection, one, revision)
      for name in gone:
        _forget_file(connection, name, revision)
      # What is new is segmented by what is there.
      connection.execute(
        """UPDATE runs SET done = 0 WHERE number > 0
        AND number = (SELECT value FROM meta WHERE key = 'run')"""
      )

  def draw(
    self,
    name: str,
    mask: bytes,
    areas: Mapping[int, float],
    *,
    since: int,
    sha: str | None = None,
    is_support: bool = True,
    begins: bool = True,
  ) -> Picture:
    """Keeps what a person drew, and begins to segment the others by it.

    Args:
      name: the picture.
      mask: a PNG, a class number a pixel.
      areas: {class number: share} of what it shows.
      since: the revision that the person drew on.
      sha: of the picture's file; None where it cannot be read.
      is_support: whether others are segmented by it; one that shows nothing never is.
      begins: whether a propagation begins.

    Raises:
      Refused: another browser drew on it since, or a class is unknown.
    """
    with self.database.changing() as (connection, revision):
      one = _need(connection, name)
      if one.drawn_revision > since:
        raise Refused(409, f'{name}: another browser was first; look at what it drew', one)
      known = {row['number'] for row in rows.classes(connection)}
      if unknown := sorted(set(areas) - known):
        raise Refused(422, f'the mask has the class number {unknown[0]}, which is no class')
      connection.execute('INSERT OR REPLACE INTO drawn VALUES (?, ?)', (name, mask))
      connection.execute(
        """UPDATE pictures SET drawn_areas = ?, drawn_revision = ?, revision = ?, pinned = NULL,
        is_support = ?, sha = COALESCE(?, sha),
        problem = CASE WHEN ? THEN NULL ELSE problem END WHERE name = ?""",
        (json.dumps(areas), revision, revision, is_support and bool(areas), sha, bool(sha), name),
      )
      # One that is no support and was none changes nothing for the others.
      if begins and (is_support or one.is_support):
        history.begin(connection)
      return _need(connection, name)

  def drop(self, name: str) -> Picture:
    """Forgets what a person drew; what the network found takes its place."""
    with self.database.changing() as (connection, revision):
      one = _need(connection, name)
      if one.state == 'drawn':
        connection.execute('DELETE FROM drawn WHERE name = ?', (name,))
        connection.execute(
          """UPDATE pictures SET drawn_areas = NULL, drawn_revision = ?, revision = ?,
          is_support = 0, decision = NULL WHERE name = ?""",
          (revision, revision, name),
        )
        history.begin(connection)
      return _need(connection, name)

  def decide(self, name: str, decision: str | None) -> Picture:
    """Notes what a person says of what is shown: 'accepted', 'rejected' or None.

    What the network found and a person accepts stays as it is, whatever is found later.
    """
    with self.database.changing() as (connection, revision):
      one = _need(connection, name)
      if decision == 'accepted' and one.state == 'waiting':
        raise Refused(422, f'{name}: there is no mask to accept yet')
      connection.execute(
        """UPDATE pictures SET decision = ?, revision = ?, problem = CASE
        WHEN problem = ? AND ? = 'accepted' THEN NULL ELSE problem END WHERE name = ?""",
        (decision, revision, CHANGED, decision, name),
      )
      _pin(connection, one, decision == 'accepted' or one.is_support)
      return _need(connection, name)

  def support(self, name: str, is_support: bool) -> Picture:
    """Says whether others are segmented by a picture, and begins to do so."""
    with self.database.changing() as (connection, revision):
      one = _need(connection, name)
      if is_support and not one.areas:
        raise Refused(422, f'{name}: shows nothing; draw the object in it first')
      connection.execute(
        'UPDATE pictures SET is_support = ?, revision = ? WHERE name = ?',
        (is_support, revision, name),
      )
      _pin(connection, one, is_support or one.decision == 'accepted')
      if is_support != one.is_support:
        history.begin(connection)
      return _need(connection, name)

  def add_class(self, name: str, color: str) -> int:
    """Adds a class; returns its number."""
    with self.database.changing() as (connection, _):
      known = rows.classes(connection)
      _check_name(known, name, but=None)
      following = max((row['number'] for row in known), default=0) + 1
      if following > 255:
        raise Refused(422, 'a label holds 255 classes')
      connection.execute('INSERT INTO classes VALUES (?, ?, ?)', (following, name, color))
      return following

  def change_class(self, which: int, name: str | None, color: str | None) -> None:
    """Gives a class another name or color."""
    with self.database.changing() as (connection, _):
      known = rows.classes(connection)
      if which not in {row['number'] for row in known}:
        raise Refused(404, f'there is no class {which}')
      if name is not None:
        _check_name(known, name, but=which)
      connection.execute(
        'UPDATE classes SET name = COALESCE(?, name), color = COALESCE(?, color) WHERE number = ?',
        (name, color, which),
      )

  def begin(self) -> None:
    """Begins a propagation by hand; `Refused` where there is nothing to segment by."""
    with self.database.changing() as (connection, _):
      if history.begin(connection) is None:
        raise Refused(422, 'draw the object in a picture first')

  def move(self, *, forward: bool) -> None:
    """Undoes or redoes a propagation; `Refused` where there is none."""
    with self.database.changing() as (connection, revision):
      if not history.move(connection, revision, forward=forward):
        raise Refused(409, f'nothing to {"redo" if forward else "undo"}')

  def keep_found(
    self,
    run: int,
    name: str,
    mask: bytes,
    *,
    areas: Mapping[int, float],
    confidence: float,
    presence: float,
    sha: str,
  ) -> bool:
    """Keeps what the network found in a picture.

    Returns:
      Whether it was kept: not where that propagation is no longer the one that is shown.
    """
    with self.database.changing() as (connection, revision):
      if number(connection, 'run') != run:
        return False
      connection.execute(
        'INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?, ?, ?)',
        (name, run, json.dumps(areas), confidence, presence, mask),
      )
      connection.execute(
        """UPDATE pictures SET revision = ?, sha = ? WHERE name = ? AND drawn_areas IS NULL
        AND pinned IS NULL""",
        (revision, sha, name),
      )
      return True

  def finish(self, run: int) -> None:
    """Notes that a propagation has come to its end."""
    with self.database.changing() as (connection, _):
      connection.execute('UPDATE runs SET done = 1 WHERE number = ?', (run,))

  def note(self, name: str, *, problem: str | None) -> None:
    """Notes what is wrong with a picture's file, None where it is sound."""
    with self.database.changing() as (connection, revision):
      connection.execute(
        'UPDATE pictures SET problem = ?, revision = ? WHERE name = ?', (problem, revision, name)
      )


def _list_file(connection: sqlite3.Connection, file: File, revision: int) -> None:
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
    if problem is None and (one.state == 'drawn' or one.is_relied_on):
      resized = (one.width, one.height) != (file.width, file.height) and one.width > 0
      problem = RESIZED if resized or one.problem == RESIZED else None
      problem = problem or (None if is_same else CHANGED)
  connection.execute(
    """INSERT INTO pictures (name, width, height, bytes, mtime, problem, revision, sha)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET width = excluded.width,
    height = excluded.height, bytes = excluded.bytes, mtime = excluded.mtime,
    problem = excluded.problem, revision = excluded.revision""",
    (file.name, file.width, file.height, file.bytes, file.mtime, problem, revision, sha),
  )


def _forget_file(connection: sqlite3.Connection, name: str, revision: int) -> None:
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


def _need(connection: sqlite3.Connection, name: str) -> Picture:
  one = rows.find(connection, name)
  if one is None:
    raise Refused(404, 'there is no such picture')
  return one


def _pin(connection: sqlite3.Connection, one: Picture, is_relied_on: bool) -> None:
  """Keeps what the network found as it is, or lets it change again."""
  run = one.run if is_relied_on and one.state != 'drawn' else None
  connection.execute('UPDATE pictures SET pinned = ? WHERE name = ?', (run, one.name))


def _check_name(known: Iterable[Mapping[str, Any]], name: str, *, but: int | None) -> None:
  others = {row['name'].casefold() for row in known if row['number'] != but}
  if name.casefold() in others:
    raise Refused(422, f'there is a class {name!r} already')
