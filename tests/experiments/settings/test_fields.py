"""Settings: what a configuration refuses, and what a text stands for."""

import dataclasses

import pytest

from experiments.settings import fields
from experiments.settings.fields import setting
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Some:
  count: int = setting(1, 'How many.', least=1)
  rate: float | None = setting(None, 'How fast.', least=0.0, most=1.0)
  name: str = setting('a', 'Which.', choices=('a', 'b'))
  sure: bool = setting(False, 'Whether.')
  several: tuple[int, ...] = setting((), 'Which numbers.', least=1)

  def __post_init__(self):
    fields.check(self)


def field(name):
  return next(f for f in dataclasses.fields(Some) if f.name == name)


@pytest.mark.parametrize(
  'given',
  [{}, {'rate': 1}, {'rate': None}, {'several': (1, 2)}, {'name': 'b', 'sure': True, 'count': 9}],
)
def test_what_may_be_is_taken(given):
  assert all(getattr(Some(**given), name) == value for name, value in given.items())


@pytest.mark.parametrize(
  'given',
  [
    {'count': 0},
    {'count': None},
    {'count': 1.0},
    {'count': True},
    {'rate': 2.0},
    {'rate': float('nan')},
    {'rate': '0.5'},
    {'name': 'c'},
    {'sure': 1},
    {'several': [1]},
    {'several': (1, 0)},
  ],
)
def test_what_may_not_be_is_named(given):
  ((name, _),) = given.items()
  with pytest.raises(InputError, match=f'`{name}`'):
    Some(**given)


@pytest.mark.parametrize(
  'name, text, value',
  [
    ('count', '3', 3),
    ('rate', '1', 1.0),
    ('name', 'b', 'b'),
    ('sure', 'true', True),
    ('sure', '0', False),
    ('several', '4', 4),
  ],
)
def test_a_text_is_read_as_a_flag_is(name, text, value):
  found = fields.parse_text(field(name), text)
  assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
  'name, text', [('count', '2.0'), ('count', '0'), ('rate', 'much'), ('name', 'c'), ('sure', 'yes')]
)
def test_a_text_that_no_flag_takes_is_refused(name, text):
  with pytest.raises(InputError, match=f'{text}: must be'):
    fields.parse_text(field(name), text)
