"""What a message must name, however it is worded: a file, a number, an argument."""

import contextlib

import pytest

from hsnet_jax.errors import InputError


@contextlib.contextmanager
def refused(*facts, error=InputError):
  """An error in one line that names each fact."""
  with pytest.raises(error) as caught:
    yield caught
  check_facts(caught.value, facts)


@contextlib.contextmanager
def warned(*facts):
  """One warning that names each fact, in one line; it may have others beside it."""
  with pytest.warns(UserWarning) as caught:
    yield caught
  messages = [str(w.message) for w in caught]
  naming = [text for text in messages if all(str(fact) in text for fact in facts)]
  assert len(naming) == 1, f'{facts} in: {messages}'
  check_facts(naming[0], facts)


def check_facts(message, facts):
  """Fails unless a message is one line and names each fact."""
  missing = [fact for fact in map(str, facts) if fact not in str(message)]
  assert not missing and '\n' not in str(message), f'{missing} not in: {message}'


def lets_orbax_fail(test):
  """Marks a test in which Orbax fails: its threads say so as well, whenever they end."""
  for warning in (
    'ignore::pytest.PytestUnraisableExceptionWarning',
    'ignore:coroutine .* was never awaited:RuntimeWarning',
  ):
    test = pytest.mark.filterwarnings(warning)(test)
  return pytest.mark.usefixtures('collected')(test)
