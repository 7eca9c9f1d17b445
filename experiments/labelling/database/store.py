"""Changes what the database holds: each method is one transaction, and one revision.

Each says in its name what a person or the network does. What is wrong with a request is a
`Refused`, with the HTTP status that a browser is answered with.
"""

import json
import pathlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from experiments.labelling.database import files, history, rows
from experiments.labelling.database.files import CHANGED, File
from experiments.labelling.database.opened import Database, number
from experiments.labelling.database.rows import Picture
from hsnet_jax.errors import InputError


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

  def list_files(self, seen: Iterable[File], gone: Iterable[str]) -> None:
    """Notes what a look at the folder shows.

    Args:
      seen: those that are new or have changed.
      gone: names of pictures that are no longer there. What was never touched is forgotten.
    """
    seen, gone = list(seen), list(gone)
    if not seen and not gone:
      return
    with self.database.changing() as (connection, revision):
      for one in seen:
        files.list_file(connection, one, revision)
      for name in gone:
        files.forget_file(connection, name, revision)
      # What is new is segmented by what is there.
      files.reopen(connection)

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
      Refused: another browser drew on it or its file changed since, or a class is unknown.
    """
    with self.database.changing() as (connection, revision):
      one = _need(connection, name)
      if one.drawn_revision > since:
        raise Refused(409, f'{name}: drawn on, or another file, since; look at it', one)
      known = {row['number'] for row in rows.classes(connection)}
      if unknown := sorted(set(areas) - known):
        raise Refused(422, f'the mask has the class number {unknown[0]}, which is no class')
      connection.execute('INSERT OR REPLACE INTO drawn VALUES (?, ?)', (name, mask))
      connection.execute(
        """UPDATE pictures SET drawn_areas = ?, drawn_revision = ?, revision = ?, pinned = NULL,
        is_support = ?, sha = COALESCE(?, sha), decision = NULLIF(decision, 'rejected'),
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

  def decide(self, name: str, decision: str | None, *, sha: str | None = None) -> Picture:
    """Notes what a person says of what is shown: 'accepted', 'rejected' or None.

    What the network found and a person accepts stays as it is, whatever is found later. What is
    rejected is no support any more.

    Args:
      name: the picture.
      decision: what the person says.
      sha: of a changed file, for which the mask is accepted.
    """
    with self.database.changing() as (connection, revision):
      one = _need(connection, name)
      if decision == 'accepted' and one.state == 'waiting':
        raise Refused(422, f'{name}: there is no mask to accept yet')
      is_support = one.is_support and decision != 'rejected'
      connection.execute(
        'UPDATE pictures SET decision = ?, revision = ?, is_support = ? WHERE name = ?',
        (decision, revision, is_support, name),
      )
      if decision == 'accepted' and one.problem == CHANGED:
        connection.execute(
          'UPDATE pictures SET problem = NULL, sha = COALESCE(?, sha) WHERE name = ?', (sha, name)
        )
      _pin(connection, one, decision == 'accepted' or is_support)
      if is_support != one.is_support:
        history.begin(connection)
      return _need(connection, name)

  def support(self, name: str, is_support: bool) -> Picture:
    """Says whether others are segmented by a picture, and begins to do so."""
    with self.database.changing() as (connection, revision):
      one = _need(connection, name)
      if is_support and not one.areas:
        raise Refused(422, f'{name}: shows nothing; draw the object in it first')
      connection.execute(
        """UPDATE pictures SET is_support = ?, revision = ?,
        decision = CASE WHEN ? THEN NULLIF(decision, 'rejected') ELSE decision END
        WHERE name = ?""",
        (is_support, revision, is_support, name),
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
    with self.database.changing() as (connection, revision):
      if history.begin(connection) is None:
        raise Refused(422, 'draw the object in a picture first')
      files.try_again(connection, revision)

  def try_again(self) -> None:
    """Has the network look again at what it could not segment."""
    with self.database.changing() as (connection, revision):
      files.try_again(connection, revision)

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
    seen: Picture | None = None,
  ) -> bool:
    """Keeps what the network found in a picture.

    Args:
      run: the propagation.
      name: the picture.
      mask: a PNG, a class number a pixel.
      areas: {class number: share} of what it shows.
      confidence: of what is marked.
      presence: how probable it is that one of the classes is there.
      sha: of the file.
      seen: the picture before its file was read; None: whatever the file is now.

    Returns:
      Whether it was kept: not where that propagation is no longer the one that is shown, nor where
      the file is another one by now.
    """
    with self.database.changing() as (connection, revision):
      if number(connection, 'run') != run:
        return False
      if seen is not None:
        now = rows.find(connection, name)
        if now is None or (now.bytes, now.mtime) != (seen.bytes, seen.mtime):
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
