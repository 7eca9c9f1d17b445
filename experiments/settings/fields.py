"""Makes settings: fields of a frozen configuration, which are flags of a command as well.

Name, default, bounds and help are said once, where the field is:

    @dataclasses.dataclass(frozen=True)
    class TrainConfig:
      epochs: int | None = setting(None, 'Passes over the training list.', least=1)

`experiments.command.flags.define_flags` makes a flag of each, `check` refuses what the flag would
refuse, whoever makes the configuration, and `parse_text` reads a value as the flag would.
"""

import dataclasses
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
  """Raises InputError for the first setting of a configuration that is not what it may be."""
  for field in dataclasses.fields(config):
    one, optional, several = kind(field)
    value = getattr(config, field.name)
    if value is None and optional:
      continue
    for item in value if several and isinstance(value, tuple) else (value,):
      problem = _problem(item, one, about(field))
      if problem:
        raise InputError(f'`{field.name}`={item}: {problem}')


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
  of_kind = isinstance(value, (int, float) if one is float else one)
  if not of_kind or (isinstance(value, bool) and one is not bool):
    return f'must be {_KINDS[one]}'
  if known.choices and value not in known.choices:
    return f'must be one of {", ".join(known.choices)}'
  if known.least is not None and not value >= known.least:
    return f'must be at least {known.least:g}'
  if known.most is not None and not value <= known.most:
    return f'must be at most {known.most:g}'
  return None
