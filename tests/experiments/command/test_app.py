"""What a command says and how it exits, as real processes."""

import errno
import os
import subprocess
import sys

import pytest

from experiments.command.app import machine_error
from hsnet_jax.errors import InputError

SCRIPT = '''"""Says hello.

Example: hello --name=you
"""
import threading
from absl import flags
from experiments.command import app
from hsnet_jax.errors import InputError
NAME = flags.DEFINE_string('name', 'you', 'Whom to greet.')
COUNT = flags.DEFINE_integer('count', 1, 'How often.', lower_bound=1)
def main():
  if NAME.value == 'input': raise InputError('x.png: a mask\\nof another size')
  if NAME.value == 'long': raise InputError('x.json: ' + 'a' * 100_000 + ' is no number')
  if NAME.value == 'argument':
    raise InputError("give `name`=you or `date`, a.other's `day`, experiments.other's `year`")
  if NAME.value == 'full': open('/dev/full', 'wb', buffering=0).write(b'x')
  if NAME.value == 'thread':
    def fail(): raise OSError(28, 'No space left on device')
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
  if NAME.value == 'bug': raise ValueError('a bug')
  print('hello', NAME.value)
app.run(main)
'''


@pytest.fixture(scope='module')
def hello(tmp_path_factory, root):
  path = tmp_path_factory.mktemp('app') / 'hello.py'
  path.write_text(SCRIPT)

  def call(*args):
    return subprocess.run(
      [sys.executable, path, *args],
      env={**os.environ, 'PYTHONPATH': str(root)},
      capture_output=True,
      text=True,
      timeout=120,
    )

  return call


def test_done(hello):
  done = hello('--name=me')
  assert (done.returncode, done.stdout, done.stderr) == (0, 'hello me\n', '')


def test_help_teaches(hello):
  done = hello('--help')
  assert done.returncode == 0
  assert 'Example: hello --name=you' in done.stdout and 'Whom to greet.' in done.stdout


@pytest.mark.parametrize(
  'args, words',
  [
    (['--name=input'], 'x.png: a mask of another size'),
    (['--name=full'], 'the disk is full'),
    (['--nmae=me'], 'nmae'),
    (['--count=0'], 'count'),
    (['--count=many'], 'many'),
    (['--name='], '--name is empty'),
    (['me'], "'me' belongs to no flag"),
  ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(hello, args, words):
  done = hello(*args)
  assert done.returncode == 2 and done.stdout == ''
  assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1
  assert words in done.stderr


def test_a_line_that_quotes_a_whole_file_is_cut(hello):
  line = hello('--name=long').stderr
  assert line.startswith('error: x.json: a') and line.endswith('a is no number\n')
  assert len(line) < 2100


def test_a_bug_keeps_its_traceback(hello):
  done = hello('--name=bug')
  assert done.returncode == 1 and 'Traceback' in done.stderr


def test_a_thread_s_failure_is_not_hidden(hello):
  done = hello('--name=thread')
  assert done.returncode == 0 and 'No space left' in done.stderr


def test_a_full_disk_is_found_behind_other_errors():
  try:
    try:
      raise OSError(errno.ENOSPC, 'No space left on device')
    except OSError as error:
      raise ValueError('could not save') from error
  except ValueError as error:
    assert machine_error(error) == 'the disk is full'
  assert machine_error(ValueError('RESOURCE: [No space left on device]')) == 'the disk is full'
  assert machine_error(PermissionError(errno.EACCES, 'no', 'a.txt')) == 'a.txt: permission denied'
  assert machine_error(InputError('x')) is None
  assert machine_error(OSError(errno.EIO, 'broken')) is None


@pytest.mark.parametrize(
  'error, facts',
  [
    (MemoryError(), 'out of memory'),
    (MemoryError('Unable to allocate 13. GiB'), 'out of memory: Unable to allocate 13. GiB'),
    (RuntimeError('RESOURCE_EXHAUSTED: Out of\nmemory allocating 7 bytes'), 'allocating 7 bytes'),
    (RuntimeError("Unable to initialize backend 'tpu': no libtpu"), "'tpu': no libtpu"),
    (RuntimeError("can't start new thread"), "can't start new thread"),
    (OSError(errno.EMFILE, 'Too many open files', 'a.txt'), 'a.txt: too many files'),
  ],
)
def test_what_the_machine_lacks_is_one_line(error, facts):
  line = machine_error(error)
  assert line is not None and facts in line and '\n' not in line


def test_an_assertion_of_our_own_is_a_bug():
  try:
    raise AssertionError('a bug')
  except AssertionError as error:
    assert machine_error(error) is None


def test_arguments_that_errors_name_become_flags_of_the_command(hello):
  said = hello('--name=argument').stderr
  assert "give --name=you or `date`, a.other's `day`, experiments.other's --year" in said
