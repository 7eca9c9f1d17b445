"""Help is there at once: no command imports JAX, or what reads data, to say what its flags are."""

import pathlib
import subprocess
import sys

import pytest

HEAVY = {'jax', 'flax', 'optax', 'orbax', 'grain', 'numpy', 'tensorflow_datasets', 'ray'}
COMMANDS = [
  path.stem
  for path in sorted(pathlib.Path(__file__).parents[2].glob('experiments/*.py'))
  if path.stem != '__init__'
]
# All of them in one process: each is charged with what none before it has imported.
ALL = """
import importlib, sys
for name in sys.argv[1:]:
  before = set(sys.modules)
  importlib.import_module(f'experiments.{name}')
  print(name, *sorted({module.split('.')[0] for module in set(sys.modules) - before}))
  from absl import flags
  if 'cache' in flags.FLAGS:
    print(name, '--cache')
  for flag in list(flags.FLAGS):
    delattr(flags.FLAGS, flag)
"""


@pytest.fixture(scope='module')
def imported(root, environment):
  """{command: the packages that it is the first to import, and --cache if it has that flag}."""
  done = subprocess.run(
    [sys.executable, '-c', ALL, *COMMANDS],
    cwd=root,
    env=environment,
    capture_output=True,
    text=True,
    timeout=400,
  )
  assert done.returncode == 0, done.stderr
  found = {}
  for name, *words in map(str.split, done.stdout.splitlines()):
    found.setdefault(name, set()).update(words)
  return found


@pytest.mark.parametrize('name', COMMANDS)
def test_a_command_imports_little_before_it_runs(imported, name):
  assert not imported[name] & HEAVY


def test_commands_that_compile_the_same_again_keep_it(imported):
  keep = {'train', 'evaluate', 'predict', 'precision', 'train_tiny', 'sweep', 'demo', 'label'}
  keep |= {'serve'}
  assert {name for name in COMMANDS if '--cache' in imported[name]} == keep
