"""Makes settings: fields of a frozen configuration, which are flags of a command as well.

Name, default, bounds and help are said once, where the field is:

    @dataclasses.dataclass(frozen=True)
    class TrainConfig:
      epochs: int | None = setting(None, 'Passes over the training list.', least=1)

`experiments.command.flags.define_flags` makes a flag of each, `check` refuses what the flag would
refuse, whoever makes the configuration, and makes plain values of what stands for them,
`parse_text` reads a value as the flag would.
"""

import dataclasses
import numbers
import os
import types
import typing
from collections.abc import Sequence
from typing import Any

from hsnet_jax.errors import InputError

_ABOUT = 'about'
_KINDS = {int: 'a whole number', float: 'a number', str: 'a text', bool: 'true or false'}
_TRUE, _FALSE = ('true', 't', '1'), ('false', 'f', '0')


@dataclasses.dataclass(frozen=True)
class About:
  """Holds what is known of a setting beside its name, type and default.

  Attributes:
    help: what it does, in a sentence or two.
    choices: the texts that it may be; empty for any.
    least: the lower bound of a number.
    most: the upper bound of a number.
  """

  help: str
  choices: tuple[str, ...] = ()
  least: float | None = None
  most: float | None = None


def setting(
  default: Any,
  help: str,
  *,
  choices: Sequence[str] = (),
  least: float | None = None,
  most: float | None = None,
) -> Any:
  """Makes a field of a configuration; see `About` for the arguments."""
  about = About(help, tuple(choices), least, most)
  return dataclasses.field(default=default, metadata={_ABOUT: about})


def about(field: dataclasses.Field[Any]) -> About:
  """Returns what is known of a setting."""
  return field.metadata[_ABOUT]


def kind(field: dataclasses.Field[Any]) -> tuple[type, bool, bool]:
  """Returns the type of one value, whether None is one, and whether there are several."""
  found, optional = field.type, False
  if isinstance(found, types.UnionType):
    (found,) = (t for t in typing.get_args(found) if t is not type(None))
    optional = True
  several = typing.get_origin(found) is tuple
  if several:
    found = typing.get_args(found)[0]
  assert isinstance(found, type) and found in _KINDS, f'{field.name}: no setting is {found}'
  return found, optional, several


def check(config: Any) -> None:
  """Checks the settings of a configuration that is being made, and brings them to plain types.

  A list becomes a tuple, a path its text, a number of NumPy or of another type Python's own.

  Args:
    config: a frozen dataclass, from its `__post_init__`.

  Raises:
    InputError: a setting is not what it may be; the first of them is named.
  """
  for field in dataclasses.fields(config):
    one, optional, several = kind(field)
    value = getattr(config, field.name)
    if value is None and optional:
      continue
    items = tuple(_plain(item, one) for item in _items(field.name, value, several))
    for item in items:
      problem = _problem(item, one, about(field))
      if problem:
        raise InputError(f'`{field.name}`={item}: {problem}')
    object.__setattr__(config, field.name, items if several else items[0])


def _items(name: str, value: Any, several: bool) -> Sequence[Any]:
  """Returns the values of a setting; raises InputError for one where there may be several."""
  if not several:
    return (value,)
  if not isinstance(value, tuple | list):
    raise InputError(f'`{name}`={value}: give several, as a tuple, such as ({value!r},)')
  return value


def _plain(value: Any, one: type) -> Any:
  """Returns a value as the plain type of a setting; as it is where it is of no such kind."""
  if one is str and isinstance(value, os.PathLike):
    return os.fspath(value)
  if isinstance(value, bool):
    return value
  if one is int and isinstance(value, numbers.Integral):
    return int(value)
  if one is float and isinstance(value, numbers.Real):
    return float(value)
  return value


def parse_text(field: dataclasses.Field[Any], text: str) -> Any:
  """Reads one value of a setting from its text, as a flag of a command line is read.

  Args:
    field: the setting.
    text: such as '0.5', 'true' or 'cosine'.

  Returns:
    The value, which the setting may have.

  Raises:
    InputError: it may not; the message names the value and says what the setting may be.
  """
  one = kind(field)[0]
  try:
    value = _boolean(text) if one is bool else one(text)
  except ValueError:
    raise InputError(f'{text}: must be {_KINDS[one]}') from None
  problem = _problem(value, one, about(field))
  if problem:
    raise InputError(f'{text}: {problem}')
  return value


def _boolean(text: str) -> bool:
  if text.lower() not in (*_TRUE, *_FALSE):
    raise ValueError
  return text.lower() in _TRUE


def _problem(value: Any, one: type, known: About) -> str | None:
  """Returns what is wrong with a value, in words; None where nothing is."""
  if not isinstance(value, one) or (isinstance(value, bool) and one is not bool):
    return f'must be {_KINDS[one]}'
  if known.choices and value not in known.choices:
    return f'must be one of {", ".join(known.choices)}'
  if known.least is not None and not value >= known.least:
    return f'must be at least {known.least:g}'
  if known.most is not None and not value <= known.most:
    return f'must be at most {known.most:g}'
  return None
