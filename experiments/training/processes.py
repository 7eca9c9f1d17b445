"""Keeps processes that train one model together: who writes, whether they agree, how they stop."""

import contextlib
import hashlib
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from hsnet_jax.errors import InputError


def is_writer() -> bool:
  """Returns whether this process writes logs, pictures and checkpoints."""
  return jax.process_index() == 0


def agree(*what: Any) -> None:
  """Waits until every process is here, and makes sure that all of them are about to do the same.

  Args:
    *what: what they are about to do, of values whose `repr` says all.

  Raises:
    InputError: they are not: for one, the run's folder is not shared.
  """
  if jax.process_count() > 1:
    digest = hashlib.sha256(repr(what).encode()).digest()
    everyone = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
    if (everyone != everyone[0]).any():
      raise InputError(
        'the processes have different flags, or find different checkpoints in `run_dir`: give all'
        ' of them the same command, with a `run_dir` on a disk that they share'
      )


@contextlib.contextmanager
def never_stopped() -> Iterator[Callable[[], bool]]:
  """Gives what says whether to stop, which it never does: for a notebook."""
  yield lambda: False


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[Callable[[], bool]]:
  """Gives what says whether SIGTERM has come, which then does not end the process by itself.

  It takes the signal over for as long: for a process of one's own, as a command has it. A scheduler
  sends the signal before it takes the machine away; a step, or a batch of validation, and the
  writing of one checkpoint later the process exits with 143. Of several processes one may get it
  before another: JAX agrees on where all of them stop.

  Yields:
    What says whether to stop; of several processes all ask equally often.
  """
  if jax.process_count() > 1:
    asked = itertools.count(1)
    yield lambda: multihost_utils.reached_preemption_sync_point(next(asked))
    return
  came = threading.Event()
  before = signal.signal(signal.SIGTERM, lambda *_: came.set())
  try:
    yield came.is_set
  finally:
    signal.signal(signal.SIGTERM, before)
