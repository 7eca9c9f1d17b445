"""Counts what the service does, in the text form that Prometheus reads."""

import collections
import threading
import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PICTURES = (1, 2, 4, 8, 16, 32, 64)


class Histogram:
  """Counts values by upper bounds.

  Args:
    bounds: ascending; what is above the last of them is counted as well.
  """

  def __init__(self, bounds: Sequence[float]):
    """Begins empty."""
    self._bounds, self._counts = bounds, [0] * (len(bounds) + 1)
    self._sum = 0.0

  def add(self, value: float) -> None:
    """Counts a value."""
    self._counts[sum(value > bound for bound in self._bounds)] += 1
    self._sum += value

  def lines(self, name: str) -> list[str]:
    """Returns its lines."""
    total, lines = 0, []
    for bound, count in zip((*self._bounds, '+Inf'), self._counts, strict=True):
      total += count
      lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
    return [*lines, f'{name}_sum {self._sum:.6f}', f'{name}_count {total}']


class Metrics:
  """Holds the counts; any thread may add to them.

  Attributes:
    queue: says how many requests are being served.
  """

  def __init__(self):
    """Begins at 0."""
    self._lock = threading.Lock()
    self._requests: collections.Counter[int] = collections.Counter()
    self._seconds, self._batches = Histogram(_SECONDS), Histogram(_PICTURES)
    self.queue: Callable[[], int] = lambda: 0

  def add_request(self, status: int, seconds: float) -> None:
    """Counts a request to segment, however it was answered."""
    with self._lock:
      self._requests[status] += 1
      self._seconds.add(seconds)

  def add_batch(self, pictures: int) -> None:
    """Counts pictures that went through the network together."""
    with self._lock:
      self._batches.add(pictures)

  def text(self) -> str:
    """Returns all of them."""
    with self._lock:
      counts = sorted(self._requests.items())
      parts = (
        ('requests_total', 'counter', 'Requests to segment, by the status of the answer.')
        + ([f'hsnet_requests_total{{status="{status}"}} {n}' for status, n in counts],),
        ('request_seconds', 'histogram', 'Seconds from a request to its answer.')
        + (self._seconds.lines('hsnet_request_seconds'),),
        ('queue_length', 'gauge', 'Requests that are being served or wait.')
        + ([f'hsnet_queue_length {self.queue()}'],),
        ('batch_pictures', 'histogram', 'Pictures that went through the network together.')
        + (self._batches.lines('hsnet_batch_pictures'),),
      )
    lines = []
    for name, kind, about, own in parts:
      lines += [f'# HELP hsnet_{name} {about}', f'# TYPE hsnet_{name} {kind}', *own]
    return '\n'.join(lines) + '\n'


class Counted:
  """Wraps an application, and counts what is answered to the requests for one path."""

  def __init__(self, app: ASGIApp, metrics: Metrics, *, path: str):
    """Keeps what is counted."""
    self._app, self._metrics, self._path = app, metrics, path

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Lets the application answer."""
    if scope['type'] != 'http' or scope['path'] != self._path:
      await self._app(scope, receive, send)
      return
    begun = time.monotonic()

    async def counted(message: Message) -> None:
      if message['type'] == 'http.response.start':
        self._metrics.add_request(message['status'], time.monotonic() - begun)
      await send(message)

    await self._app(scope, receive, counted)
