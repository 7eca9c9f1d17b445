"""Runs any command from anywhere: `hsnet train ...` is `python -m experiments.train ...`."""

import ast
import pathlib
import runpy
import sys

_FOLDER = pathlib.Path(__file__).resolve().parents[1]
_OLD = ('benchmark',)  # Names that commands had before: they run, and are not listed.
_HELP = ('--help', '-help', '-h', '--h', 'help')


def main() -> None:
  """Runs the command that the first argument names; without one, lists them."""
  known = commands()
  name = sys.argv[1] if len(sys.argv) > 1 else '--help'
  if name in _HELP:
    print('hsnet COMMAND --flag=value ...; `hsnet COMMAND --help` explains one.\n')
    for command, line in known.items():
      print(f'  {command:<12}{line}')
  elif name not in known and name not in _OLD:
    print(f'error: no command {name!r}; there are {", ".join(known)}', file=sys.stderr)
    sys.exit(2)
  else:
    sys.argv = sys.argv[1:]
    runpy.run_module(f'experiments.{name}', run_name='__main__', alter_sys=True)


def commands() -> dict[str, str]:
  """Returns the commands there are, each with the first line of what it says of itself."""
  paths = (path for path in sorted(_FOLDER.glob('[!_]*.py')) if path.stem not in _OLD)
  return {path.stem: _first_line(path) for path in paths}


def _first_line(path: pathlib.Path) -> str:
  """Returns the first line of a module's docstring; the module is read, not imported."""
  module = ast.parse(path.read_text(encoding='utf-8'))
  return (ast.get_docstring(module) or '').partition('\n')[0]
