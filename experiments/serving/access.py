"""Lets the right browser in, and nobody else: a layer around the application.

The page of a folder and the service share it. A request must have the token, as a cookie or in a
header (`X-Hsnet-Token`, or `Authorization: Bearer`). Its Host must be the address that is
listened to: a name of another site that leads here (DNS rebinding) is not. Its Origin, where it has
one, must be the page's own: a page elsewhere can neither read nor send anything. Bodies are limited
in size and time.
"""

import asyncio
import hmac
import http.cookies
import ipaddress
import urllib.parse
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE, HEADER = 'hsnet', 'X-Hsnet-Token'
MOST_BODY = 64 * 2**20
_PATIENCE = 30.0  # Seconds between two parts of a body.
_POLICY = (
  "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none';"
  " form-action 'self'; frame-ancestors 'none'"
)
_LOOPBACK = ('localhost', '127.0.0.1', '[::1]')


class Access:
  """Wraps an application.

  Args:
    app: what is let in to.
    token: what a browser must have; None: nothing.
    hosts: what `Host` may be, with its port; from `hosts_of`.
    any_address: whether it may also be any address in numbers, with any port, which no other
      site's name can be; where all of the machine's addresses are listened to.
    most_body: bytes that a request may have.
    cookie: the cookie's name, with the port in it: browsers have one of a name for all ports of a
      host.
    open_paths: what is told without a token.
  """

  def __init__(
    self,
    app: ASGIApp,
    *,
    token: str | None,
    hosts: Iterable[str],
    any_address: bool = False,
    most_body: int = MOST_BODY,
    cookie: str = COOKIE,
    open_paths: Iterable[str] = (),
  ):
    """Keeps what is let in."""
    self._app, self._token = app, None if token is None else token.encode()
    self._hosts, self._any = frozenset(hosts), any_address
    self._most, self._cookie, self._open = most_body, cookie, frozenset(open_paths)

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request, or lets the application answer it."""
    if scope['type'] == 'lifespan':
      await self._app(scope, receive, send)
      return
    if scope['type'] != 'http':  # No one has a use for a WebSocket here.
      await send({'type': 'websocket.close', 'code': 1008})
      return
    answer = self._refuse(scope)
    if answer is not None:
      await answer(scope, receive, _guarded(send, scope))
      return
    await self._app(scope, _limited(receive, self._most), _guarded(send, scope))

  def _refuse(self, scope: Scope) -> ASGIApp | None:
    """Returns what a request is answered with that is not let in; None for the others."""
    headers = Headers(scope=scope)
    host, origin = headers.get('host', ''), headers.get('origin')
    if host.lower() not in self._hosts and not (self._any and is_address(host)):
      return _refusal('this address is not served here')
    if origin is not None and origin.lower() != f'http://{host}'.lower():
      return _refusal('requests of other sites are refused')
    if scope['method'] == 'GET' and scope['path'] == '/':
      given = urllib.parse.parse_qs(scope['query_string'].decode('latin-1')).get('token')
      if given is not None:
        return self._enter(given[0])
    is_open = self._token is None or scope['path'] in self._open
    if not is_open and not any(self._fits(token) for token in _tokens(headers, self._cookie)):
      return _refusal(
        'no token, or another one: open the page by the address that the command printed, which has'
        f' it; a program sends it as {HEADER}'
      )
    length = headers.get('content-length', '0')
    if not length.isdecimal() or len(length) > 20 or int(length) > self._most:
      return PlainTextResponse(_too_large(self._most), 413)
    return None

  def _enter(self, token: str) -> ASGIApp:
    if not self._fits(token):
      return _refusal('the token in this address is another one; see what the command printed')
    answer = RedirectResponse('/', 303)
    answer.set_cookie(self._cookie, token, httponly=True, samesite='strict')
    return answer

  def _fits(self, token: str) -> bool:
    if self._token is None:
      return True
    return hmac.compare_digest(token.encode('utf-8', 'replace'), self._token)


def hosts_of(host: str, port: int) -> frozenset[str]:
  """Returns what `Host` may be where one address is listened to: itself, and this machine's own."""
  name = f'[{host}]' if ':' in host else host
  known = {f'{one}:{port}' for one in (name.lower(), *_LOOPBACK)}
  return frozenset(known | ({one.rpartition(':')[0] for one in known} if port == 80 else set()))


def is_address(host: str) -> bool:
  """Says whether `Host` is an address in numbers."""
  name = host.rpartition(':')[0] if host.count(':') == 1 or ']:' in host else host
  try:
    ipaddress.ip_address(name.strip('[]'))
  except ValueError:
    return False
  return True


def _tokens(headers: Headers, cookie: str) -> list[str]:
  """Returns the tokens that a request has, in its headers and its cookies."""
  found = headers.getlist(HEADER)
  for line in headers.getlist('authorization'):
    kind, _, token = line.partition(' ')
    found += [token.strip()] if kind.lower() == 'bearer' else []
  for line in headers.getlist('cookie'):
    try:
      cookies = http.cookies.SimpleCookie(line)
    except http.cookies.CookieError:
      continue
    if cookie in cookies:
      found.append(cookies[cookie].value)
  return found


def _refusal(line: str) -> ASGIApp:
  return PlainTextResponse(line, 403)


def _too_large(most: int) -> str:
  return f'at most {most // 2**20} MB are taken'


def _limited(receive: Receive, most: int) -> Receive:
  """Wraps the receiving of a body: it may not be large, nor come for ever."""
  taken, is_whole = 0, False

  async def limited() -> Message:
    nonlocal taken, is_whole
    if is_whole:  # What comes now is the end of the connection, for which anyone may wait.
      return await receive()
    try:
      message = await asyncio.wait_for(receive(), _PATIENCE)
    except TimeoutError:
      raise HTTPException(408, 'the request did not come to its end') from None
    taken += len(message.get('body', b''))
    is_whole = not message.get('more_body', False)
    if taken > most:
      raise HTTPException(413, _too_large(most))
    return message

  return limited


def _guarded(send: Send, scope: Scope) -> Send:
  """Wraps the sending of an answer: browsers are to keep nothing, and guess nothing."""

  async def guarded(message: Message) -> None:
    if message['type'] == 'http.response.start':
      headers = MutableHeaders(scope=message)
      headers['Content-Security-Policy'] = _POLICY
      headers['X-Content-Type-Options'] = 'nosniff'
      headers['Referrer-Policy'] = 'no-referrer'
      headers['Cross-Origin-Resource-Policy'] = 'same-origin'
      is_data = scope['path'].startswith('/api/')
      headers.setdefault('Cache-Control', 'no-store' if is_data else 'no-cache')
    await send(message)

  return guarded
