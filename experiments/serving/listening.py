"""Listens at an address, and serves an application there until someone stops it."""

import contextlib
import importlib.util
import re
import socket
from typing import Any

from hsnet_jax.errors import InputError

_PORTS = 20  # So many are tried.
_EVERYWHERE = ('0.0.0.0', '::', '')
# What is imported, and what pip calls it.
_PACKAGES = {'fastapi': 'fastapi', 'uvicorn': 'uvicorn', 'python_multipart': 'python-multipart'}


def require_packages(what: str, *names: str) -> None:
  """Refuses to go on without the packages that serving needs.

  Args:
    what: what needs them, for the message.
    names: of modules.

  Raises:
    InputError: one of them is not installed.
  """
  missing = [_PACKAGES[name] for name in names if importlib.util.find_spec(name) is None]
  if missing:
    raise InputError(
      f"{what} needs {', '.join(missing)}: pip install 'hsnet-jax[page]', or pip install"
      f' {" ".join(missing)}'
    )


def check_token(token: str | None) -> None:
  """Refuses a token that cannot stand in an address and in a cookie.

  Args:
    token: None where one is to be drawn.

  Raises:
    InputError: it has other signs than letters, digits, - and _.
  """
  if token is not None and not re.fullmatch('[A-Za-z0-9_-]+', token):
    raise InputError('`token`: give letters, digits, - and _ alone, such as a long random word')


def bind(host: str, port: int) -> socket.socket:
  """Listens at a port, or at the next one that is free.

  Args:
    host: the address.
    port: the port; 0: any.

  Raises:
    InputError: there is no such address, or none of the ports is free.
  """
  problem = 'no such port'
  family = socket.AF_INET6 if ':' in host else socket.AF_INET
  for one in range(port, min(port + _PORTS, 65536)) if port else (0,):
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
      bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      bound.bind((host, one))
      bound.listen()  # Before the address is told to anyone.
    except OSError as error:
      bound.close()
      problem = error.strerror or str(error)
      continue
    return bound
  raise InputError(f'`host`={host}, `port`={port}: cannot be listened to ({problem})')


def is_everywhere(host: str) -> bool:
  """Says whether a host stands for all addresses of the machine."""
  return host in _EVERYWHERE


def address_of(host: str, port: int) -> str:
  """Returns where a browser on this machine finds what listens."""
  name = '127.0.0.1' if is_everywhere(host) else host
  return f'http://{f"[{name}]" if ":" in name else name}:{port}'


def run(app: Any, bound: socket.socket, *, grace: float) -> None:
  """Serves until interrupted.

  Args:
    app: the application.
    bound: of `bind`.
    grace: seconds in which requests that were taken are still answered.
  """
  import uvicorn

  server = uvicorn.Server(
    uvicorn.Config(
      app,
      log_level='warning',
      access_log=False,
      server_header=False,
      timeout_graceful_shutdown=max(1, round(grace)),
      ws='none',
      lifespan='off',
    )
  )
  with contextlib.suppress(KeyboardInterrupt):
    server.run(sockets=[bound])
