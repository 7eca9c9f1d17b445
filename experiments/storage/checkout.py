"""Lets processes that a command starts find these packages, installed or in a checkout."""

import os
import pathlib
import sysconfig
from collections.abc import Mapping

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
  """Returns the environment of a child that runs `python -m experiments...` in any folder.

  Args:
    environment: such as `os.environ`.

  Returns:
    The same where the packages are installed; else with the checkout's folder in PYTHONPATH.
  """
  installed = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}
  if str(_ROOT) in installed:
    return dict(environment)
  path = os.pathsep.join(filter(None, (str(_ROOT), environment.get('PYTHONPATH'))))
  return {**environment, 'PYTHONPATH': path}
