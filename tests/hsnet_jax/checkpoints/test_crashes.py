"""Saving in a process of its own that is killed, or that the disk refuses."""

import json
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import pytest

from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint
from hsnet_jax.errors import InputError

CONFIG = {'backbone': 'tiny'}
VARIABLES = {'params': {'w': jnp.ones(3)}, 'backbone': {}}


def folder_names(folder):
  return sorted(entry.name for entry in folder.iterdir())


def visible_names(folder):  # Writers that were under way may leave others after an error.
  return [name for name in folder_names(folder) if not name.startswith('.')]


# Saves step 1 whole and then step 2 under `trouble`, in a process of its own.
SAVE_TWICE = """
import sys
import numpy as np
from hsnet_jax.checkpoints import save_checkpoint
from hsnet_jax.errors import InputError
path, trouble = sys.argv[1:]
numbers = np.random.RandomState(0).rand(40, 50, 500).astype(np.float32)
config = {'backbone': 'tiny'}
small = {'params': {'w': numbers[0, :2]}, 'backbone': {}}
large = {'params': {f'w{i}': numbers[i] for i in range(40)}, 'backbone': {}}
if trouble != 'first':
  save_checkpoint(path, small, config=config, step=1)
exec({
  'limit': 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500000, 500000))',
  'first': 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500000, 500000))',
  'full': '',
  'killed': '''
import os, signal
from orbax.checkpoint import PyTreeCheckpointHandler
PyTreeCheckpointHandler.finalize = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
''',
  'killed in the swap': '''
import os, signal
rename, renames = os.rename, []
def second_dies(a, b):
  if str(b) == path:
    os.kill(os.getpid(), signal.SIGKILL)
  rename(a, b)
os.rename = second_dies
''',
}[trouble])
try:
  save_checkpoint(path, large, config=config, step=2)
except InputError as error:
  print(error)
  sys.exit(2)
"""


def save_twice(path, trouble, prefix=(), root=pathlib.Path(__file__).parents[3]):
  return subprocess.run(
    [*prefix, sys.executable, '-c', SAVE_TWICE, str(path), trouble],
    cwd=root,
    capture_output=True,
    text=True,
    check=False,
  )


def test_writes_that_fail_leave_the_earlier_checkpoint(tmp_path):
  """The system refuses to let a file grow, as a full disk or a quota does."""
  done = save_twice(tmp_path / 'last', 'limit')
  assert done.returncode == 2, done.stderr
  assert done.stdout.strip() == (
    f'{tmp_path}/last: disk full while saving; the checkpoint of step 1 there is intact'
  )
  assert load_checkpoint(tmp_path / 'last').step == 1
  assert visible_names(tmp_path) == ['last']


def test_a_first_write_that_fails_leaves_nothing(tmp_path):
  done = save_twice(tmp_path / 'last', 'first')
  assert done.returncode == 2, done.stderr
  assert 'disk full while saving' in done.stdout
  assert visible_names(tmp_path) == []
  with pytest.raises(InputError, match='no such checkpoint'):
    load_checkpoint(tmp_path / 'last')


def test_a_disk_that_is_really_full(tmp_path):
  """On a 1 MB disk, which needs a user namespace of its own to mount."""
  disk = tmp_path / 'disk'
  disk.mkdir()
  mount = f'mount -t tmpfs -o size=1m none {disk}'
  unshare = ('unshare', '--user', '--map-root-user', '--mount', 'sh', '-c')
  try:
    subprocess.run([*unshare, mount], check=True, capture_output=True)
  except (OSError, subprocess.CalledProcessError):
    pytest.skip('no user namespaces here')
  after = f'{mount} && "$@"; code=$?; ls {disk}; cat {disk}/last/config/metadata; exit $code'
  done = save_twice(disk / 'last', 'full', prefix=(*unshare, after, 'sh'))
  assert done.returncode == 2, done.stderr
  message, listing, config = done.stdout.strip().splitlines()
  assert message.endswith('disk full while saving; the checkpoint of step 1 there is intact')
  assert listing == 'last' and json.loads(config)['step'] == 1


@pytest.mark.parametrize(('trouble', 'step'), [('killed', 1), ('killed in the swap', 2)])
def test_a_crash_while_saving(tmp_path, trouble, step):
  done = save_twice(tmp_path / 'last', trouble)
  assert done.returncode == -9, done.stderr
  assert load_checkpoint(tmp_path / 'last').step == step
  # What the crash left is cleared by the next save.
  assert folder_names(tmp_path) != ['last']
  save_checkpoint(tmp_path / 'last', VARIABLES, config=CONFIG, step=3)
  assert load_checkpoint(tmp_path / 'last').step == 3
  assert folder_names(tmp_path) == ['last']
