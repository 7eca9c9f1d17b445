"""Makes flags of a configuration: one of each field, under the same name, and the way back."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from absl import flags

from experiments.settings import fields

if TYPE_CHECKING:
  from _typeshed import DataclassInstance

Config = TypeVar('Config', bound='DataclassInstance')

# What is defined here counts as a flag of the command that asks for it, and is in its --help.
flags.disclaim_key_flags()


def define_flags(cls: 'type[DataclassInstance]') -> None:
  """Defines the flags of a configuration, for the command that calls this as it is imported.

  Args:
    cls: a dataclass whose fields are made by `experiments.settings.fields.setting`.
  """
  for field in dataclasses.fields(cls):
    one, _, several = fields.kind(field)
    about = fields.about(field)
    # What absl's stubs would have of one type each, as it is of the field's.
    default: Any = field.default
    low: Any = about.least
    high: Any = about.most
    if several and one is int:
      flags.DEFINE_multi_integer(
        field.name, list(default), about.help, lower_bound=low, upper_bound=high
      )
    elif several:
      define_list(field.name, list(default), about.help)
    elif one is bool:
      flags.DEFINE_bool(field.name, default, about.help)
    elif one is int:
      flags.DEFINE_integer(field.name, default, about.help, lower_bound=low, upper_bound=high)
    elif one is float:
      flags.DEFINE_float(field.name, default, about.help, lower_bound=low, upper_bound=high)
    elif about.choices:
      flags.DEFINE_enum(field.name, default, list(about.choices), about.help)
    else:
      flags.DEFINE_string(field.name, default, about.help)


def define_list(name: str, default: Sequence[str] | None, help: str) -> flags.FlagHolder[Any]:
  """Defines a flag of several values, by commas or given several times: all of them count.

  Args:
    name: the flag's.
    default: what it is where it is not given at all.
    help: what it does.

  Returns:
    What holds it, as absl's own definitions return it.
  """
  parser, serializer = flags.ListParser(), flags.CsvListSerializer(',')
  values = None if default is None else list(default)
  return flags.DEFINE_flag(_ListFlag(parser, serializer, name, values, help))


class _ListFlag(flags.Flag):
  """Adds values up: of absl's own lists by commas the last one alone would count."""

  def parse(self, argument: Any) -> None:
    """Takes one occurrence of the flag; the first replaces the default."""
    before = list(self.value or ()) if self.present else []
    super().parse(argument)
    self.value = [*before, *(self.value or ())]


def config_from_flags(cls: type[Config]) -> Config:
  """Makes a configuration of the flags that `define_flags` defined, once they are parsed.

  Args:
    cls: the dataclass.

  Returns:
    The configuration.

  Raises:
    InputError: the configuration refuses a value, or values together.
  """
  names = [field.name for field in dataclasses.fields(cls)]
  values = {name: flags.FLAGS[name].value for name in names}
  return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
