"""Reads what the database says of pictures, classes and counts."""

import dataclasses
import json
import sqlite3
from typing import Any

from experiments.labelling.database.opened import number

STATES = ('drawn', 'found', 'absent', 'waiting')
DECISIONS = ('accepted', 'rejected')

# What is shown of each picture: what was drawn, else what the run found that is shown, or an
# earlier one where that has not come to it; what a person relies on stays pinned to its run.
_SHOWN = """
FROM pictures p LEFT JOIN found f ON f.name = p.name AND f.run = COALESCE(p.pinned, (
  SELECT max(run) FROM found x
  WHERE x.name = p.name AND x.run <= (SELECT value FROM meta WHERE key = 'run')))
"""
_STATE = """CASE WHEN p.drawn_areas IS NOT NULL THEN 'drawn' WHEN f.areas IS NULL THEN 'waiting'
WHEN f.areas = '{}' THEN 'absent' ELSE 'found' END"""
_COLUMNS = f"""SELECT p.name, p.width, p.height, p.bytes, p.mtime, p.sha, p.problem, p.decision,
p.is_support, p.drawn_areas, p.drawn_revision, p.pinned, p.revision, f.run, f.areas, f.confidence,
f.presence, {_STATE} AS state {_SHOWN}"""


@dataclasses.dataclass(frozen=True)
class Picture:
  """Holds what is known of one picture.

  Attributes:
    name: its file's, in the folder.
    width: of the picture turned upright; 0 where it cannot be read.
    height: likewise.
    bytes: the file's size when it was last looked at.
    mtime: its time of change then, in nanoseconds.
    sha: SHA-256 of what was drawn on or segmented last; None before.
    state: of `STATES`.
    decision: of `DECISIONS`, or None.
    is_support: whether others are segmented by it.
    confidence: of what is shown, where the network found it.
    presence: how probable it is that one of the classes is there at all, likewise.
    areas: {class number: share of the picture} of what is shown.
    revision: of the last change.
    drawn_revision: of the last change that a person made to what is drawn.
    run: which propagation found what is shown; None where nothing was.
    is_relied_on: whether that stays as it is, accepted or a support.
    problem: what is wrong with the file, in a line.
  """

  name: str
  width: int
  height: int
  bytes: int
  mtime: int
  sha: str | None
  state: str
  decision: str | None
  is_support: bool
  confidence: float | None
  presence: float | None
  areas: dict[int, float]
  revision: int
  drawn_revision: int
  run: int | None
  is_relied_on: bool
  problem: str | None

  def to_json(self) -> dict[str, Any]:
    """Returns what a browser is told."""
    hidden = ('bytes', 'mtime', 'sha', 'drawn_revision', 'run', 'is_relied_on')
    told = {k: value for k, value in vars(self).items() if k not in hidden}
    areas = {str(n): share for n, share in self.areas.items()}
    # Another file has another one.
    return {**told, 'areas': areas, 'file': f'{self.bytes:x}-{self.mtime:x}'}


def _picture(row: sqlite3.Row) -> Picture:
  values = {key: row[key] for key in row.keys()}  # noqa: SIM118, a row iterates over its values
  drawn, pinned, areas = (values.pop(key) for key in ('drawn_areas', 'pinned', 'areas'))
  values['is_relied_on'] = pinned is not None
  values['areas'] = {int(n): share for n, share in json.loads(drawn or areas or '{}').items()}
  values['is_support'] = bool(values['is_support'])
  if values['state'] == 'drawn':
    values['confidence'] = values['presence'] = None
  return Picture(**values)


def find(connection: sqlite3.Connection, name: str) -> Picture | None:
  """Returns one picture; None where the folder has none of this name."""
  row = connection.execute(f'{_COLUMNS} WHERE p.name = ?', (name,)).fetchone()
  return None if row is None else _picture(row)


