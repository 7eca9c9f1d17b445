"""Runs a command as one of several processes: how they meet, and how they end."""

import contextlib
import dataclasses
import os
import re
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator

from experiments.command import app
from experiments.command.flags import config_from_flags
from experiments.settings.fields import check, setting
from hsnet_jax.errors import InputError

# JAX is imported where processes meet, and not before the flags are read: --help needs none of it.

# What libraries call it where another process went away in the middle of a sum.
_OF_ANOTHER = re.compile('Gloo|NCCL|coordination service')
# Process 0 is the one that all hang on: where all fail for one reason, each can still say so.
_GRACE_SECONDS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostConfig:
  """Says whom a process works with; each field is described by its help, and is a flag.

  Raises:
    InputError: fields do not fit one another.
  """

  coordinator: str | None = setting(
    None,
    'host:port of process 0, to work with several processes; auto: what JAX finds out by itself on'
    ' SLURM, TPU pods (those of GKE, too) and Open MPI. Default: this process alone.',
  )
  num_processes: int | None = setting(None, 'How many processes there are; auto knows.', least=1)
  process_id: int | None = setting(None, 'Which of them this is, from 0; auto knows.', least=0)
  connect_seconds: int = setting(300, 'How long to wait for the other processes.', least=1)
  heartbeat_seconds: int = setting(
    100,
    'A process that is not heard of for so long counts as dead; the others then stop.',
    least=5,
  )

  def __post_init__(self) -> None:
    """Refuses what does not fit."""
    check(self)
    address, count, index = self.coordinator, self.num_processes, self.process_id
    if address is None:
      if count is not None or index is not None:
        raise InputError('`num_processes` and `process_id` need `coordinator`=host:port')
    elif address == 'auto':
      if count is not None or index is not None:
        raise InputError(
          '`coordinator`=auto finds `num_processes` and `process_id`; leave them out'
        )
    else:
      host, _, port = address.rpartition(':')
      if not host or not port.isdecimal():
        raise InputError(f'`coordinator`={address}: write host:port, such as 10.0.0.1:8476')
      if count is None or index is None:
        raise InputError(f'`coordinator`={address} needs `num_processes` and `process_id`')
      if index >= count:
        raise InputError(
          f'`process_id`={index}: with `num_processes`={count} it is at most {count - 1}'
        )


def run(main: Callable[[], int | None]) -> None:
  """Runs a command as `app.run` does, with other processes where its `HostConfig` asks for it.

  All but process 0, which writes what there is to write, are silent on stdout. One that fails ends
  at once, so that the others notice: at its end JAX would wait for them, which wait for it.

  Args:
    main: the command; takes nothing, returns an exit code or None for 0.
  """

  def with_others_if_asked() -> int | None:
    config = config_from_flags(HostConfig)
    if config.coordinator is None:
      return main()
    _connect(config)
    return _with_others(main)

  try:
    app.run(with_others_if_asked)
  except BaseException as end:
    if not _is_together():  # Alone, or no longer with the others.
      raise
    _leave(end)


def _is_together() -> bool:
  """Returns whether this process has met others, and not taken leave of them."""
  jax = sys.modules.get('jax')
  return jax is not None and jax.distributed.is_initialized()


def _with_others(main: Callable[[], int | None]) -> int | None:
  """Runs a command that has met the other processes, and meets them again after it."""
  import jax

  with _last_words(
    'error: another process died or stopped answering, or this one was killed; the same commands'
    ' resume a run from its last checkpoint'
  ):
    if jax.process_index() > 0:
      sys.stdout = open(os.devnull, 'w', encoding='utf-8')
    code = main()
    jax.distributed.shutdown()  # Waits for the others: process 0 may be writing still.
  return code


def _connect(config: HostConfig) -> None:
  """Meets the other processes, before anything else of JAX runs."""
  import jax

  address, joins = config.coordinator, config.coordinator != 'auto'
  if address is not None and joins and config.process_id == 0:
    _check_port(address)
  # Where it is JAX whose patience ends, it ends the process as well, and names nothing.
  watch = threading.Timer(config.connect_seconds, _give_up, [config])
  watch.daemon = True
  watch.start()
  try:
    jax.distributed.initialize(
      coordinator_address=address if joins else None,
      num_processes=config.num_processes,
      process_id=config.process_id,
      initialization_timeout=config.connect_seconds + 60,
      heartbeat_timeout_seconds=config.heartbeat_seconds,
    )
  except (RuntimeError, ValueError) as error:
    auto = '' if joins else ': JAX finds none of its clusters here'
    raise InputError(f'`coordinator`={address}{auto} ({error})') from error
  finally:
    watch.cancel()


def _check_port(address: str) -> None:
  """Raises InputError where another program listens: JAX would crash."""
  port = int(address.rpartition(':')[2])
  try:
    socket.create_server(('', port)).close()
  except (OSError, OverflowError) as error:
    raise InputError(
      f'`coordinator`={address}: process 0 cannot listen on port {port} ({error}); take another'
    ) from error


def _give_up(config: HostConfig) -> None:
  """Ends this process, which has waited long enough for the others."""
  print(
    f'error: --coordinator={config.coordinator}: not all processes have met there within'
    f' {config.connect_seconds} s; do they all run, process 0 on that host, with the same'
    ' --coordinator and --num_processes, and is the port open?',
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
  with subprocess.Popen(
    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0
  ) as shell:
    assert shell.stdin is not None
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
  import jax

  code = end.code if isinstance(end, SystemExit) else 1
  if not isinstance(end, SystemExit):
    traceback.print_exception(end)
  if jax.process_index() == 0:
    time.sleep(_GRACE_SECONDS)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code if isinstance(code, int) else 1)
