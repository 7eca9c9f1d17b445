"""Group norm and its gradient against Linen's, which leaves the gradient to JAX."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from hsnet_jax.kernels.group_norm import group_norm
from tests.made import assert_close, normal, relative_error


def plain(x, scale, bias, groups=4, epsilon=1e-5):
  norm = nn.GroupNorm(num_groups=groups, epsilon=epsilon)
  return norm.apply({'params': {'scale': scale, 'bias': bias}}, x)


def made(shape):
  x, scale, bias, g = normal(shape, shape[-1:], shape[-1:], shape)
  return 3 * x + 1, scale, bias, g


def value_and_gradients(f, x, scale, bias, g):
  y, pull = jax.vjp(f, x, scale, bias)
  return y, *pull(g)


@pytest.mark.parametrize('shape', [(2, 3, 5, 2, 1, 8), (1, 7, 12), (3, 1, 1, 1, 1, 16)])
@pytest.mark.parametrize('groups', [1, 4])
def test_value_and_gradients(shape, groups):
  both = (functools.partial(f, groups=groups) for f in (group_norm, plain))
  ours, expected = (jax.jit(functools.partial(value_and_gradients, f))(*made(shape)) for f in both)
  assert_close(ours, expected)


def test_one_value_everywhere_leaves_the_bias():
  x, (bias,) = jnp.full((1, 6, 4), 7.0), normal((4,))
  y, dx, *_ = value_and_gradients(group_norm, x, jnp.ones(4), bias, jnp.ones_like(x))
  assert_close(y, np.broadcast_to(bias, x.shape), 1e-3)
  assert np.all(np.isfinite(dx))


def test_mapped():
  x, scale, bias, g = made((4, 2, 5, 8))
  run = functools.partial(value_and_gradients, group_norm)
  found = jax.vmap(run, (0, None, None, 0))(x, scale, bias, g)
  each = [run(xi, scale, bias, gi) for xi, gi in zip(x, g, strict=True)]
  assert_close(list(found), [np.stack(some) for some in zip(*each, strict=True)])


def test_short_numbers_are_normalized_in_float32():
  x, scale, bias, g = made((2, 300, 8))
  short, of_short = x.astype(jnp.bfloat16), g.astype(jnp.bfloat16)
  y, dx, *_ = value_and_gradients(group_norm, short, scale, bias, of_short)
  expected = value_and_gradients(plain, x, scale, bias, g)
  assert y.dtype == dx.dtype == jnp.bfloat16
  assert relative_error(y.astype(np.float32), expected[0]) < 0.01
  assert relative_error(dx.astype(np.float32), expected[1]) < 0.01


@pytest.mark.parametrize('check_vma', [True, False])
def test_sharded_episodes_sum_replicated_parameters_gradients_once(check_vma):
  x, scale, bias, g = made((8, 5, 8))
  mesh = Mesh(np.array(jax.devices()[:4]), ('data',))

  def share(x, scale, bias, g):
    dx, *of_parameters = value_and_gradients(group_norm, x, scale, bias, g)[1:]
    if not check_vma:
      of_parameters = jax.lax.psum(of_parameters, 'data')
    return dx, *of_parameters

  specs = {'in_specs': (P('data'), P(), P(), P('data')), 'out_specs': (P('data'), P(), P())}
  sharded = jax.jit(jax.shard_map(share, mesh=mesh, **specs, check_vma=check_vma))
  expected = value_and_gradients(plain, x, scale, bias, g)[1:]
  assert_close(sharded(x, scale, bias, g), expected)
