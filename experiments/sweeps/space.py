"""Reads the search space of a sweep: a short TOML file with flags of `experiments.train`.

[train]                                        the same in every trial
fold = 0
max_steps = 200

[space]                                        what a trial draws
learning_rate = {log_uniform = [1e-4, 1e-2]}   the logarithm is uniform
weight_decay = {uniform = [0.0, 0.1]}
seed = {integer = [0, 9]}                      both bounds included
augment = {choice = ['none', 'flip']}
"""

import contextlib
import dataclasses
import math
import os
import pathlib
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.settings.fields import parse_text
from experiments.training.config import TrainConfig
from hsnet_jax.errors import InputError

KINDS = ('log_uniform', 'uniform', 'integer', 'choice')

# The sweep chooses a trial's folder, and resumes what is in it.
_OWN = ('run_dir', 'resume', 'overwrite')
# Flags of runs of several processes; a trial is one.
_OF_PROCESSES = (
  'coordinator',
  'num_processes',
  'process_id',
  'connect_seconds',
  'heartbeat_seconds',
)


@dataclasses.dataclass(frozen=True)
class Domain:
  """Says which values a flag may take.

  Attributes:
    kind: one of `KINDS`.
    values: of 'choice' the values, of the others the lower and the upper bound.
  """

  kind: str
  values: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Space:
  """Holds what a space file says.

  Attributes:
    path: the file.
    fixed: {flag of `experiments.train`: value} of every trial.
    domains: {flag: domain} of what is searched.
  """

  path: pathlib.Path
  fixed: Mapping[str, Any]
  domains: Mapping[str, Domain]

  def record(self) -> dict[str, Any]:
    """Returns the space as JSON holds it."""
    searched = {name: {d.kind: list(d.values)} for name, d in self.domains.items()}
    return {'train': dict(self.fixed), 'space': searched}


def read_space(path: str | os.PathLike[str]) -> Space:
  """Reads a space file and checks all but whether its flags exist (see `check_space`).

  Args:
    path: the TOML file; `~` is the home folder.

  Returns:
    The space.

  Raises:
    InputError: the file cannot be read or is no TOML, a table is unknown or empty, a domain is of
      no known kind or has bounds that are none, a flag is in both tables or the sweep's own.
  """
  path = pathlib.Path(path).expanduser()
  try:
    tables = tomllib.loads(path.read_text(encoding='utf-8'))
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror}); `space` names a file') from error
  except (ValueError, RecursionError) as error:  # TOML and UTF-8 errors alike.
    raise InputError(f'{path}: no TOML file ({error})') from error
  unknown = [name for name in tables if name not in ('train', 'space')]
  if unknown:
    raise InputError(f'{path}: {unknown[0]} is no table of it; write [train] and [space]')
  fixed, searched = tables.get('train', {}), tables.get('space', {})
  if not (isinstance(fixed, dict) and isinstance(searched, dict) and searched):
    raise InputError(f'{path}: needs a table [space] with at least one flag to search over')
  for name in (*fixed, *searched):
    if name in _OWN:
      raise InputError(f'{path}: {name} is set by the sweep itself; leave it out')
    if name in _OF_PROCESSES:
      raise InputError(f'{path}: {name} is for several processes, a trial is one; leave it out')
    if name in fixed and name in searched:
      raise InputError(f'{path}: {name} is in both [train] and [space]; leave one')
  for name, value in fixed.items():
    if not _is_scalar(value):
      raise InputError(f'{path}: train.{name} must be a text, a number or true or false')
  domains = {name: _domain(f'{path}: space.{name}', value) for name, value in searched.items()}
  return Space(path, fixed, domains)


def _domain(where: str, value: Any) -> Domain:
  if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in KINDS:
    raise InputError(
      f'{where} must be one of {{log_uniform = [a, b]}}, {{uniform = [a, b]}},'
      ' {integer = [a, b]} and {choice = [a, b, ...]}'
    )
  [(kind, values)] = value.items()
  if not isinstance(values, list) or not values or not all(map(_is_scalar, values)):
    raise InputError(f'{where}: {kind} needs a list of values')
  if kind == 'choice':
    if len(set(map(repr, values))) < len(values):
      raise InputError(f'{where}: a choice is there twice')
    return Domain(kind, tuple(values))
  number = int if kind == 'integer' else (int, float)
  bounds = [v for v in values if isinstance(v, number) and not isinstance(v, bool)]
  if len(values) != 2 or len(bounds) != 2 or not all(map(math.isfinite, bounds)):
    what = 'whole numbers' if kind == 'integer' else 'numbers'
    raise InputError(f'{where}: {kind} needs two {what}, the lower and the upper bound')
  if bounds[0] >= bounds[1]:
    raise InputError(f'{where}: the lower bound {bounds[0]} is not below the upper {bounds[1]}')
  if kind == 'log_uniform' and bounds[0] <= 0:
    raise InputError(f'{where}: log_uniform needs bounds above 0')
  return Domain(kind, tuple(bounds if kind == 'integer' else map(float, bounds)))


def _is_scalar(value: object) -> bool:
  return isinstance(value, str | int | float)


def check_space(space: Space) -> None:
  """Makes sure that `TrainConfig` has the settings of a space and takes their values.

  Of ranges the bounds are tried, and each value that is searched with all that are fixed.

  Args:
    space: the space.

  Raises:
    InputError: a setting does not exist or refuses a value, or two exclude each other.
  """
  known = {field.name: field for field in dataclasses.fields(TrainConfig)}

  def read(where: str, name: str, value: Any) -> Any:
    if name not in known:
      raise InputError(
        f"{where}: no setting of a run; experiments.train's --help shows what there is"
      )
    with _naming(where):
      return parse_text(known[name], flag_text(value))

  fixed = {
    name: read(f'{space.path}: train.{name}', name, value) for name, value in space.fixed.items()
  }
  with _naming(f'{space.path}: [train]'):
    TrainConfig(**fixed)
  for name, domain in space.domains.items():
    where = f'{space.path}: space.{name}'
    for value in domain.values:
      tried = {name: read(where, name, value)}
      with _naming(where):
        TrainConfig(**fixed, **tried)


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
  """Says of an InputError where in the file its value is."""
  try:
    yield
  except InputError as error:
    raise InputError(f'{where}: {error}') from error


def draw(space: Space, *, seed: int, number: int) -> dict[str, Any]:
  """Draws the values of a trial, which depend on nothing but the arguments.

  Args:
    space: the space.
    seed: of the sweep.
    number: of the trial.

  Returns:
    {flag: value}.
  """
  rng = np.random.default_rng([seed, number])
  drawn = {}
  for name, domain in space.domains.items():
    low, high = domain.values[0], domain.values[-1]
    if domain.kind == 'choice':
      drawn[name] = domain.values[rng.integers(len(domain.values))]
    elif domain.kind == 'integer':
      drawn[name] = int(rng.integers(low, high, endpoint=True))
    elif domain.kind == 'uniform':
      drawn[name] = float(rng.uniform(low, high))
    else:
      # The logarithm's rounding may leave the range.
      value = math.exp(rng.uniform(math.log(low), math.log(high)))
      drawn[name] = min(max(value, low), high)
  return drawn


def flag_text(value: Any) -> str:
  """Returns a value as a flag is given it."""
  return str(value).lower() if isinstance(value, bool) else str(value)


def short_text(value: Any) -> str:
  """Returns a value as a reader is shown it."""
  return f'{value:.4g}' if isinstance(value, float) else flag_text(value)
