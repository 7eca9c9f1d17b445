"""--cache keeps compiled programs where the system has its caches, and never stops a command."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

from experiments.command.cache import bound, cache_folder, is_ours, remove_unreadable

LINUX, MAC, WINDOWS = 'linux', 'darwin', 'win32'
# A command that compiles one small program, and says where JAX keeps it.
SCRIPT = """
from experiments.command import app
from experiments.command.cache import define_cache
define_cache()
def main():
  import jax
  print(jax.jit(lambda x: x + 1)(1), jax.config.jax_compilation_cache_dir)
app.run(main)
"""
KEEP_ALL = {'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'}


@pytest.mark.parametrize(
  'platform, environment, folder',
  [
    (LINUX, {'HOME': '/a'}, '/a/.cache'),
    (LINUX, {'HOME': '/a', 'XDG_CACHE_HOME': '/big'}, '/big'),
    (LINUX, {'HOME': '/a', 'XDG_CACHE_HOME': ''}, '/a/.cache'),
    (LINUX, {'HOME': '/a', 'XDG_CACHE_HOME': 'here'}, '/a/.cache'),
    (LINUX, {'XDG_CACHE_HOME': '/big'}, '/big'),
    (MAC, {'HOME': '/a', 'XDG_CACHE_HOME': '/big'}, '/a/Library/Caches'),
    (WINDOWS, {'LOCALAPPDATA': r'D:\a', 'USERPROFILE': r'C:\Users\a'}, r'D:\a'),
    (WINDOWS, {'USERPROFILE': r'C:\Users\a'}, r'C:\Users\a\AppData\Local'),
  ],
)
def test_the_folder_is_the_system_s_own(platform, environment, folder):
  make = pathlib.PureWindowsPath if platform == WINDOWS else pathlib.PurePosixPath
  found = cache_folder(environment, platform=platform)
  assert found == make(folder) / 'hsnet_jax' / 'compiled'


@pytest.mark.parametrize('platform', [LINUX, MAC, WINDOWS])
@pytest.mark.parametrize('home', [{}, {'HOME': '', 'USERPROFILE': ''}, {'HOME': 'here'}])
def test_without_a_home_there_is_none(platform, home):
  assert cache_folder(home, platform=platform) is None


@pytest.fixture
def command(tmp_path, environment):
  """Runs the command in a home of its own; what is given of the environment comes on top."""
  if sys.platform != 'linux':
    pytest.skip('the home is laid out as on Linux')
  path = tmp_path / 'command.py'
  path.write_text(SCRIPT)
  usual = {name: value for name, value in environment.items() if 'CACHE' not in name}
  home = tmp_path / 'home'
  home.mkdir()

  def run(*args, **changes):
    env = {**usual, 'HOME': str(home), 'JAX_PLATFORMS': 'cpu', **KEEP_ALL, **changes}
    done = subprocess.run(
      [sys.executable, path, *args], env=env, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, '')
    value, where = done.stdout.split()
    assert value == '2'
    return None if where == 'None' else pathlib.Path(where)

  return run


def test_programs_are_kept_for_this_user_alone_and_read_again(command, tmp_path):
  folder = command()
  assert folder == tmp_path / 'home' / '.cache' / 'hsnet_jax' / 'compiled'
  assert folder.stat().st_mode & 0o777 == 0o700
  (kept,) = folder.glob('*-cache')
  before = kept.stat().st_mtime_ns
  assert command() == folder and kept.stat().st_mtime_ns == before
  assert list(folder.glob('*-cache')) == [kept]


def aged(path):
  """Makes a file one that was written two minutes ago."""
  then = time.time() - 120
  os.utime(path, (then, then))


@pytest.mark.heavy
def test_a_broken_program_is_replaced_in_silence(command):
  (kept,) = command().glob('*-cache')
  whole = kept.stat().st_size
  kept.write_bytes(kept.read_bytes()[: whole // 2])  # As a full disk leaves it.
  aged(kept)
  command()
  assert kept.stat().st_size > whole * 0.9


@pytest.mark.heavy  # A real process.
def test_nocache_writes_nothing(command, tmp_path):
  command('--nocache')
  elsewhere = tmp_path / 'elsewhere'
  command('--nocache', JAX_COMPILATION_CACHE_DIR=str(elsewhere))
  assert not any((tmp_path / 'home').iterdir()) and not elsewhere.exists()


def test_the_environment_wins(command, tmp_path):
  elsewhere = tmp_path / 'elsewhere'
  assert command(JAX_COMPILATION_CACHE_DIR=str(elsewhere)) == elsewhere
  assert any(elsewhere.glob('*-cache')) and not any((tmp_path / 'home').iterdir())


@pytest.mark.heavy  # Real processes.
def test_a_folder_that_cannot_be_used_stops_nothing(command, tmp_path):
  file = tmp_path / 'file'
  file.write_text('')
  assert command(HOME=str(file)) is None
  assert command(HOME=str(tmp_path / 'nowhere')) is None
  assert command(XDG_CACHE_HOME='/proc/self') is None
  assert not (tmp_path / 'nowhere').exists()


def test_a_folder_that_others_may_write_to_is_not_used(command, tmp_path):
  folder = tmp_path / 'shared' / 'hsnet_jax' / 'compiled'
  folder.mkdir(parents=True)
  folder.chmod(0o777)
  assert command(XDG_CACHE_HOME=str(tmp_path / 'shared')) is None
  assert not any(folder.iterdir())


@pytest.fixture
def folder(tmp_path):
  """Where a command would keep programs; nothing is there yet."""
  if os.name != 'posix':
    pytest.skip('who may write is told as POSIX has it')
  return tmp_path / 'caches' / 'hsnet_jax' / 'compiled'


def test_both_folders_are_made_for_this_user_alone(folder):
  assert is_ours(folder) and is_ours(folder)
  assert [one.stat().st_mode & 0o777 for one in (folder, folder.parent)] == [0o700] * 2


@pytest.mark.parametrize('inner', [True, False])
@pytest.mark.parametrize('mode', [0o770, 0o707, 0o720, 0o702])
def test_a_folder_where_others_may_write_is_passed_over(folder, inner, mode):
  assert is_ours(folder)
  (folder if inner else folder.parent).chmod(mode)
  assert not is_ours(folder)


@pytest.mark.parametrize('inner', [True, False])
def test_a_link_is_passed_over_and_nothing_made_where_it_leads(folder, tmp_path, inner):
  elsewhere = tmp_path / 'elsewhere'
  elsewhere.mkdir(mode=0o700)
  link = folder if inner else folder.parent
  link.parent.mkdir(mode=0o700, parents=True)
  link.symlink_to(elsewhere)
  assert not is_ours(folder) and not any(elsewhere.iterdir())


def test_someone_else_s_folder_is_passed_over(folder, monkeypatch):
  assert is_ours(folder)
  other = os.geteuid() + 1
  monkeypatch.setattr(os, 'geteuid', lambda: other)
  assert not is_ours(folder)


def test_caches_at_the_root_are_passed_over():
  found = cache_folder({'XDG_CACHE_HOME': '/'}, platform=LINUX)
  root = pathlib.Path(pathlib.Path.cwd().anchor)
  assert found == pathlib.PurePosixPath('/hsnet_jax/compiled')
  assert not is_ours(root / 'hsnet_jax' / 'compiled') and not (root / 'hsnet_jax').exists()


def test_what_may_be_unreadable_goes_and_what_is_being_written_stays(tmp_path):
  sizes = {'jit_f-old': 9, 'jit_f-new': 9, 'jit_f-empty': 0, 'jit_fg-old': 9, 'jit_g-old': 9}
  for name, size in sizes.items():
    path = tmp_path / f'{name}-cache'
    path.write_bytes(bytes(size))
    if name.endswith('old'):
      aged(path)
  remove_unreadable(tmp_path, 'jit_f')
  left = {path.name.removesuffix('-cache') for path in tmp_path.iterdir()}
  assert left == {'jit_f-new', 'jit_fg-old', 'jit_g-old'}


def test_what_was_not_used_for_longest_goes_first(tmp_path):
  for age in range(5):
    path = tmp_path / f'jit_{age}-cache'
    path.write_bytes(bytes(10))
    os.utime(path, (1000 - age, 1000 - age))
  bound(tmp_path, most=30)
  assert sorted(path.name[4] for path in tmp_path.iterdir()) == ['0', '1', '2']
