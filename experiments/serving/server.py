"""Answers requests: a picture comes, its mask goes back.

What is wrong with a request is answered with a status and one line, `{"detail": "..."}`.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Iterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from experiments.serving import answers, bodies
from experiments.serving.engine import Engine
from experiments.serving.metrics import Metrics
from experiments.serving.segmenting import Segmented
from hsnet_jax import __version__
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import machine_error

SEGMENT, HEALTH = '/segment', '/health'
_RETRY = {'Retry-After': '1'}
_TEXT = {'text/plain': {'schema': {'type': 'string'}}}
_BINARY = {'schema': {'type': 'string', 'format': 'binary'}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
  400: {'description': 'The body is damaged.'},
  408: {'description': 'The request did not come to its end in time.'},
  415: {'description': 'The body is of a type that is not read.'},
  422: {'description': 'A picture, a mask or another part is wrong; the line says which.'},
  503: {'description': 'There is too much to do; Retry-After says in how many seconds to come.'},
  507: {'description': 'The machine lacks memory or disk.'},
}
_REFUSED = {
  'description': 'The token is missing, or a web page of another site asks.',
  'content': _TEXT,
}
_ABOUT = """Finds in a picture what supports show: other pictures, each with a mask of the thing.
Supports come with the request, or were given when the service was started."""
_SEGMENT = """Finds in a picture what supports show. The body is the picture alone, where the
service was started with supports; or a form (multipart/form-data) or JSON with base64, with
`image`, and `support_images`, `support_masks` and `classes` in the same order. In a mask
everything but black is the object. The answer is JSON, or with `Accept: image/png` a mask: 255 on
the object, of several classes the number of each, in the order of their names."""


class Service:
  """Holds what requests are answered with.

  Args:
    engine: segments.
    metrics: counts.
    queue: so many requests are taken at a time.
    timeout: seconds in which one must have come, and again in which it must be answered.
    max_side: pixels that the longer side of a picture may have.
  """

  def __init__(
    self, engine: Engine, metrics: Metrics, *, queue: int, timeout: float, max_side: int
  ):
    """Begins with an empty queue."""
    self.engine, self.metrics = engine, metrics
    self._most, self._timeout, self._side = queue, timeout, max_side
    self._taken = 0  # Only the event loop's thread changes it.
    metrics.queue = lambda: self._taken

  @contextlib.contextmanager
  def place(self) -> Iterator[None]:
    """Takes a place in the queue before the body is read, so that bodies fill no memory."""
    if self._taken >= self._most:
      raise HTTPException(503, 'too many requests at a time; try again', _RETRY)
    self._taken += 1
    try:
      yield
    finally:
      self._taken -= 1

  async def segment(self, request: Request) -> Segmented:
    """Reads a request and waits for what is found."""
    given = await self._within(bodies.read_body(request), 408, 'the request did not come in time')
    if not given.supports and not self.engine.is_fitted:
      raise InputError('support_images: send them, with their masks; the service knows none')
    await asyncio.to_thread(bodies.check_heads, given, most=self._side)
    future = await asyncio.to_thread(self.engine.submit, *given)
    return await self._within(asyncio.wrap_future(future), 503, 'not done in time; try again')

  async def _within(self, work: Awaitable[Any], status: int, line: str) -> Any:
    try:
      return await asyncio.wait_for(work, self._timeout)
    except TimeoutError:
      raise HTTPException(status, line, _RETRY if status == 503 else None) from None


def make_app(service: Service) -> FastAPI:
  """Makes the application, without `access.Access` around it.

  Args:
    service: what it answers with.
  """
  app = FastAPI(
    title='hsnet', version=__version__, description=_ABOUT, docs_url=None, redoc_url=None
  )
  for kind in (InputError, RequestValidationError, ClientDisconnect):
    app.add_exception_handler(kind, _failed)
  _add_segment(app, service)
  _add_state(app, service)

  @app.get('/', include_in_schema=False)
  def reference() -> HTMLResponse:
    return HTMLResponse(answers.write_page(app.openapi()))

  return app


def _add_segment(app: FastAPI, service: Service) -> None:
  problems = {status: {'model': answers.Problem, **one} for status, one in _PROBLEMS.items()}
  too_large = {'description': 'The body is too large.', 'content': _TEXT}

  @app.post(
    SEGMENT,
    description=_SEGMENT,
    responses={
      200: {'model': answers.Answer, 'content': {'image/png': _BINARY}},
      403: _REFUSED,
      413: {'model': answers.Problem, **too_large},
      **problems,
    },
    openapi_extra={'requestBody': bodies.schema()},
  )
  async def segment(request: Request, format: answers.Form = 'rle') -> Response:
    is_png = 'image/png' in request.headers.get('accept', '').lower()
    try:
      with service.place():
        found = await service.segment(request)
        if is_png:
          content = await asyncio.to_thread(answers.write_png, found)
          return Response(content, media_type='image/png')
        content = await asyncio.to_thread(answers.write_json, found, form=format)
        return Response(content, media_type='application/json')
    except (HTTPException, InputError, ClientDisconnect):
      raise
    except Exception as error:  # Here, since what goes further closes the connection.
      return _failed(request, error)


def _add_state(app: FastAPI, service: Service) -> None:
  @app.get(
    HEALTH,
    description='Says whether the network is ready. It asks for no token.',
    responses={
      200: {'description': '{"status": "ready"}'},
      403: _REFUSED,
      503: {'description': '{"status": "starting"}: requests wait.'},
    },
  )
  async def health() -> JSONResponse:
    is_ready = service.engine.is_ready
    return JSONResponse({'status': 'ready' if is_ready else 'starting'}, 200 if is_ready else 503)

  @app.get(
    '/metrics',
    description='Counts requests, seconds, the queue and batches, as Prometheus reads them.',
    response_class=PlainTextResponse,
    responses={403: _REFUSED},
  )
  async def metrics() -> PlainTextResponse:
    return PlainTextResponse(service.metrics.text())


def _failed(request: Request, error: Exception) -> Response:
  """Answers with one line."""
  del request
  if isinstance(error, InputError):
    status, line = 422, str(error)
  elif isinstance(error, RequestValidationError):
    status, line = 422, bodies.first_line(error.errors())
  elif isinstance(error, ClientDisconnect):  # Nobody reads this; it is counted.
    status, line = 400, 'the request was broken off'
  elif (known := machine_error(error)) is not None:
    status, line = 507, known
  else:
    traceback.print_exception(error)
    status, line = 500, 'something went wrong here; the command has printed what'
  return JSONResponse({'detail': ' '.join(line.split())[:2000]}, status)
