"""Several processes that train one model: how they meet, who writes, and how they stop."""

import contextlib
import hashlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from absl import flags
from jax.experimental import multihost_utils

from experiments.command import app
from hsnet_jax.errors import InputError

COORDINATOR = flags.DEFINE_string(
  'coordinator',
  None,
  'host:port of process 0, to train with several processes; auto: what JAX finds out by itself on'
  ' SLURM, TPU pods (those of GKE, too) and Open MPI. Default: this process alone.',
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
HEARTBEAT_SECONDS = flags.DEFINE_integer(
  'heartbeat_seconds',
  100,
  'A process that is not heard of for so long counts as dead; the others then stop.',
  lower_bound=5,
)

# What libraries call it where another process went away in the middle of a sum.
_OF_ANOTHER = re.compile('Gloo|NCCL|coordination service')
# Process 0 is the one that all hang on: where all fail for one reason, each can still say so.
_GRACE_SECONDS = 3


def run(main: Callable[[], int | None]) -> None:
  """Runs a script as `app.run` does, with other processes where the flags ask for it.

  All but process 0, which writes what there is to write, are silent on stdout. One that fails ends
  at once, so that the others notice: at its end JAX would wait for them, which wait for it.

  Args:
    main: the script; takes nothing, returns an exit code or None for 0.
  """
  try:
    app.run(lambda: _with_others(main) if _together() else main())
  except BaseException as end:
    if not jax.distributed.is_initialized():  # Alone, or no longer with the others.
      raise
    _leave(end)


def _together() -> bool:
  """Whether there are other processes; raises InputError for flags that do not fit one another."""
  address, count, index = COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value
  if address is None:
    if count is not None or index is not None:
      raise InputError('--num_processes and --process_id need --coordinator=host:port')
    return False
  if address == 'auto':
    if count is not None or index is not None:
      raise InputError('--coordinator=auto finds --num_processes and --process_id; leave them out')
    return True
  host, _, port = address.rpartition(':')
  if not host or not port.isdecimal():
    raise InputError(f'--coordinator={address}: write host:port, such as 10.0.0.1:8476')
  if count is None or index is None:
    raise InputError(f'--coordinator={address} needs --num_processes and --process_id')
  if index >= count:
    raise InputError(
      f'--process_id={index}: with --num_processes={count} it is at most {count - 1}'
    )
  return True


def _with_others(main: Callable[[], int | None]) -> int | None:
  """Meets the other processes before anything else of JAX runs, and again after it."""
  _connect()
  with _last_words(
    'error: another process died or stopped answering, or this one was killed; the same commands'
    ' go on from the last checkpoint'
  ):
    if not is_writer():
      sys.stdout = open(os.devnull, 'w', encoding='utf-8')
    code = main()
    jax.distributed.shutdown()  # Waits for the others: process 0 may be writing still.
  return code


def _connect() -> None:
  address = COORDINATOR.value
  options = {}
  if address != 'auto':
    options = {
      'coordinator_address': address,
      'num_processes': NUM_PROCESSES.value,
      'process_id': PROCESS_ID.value,
    }
    if PROCESS_ID.value == 0:
      _check_port(address)
  # Where it is JAX whose patience ends, it ends the process as well, and names nothing.
  patience = CONNECT_SECONDS.value
  watch = threading.Timer(patience, _give_up)
  watch.daemon = True
  watch.start()
  try:
    jax.distributed.initialize(
      **options,
      initialization_timeout=patience + 60,
      heartbeat_timeout_seconds=HEARTBEAT_SECONDS.value,
    )
  except (RuntimeError, ValueError) as error:
    auto = ': JAX finds none of its clusters here' if address == 'auto' else ''
    raise InputError(f'--coordinator={address}{auto} ({error})') from error
  finally:
    watch.cancel()


def _check_port(address: str) -> None:
  """Raises InputError where another program listens: JAX would crash."""
  port = int(address.rpartition(':')[2])
  try:
    socket.create_server(('', port)).close()
  except (OSError, OverflowError) as error:
    raise InputError(
      f'--coordinator={address}: process 0 cannot listen on port {port} ({error}); take another'
    ) from error


def _give_up() -> None:
  where = f'--coordinator={COORDINATOR.value}'
  print(
    f'error: {where}: not all processes have met there within {CONNECT_SECONDS.value} s; do they'
    ' all run, process 0 on that host, with the same --coordinator and --num_processes, and is the'
    ' port open?',
    file=sys.stderr,
    flush=True,
  )
  os._exit(2)


@contextlib.contextmanager
def _last_words(line: str) -> Iterator[None]:
  """Has `line` said on stderr where the process ends because another one did.

  JAX ends it from within C++ then, unless what is being added fails first, as it does on CPUs. So a
  shell waits for the end, which it sees as that of a pipe, and speaks last.
  """
  command = ['sh', '-c', 'trap "" INT TERM; read -r _ || printf "\\n%s\\n" "$1" >&2', 'sh', line]
  pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.DEVNULL, 'bufsize': 0}
  with subprocess.Popen(command, **pipes) as shell:
    try:
      yield
    except Exception as error:
      if _OF_ANOTHER.search(str(error)):
        # The cause may be here after all, as where NCCL finds too little shared memory.
        line = str(error).strip().splitlines()[0]
        print(f'\n{type(error).__name__}: {line}', file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(1)
      raise
    finally:
      with contextlib.suppress(BrokenPipeError):
        shell.stdin.write(b'\n')


def _leave(end: BaseException) -> None:
  """Ends this process of several, without those steps of its end that wait for the others."""
  code = end.code if isinstance(end, SystemExit) else 1
  if not isinstance(end, SystemExit):
    traceback.print_exception(end)
  if is_writer():
    time.sleep(_GRACE_SECONDS)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code if isinstance(code, int) else 1)


def is_writer() -> bool:
  """Whether this process writes logs, pictures and checkpoints."""
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
        'the processes have different flags, or find different checkpoints in --run_dir: give all'
        ' of them the same command, with a --run_dir on a disk that they share'
      )


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[Callable[[], bool]]:
  """Gives what says whether SIGTERM has come, which then does not end the process by itself.

  A scheduler sends it before it takes the machine away; a step, or a batch of validation, and the
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
