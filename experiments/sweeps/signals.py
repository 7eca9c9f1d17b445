"""Stops a sweep from outside: by a file that every trial looks for, touched by a signal."""

import contextlib
import pathlib
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from experiments.sweeps.folder import STOP_FILE

# Given the sweep's folder: while its value is held, a list that the signal is put into which has
# the trials save and stop.
Stopping = Callable[[pathlib.Path], contextlib.AbstractContextManager[list[signal.Signals]]]


@contextlib.contextmanager
def stopped_by_signals(folder: pathlib.Path) -> Iterator[list[signal.Signals]]:
  """Has SIGINT and SIGTERM ask all trials to save and stop; a second one ends the sweep at once.

  It takes the signals over for as long: for a process of one's own, as a command has it.

  Args:
    folder: the sweep's.

  Yields:
    A list that the signal is put into.
  """
  received: list[signal.Signals] = []
  # Not what is there before: Ray has put its own in place of the latter.
  ending = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}

  def ask(number: int, frame: object) -> None:
    del frame
    received.append(signal.Signals(number))
    (folder / STOP_FILE).touch()
    _set_handlers(ending)
    print('stopping: each trial that runs saves its step', flush=True)

  _set_handlers(dict.fromkeys(ending, ask))
  try:
    yield received
  finally:
    _set_handlers(ending)


def _set_handlers(handlers: Mapping[signal.Signals, Any]) -> None:
  for number, handler in handlers.items():
    signal.signal(number, handler)
