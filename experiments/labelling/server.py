"""Answers a browser: the page's files, and what the database holds, as JSON and PNG.

Every change is in the database before it is answered. What is wrong with a request is answered with
a status and one line, `{"detail": "..."}`; a full disk with 507.
"""

import asyncio
import json
import logging
import pathlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from experiments.labelling import exporting, labels, pictures
from experiments.labelling.database import history, rows
from experiments.labelling.database.files import CHANGED
from experiments.labelling.database.opened import is_full
from experiments.labelling.database.store import Refused, Store
from experiments.labelling.propagation import Propagation
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import is_disk_full, machine_error

PAGE = pathlib.Path(__file__).parent / 'page'
_COLOR = '^#[0-9a-fA-F]{6}$'
_GLANCE, _HEARTBEAT = 0.2, 15.0  # Seconds.


class Decision(BaseModel):
  """Holds the body of a decision."""

  decision: Literal['accepted', 'rejected'] | None


class Support(BaseModel):
  """Holds whether a picture is a support."""

  is_support: bool


class NewClass(BaseModel):
  """Holds a class to add."""

  name: str = Field(max_length=200)
  color: str | None = Field(None, pattern=_COLOR)


class ChangedClass(BaseModel):
  """Holds what is to change of a class."""

  name: str | None = Field(None, max_length=200)
  color: str | None = Field(None, pattern=_COLOR)


class Export(BaseModel):
  """Holds what to export."""

  formats: list[str] = Field(max_length=20)
  what: Literal['accepted', 'all'] = 'accepted'


class Page:
  """Holds what all answers are made of.

  Args:
    folder: of the pictures.
    store: of what is known of them.
    output_dir: where exports go.
  """

  def __init__(self, folder: pathlib.Path, store: Store, output_dir: pathlib.Path):
    """Begins without a propagation; it is given afterwards, since it tells of its changes."""
    self.folder, self.store, self.output_dir = folder, store, output_dir
    self.propagation: Propagation | None = None
    self.exporting = threading.Lock()
    self.changes = 0

  def changed(self) -> None:
    """Tells all browsers that something changed."""
    self.changes += 1

  def wake(self, *, first: str | None = None) -> None:
    """Tells the propagation and all browsers that something changed."""
    if self.propagation is not None:
      self.propagation.wake(first=first)
    self.changed()

  @property
  def work(self) -> dict[str, Any] | None:
    """Returns how far the propagation is; None at rest."""
    return None if self.propagation is None else self.propagation.work

  def state(self) -> dict[str, Any]:
    """Returns what a browser shows around the pictures."""
    read = self.store.read
    return {
      'revision': self.store.revision(),
      'folder': str(self.folder),
      'classes': read(rows.classes),
      'counts': read(rows.count),
      'work': self.work,
      'formats': [*exporting.FORMATS],
      'can_undo': read(history.can_move, forward=False),
      'can_redo': read(history.can_move, forward=True),
      'message': None if self.propagation is None else self.propagation.message,
    }

  def look_again(self) -> None:
    """Looks for pictures that have come, changed or gone."""
    known = {one.name: one for one in self.store.read(rows.find_all)}
    seen, gone = pictures.look(self.folder, known)
    self.store.list_files(seen, gone)
    if seen or gone:
      self.wake()

  def look_at(self, name: str) -> rows.Picture:
    """Returns a picture; its file is looked at again where it has changed meanwhile."""
    one = self.store.picture(name)
    try:
      about = (self.folder / name).lstat()
      is_same = (about.st_size, about.st_mtime_ns) == (one.bytes, one.mtime)
    except OSError:
      is_same = False
    if not is_same and not (one.problem and one.problem.startswith('the file is gone')):
      self.look_again()
      one = self.store.picture(name)
    return one


