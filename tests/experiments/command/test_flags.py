"""Flags of a configuration, and the configuration of flags."""

import dataclasses

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.command.flags import config_from_flags, define_flags, define_list
from experiments.settings import fields
from experiments.settings.fields import setting
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Some:
  some_count: int = setting(1, 'How many.', least=1)
  some_rate: float | None = setting(None, 'How fast.', least=0.0, most=1.0)
  some_name: str = setting('a', 'Which.', choices=('a', 'b'))
  some_path: str | None = setting(None, 'Where.')
  some_way: bool | None = setting(None, 'Whether.')
  some_numbers: tuple[int, ...] = setting((), 'Which numbers.', least=1)
  some_files: tuple[str, ...] = setting((), 'Which files.')

  def __post_init__(self):
    fields.check(self)
    if self.some_path == 'nowhere':
      raise InputError('`some_path`=nowhere')


@pytest.fixture(scope='module', autouse=True)
def defined():
  define_flags(Some)
  yield
  for field in dataclasses.fields(Some):
    delattr(flags.FLAGS, field.name)


def parsed(*args):
  with flagsaver.flagsaver():
    flags.FLAGS(['command', *args])
    return config_from_flags(Some)


def test_without_flags_all_is_as_the_configuration_has_it():
  assert parsed() == Some()


def test_flags_of_every_kind_are_read():
  found = parsed(
    *('--some_count=3', '--some_rate=1', '--some_name=b', '--some_path=x', '--nosome_way'),
    *('--some_numbers=1', '--some_numbers=2', '--some_files=a,b'),
  )
  assert found == Some(3, 1.0, 'b', 'x', False, (1, 2), ('a', 'b'))


@pytest.mark.parametrize(
  'flag', ['--some_count=0', '--some_rate=2', '--some_name=c', '--some_numbers=0', '--some_way=2']
)
def test_a_flag_refuses_what_its_field_does(flag):
  with pytest.raises(flags.IllegalFlagValueError, match=flag.removeprefix('--').partition('=')[0]):
    parsed(flag)


def test_the_configuration_has_the_last_word():
  with pytest.raises(InputError, match='`some_path`'):
    parsed('--some_path=nowhere')


def test_help_has_them_under_the_command_that_asked():
  own = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(__name__)}
  assert own == {field.name for field in dataclasses.fields(Some)}


@pytest.mark.parametrize(
  'args, files',
  [
    (('--some_files=a', '--some_files=b'), ('a', 'b')),
    (('--some_files=a,b', '--some_files', 'c'), ('a', 'b', 'c')),
    (('--some_files=a, b c ', '--some_files="d,e"'), ('a', 'b c', 'd,e')),
    (('--some_files=',), ()),
  ],
)
def test_a_list_that_is_given_several_times_adds_up(args, files):
  assert parsed(*args).some_files == files
  assert parsed() == Some(), 'nothing is left of an earlier command line'


def test_a_list_given_replaces_the_default():
  held = define_list('some_letters', ['a', 'b'], 'Which letters.')
  try:
    with flagsaver.flagsaver():
      flags.FLAGS(['command', '--some_letters=c', '--some_letters=d'])
      assert held.value == ['c', 'd']
    assert held.value == held.default == ['a', 'b']
  finally:
    delattr(flags.FLAGS, 'some_letters')


def test_every_list_of_every_command_adds_up(root):
  """A list of absl's own, whose last value alone counts, is in none of them."""
  sources = [*(root / 'experiments').rglob('*.py')]
  assert len(sources) > 50
  assert not [path for path in sources if 'DEFINE_list' in path.read_text(encoding='utf-8')]
