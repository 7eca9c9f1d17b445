"""Every form of the 2D convolutions against the plain one, and that against loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from hsnet_jax.kernels import conv2d as module
from hsnet_jax.kernels.conv2d import (
  DIMENSIONS,
  block_length,
  conv2d,
  conv2d_plain,
  in_blocks,
)
from hsnet_jax.kernels.depthwise import depthwise_conv2d
from tests.made import assert_close, conv_oracle, normal, relative_error

FORMS = pytest.mark.parametrize('implementation', ['auto', 'plain'])
# Kernel, channels, output channels, stride: few and many channels, few outputs, even strides.
CASES = [
  ((3, 3), 2, 16, 1),
  ((5, 5), 3, 8, 1),
  ((3, 5), 2, 9, 1),
  ((3, 3), 32, 8, 1),
  ((5, 3), 40, 12, 1),
  ((3, 3), 33, 2, 1),
  ((5, 5), 3, 16, 4),
  ((3, 3), 4, 8, 2),
  ((3, 5), 4, 8, 4),
  ((7, 7), 3, 4, 2),
  ((1, 1), 5, 8, 1),
  ((1, 1), 5, 8, 2),
]


def value_and_gradients(f, x, kernel, seed=1):
  """`f(x, kernel)` and its gradients for one random cotangent, compiled together."""

  def run(x, kernel):
    y, vjp = jax.vjp(f, x, kernel)
    (g,) = normal(y.shape, seed=seed)
    return y, *vjp(g)

  return jax.jit(run)(x, kernel)


@FORMS
@pytest.mark.parametrize(('size', 'channels', 'out', 'stride'), CASES)
def test_conv2d_against_the_plain_form(size, channels, out, stride, implementation):
  x, kernel = normal((2, 7, 6, channels), (*size, channels, out))
  of_ours = functools.partial(conv2d, stride=stride, implementation=implementation)
  ours = value_and_gradients(of_ours, x, kernel)
  plain = value_and_gradients(functools.partial(conv2d_plain, stride=stride), x, kernel)
  assert_close(ours, plain)
  assert_close(ours[0], conv_oracle(x, kernel, stride))


def test_lengths_of_blocks():
  assert [block_length(12, most) for most in (0, 1, 5, 12, 99)] == [1, 1, 4, 12, 12]
  assert block_length(53, 13) == 11, 'no divisor: five blocks, the last filled up'
  assert in_blocks(jnp.arange(5), 3).tolist() == [[0, 1, 2], [3, 4, 0]]


def test_a_strided_gradient_of_short_numbers_is_summed_in_float32(monkeypatch):
  monkeypatch.setattr(module, 'BLOCK_BYTES', 1)
  x, kernel = (a.astype(jnp.bfloat16) for a in normal((300, 4, 4, 2), (3, 3, 2, 8)))

  def gradient(f, x, kernel):
    return jax.jit(jax.grad(lambda k: f(x, k, stride=2).astype(np.float32).sum()))(kernel)

  found = gradient(conv2d, x, kernel)
  wide = gradient(conv2d_plain, *(a.astype(np.float32) for a in (x, kernel)))
  assert found.dtype == jnp.bfloat16
  assert relative_error(found.astype(np.float32), wide) < 0.005


def test_no_images_have_no_gradient():
  x, kernel = jnp.zeros((0, 7, 6, 3)), jnp.ones((3, 3, 3, 8))
  gradients = jax.grad(lambda x, k: conv2d(x, k, stride=2).sum(), (0, 1))(x, kernel)
  assert [g.shape for g in gradients] == [x.shape, kernel.shape]
  assert not np.any(gradients[1])


@pytest.mark.parametrize('stride', [1, 4])
def test_many_images_go_in_parts_and_windows_in_blocks(stride, monkeypatch):
  monkeypatch.setattr(module, 'BLOCK_BYTES', 2**14)
  x, kernel = normal((18, 7, 6, 16), (5, 5, 16, 8))
  forms = (functools.partial(f, stride=stride) for f in (conv2d, conv2d_plain))
  ours, plain = (value_and_gradients(f, x, kernel) for f in forms)
  assert_close(ours, plain)
  jaxpr = str(jax.make_jaxpr(functools.partial(conv2d, stride=stride))(x, kernel))
  assert jaxpr.count('conv_general_dilated[') == module.PARTS


def test_a_cpu_gets_its_own_gradient():
  """Or else the test above compares the plain form with itself."""
  x, kernel = normal((1, 5, 5, 2), (3, 3, 2, 8))
  assert 'custom_vjp' in str(jax.make_jaxpr(conv2d)(x, kernel))


@FORMS
@pytest.mark.parametrize(
  ('stride', 'padding'), [(1, ((1, 1), (1, 1))), (2, ((0, 1), (1, 1))), (2, ((0, 1), (0, 1)))]
)
def test_depthwise(stride, padding, implementation):
  x, kernel = normal((2, 7, 6, 5), (3, 3, 5, 1))
  # The full kernel that a depthwise one stands for: nothing from channel to channel.
  full = kernel * jnp.eye(5)[None, None]
  options = {'stride': stride, 'padding': padding, 'implementation': implementation}
  run = functools.partial(depthwise_conv2d, **options)
  y, dx, dk = value_and_gradients(run, x, kernel)
  assert_close(y, conv_oracle(x, full, stride, padding))

  def plain(x, full):
    strides = (stride, stride)
    return jax.lax.conv_general_dilated(
      x, full, strides, padding, dimension_numbers=DIMENSIONS, precision='highest'
    )

  expected = value_and_gradients(plain, x, full)
  assert_close(dx, expected[1])
  assert_close(dk[..., 0], np.diagonal(expected[2], axis1=2, axis2=3))


@pytest.mark.parametrize('channels', [3, 32])
def test_mapped(channels):
  x, kernels = normal((4, 2, 5, 4, channels), (4, 3, 3, channels, 8))
  each = np.stack([conv2d_plain(*pair) for pair in zip(x, kernels, strict=True)])
  assert_close(jax.vmap(conv2d)(x, kernels), each)
  assert_close(jax.pmap(conv2d)(x, kernels), each)
  gradient = jax.grad(lambda k, x, f: (f(x, k) ** 2).sum())
  mapped = jax.vmap(functools.partial(gradient, f=conv2d))(kernels, x)
  expected = [gradient(k, xi, conv2d_plain) for k, xi in zip(kernels, x, strict=True)]
  assert_close(mapped, np.stack(expected))


@pytest.mark.parametrize('check_vma', [True, False])
@pytest.mark.parametrize(('channels', 'stride'), [(3, 1), (32, 1), (3, 2)])
def test_sharded_images_sum_a_replicated_kernels_gradient_once(channels, stride, check_vma):
  x, kernel = normal((8, 5, 4, channels), (3, 3, channels, 8))
  mesh = Mesh(np.array(jax.devices()[:4]), ('data',))

  def loss(x, kernel, f=conv2d):
    return (f(x, kernel, stride=stride) ** 2).sum()

  def share(x, kernel):
    dx, dk = jax.grad(loss, argnums=(0, 1))(x, kernel)
    # With the check, JAX transposes the kernel's replication into a sum; without, the caller does.
    return dx, dk if check_vma else jax.lax.psum(dk, 'data')

  specs = {'in_specs': (P('data'), P()), 'out_specs': (P('data'), P())}
  sharded = jax.jit(jax.shard_map(share, mesh=mesh, **specs, check_vma=check_vma))
  expected = jax.grad(functools.partial(loss, f=conv2d_plain), argnums=(0, 1))(x, kernel)
  assert_close(sharded(x, kernel), expected)


def test_sharded_kernels_sum_replicated_images_gradient_once():
  x, kernel = normal((2, 5, 4, 3), (3, 3, 3, 32))
  mesh = Mesh(np.array(jax.devices()[:4]), ('out',))
  gradient = jax.grad(lambda x, k: (conv2d(x, k) ** 2).sum(), argnums=(0, 1))
  kernels = P(None, None, None, 'out')
  specs = {'in_specs': (P(), kernels), 'out_specs': (P(), kernels)}
  sharded = jax.jit(jax.shard_map(gradient, mesh=mesh, **specs, check_vma=True))
  assert_close(sharded(x, kernel), gradient(x, kernel))


def test_float32_is_asked_for():
  """Accelerators shorten products unless told; a caller may still choose to."""
  x, kernel = normal((1, 5, 5, 3), (3, 3, 3, 8))
  for f in (conv2d, conv2d_plain):
    assert 'HIGHEST' in str(jax.make_jaxpr(f)(x, kernel))
    faster = functools.partial(f, precision='default')
    assert 'HIGHEST' not in str(jax.make_jaxpr(faster)(x, kernel))
  assert relative_error(conv2d(x, kernel), conv_oracle(x, kernel)) <= 1e-6


@FORMS
@pytest.mark.parametrize('size', [(2, 2), (3, 2), (4, 1)])
def test_even_kernels_are_refused(size, implementation):
  """Half of one is no padding: the result would have one row too many."""
  x, kernel = jnp.ones((1, 5, 5, 2)), jnp.ones((*size, 2, 8))
  for f in (functools.partial(conv2d, implementation=implementation), conv2d_plain):
    with pytest.raises(ValueError, match=f'kernel.*{size[0]} x {size[1]}.*odd'):
      f(x, kernel)
