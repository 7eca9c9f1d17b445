"""Keeps a row of propagations, one of which is shown: undo shows the one before it.

Each propagation keeps what it found; of a picture that it has not come to, what an earlier one
found is shown. A new one takes the place of those that were undone. Those further back than `KEPT`
become one.
"""

import sqlite3

from experiments.labelling.database.opened import number

KEPT = 5
_IS_PINNED = """EXISTS (SELECT 1 FROM pictures p WHERE p.name = found.name
AND p.pinned = found.run)"""


def begin(connection: sqlite3.Connection) -> int | None:
  """Begins a propagation, in the same transaction as the change that asks for it.

  So whatever ends the process, it is known to be due.

  Args:
    connection: in a transaction.

  Returns:
    Its number; None where there is nothing to segment by.
  """
  if connection.execute('SELECT 1 FROM pictures WHERE is_support').fetchone() is None:
    return None
  shown = number(connection, 'run')
  connection.execute('DELETE FROM runs WHERE number > ?', (shown,))
  connection.execute(f'DELETE FROM found WHERE run > ? AND NOT {_IS_PINNED}', (shown,))
  run = number(connection, 'last_run') + 1
  connection.execute('UPDATE runs SET done = 1')
  connection.execute('INSERT INTO runs VALUES (?, 0)', (run,))
  connection.execute("UPDATE meta SET value = ? WHERE key IN ('run', 'last_run')", (run,))
  _forget(connection)
  return run


def move(connection: sqlite3.Connection, revision: int, *, forward: bool) -> bool:
  """Shows the propagation before the one that is shown, or the one after it.

  Args:
    connection: in a transaction.
    revision: the transaction's.
    forward: after it.

  Returns:
    Whether there was one.
  """
  other = _neighbor(connection, forward=forward)
  if other is None:
    return False
  low, high = sorted((number(connection, 'run'), other))
  connection.execute('UPDATE runs SET done = 1')  # What is under way stops.
  connection.execute("UPDATE meta SET value = ? WHERE key = 'run'", (other,))
  connection.execute(
    """UPDATE pictures SET revision = ? WHERE drawn_areas IS NULL AND pinned IS NULL AND EXISTS (
    SELECT 1 FROM found f WHERE f.name = pictures.name AND f.run > ? AND f.run <= ?)""",
    (revision, low, high),
  )
  return True


def can_move(connection: sqlite3.Connection, *, forward: bool) -> bool:
  """Says whether there is a propagation before the one that is shown, or after it."""
  return _neighbor(connection, forward=forward) is not None


def _neighbor(connection: sqlite3.Connection, *, forward: bool) -> int | None:
  shown = number(connection, 'run')
  which = 'min(number) FROM runs WHERE number > ?'
  if not forward:
    which = 'max(number) FROM runs WHERE number < ?'
  return connection.execute(f'SELECT {which}', (shown,)).fetchone()[0]


def _forget(connection: sqlite3.Connection) -> None:
  """Makes one of the propagations that are further back than undo goes."""
  oldest = connection.execute(
    'SELECT number FROM runs ORDER BY number DESC LIMIT 1 OFFSET ?', (KEPT,)
  ).fetchone()
  if oldest is None:
    return
  connection.execute('DELETE FROM runs WHERE number < ?', tuple(oldest))
  connection.execute(
    f"""DELETE FROM found WHERE NOT {_IS_PINNED} AND EXISTS (SELECT 1 FROM found later
    WHERE later.name = found.name AND later.run > found.run AND later.run <= ?)""",
    tuple(oldest),
  )
