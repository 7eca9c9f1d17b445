"""Public names are found on first use, and old ones for one release more."""

import importlib
import json
import os
import pathlib
import subprocess
import sys
import warnings

import pytest

import data_pipelines
import hsnet_jax

MOVED = {
  'averaging': ('average_params', 'hsnet_jax.training.averaging'),
  'convolution': ('conv2d', 'hsnet_jax.kernels.conv2d'),
  'losses': ('cross_entropy', 'hsnet_jax.training.losses'),
  'optimizers': ('make_optimizer', 'hsnet_jax.training.optimizers'),
  'prototype': ('prototypes', 'hsnet_jax.baselines.prototype'),
  'sharding': ('data_mesh', 'hsnet_jax.training.sharding'),
  'tensor_files': ('read_tensors', 'hsnet_jax.weights.files'),
  'torch_names': ('detect_backbone', 'hsnet_jax.weights.names'),
}

STARRED = {f'hsnet_jax.{name}' for name in MOVED}

# {module: the public names that 0.1.0 defined in it}.
GOLDEN = pathlib.Path(__file__).parents[2] / 'golden'
NAMES = json.loads((GOLDEN / 'names_0_1_0.json').read_text('utf-8'))
GONE = {
  'hsnet_jax.convolution': {'on_cpu'},
  'hsnet_jax.encoder': {'MIXING', 'SQUEEZING'},
}


@pytest.mark.parametrize('package', [hsnet_jax, data_pipelines])
def test_every_name_is_found_and_listed(package):
  assert {*package.__all__} <= {*dir(package)}
  for name in package.__all__:
    assert getattr(package, name) is not None
  with pytest.raises(AttributeError, match='nothing_of_the_kind'):
    package.nothing_of_the_kind  # noqa: B018


def test_checkers_read_the_same_table(root):
  """What is imported for type checkers alone is what is found when the program runs."""
  import ast

  for init in sorted((root / 'hsnet_jax').rglob('__init__.py')):
    tree = ast.parse(init.read_text(encoding='utf-8'))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    folders = init.parent.relative_to(root).parts
    package = importlib.import_module('.'.join(folders))
    listed = getattr(package, '__all__', names)
    assert {*listed} == names - {'TYPE_CHECKING', 'lazy_names'} or listed is names, init


@pytest.mark.parametrize('old', MOVED)
def test_a_moved_module_warns_and_works(old):
  name, new = MOVED[old]
  sys.modules.pop(f'hsnet_jax.{old}', None)
  with pytest.warns(DeprecationWarning, match=f'hsnet_jax.{old} has moved to {new}'):
    module = importlib.import_module(f'hsnet_jax.{old}')
  assert getattr(module, name) is getattr(importlib.import_module(new), name)
  assert name in dir(module)
  with pytest.raises(AttributeError, match='nothing_of_the_kind'):
    module.nothing_of_the_kind  # noqa: B018


def test_all_moved_modules_are_tested(root):
  files = {path.stem for path in (root / 'hsnet_jax' / 'moved').glob('*.py')} - {'__init__'}
  assert files == {*MOVED}


@pytest.mark.parametrize('module', NAMES)
def test_names_of_0_1_0_are_where_they_were(module):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', DeprecationWarning)
    found = importlib.import_module(module)
  gone = {name for name in NAMES[module] if not hasattr(found, name)}
  assert gone == GONE.get(module, set())
  if module in STARRED:
    assert {*NAMES[module]} - gone <= {*found.__all__}


def test_a_room_has_the_name_that_its_module_had():
  from hsnet_jax.training import Batch, steps

  assert Batch is steps.Batch


def test_a_star_imports_the_names_of_a_moved_module():
  names = {}
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', DeprecationWarning)
    exec('from hsnet_jax.losses import *', names)
  assert names['cross_entropy'] is hsnet_jax.cross_entropy
  assert not {'optax', 'jnp', 'Array'} & {*names}


@pytest.mark.parametrize(
  'line',
  [
    'import hsnet_jax; hsnet_jax.optimizers.make_schedule',
    'import hsnet_jax.optimizers',
    'from hsnet_jax import optimizers',
    'import importlib; importlib.import_module("hsnet_jax.optimizers")',
  ],
)
def test_a_script_sees_the_warning_at_its_own_line(root, tmp_path, line):
  """Filters as Python has them by default show it in `__main__` alone."""
  script = tmp_path / 'script.py'
  script.write_text(f'\n\n{line}\n', 'utf-8')
  environment = {k: v for k, v in os.environ.items() if k != 'PYTHONWARNINGS'}
  environment['PYTHONPATH'] = str(root)
  done = subprocess.run(
    [sys.executable, script], env=environment, capture_output=True, text=True, check=True
  )
  assert f'{script}:3: DeprecationWarning: hsnet_jax.optimizers' in done.stderr


def test_an_import_is_cheap(root):
  """Neither JAX nor what single parts need is imported before a name is asked for."""
  code = """
import sys
import hsnet_jax
heavy = {'jax', 'flax', 'optax', 'numpy', 'orbax', 'safetensors', 'dm_pix', 'huggingface_hub'}
print(sorted(heavy & {*sys.modules}))
hsnet_jax.HSNet, hsnet_jax.load_backbone, hsnet_jax.train_step, hsnet_jax.segment
print(sorted(heavy & {*sys.modules}))
"""
  done = subprocess.run(
    [sys.executable, '-c', code], cwd=root, capture_output=True, text=True, check=True
  )
  before, after = done.stdout.splitlines()
  assert before == '[]'
  assert not {'safetensors', 'dm_pix', 'huggingface_hub'} & {*eval(after)}
