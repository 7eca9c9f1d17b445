"""Public names that are imported when they are first used (PEP 562), so that a package is cheap."""

import importlib
import importlib.util
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
  warnings.warn(
    f'{old} has moved to {modules[0]}; the old name ends with the next release',
    DeprecationWarning,
    stacklevel=3,  # where it is imported: the frames of the import system do not count
  )

  def find(name: str) -> Any:
    if not name.startswith('_'):
      for module in modules:
        found = importlib.import_module(module)
        if hasattr(found, name):
          return getattr(found, name)
    raise AttributeError(f'module {old!r} has no attribute {name!r}')

  def known() -> list[str]:
    return sorted({name for module in modules for name in dir(importlib.import_module(module))})

  return find, known