def make_app(page: Page) -> FastAPI:
  """Makes the application, without `access.Access` around it.

  Args:
    page: what it answers with.
  """
  app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
  app.add_exception_handler(Exception, _failed)
  for kind in (RequestValidationError, InputError, OSError, sqlite3.Error):
    app.add_exception_handler(kind, _failed)
  _add_state(app, page)
  _add_pictures(app, page)
  _add_masks(app, page)
  _add_classes(app, page)
  _add_work(app, page)
  app.mount('/', StaticFiles(directory=PAGE, html=True))
  return app


def _failed(request: Request, error: Exception) -> Response:
  """Answers with one line."""
  del request
  status, line = 500, 'something went wrong here; the command has printed what'
  if isinstance(error, Refused):
    if error.picture is not None:
      return JSONResponse(error.picture.to_json(), error.status)
    status, line = error.status, str(error)
  elif isinstance(error, InputError):
    status, line = 422, str(error)
  elif isinstance(error, RequestValidationError):
    first = error.errors()[0]
    status, line = 422, f'{".".join(map(str, first["loc"][1:]))}: {first["msg"]}'
  elif is_full(error) or is_disk_full(error):
    status, line = 507, 'the disk is full: nothing of this was kept; make room and try again'
  elif (known := machine_error(error)) is not None:
    line = known
  elif isinstance(error, OSError | sqlite3.Error):  # Others are printed by who called.
    logging.getLogger(__name__).error('a request failed', exc_info=error)
  return JSONResponse({'detail': ' '.join(line.split())}, status)


def _add_state(app: FastAPI, page: Page) -> None:
  @app.get('/api/state')
  def state() -> dict[str, Any]:
    return page.state()

  @app.get('/api/events')
  async def events(request: Request) -> StreamingResponse:
    return StreamingResponse(_events(request, page), media_type='text/event-stream')


async def _events(request: Request, page: Page) -> AsyncIterator[str]:
  """Yields a line whenever something changed, and a comment where nothing does."""
  told, last = -1, time.monotonic()
  while not await request.is_disconnected():
    if page.changes != told:
      told, last = page.changes, time.monotonic()
      revision = await asyncio.to_thread(page.store.revision)
      yield f'data: {json.dumps({"revision": revision, "work": page.work})}\n\n'
    elif time.monotonic() - last > _HEARTBEAT:
      last = time.monotonic()
      yield ': here\n\n'
    await asyncio.sleep(_GLANCE)