def find_all(
  connection: sqlite3.Connection, *, state: str = 'all', order: str = 'name'
) -> list[Picture]:
  """Lists pictures.

  Args:
    connection: to the database.
    state: of `STATES` or `DECISIONS`, or 'all'.
    order: 'name'; or 'uncertain', what was found the least certain first, decided ones after the
      others.
  """
  where, values = '', ()
  if state in DECISIONS:
    where, values = ' WHERE p.decision = ?', (state,)
  elif state != 'all':
    where, values = f' WHERE {_STATE} = ?', (state,)
  rows = connection.execute(f'{_COLUMNS}{where} ORDER BY p.name', values).fetchall()
  found = [_picture(row) for row in rows]
  return sorted(found, key=_certainty) if order == 'uncertain' else found


def _certainty(one: Picture) -> tuple[bool, bool, float, float, str]:
  """Orders as `summary.csv` of `predict` does: a presence near one half, then a low confidence."""
  chance = 0.5 if one.presence is None else one.presence
  unseen = one.state in ('drawn', 'waiting')
  return unseen, one.decision is not None, abs(chance - 0.5), one.confidence or 0.0, one.name


def mask_of(connection: sqlite3.Connection, one: Picture) -> bytes | None:
  """Returns the PNG of what is shown of a picture; None where there is nothing."""
  if one.state == 'drawn':
    row = connection.execute('SELECT mask FROM drawn WHERE name = ?', (one.name,)).fetchone()
  else:
    row = connection.execute(
      'SELECT mask FROM found WHERE name = ? AND run = ?', (one.name, one.run)
    ).fetchone()
  return None if row is None else row['mask']


def count(connection: sqlite3.Connection) -> dict[str, int]:
  """Counts pictures by state and decision; 'all' are all."""
  found: dict[str, int] = dict.fromkeys(('all', *STATES[:3], *DECISIONS, 'waiting'), 0)
  rows = connection.execute(
    f'SELECT {_STATE} AS state, p.decision, count(*) AS n {_SHOWN} GROUP BY 1, 2'
  )
  for row in rows:
    found['all'] += row['n']
    found[row['state']] += row['n']
    if row['decision'] is not None:
      found[row['decision']] += row['n']
  return found


def classes(connection: sqlite3.Connection) -> list[dict[str, Any]]:
  """Lists the classes: number, name and color of each."""
  return [dict(row) for row in connection.execute('SELECT * FROM classes ORDER BY number')]


def supports(connection: sqlite3.Connection) -> list[Picture]:
  """Lists the pictures by which others are segmented: sound ones that show something."""
  rows = connection.execute(f'{_COLUMNS} WHERE p.is_support ORDER BY p.name').fetchall()
  return [one for one in map(_picture, rows) if one.areas and one.problem is None]


def shown_run(connection: sqlite3.Connection) -> tuple[int, bool]:
  """Returns which propagation is shown, and whether it has come to its end."""
  run = number(connection, 'run')
  row = connection.execute('SELECT done FROM runs WHERE number = ?', (run,)).fetchone()
  return run, bool(row['done'])


def to_do(connection: sqlite3.Connection, run: int) -> list[str]:
  """Lists the pictures that a propagation has still to come to, by name.

  What a person drew or relies on is none of them, nor is what cannot be read.
  """
  rows = connection.execute(
    """SELECT name FROM pictures p WHERE drawn_areas IS NULL AND pinned IS NULL
    AND problem IS NULL AND NOT EXISTS (
      SELECT 1 FROM found f WHERE f.name = p.name AND f.run = ?) ORDER BY name""",
    (run,),
  )
  return [row['name'] for row in rows]


def count_due(connection: sqlite3.Connection, run: int) -> int:
  """Counts the pictures that a propagation comes to, done or not."""
  row = connection.execute(
    """SELECT count(*) AS n FROM pictures p WHERE drawn_areas IS NULL AND pinned IS NULL
    AND (problem IS NULL OR EXISTS (SELECT 1 FROM found f WHERE f.name = p.name AND f.run = ?))""",
    (run,),
  ).fetchone()
  return row['n']
