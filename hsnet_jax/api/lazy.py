"""Public names that are imported when they are first used (PEP 562), so that a package is cheap."""

import importlib
import importlib.util
import sys
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
