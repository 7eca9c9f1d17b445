"""Runs the pure functions with the library's own dependencies alone.

Run by hand or by CI where nothing but `pip install .` was done, and by test_package.py, where what
the extras bring is installed and has to be hidden: `python tests/core_alone.py --hide grain,PIL`.
"""

import importlib
import importlib.abc
import sys
import time


class Hidden(importlib.abc.MetaPathFinder):
  """Finds no module of some packages."""

  def __init__(self, names):
    self.names = names

  def find_spec(self, name, path=None, target=None):
    """Raises ImportError for a hidden module."""
    if name.split('.')[0] in self.names:
      raise ImportError(f'{name} is no dependency of the library alone')


if sys.argv[1:2] == ['--hide']:
  sys.meta_path.insert(0, Hidden(set(sys.argv[2].split(','))))

start = time.perf_counter()
import hsnet_jax as hs  # noqa: E402

model = hs.HSNet('tiny')
seconds = time.perf_counter() - start

import jax  # noqa: E402
import numpy as np  # noqa: E402

for name in hs.__all__:
  getattr(hs, name)
images = np.zeros((2, 32, 32, 3), np.float32)
mask = np.ones((2, 32, 32), np.float32)
shapes = jax.eval_shape(model.init, jax.random.key(0), images, images, mask)
assert set(shapes) == {'params', 'backbone'}
maps = [jax.random.normal(jax.random.key(1), (2, size, size, 8)) for size in (8, 8, 4)]
pyramid = hs.hypercorrelation(maps, hs.mask_features(maps, mask))
assert [level.shape for level in pyramid] == [(2, 4, 4, 4, 4, 1), (2, 8, 8, 8, 8, 2)]
kernels = jax.random.normal(jax.random.key(2), (2, 3, 3, 2, 16))
squeezed = hs.center_pivot_conv4d(pyramid[1], *kernels, stride=2)
assert squeezed.shape == (2, 8, 8, 4, 4, 16)
assert hs.resize_bilinear(images, (64, 64)).shape == (2, 64, 64, 3)
assert hs.vote(np.ones((5, 2, 32, 32), np.int32)).shape == (2, 32, 32)
try:
  importlib.import_module('hsnet_jax.training.augment')
except ImportError as error:
  assert 'hsnet-jax[train]' in str(error), error
else:
  raise AssertionError('hsnet_jax.training.augment was imported without dm_pix')
print(f'the core alone is enough; imported in {seconds:.2f} s')
