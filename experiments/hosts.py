"""Several processes that train one model: how they meet, who writes, and how they stop."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import jax
from absl import flags
from jax.experimental import multihost_utils

from hsnet_jax.errors import InputError

COORDINATOR = flags.DEFINE_string(
  'coordinator',
  None,
  'host:port of process 0, to train with several processes; auto: what JAX finds out by itself on'
  ' SLURM, Kubernetes (GKE), Open MPI and TPU pods. Default: this process alone.',
)
NUM_PROCESSES = flags.DEFINE_integer(
  'num_processes', None, 'How many processes there are; auto knows.', lower_bound=1
)
PROCESS_ID = flags.DEFINE_integer(
  'process_id', None, 'Which of them this is, from 0; auto knows.', lower_bound=0
)
CONNECT_SECONDS = flags.DEFINE_integer(
  'connect_seconds', 300, 'How long to wait for the other processes.', lower_bound=1
)


def join() -> None:
  """Meets the other processes where flags ask for it; before anything else of JAX runs.

  All but process 0, which writes what there is to write, are silent from here on.

  Raises:
    InputError: flags that do not fit one another, or a coordinator that does not answer.
  """
  address = COORDINATOR.value
  if address is None:
    if NUM_PROCESSES.value is not None or PROCESS_ID.value is not None:
      raise InputError('--num_processes and --process_id need --coordinator=host:port')
    return
  options = {}
  if address != 'auto':
    options = {'coordinator_address': address}
    if NUM_PROCESSES.value is None or PROCESS_ID.value is None:
      raise InputError(f'--coordinator={address} needs --num_processes and --process_id')
    if PROCESS_ID.value >= NUM_PROCESSES.value:
      raise InputError(
        f'--process_id={PROCESS_ID.value}: with --num_processes={NUM_PROCESSES.value} it is'
        f' at most {NUM_PROCESSES.value - 1}'
      )
    options |= {'num_processes': NUM_PROCESSES.value, 'process_id': PROCESS_ID.value}
    _wait_for_coordinator(address)
  try:
    jax.distributed.initialize(**options, initialization_timeout=CONNECT_SECONDS.value)
  except (RuntimeError, ValueError) as error:
    line = ' '.join(str(error).split())[:200]
    raise InputError(
      f'--coordinator={address}: no connection within {CONNECT_SECONDS.value} s; is process 0'
      f' running there, and is the port open? ({line})'
    ) from error
  if jax.process_index() > 0:
    sys.stdout = open(os.devnull, 'w', encoding='utf-8')


def _wait_for_coordinator(address: str) -> None:
  """Raises InputError where nothing answers in time: JAX would end the process without a word."""
  host, _, port = address.rpartition(':')
  if not host or not port.isdecimal():
    raise InputError(f'--coordinator={address}: write host:port, such as 10.0.0.1:8476')
  deadline = time.monotonic() + CONNECT_SECONDS.value
  while PROCESS_ID.value > 0:  # Process 0 is the one that answers.
    try:
      socket.create_connection((host, int(port)), timeout=1).close()
      return
    except OSError as error:
      if time.monotonic() > deadline:
        raise InputError(
          f'--coordinator={address}: no answer within {CONNECT_SECONDS.value} s ({error}); is'
          ' process 0 running there, and is the port open?'
        ) from error
      time.sleep(0.2)


def is_writer() -> bool:
  """Whether this process writes logs, pictures and checkpoints."""
  return jax.process_index() == 0


def wait_for_all(what: str) -> None:
  """Waits until every process is here; `what` names the place."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(what)


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[Callable[[int | None], bool]]:
  """Gives what says whether SIGTERM has come, which then does not end the process by itself.

  A scheduler sends it before it takes the machine away; a step, or a batch of validation, and the
  writing of one checkpoint later the process exits with 143. Of several processes one may get it
  before another: JAX agrees on the step after which all of them stop.

  Yields:
    `(step) -> whether to stop`, asked once after each step; None for what is no step, a batch of
    validation, where several processes go on.
  """
  if jax.process_count() > 1:
    yield lambda step: step is not None and multihost_utils.reached_preemption_sync_point(step)
    return
  came = threading.Event()
  before = signal.signal(signal.SIGTERM, lambda *_: came.set())
  try:
    yield lambda step: came.is_set()
  finally:
    signal.signal(signal.SIGTERM, before)
