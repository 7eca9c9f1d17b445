"""Starts every command and lets it fail: help that teaches, one-line errors, exit codes.

Exit codes: 0 done, 2 something that the user can mend (one line `error: ...` on stderr), 130
interrupted from the keyboard; what else a command ends with, its own help says. A bug keeps its
traceback.
"""

import functools
import logging as std_logging
import os
import re
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags, logging

from experiments.command import cache
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import machine_error

# How the library writes the name of an argument, and that of another command than may be running.
_ARGUMENT = re.compile(r"(experiments\.\w+'s )?`([A-Za-z_]\w*)`")

_LONGEST = 2000  # Characters of a line that is still read.
_HELP = ('--help', '-help', '-h', '--h', '--helpshort', '-helpshort')


def run(main: Callable[..., int | None], *, words: int = 0) -> None:
  """Parses the flags, runs `main()` and exits.

  Args:
    main: the command's own; takes nothing, returns an exit code or None for 0.
    words: how many words may be given beside flags, such as a verb and a name; `main` then takes
      the list of those that were.
  """
  # Libraries warn about what their callers did; a user of a command can do nothing about it.
  warnings.formatwarning = lambda message, *_, **__: f'warning: {with_flags(str(message))}\n'
  warnings.filterwarnings('ignore', category=DeprecationWarning)
  warnings.filterwarnings('ignore', category=UserWarning, module='orbax|jax|grain|flax')
  # A telephone's photograph of 108 megapixels is no attack; Pillow refuses those of 179 and more.
  warnings.filterwarnings('ignore', 'Image size', module='PIL')
  _hush_threads()
  try:
    parse = functools.partial(_parse_flags, words=words)
    app.run(lambda argv: _begin(main, *([argv[1:]] if words else [])), flags_parser=parse)
  except InputError as error:
    _fail(error)
  except KeyboardInterrupt:
    print('\ninterrupted', file=sys.stderr)
    sys.exit(130)
  except BrokenPipeError:
    # The reader of a pipe went away, as in `... | head`; nothing is left to tell anyone.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)
  except Exception as error:
    line = machine_error(error)
    if line is None:
      raise
    _fail(line)


def _begin(main: Callable[..., int | None], *given: list[str]) -> int | None:
  """Runs a command whose flags are known."""
  cache.use_cache(os.environ)
  return main(*given)


def with_flags(text: str) -> str:
  """Writes the arguments that a message of the library names as flags of the running command.

  Args:
    text: such as 'give `image_size`=400', or "experiments.prepare's `prepare_size`".

  Returns:
    The text, such as 'give --image_size=400', or "experiments.prepare's --prepare_size"; words that
    are no flags stay as they are.
  """

  def flag(found: re.Match[str]) -> str:
    command, name = found[1] or '', found[2]
    return f'{command}--{name}' if command or name in flags.FLAGS else found[0]

  return _ARGUMENT.sub(flag, text)


def _hush_threads() -> None:
  """Lets one thread speak: what fails while Orbax writes is raised in the main one as well."""
  speak = threading.excepthook

  def hook(args: threading.ExceptHookArgs) -> None:
    if machine_error(args.exc_value) is None or not _is_storage(args.exc_traceback):
      speak(args)

  threading.excepthook = hook
  report = sys.unraisablehook

  def late(unraisable) -> None:
    # What TensorStore's threads say when Orbax, on an error, has closed their event loop.
    if str(unraisable.exc_value) != 'Event loop is closed':
      report(unraisable)

  sys.unraisablehook = late
  # Reads and writes that Orbax had not begun by then.
  warnings.filterwarnings('ignore', "coroutine '.*' was never awaited", RuntimeWarning)
  std_logging.getLogger('asyncio').setLevel(std_logging.CRITICAL)


def _is_storage(trace: types.TracebackType | None) -> bool:
  """Returns whether an exception went through Orbax or the library under it."""
  modules = (frame.f_globals.get('__name__', '') for frame, _ in traceback.walk_tb(trace))
  return any(module.split('.')[0] in ('orbax', 'tensorstore') for module in modules)


def _parse_flags(argv: list[str], *, words: int) -> list[str]:
  if any(arg in _HELP for arg in argv[1:]):
    app.usage(shorthelp=True, writeto_stdout=True)
    sys.exit(0)
  try:
    flags.FLAGS.set_gnu_getopt(words > 0)  # Flags may come behind words.
    rest = flags.FLAGS(argv)
  except flags.Error as error:
    _fail(f'{error}; --help shows the flags')
  if len(rest) > 1 + words:
    _fail(f"'{rest[1 + words]}' belongs to no flag; write --name=value, --help shows the flags")
  # As a shell makes of a variable that is not set: a path would be the folder one is in.
  for name in flags.FLAGS:
    if flags.FLAGS[name].present and flags.FLAGS[name].value == '':
      _fail(f'--{name} is empty; give it a value, or leave it out')
  # Storage libraries report every file they write, and threads what they raise as well.
  logging.set_verbosity(logging.FATAL)
  return rest


def _fail(message: object) -> NoReturn:
  line = with_flags(' '.join(str(message).split()))
  if len(line) > _LONGEST:  # It quotes a file that holds nonsense.
    line = f'{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}'
  print('error:', line, file=sys.stderr)
  sys.exit(2)
