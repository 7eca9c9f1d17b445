"""Sets every test up strictly, and finds test data."""

import ctypes
import gc
import os
import pathlib
import sys

# Several CPU devices, so that pmap and meshes are tested on any machine. Read once, when JAX
# starts: it must be set before the first import.
if 'xla_force_host_platform_device_count' not in os.environ.get('XLA_FLAGS', ''):
  os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
  ).strip()
# Of them alone, also where there is an accelerator.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Tests compile much and compute little: without LLVM's optimizations they take a third of the time.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
# Workers take each other's programs, small ones too; commands keep none in the user's home.
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  str(pathlib.Path(__file__).resolve().parents[1] / '.pytest_cache' / 'compiled'),
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.3')

# No test finds models of whoever runs it.
os.environ['HSNET_ZOO'] = str(pathlib.Path(__file__).resolve().parents[1] / '.pytest_cache' / 'zoo')

import jax
import jaxtyping
import psutil
import pytest

jax.config.update('jax_numpy_rank_promotion', 'raise')

# Shapes written in signatures are checked in the tests alone. The hook rewrites modules as they
# are imported, so it comes before any of them.
jaxtyping.install_import_hook('hsnet_jax', 'beartype.beartype')


def pytest_addoption(parser):
  """Adds --wide and --heavy."""
  parser.addoption('--wide', action='store_true', help='more devices and processes')
  parser.addoption('--heavy', action='store_true', help='those alone that are marked heavy')


# Workers take turns at files, and end together where those come first that take longest: those
# that take ten seconds or more, in their order, then the rooms, in theirs.
LONGEST = (
  'hsnet_jax/test_golden_networks.py',
  'experiments/test_outputs.py',
  'experiments/training/test_run.py',
  'experiments/training/test_session.py',
  'experiments/evaluation/test_precisions.py',
  'hsnet_jax/training/test_augment.py',
  'experiments/evaluation/test_evaluating.py',
  'experiments/evaluation/test_predicting.py',
  'hsnet_jax/inference/test_matching.py',
  'experiments/command/test_hosts.py',
  'hsnet_jax/test_model.py',
  'hsnet_jax/kernels/test_packed.py',
  'hsnet_jax/training/test_steps.py',
  'data_pipelines/loading/test_workers.py',
  'experiments/evaluation/prediction/test_segmenting.py',
)
ROOMS = ('experiments', 'hsnet_jax', 'data_pipelines', 'tests')


def pytest_collection_modifyitems(config, items):
  """Leaves out what is marked wide or heavy, unless asked for; puts the rooms in order."""

  def turn(item):
    path = item.path.relative_to(ROOT / 'tests')
    longest = LONGEST.index(path.as_posix()) if path.as_posix() in LONGEST else len(LONGEST)
    return longest, ROOMS.index((*path.parts[:-1], 'tests')[0])

  items.sort(key=turn)

  def taken(item):
    wide, heavy = (item.get_closest_marker(name) is not None for name in ('wide', 'heavy'))
    if config.getoption('heavy'):
      return heavy
    return config.getoption('wide') or not (wide or heavy)

  config.hook.pytest_deselected(items=[item for item in items if not taken(item)])
  items[:] = [item for item in items if taken(item)]


ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture
def collected():
  """Lets what threads report of a test's objects come before the test is over."""
  yield
  gc.collect()


# A worker stays below 3 GB: the file that needs most adds up to 2.4.
ROOM_LEFT = 0.9e9


@pytest.fixture(scope='module', autouse=True)
def _little_is_kept(request):
  """Gives back what compiled programs and caches of files hold, gigabytes over all of them.

  Only where it is much: the next file may use them.
  """
  yield
  if psutil.Process().memory_info().rss < ROOM_LEFT:
    return
  jax.clear_caches()
  for module in (request.module, sys.modules.get('tests.made')):
    for value in list(vars(module).values()) if module else ():
      if hasattr(value, 'cache_clear') and str(value.__module__).split('.')[0] == 'tests':
        value.cache_clear()
  gc.collect()
  if sys.platform.startswith('linux'):
    ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope='session')
def root():
  """Returns the checkout's folder."""
  return ROOT


@pytest.fixture(scope='session')
def golden():
  """Returns the folder of golden files that come with the project."""
  return ROOT / 'tests' / 'golden'


@pytest.fixture(scope='session')
def shared():
  """Returns the folder of what is too large for the project; tests that need it skip without it."""
  folder = os.environ.get('HSNET_SHARED')
  if not folder:
    pytest.skip('needs the material at $HSNET_SHARED, which is not set')
  folder = pathlib.Path(folder).resolve()
  if not folder.is_dir():
    pytest.fail(f'$HSNET_SHARED is {folder}, which is no folder')
  return folder
