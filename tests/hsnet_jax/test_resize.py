import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsnet_jax.resize import nearest_indices, resize_bilinear, resize_bilinear_each, resize_nearest
from tests.made import assert_close, bilinear_oracle, relative_error

WRAPS = pytest.mark.parametrize('wrap', [lambda f, **_: f, jax.jit], ids=['plain', 'jit'])


@WRAPS
@pytest.mark.parametrize('case', ['up', 'down', 'one'])
def test_bilinear_golden(golden, case, wrap):
  with np.load(golden / 'resize.npz') as data:
    x, expected = (jnp.asarray(data[name].transpose(0, 2, 3, 1)) for name in ('x', case))
  x = x[:, :1, :1] if case == 'one' else x
  y = wrap(resize_bilinear, static_argnums=1)(x, expected.shape[1:3])
  assert y.dtype == jnp.float32
  assert relative_error(y, expected) <= 1e-5


@WRAPS
@pytest.mark.parametrize(
  ('source', 'target'),
  [
    ('mask', 'mask_nearest'),
    ('mask', 'mask_nearest_down'),
    ('nearest0_mask', 'nearest0_out'),
    ('nearest1_mask', 'nearest1_out'),
  ],
)
def test_nearest_golden(golden, source, target, wrap):
  with np.load(golden / 'resize.npz') as data:
    mask, expected = jnp.asarray(data[source][0]), data[target][0]
  y = wrap(resize_nearest, static_argnums=1)(mask, expected.shape[1:])
  assert y.dtype == mask.dtype
  np.testing.assert_array_equal(y, expected)


@given(
  st.tuples(*[st.integers(1, 6)] * 2), st.tuples(*[st.integers(1, 9)] * 2), st.integers(0, 999)
)
@settings(max_examples=12, deadline=None)
def test_bilinear_against_interpolation(size, new_size, seed):
  x = np.random.default_rng(seed).normal(size=(2, *size, 3))
  x = jnp.asarray(x, jnp.float32)
  y = resize_bilinear(x, new_size)
  np.testing.assert_allclose(y, bilinear_oracle(x, new_size), atol=3e-6)
  np.testing.assert_array_equal(y[:, 0, 0], x[:, 0, 0])


def test_bilinear_keeps_what_it_should():
  x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 7, 2)), jnp.float32)
  np.testing.assert_array_equal(resize_bilinear(x, (5, 7)), x)
  np.testing.assert_allclose(resize_bilinear(jnp.ones_like(x), (9, 4)), 1, rtol=1e-6)
  corners = np.asarray(resize_bilinear(x, (11, 3)))[:, ::10, ::2]
  np.testing.assert_allclose(corners, x[:, ::4, ::6], rtol=1e-6)


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, bool])
def test_bilinear_refuses_labels(dtype):
  """Its weights would all round to 0 or 1."""
  # Without the wrapper by which the tests check shapes and types before the function does.
  labels = jnp.ones((1, 2, 3, 1), dtype)
  with pytest.raises(TypeError, match='resize_bilinear takes .* resize_nearest'):
    inspect.unwrap(resize_bilinear)(labels, (4, 3))
  with pytest.raises(TypeError, match='resize_bilinear_each takes .* resize_nearest'):
    inspect.unwrap(resize_bilinear_each)(labels, np.array([[4, 3]]), canvas=(4, 4))


def test_bilinear_gradient_is_the_transpose():
  rng = np.random.default_rng(1)
  x, g = rng.normal(size=(2, 4, 3, 2)), rng.normal(size=(2, 7, 5, 2))
  x, g = jnp.asarray(x, jnp.float32), jnp.asarray(g, jnp.float32)
  gradient = jax.grad(lambda x: (resize_bilinear(x, (7, 5)) * g).sum())(x)
  rows, columns = (
    bilinear_oracle(np.eye(n)[None, ..., None], size)[0, ..., 0]
    for n, size in ((4, (7, 4)), (3, (5, 3)))
  )
  expected = np.einsum('oh,pw,bopc->bhwc', rows, columns, g)
  assert_close(gradient, expected)


def test_vmap_and_pmap():
  x = jnp.asarray(np.random.default_rng(2).normal(size=(4, 2, 3, 4, 1)), jnp.float32)
  each = np.stack([resize_bilinear(xi, (6, 5)) for xi in x])
  for mapped in (jax.vmap, jax.pmap):
    assert_close(mapped(lambda xi: resize_bilinear(xi, (6, 5)))(x), each)
    masks = (x[..., 0] > 0).astype(jnp.uint8)
    np.testing.assert_array_equal(
      mapped(lambda m: resize_nearest(m, (6, 5)))(masks),
      np.stack([resize_nearest(m, (6, 5)) for m in masks]),
    )


@given(st.integers(1, 700), st.integers(1, 700))
@settings(max_examples=100, deadline=None)
def test_nearest_index_is_the_protocols(n_in, n_out):
  scale = np.float32(n_in) / np.float32(n_out)
  expected = [min(int(np.floor(np.float32(np.float32(i) * scale))), n_in - 1) for i in range(n_out)]
  np.testing.assert_array_equal(nearest_indices(n_in, n_out), expected)


def test_nearest_index_is_no_integer_arithmetic():
  assert (nearest_indices(336, 400) != np.arange(400) * 336 // 400).any()


@WRAPS
def test_each_map_goes_to_its_own_size(wrap):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(4, 7, 9, 2)), jnp.float32)
  sizes = np.array([[64, 40], [1, 64], [13, 9], [7, 1]], np.int32)
  y = wrap(lambda x, sizes: resize_bilinear_each(x, sizes, canvas=(64, 64)))(x, sizes)
  assert y.shape == (4, 64, 64, 2)
  for row, (height, width) in enumerate(sizes.tolist()):
    expected = resize_bilinear(x[row : row + 1], (height, width))
    assert relative_error(y[row : row + 1, :height, :width], expected) <= 1e-5


@pytest.mark.parametrize('size', [(5, 4), (4, 5)])
def test_a_size_above_the_canvas_is_refused_where_known_and_else_cropped(size):
  x = jnp.asarray(np.random.default_rng(3).normal(size=(2, 3, 3, 1)), jnp.float32)
  sizes = np.array([(2, 2), size])
  with pytest.raises(ValueError, match=r'\(4, 4\)'):
    resize_bilinear_each(x, sizes, canvas=(4, 4))
  cropped = jax.jit(lambda sizes: resize_bilinear_each(x, sizes, canvas=(4, 4)))(sizes)
  assert_close(cropped[1:], resize_bilinear(x[1:], size)[:, :4, :4])
