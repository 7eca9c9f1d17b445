"""Lines of reports that keep the figures they show, and the JSON file of a report."""

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hsnet_jax
from hsnet_jax.errors import InputError
from hsnet_jax.models import describe_devices
from hsnet_jax.whole_files import writable_folder, write_text

_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'torch')
# Of the environment, what changes how fast things are.
_SPEED = ('JAX_', 'XLA_', 'GLIBC_TUNABLES', 'MALLOC_', 'OMP_', 'CUDA_VISIBLE_DEVICES')


class Line(str):
  """Is a printed line that keeps its figures.

  Attributes:
    values: the figures under their names, as JSON holds them.
  """

  values: dict[str, Any]

  def __new__(cls, text: str, **values: Any) -> 'Line':
    """Makes the line of a text and its figures."""
    line = super().__new__(cls, text)
    line.values = values
    return line


def spread(values: Sequence[float]) -> dict[str, Any]:
  """Returns the median, least and most of some figures, and each of them in their order."""
  return {
    'median': statistics.median(values),
    'least': min(values),
    'most': max(values),
    'each': list(values),
  }


def check_new(path: str) -> None:
  """Makes sure, before a long run, that its report can be written; none is ever replaced.

  Args:
    path: of the report.

  Raises:
    InputError: something is there, or nothing can be written there.
  """
  if os.path.lexists(path):
    raise InputError(f'{path} is there already: give `json` another name')
  writable_folder(Path(path).parent, argument='json')


def write_report(path: str, lines: Iterable[str], *, settings: Mapping[str, Any]) -> None:
  """Writes a report as JSON, whole or not at all.

  Args:
    path: the file.
    lines: what was printed; of a `Line` its figures are written.
    settings: what was asked for.
  """
  lines = list(lines)
  content = {
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'device': describe_devices(),
    'machine': {
      'system': platform.platform(),
      'processor': _processor(),
      'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
    },
    'versions': _versions(),
    'environment': {k: v for k, v in sorted(os.environ.items()) if k.startswith(_SPEED)},
    'settings': dict(settings),
    'said': [line for line in lines if not isinstance(line, Line) and not line.startswith('|')],
    'rows': [line.values for line in lines if isinstance(line, Line)],
  }
  write_text(path, json.dumps(content, indent=2) + '\n')


def _processor() -> str:
  """Names the processor, as Linux does."""
  try:
    lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
  except OSError:
    lines = []
  named = (line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
  return next(named, platform.processor() or platform.machine())


def _versions() -> dict[str, str]:
  versions = {'python': platform.python_version(), 'hsnet_jax': hsnet_jax.__version__}
  for name in _PACKAGES:
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return versions
