"""Runs any command from anywhere: `hsnet train ...` is `python -m experiments.train ...`."""

import ast
import importlib.util
import pkgutil
import runpy
import sys

import experiments

_HELP = ('--help', '-help', '-h', '--h', 'help')


def main() -> None:
  """Runs the command that the first argument names; without one, lists them."""
  known = commands()
  name = sys.argv[1] if len(sys.argv) > 1 else '--help'
  if name in _HELP:
    print('hsnet COMMAND --flag=value ...; `hsnet COMMAND --help` explains one.\n')
    for command, line in known.items():
      print(f'  {command:<12}{line}')
  elif name not in known:
    print(f'error: no command {name!r}; there are {", ".join(known)}', file=sys.stderr)
    sys.exit(2)
  else:
    sys.argv = sys.argv[1:]
    runpy.run_module(f'experiments.{name}', run_name='__main__', alter_sys=True)


def commands() -> dict[str, str]:
  """Returns the commands there are, each with the first line of what it says of itself."""
  names = [info.name for info in pkgutil.iter_modules(experiments.__path__) if not info.ispkg]
  return {name: _first_line(f'experiments.{name}') for name in sorted(names)}


def _first_line(module: str) -> str:
  """Returns the first line of a module's docstring; the module is read, not imported."""
  spec = importlib.util.find_spec(module)
  if spec is None or spec.origin is None:
    return ''
  with open(spec.origin, encoding='utf-8') as file:
    return (ast.get_docstring(ast.parse(file.read())) or '').partition('\n')[0]
