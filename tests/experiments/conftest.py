"""Commands as real processes, and one short training run that the tests share."""

import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys

import jax
import pytest

from experiments.training import TrainConfig, train
from hsnet_jax.training.sharding import data_mesh

# A rate that falls would depend on how many steps a run is meant to have.
SMALL = (
  '--fold=1',
  '--random_backbone',
  '--image_size=64',
  '--batch_size=2',
  '--val_episodes=2',
  '--schedule=constant',
)


@pytest.fixture(scope='session')
def small():
  """Flags of `train` for a run of a few seconds."""
  return SMALL


# The same as a configuration.
SMALL_CONFIG = TrainConfig(
  fold=1,
  random_backbone=True,
  image_size=64,
  batch_size=2,
  val_episodes=2,
  schedule='constant',
)


@pytest.fixture(scope='session')
def train_small():
  """Trains a few seconds in this process, on one device: `train_small(folder, max_steps=1)`."""

  def run(folder, **changes):
    config = dataclasses.replace(SMALL_CONFIG, run_dir=str(folder), **changes)
    return train(config, mesh=data_mesh(devices=jax.devices()[:1]))

  return run


# Importing takes seconds, so one process runs many commands of a script, a line of JSON for each.
SERVE = """
import contextlib, importlib, io, json, os, sys
from absl import flags
from experiments.command import app
# The libraries that define flags, before flags are saved: what comes later would be forgotten.
import data_pipelines.loading.loader, data_pipelines.prepared.reader
command = importlib.import_module(f'experiments.{sys.argv[1]}')
answers = sys.stdout
for line in sys.stdin:
  folder, sys.argv = json.loads(line)
  os.chdir(folder)
  out, err, code = io.StringIO(), io.StringIO(), 0
  for name in flags.FLAGS:  # Those that a library defined meanwhile stay defined.
    flags.FLAGS[name].unparse()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      app.run(command.main, words=getattr(command, 'WORDS', 0))
    except SystemExit as end:
      code = end.code or 0
  print(json.dumps([code, out.getvalue(), err.getvalue()]), file=answers, flush=True)
"""


@pytest.fixture(scope='session')
def environment(root, tmp_path_factory):
  """Environment variables of scripts."""
  cache = os.environ.get('JAX_COMPILATION_CACHE_DIR') or tmp_path_factory.mktemp('compiled')
  return {
    **os.environ,
    'JAX_COMPILATION_CACHE_DIR': str(cache),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.5',
    'HF_HUB_OFFLINE': '1',
    # One device, as a user has.
    'XLA_FLAGS': '',
    'PYTHONPATH': str(root),
  }


@pytest.fixture(scope='session')
def script(environment):
  """Runs a command of experiments/ as a user does: `script('train', '--fold=1', ...)`."""

  def run(name, *args, cwd=None, max_file=None):
    command = [sys.executable, '-m', f'experiments.{name}', *map(str, args)]
    if max_file is not None:
      # In blocks of 512 bytes; a shell sets it, since a fork of a process with threads may hang.
      command = ['sh', '-c', f'ulimit -f {max_file // 512} && exec "$@"', 'sh', *command]
    return subprocess.run(
      command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400
    )

  return run


@pytest.fixture(scope='session')
def served(root, environment):
  """Runs a script as `script` does, all the commands of one in one process."""
  with contextlib.ExitStack() as stack:
    processes = {}

    def run(name, *args, cwd=root):
      if name not in processes:
        command = [sys.executable, '-c', SERVE, name]
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
        processes[name] = stack.enter_context(subprocess.Popen(command, env=environment, **pipes))
      process = processes[name]
      print(json.dumps([str(cwd), [name, *map(str, args)]]), file=process.stdin, flush=True)
      return subprocess.CompletedProcess(args, *json.loads(process.stdout.readline()))

    yield run


@pytest.fixture(scope='session')
def trained(script, tmp_path_factory):
  """The folder of a run of three steps on shapes, and what the script printed.

  All workers of pytest share it: the first one trains, the others wait.
  """
  common = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    common = common.parent
  folder, said = common / 'trained', common / 'trained.txt'
  with open(common / 'trained.lock', 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not said.exists():
      done = script('train', *SMALL, '--max_steps=3', f'--run_dir={folder}')
      assert done.returncode == 0, done.stderr
      said.write_text(done.stdout)
  return folder, said.read_text()


def failure(done):
  """The one line of a process that ended for a reason the user can mend."""
  assert done.returncode == 2, (done.stdout, done.stderr)
  assert 'Traceback' not in done.stderr
  lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
  assert len(lines) == 1 and done.stderr.rstrip().endswith(lines[0])
  return lines[0]


@pytest.fixture(scope='session', name='failure')
def failure_fixture():
  """See `failure`."""
  return failure
