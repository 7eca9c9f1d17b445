"""Turns configurations into JSON and back: a frozen dataclass of plain values is a dict there.

A configuration checks its values by itself, in `__post_init__`; what is read here is of its fields.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from hsnet_jax.errors import InputError

if TYPE_CHECKING:
  from _typeshed import DataclassInstance

Config = TypeVar('Config', bound='DataclassInstance')


def to_json(config: 'DataclassInstance') -> dict[str, Any]:
  """Returns a configuration as JSON holds it: {field: value}, tuples as lists."""
  values = dataclasses.asdict(config)
  return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def from_json(cls: type[Config], values: Mapping[str, Any], *, source: str) -> Config:
  """Makes a configuration of what JSON holds; fields that it lacks have their defaults.

  Args:
    cls: the dataclass.
    values: {field: value}.
    source: where they come from, such as a file, for messages.

  Returns:
    The configuration.

  Raises:
    InputError: a field is unknown, missing without a default, or of another type, or the
      configuration refuses it.
  """
  fields = {field.name: field for field in dataclasses.fields(cls)}
  for name, value in values.items():
    if name not in fields:
      raise InputError(f'{source}: there is no `{name}`; known are {", ".join(fields)}')
    if not _fits(value, fields[name].type):
      raise InputError(f'{source}: `{name}`={value!r} is of another type than {name} has')
  missing = dataclasses.MISSING
  for name, field in fields.items():
    if name not in values and field.default is missing and field.default_factory is missing:
      raise InputError(f'{source}: `{name}` is missing')
  try:
    return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
  except InputError as error:
    raise InputError(f'{source}: {error}') from error


def _fits(value: Any, kind: Any) -> bool:
  """Returns whether a value of JSON is one of a field's annotated type."""
  if isinstance(kind, types.UnionType):
    return any(_fits(value, one) for one in typing.get_args(kind))
  if kind is Any:
    return True
  origin = typing.get_origin(kind) or kind
  if origin is tuple:
    inner = typing.get_args(kind)
    several = isinstance(value, list | tuple)
    return several and (not inner or all(_fits(item, inner[0]) for item in value))
  if isinstance(value, bool):
    return origin is bool
  if origin is float:
    return isinstance(value, int | float)
  if isinstance(origin, type) and issubclass(origin, Mapping):
    return isinstance(value, Mapping)
  return isinstance(value, origin)
