"""Shows how far a long piece of work has come."""

import sys
from typing import NoReturn

from tqdm import tqdm


def progress_bar(
  total: int, *, unit: str, desc: str | None = None, silent: bool = False
) -> 'tqdm[NoReturn]':
  """Makes a progress bar on stderr; in a log file, where it cannot be redrawn, a line now and then.

  Args:
    total: how many units there are.
    unit: what is counted, in the singular.
    desc: what is being done.
    silent: whether to show nothing: of several processes one speaks for all.

  Returns:
    The bar, a context manager: `update(n)` moves it on.
  """
  interval = 0.5 if sys.stderr.isatty() else 20.0
  return tqdm(total=total, unit=unit, desc=desc, mininterval=interval, leave=False, disable=silent)
