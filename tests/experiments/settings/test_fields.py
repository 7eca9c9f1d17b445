"""Settings: what a configuration refuses, and what a text stands for."""

import dataclasses
import fractions
from pathlib import Path

import numpy as np
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
  path: str | None = setting(None, 'Where.')
  files: tuple[str, ...] = setting((), 'Which files.')

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
    {'several': [1, 0.5]},
    {'several': (1, 0)},
    {'count': np.float64(1)},
    {'path': 3},
    {'path': b'a.png'},
  ],
)
def test_what_may_not_be_is_named(given):
  ((name, _),) = given.items()
  with pytest.raises(InputError, match=f'`{name}`'):
    Some(**given)


@pytest.mark.parametrize(
  'given', [{'several': 4}, {'files': 'abc'}, {'files': Path('abc')}], ids=str
)
def test_one_where_several_are_asked_for_is_not_taken_apart(given):
  ((name, value),) = given.items()
  with pytest.raises(InputError, match=f'`{name}`={value}: .*several.*tuple'):
    Some(**given)


@pytest.mark.parametrize(
  'given, plain',
  [
    ({'several': [1, 2]}, (1, 2)),
    ({'several': (np.int32(3),)}, (3,)),
    ({'files': ['a.jpg', Path('b.jpg')]}, ('a.jpg', 'b.jpg')),
    ({'path': Path('run')}, 'run'),
    ({'count': np.int64(3)}, 3),
    ({'rate': np.float32(0.5)}, 0.5),
    ({'rate': 1}, 1.0),
    ({'rate': fractions.Fraction(1, 4)}, 0.25),
  ],
  ids=str,
)
def test_what_stands_for_a_value_becomes_it(given, plain):
  ((name, _),) = given.items()
  found = getattr(Some(**given), name)
  assert found == plain and type(found) is type(plain)
  if isinstance(found, tuple):
    assert [type(one) for one in found] == [type(one) for one in plain]


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
