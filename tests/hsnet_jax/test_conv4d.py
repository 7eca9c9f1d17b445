"""The three 4D convolutions of Fig. 4 against their definitions."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from hsnet_jax.conv4d import center_pivot_conv4d, full_conv4d, separable_conv4d
from tests.made import assert_close, normal, relative_error

WRAPS = pytest.mark.parametrize('wrap', [lambda f, **_: f, jax.jit], ids=['plain', 'jit'])
FORMS = ('auto', 'plain', 'dense', 'convolution')


def conv4d_oracle(x, kernel, stride=1):
  """The 4D convolution by its definition, in float64: one 4D window a position."""
  k, (b, hq, wq, hs, ws, _) = kernel.shape[:4], x.shape
  pads = [(n // 2, n // 2) for n in k]
  x = np.pad(np.asarray(x, np.float64), ((0, 0), *pads, (0, 0)))
  y = np.zeros((b, hq, wq, -(-hs // stride), -(-ws // stride), kernel.shape[-1]))
  for p, q, r, s in np.ndindex(y.shape[1:5]):
    starts = (p, q, r * stride, s * stride)
    window = x[:, *(slice(a, a + n) for a, n in zip(starts, k, strict=True))]
    y[:, p, q, r, s] = np.einsum('bklmnc,klmnco->bo', window, kernel)
  return y


def pivot_kernel(query_kernel, support_kernel):
  """The full kernel of a center-pivot one: zero off its two center planes (Fig. 4c)."""
  k, m = query_kernel.shape[:2], support_kernel.shape[:2]
  kernel = np.zeros((*k, *m, *query_kernel.shape[2:]))
  kernel[:, :, m[0] // 2, m[1] // 2] += query_kernel
  kernel[k[0] // 2, k[1] // 2] += support_kernel
  return kernel


@WRAPS
@pytest.mark.parametrize('implementation', ['auto', 'plain', 'portable'])
@pytest.mark.parametrize('case', range(5))
def test_center_pivot_golden(golden, case, implementation, wrap):
  names = ('query_weight', 'query_bias', 'support_weight', 'support_bias', 'stride', 'x', 'y')
  with np.load(golden / 'center_pivot_conv4d.npz') as data:
    wq, bq, ws, bs, stride, x, expected = (data[f'case{case}/{name}'] for name in names)
  x, expected = (jnp.asarray(a.transpose(0, 2, 3, 4, 5, 1)) for a in (x, expected))
  kernels = [jnp.asarray(w.transpose(2, 3, 1, 0)) for w in (wq, ws)]
  options = {'stride': int(stride), 'implementation': implementation}
  run = wrap(functools.partial(center_pivot_conv4d, **options))
  assert relative_error(run(x, *kernels, jnp.asarray(bq + bs)), expected) <= 1e-5


SIZES = st.tuples(*[st.integers(1, 4)] * 2, *[st.integers(1, 6)] * 2)
KERNELS = st.tuples(*[st.sampled_from([1, 3, 5])] * 2)


@given(SIZES, KERNELS, st.sampled_from([1, 2, 3, 4]), st.integers(0, 999))
@settings(max_examples=6, deadline=None)
def test_center_pivot_against_its_definition(size, k, stride, seed):
  x, wq, ws, bias = normal((2, *size, 2), (*k, 2, 3), (*k, 2, 3), (3,), seed=seed)
  y = center_pivot_conv4d(x, wq, ws, bias, stride=stride)
  assert_close(y, conv4d_oracle(x, pivot_kernel(wq, ws), stride) + np.asarray(bias))


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])
def test_full_against_its_definition(stride, wrap):
  x, kernel, bias = normal((2, 3, 2, 4, 5, 2), (3, 1, 3, 5, 2, 3), (3,))
  run = wrap(functools.partial(full_conv4d, stride=stride))
  assert_close(run(x, kernel), conv4d_oracle(x, kernel, stride))
  assert_close(run(x, kernel, bias), conv4d_oracle(x, kernel, stride) + np.asarray(bias))


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])
def test_separable_against_its_definition(stride, wrap):
  """A 4D kernel that is the product of a query kernel and a support kernel."""
  x, wq, ws, bias = normal((2, 3, 2, 4, 5, 2), (3, 5, 2, 4), (3, 5, 4, 3), (3,))
  product = np.einsum('klcp,mnpo->klmnco', wq, ws)
  run = wrap(functools.partial(separable_conv4d, stride=stride))
  assert_close(run(x, wq, ws), conv4d_oracle(x, product, stride))
  assert_close(run(x, wq, ws, bias), conv4d_oracle(x, product, stride) + np.asarray(bias))


@pytest.mark.parametrize('form', ['center-pivot', 'separable', 'full'])
def test_the_three_are_exchanged_with_their_kernels(form):
  x, wq, ws, kernel, bias = normal(
    (2, 2, 3, 4, 5, 2), (3, 5, 2, 2), (3, 5, 2, 2), (3, 1, 3, 5, 2, 2), (2,)
  )
  f, kernels, full = {
    'center-pivot': (center_pivot_conv4d, (wq, ws), pivot_kernel(wq, ws)),
    'separable': (separable_conv4d, (wq, ws), np.einsum('klcp,mnpo->klmnco', wq, ws)),
    'full': (full_conv4d, (kernel,), kernel),
  }[form]
  expected = conv4d_oracle(x, full, 2)
  assert_close(f(x, *kernels, stride=2, precision='highest'), expected)
  assert_close(f(x, *kernels, bias, stride=2), expected + np.asarray(bias))
  assert_close(f(x, *kernels, bias=bias, stride=2), expected + np.asarray(bias))


@pytest.mark.parametrize('implementation', FORMS)
@pytest.mark.parametrize('axis', range(4))
def test_even_kernels_are_refused(axis, implementation):
  x, sides = jnp.ones((1, 2, 2, 3, 3, 2)), [3, 3, 3, 3]
  sides[axis] = 2
  halves = [jnp.ones((*half, 2, 2)) for half in (sides[:2], sides[2:])]
  # Without the wrapper by which the tests refuse two kernels of unlike sides.
  pivot = functools.partial(inspect.unwrap(center_pivot_conv4d), implementation=implementation)
  for f in (pivot, inspect.unwrap(separable_conv4d)):
    with pytest.raises(ValueError, match='3 x 2' if axis % 2 else '2 x 3'):
      f(x, *halves)
  with pytest.raises(ValueError, match=' x '.join(map(str, sides))):
    full_conv4d(x, jnp.ones((*sides, 2, 2)))


# Support sizes and strides on both sides of the dense form's limit, as the encoder meets them.
@pytest.mark.parametrize(
  ('size', 'k', 'stride'),
  [
    ((2, 3, 1, 1), 3, 1),
    ((2, 2, 2, 2), 3, 1),
    ((1, 3, 2, 2), 3, 2),
    ((2, 2, 7, 7), 5, 4),
    ((2, 1, 9, 8), 3, 2),
    ((1, 2, 9, 9), 3, 1),
  ],
)
def test_forms_agree_in_value_and_gradients(size, k, stride):
  x, wq, ws, bias = normal((2, *size, 3), (k, k, 3, 8), (k, k, 3, 8), (8,))

  def run(form):
    def values(*operands):
      f = functools.partial(center_pivot_conv4d, stride=stride, implementation=form)
      y, vjp = jax.vjp(f, *operands)
      return y, *vjp(normal(y.shape, seed=1)[0])

    return jax.jit(values)(x, wq, ws, bias)

  plain = run('plain')
  for form in ('dense', 'convolution'):
    assert_close(run(form), plain)


def test_the_dense_form_is_taken_on_small_supports():
  """Never one of hundreds of megabytes."""
  taken = []
  cases = ((2, 3, 2), (4, 3, 2), (13, 5, 2), (4, 3, 512))  # support size, kernel, channels
  for support, k, channels in cases:
    x = jax.ShapeDtypeStruct((1, 2, 2, support, support, channels), np.float32)
    kernel = jax.ShapeDtypeStruct((k, k, channels, channels), np.float32)
    auto, dense = (
      str(
        jax.make_jaxpr(functools.partial(center_pivot_conv4d, implementation=form))(
          x, kernel, kernel
        )
      )
      for form in ('auto', 'dense')
    )
    taken.append(auto == dense)
  assert taken == [True, True, False, False]


def test_an_unknown_form_is_named():
  x, kernel = jnp.ones((1, 2, 2, 3, 3, 2)), jnp.ones((3, 3, 2, 2))
  with pytest.raises(ValueError, match='implementation.*fastest.*dense'):
    center_pivot_conv4d(x, kernel, kernel, implementation='fastest')


def test_mapped():
  x, wq, ws = normal((4, 1, 2, 3, 3, 2, 2), (4, 3, 3, 2, 8), (4, 3, 3, 2, 8))
  run = functools.partial(center_pivot_conv4d, stride=2)
  each = np.stack([run(*operands) for operands in zip(x, wq, ws, strict=True)])
  assert_close(jax.vmap(run)(x, wq, ws), each)
  assert_close(jax.pmap(run)(x, wq, ws), each)


def test_sharded_episodes_sum_replicated_gradients_once():
  x, wq, ws, bias = normal((4, 2, 2, 3, 3, 2), (3, 3, 2, 8), (3, 3, 2, 8), (8,))
  mesh = Mesh(np.array(jax.devices()[:4]), ('data',))

  def gradients(parameters, x):
    return jax.grad(lambda p: (center_pivot_conv4d(x, *p, stride=2) ** 2).sum())(parameters)

  specs = {'in_specs': (P(), P('data')), 'out_specs': P()}
  sharded = jax.jit(jax.shard_map(gradients, mesh=mesh, **specs, check_vma=True))
  parameters = (wq, ws, bias)
  assert_close(sharded(parameters, x), jax.jit(gradients)(parameters, x))
