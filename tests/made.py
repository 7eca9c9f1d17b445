"""What several tests of the network share: made weights, and the measure of agreement."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hsnet_jax.backbones import Backbone
from hsnet_jax.model import HSNet
from hsnet_jax.weights.convert import from_torch
from hsnet_jax.weights.names import hsnet_tensors
from tests.golden_recipe import weight


# Of a few at a time: those of a ResNet are hundreds of megabytes.
@functools.lru_cache(maxsize=2)
def _tensors(backbone, seed):
  return {
    name: weight(name, tensor.shape, seed=seed) for name, tensor in hsnet_tensors(backbone).items()
  }


def tensors(backbone, *, seed=0):
  """{published name: array} of any backbone's HSNet, made by the golden recipe; a new dict."""
  return dict(_tensors(backbone, seed))


@functools.lru_cache(maxsize=2)
def variables(backbone):
  """The same as variables, on the device."""
  return jax.device_put(from_torch(tensors(backbone), backbone=backbone))


def averages(levels, *, stride=2, channels=5, name='averages'):
  """A backbone of averages over squares, each level twice as coarse as the one before.

  With few levels the network over it has all blocks but those of finer levels, and compiles in a
  fraction of the time; on a CPU all its support sides are so small that they are computed densely.
  """

  def init(key):
    return {'color': {'kernel': jax.random.normal(key, (1, 1, 3, channels))}}

  def apply(weights, images, *, precision='highest'):
    kernel = weights['color']['kernel'][0, 0].astype(images.dtype)
    x = jnp.einsum('bhwc,co->bhwo', images, kernel, precision=precision)
    features = []
    for level, count in enumerate(levels):
      side = stride * 2**level
      rows = x.reshape(x.shape[0], x.shape[1] // side, side, x.shape[2] // side, side, channels)
      features += [rows.mean((2, 4)) - i for i in range(count)]
    return features

  return Backbone(name, init, apply, levels, mean=(100.0, 110.0, 120.0), std=(50.0, 60.0, 70.0))


# Two levels of one map each, those of an image of 32 x 32 pixels being 4 x 4 and 2 x 2.
SMALL = averages((1, 1), stride=8, name='small')


def normal(*shapes, seed=0):
  """Normally distributed arrays of these shapes, float32."""
  rng = np.random.default_rng(seed)
  return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def relative_error(a, b):
  """max|a - b| / max|b|, 0 where both vanish; shapes must agree."""
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  assert a.shape == b.shape, (a.shape, b.shape)
  difference = np.abs(a - b).max()
  return difference / np.abs(b).max() if difference else 0.0


def assert_close(a, b, tolerance=1e-5):
  """Trees agree leaf by leaf to a relative error."""
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for (path, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True):
    error = relative_error(x, y)
    assert error <= tolerance, (jax.tree_util.keystr(path), error)


def bilinear_oracle(x, size, *, axes=(1, 2)):
  """Aligned corners in float64: linear interpolation along one axis, then along the other."""
  x = np.asarray(x, np.float64)
  for axis, n_out in zip(axes, size, strict=True):
    n_in = x.shape[axis]
    at = np.linspace(0, n_in - 1, n_out) if n_out > 1 else np.zeros(1)
    x = np.apply_along_axis(lambda v, at=at, n=n_in: np.interp(at, np.arange(n), v), axis, x)
  return x


def conv_oracle(x, kernel, stride=1, padding=None):
  """2D convolution by its definition, in float64; padded by half the kernel unless said."""
  (kh, kw), x = kernel.shape[:2], np.asarray(x, np.float64)
  x = np.pad(x, ((0, 0), *(padding or [(k // 2, k // 2) for k in (kh, kw)]), (0, 0)))
  height, width = (x.shape[1] - kh) // stride + 1, (x.shape[2] - kw) // stride + 1
  y = np.zeros((len(x), height, width, kernel.shape[3]))
  for i, j in np.ndindex(height, width):
    window = x[:, i * stride : i * stride + kh, j * stride : j * stride + kw]
    y[:, i, j] = np.tensordot(window, kernel, 3)
  return y


class OneParameter(HSNet):
  """In place of the network: logits that follow from one parameter `w` and the pixels."""

  def apply(self, variables, *operands, method, output_size=None):
    """Does what `HSNet.apply` is asked for by its method."""
    if method == 'encode':
      return operands
    assert method == 'match'
    (query,), (support,), mask = operands
    margin = variables['params']['w'] * (query.mean(-1) + support.mean(-1) * mask)
    return jnp.stack([jnp.zeros_like(margin), margin], -1)
