"""Imports public names when they are first used (PEP 562), so that a package is cheap."""

import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def lazy_names(
  package: str, modules: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
  """Makes the `__getattr__` and `__dir__` of a package that imports its names on first use.

  Modules of the package are found likewise. Checkers and editors read the same imports under
  `if TYPE_CHECKING:` beside the call.

  Args:
    package: the package's `__name__`.
    modules: the public names by the module that has them, as `import_module` takes it: in full, or
      from the package on with a dot before it.

  Returns:
    The two functions, to be assigned to those names in the package's `__init__`.
  """
  homes = {name: module for module, names in modules.items() for name in names}

  def find(name: str) -> Any:
    if name in homes:
      value = getattr(importlib.import_module(homes[name], package), name)
      setattr(sys.modules[package], name, value)
      return value
    if not name.startswith('_') and importlib.util.find_spec(f'{package}.{name}'):
      return importlib.import_module(f'{package}.{name}')
    raise AttributeError(f'module {package!r} has no attribute {name!r}')

  def known() -> list[str]:
    return sorted({*vars(sys.modules[package]), *homes})

  return find, known


def moved_names(old: str, *modules: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
  """Makes the `__getattr__` and `__dir__` of a module whose names have moved; warns.

  Args:
    old: the module's `__name__`.
    *modules: where its names are now.

  Returns:
    The two functions, to be assigned to those names in the module.
  """
  _warn_user(f'{old} has moved to {modules[0]}; the old name ends with the next release', old=old)

  def find(name: str) -> Any:
    if name == '__all__':  # what `from old import *` asks for
      return sorted({name for module in modules for name in _own_names(module)})
    if not name.startswith('_'):
      for module in modules:
        found = importlib.import_module(module)
        if hasattr(found, name):
          return getattr(found, name)
    raise AttributeError(f'module {old!r} has no attribute {name!r}')

  def known() -> list[str]:
    return sorted({name for module in modules for name in dir(importlib.import_module(module))})

  return find, known


def _own_names(module: str) -> list[str]:
  """Lists the public names that a module defines itself."""
  return [
    name
    for name, value in vars(importlib.import_module(module)).items()
    if not name.startswith('_')
    and not inspect.ismodule(value)
    and getattr(value, '__module__', module) == module
  ]


def _warn_user(message: str, *, old: str) -> None:
  """Warns at the line that asked for a module, by import or by attribute.

  Args:
    message: the warning.
    old: the module, whose own frames do not count; nor do those of the import system.
  """
  passing = (__name__, old, 'importlib', '_frozen_importlib')
  frame = inspect.currentframe()
  while frame and frame.f_globals.get('__name__', '').startswith(passing):
    frame = frame.f_back
  user = frame.f_globals if frame else {}
  warnings.warn_explicit(
    message,
    DeprecationWarning,
    frame.f_code.co_filename if frame else '',
    frame.f_lineno if frame else 1,
    module=user.get('__name__', ''),
    registry=user.setdefault('__warningregistry__', {}),
  )