def _add_pictures(app: FastAPI, page: Page) -> None:
  @app.get('/api/pictures')
  def listing(
    order: Literal['name', 'uncertain'] = 'name',
    state: Literal['all', 'drawn', 'found', 'absent', 'accepted', 'rejected', 'waiting'] = 'all',
    start: Annotated[int, Query(ge=0)] = 0,
    count: Annotated[int, Query(ge=0, le=1000)] = 200,
  ) -> dict[str, Any]:
    revision = page.store.revision()
    found = page.store.read(rows.find_all, state=state, order=order)
    shown = found[start : start + count]
    if page.propagation is not None:
      page.propagation.show([one.name for one in shown])
    told = [one.to_json() for one in shown]
    return {'revision': revision, 'total': len(found), 'pictures': told}

  @app.get('/api/pictures/{name}')
  def picture(name: str) -> dict[str, Any]:
    return page.look_at(name).to_json()

  @app.get('/api/pictures/{name}/image')
  def image(name: str) -> Response:
    page.look_at(name)
    content, kind = pictures.for_browsers(pictures.read_file(page.folder, name))
    return Response(content, media_type=kind)

  @app.get('/api/pictures/{name}/thumbnail')
  def thumbnail(name: str, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    one = page.look_at(name)
    tag = f'"{one.bytes:x}-{one.mtime:x}"'
    headers = {'ETag': tag, 'Cache-Control': 'private, no-cache'}
    if if_none_match == tag:
      return Response(status_code=304, headers=headers)
    content = pictures.thumbnail(page.folder, one)
    return Response(content, media_type='image/jpeg', headers=headers)


async def _body(request: Request) -> bytes:
  return await request.body()


def _add_masks(app: FastAPI, page: Page) -> None:
  @app.get('/api/pictures/{name}/mask')
  def mask(name: str) -> Response:
    one, stored = page.store.shown(name)
    headers = {'X-Revision': str(one.revision)}
    if stored is None or labels.size_of(stored) != (one.height, one.width):
      return Response(status_code=204, headers=headers)
    return Response(stored, media_type='image/png', headers=headers)

  @app.put('/api/pictures/{name}/mask')
  def draw(
    name: str,
    body: Annotated[bytes, Depends(_body)],
    if_match: Annotated[str | None, Header()] = None,
    support: bool = True,
    first: str | None = None,
  ) -> dict[str, Any]:
    since = (if_match or '').strip().removeprefix('W/').strip('"')
    if not since.isdecimal():
      raise Refused(428, 'If-Match must have the revision of the picture that was drawn on')
    one = page.look_at(name)
    if not one.width:
      raise Refused(422, f'{name}: {one.problem or "cannot be read"}')
    drawn = labels.read_label(body, size=(one.height, one.width))
    try:
      sha = pictures.digest_of(pictures.read_file(page.folder, name))
    except InputError:  # Gone: what was drawn is kept all the same.
      sha = None
    areas, stored = labels.areas_of(drawn), labels.write_label(drawn)
    options = {'since': int(since), 'sha': sha, 'is_support': support}
    one = page.store.draw(name, stored, areas, **options)
    page.wake(first=first or name)
    return one.to_json()

  @app.delete('/api/pictures/{name}/mask')
  def drop(name: str) -> dict[str, Any]:
    one = page.store.drop(name)
    page.wake(first=name)
    return one.to_json()

  @app.post('/api/pictures/{name}/decision')
  def decide(name: str, body: Decision) -> dict[str, Any]:
    sha = None
    if body.decision == 'accepted' and page.store.picture(name).problem == CHANGED:
      sha = pictures.digest_of(pictures.read_file(page.folder, name))
    one = page.store.decide(name, body.decision, sha=sha)
    if body.decision == 'rejected':  # It may have been a support.
      page.wake()
    page.changed()
    return one.to_json()

  @app.post('/api/pictures/{name}/support')
  def support(name: str, body: Support) -> dict[str, Any]:
    one = page.store.support(name, body.is_support)
    page.wake()
    return one.to_json()


def _add_classes(app: FastAPI, page: Page) -> None:
  @app.post('/api/classes')
  def add(body: NewClass) -> dict[str, Any]:
    color = body.color or labels.next_color(page.store.read(rows.classes))
    page.store.add_class(exporting.checked_name(body.name), color)
    page.changed()
    return page.state()

  @app.patch('/api/classes/{number}')
  def change(number: int, body: ChangedClass) -> dict[str, Any]:
    name = None if body.name is None else exporting.checked_name(body.name)
    page.store.change_class(number, name, body.color)
    page.changed()
    return page.state()


def _add_work(app: FastAPI, page: Page) -> None:
  @app.post('/api/propagate')
  def propagate() -> dict[str, Any]:
    page.look_again()
    page.store.begin()
    page.wake()
    return page.state()

  @app.post('/api/undo')
  def undo() -> dict[str, Any]:
    page.store.move(forward=False)
    page.changed()
    return page.state()

  @app.post('/api/redo')
  def redo() -> dict[str, Any]:
    page.store.move(forward=True)
    page.changed()
    return page.state()

  @app.post('/api/export')
  def export(body: Export) -> dict[str, Any]:
    with page.exporting:
      page.look_again()
      place, count = exporting.export(
        page.store, page.folder, page.output_dir, formats=body.formats, what=body.what
      )
    return {'folder': str(place), 'files': count}
