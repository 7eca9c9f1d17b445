"""Public names that are imported when they are first used (PEP 562), so that a package is cheap."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
  package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
  """Makes the `__getattr__` and `__dir__` of a package that imports its names on first use.

  Checkers and editors read the same imports under `if TYPE_CHECKING:` beside the call.

  Args:
    package: the package's `__name__`.
    names: the module that each public name is in.

  Returns:
    The two functions, to be assigned to those names in the package's `__init__`.
  """

  def find(name: str) -> Any:
    if name not in names:
      raise AttributeError(f'module {package!r} has no attribute {name!r}')
    value = getattr(importlib.import_module(names[name]), name)
    setattr(sys.modules[package], name, value)
    return value

  def known() -> list[str]:
    return sorted({*vars(sys.modules[package]), *names})

  return find, known
