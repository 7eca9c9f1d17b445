import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hsnet_jax
from hsnet_jax.correlation import cosine_correlation, hypercorrelation, mask_features
from tests.made import assert_close, normal, relative_error

WRAPS = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])


def cosine_oracle(query, support, eps=1e-5):
  """Eq. 2 in float64, one pair of positions at a time."""
  query, support = np.asarray(query, np.float64), np.asarray(support, np.float64)
  out = np.zeros((*query.shape[:3], *support.shape[1:3]))
  for b, i, j, m, n in np.ndindex(out.shape):
    q, s = query[b, i, j], support[b, m, n]
    cosine = q / (np.sqrt(q @ q) + eps) @ (s / (np.sqrt(s @ s) + eps))
    out[b, i, j, m, n] = max(cosine, 0)
  return out


@pytest.fixture(scope='module')
def published(golden):
  """Query features, support features, mask, masked features, and the pyramid, coarsest first."""
  with np.load(golden / 'hypercorrelation.npz') as data:
    data = dict(data)

  def maps(name):
    return [jnp.asarray(data[f'{name}{i}'].transpose(0, 2, 3, 1)) for i in range(13)]

  pyramid = [
    data[f'corr_{level}'].transpose(0, 2, 3, 4, 5, 1) for level in ('top', 'mid', 'bottom')
  ]
  return maps('query'), maps('support'), jnp.asarray(data['mask']), maps('masked'), pyramid


@WRAPS
def test_masked_features_golden(published, wrap):
  _, support, mask, masked, _ = published
  for ours, expected in zip(wrap(mask_features)(support, mask), masked, strict=True):
    assert relative_error(ours, expected) <= 1e-5
    assert not np.asarray(ours)[1].any(), 'the second mask is empty'


@WRAPS
@pytest.mark.parametrize('levels', [None, (4, 6, 3)])
def test_hypercorrelation_golden(published, levels, wrap):
  query, support, mask, _, pyramid = published

  def run(query, support, mask):
    return hypercorrelation(query, mask_features(support, mask), levels=levels)

  ours = wrap(run)(query, support, mask)
  assert isinstance(ours, tuple)
  for level, expected in zip(ours, pyramid, strict=True):
    assert relative_error(level, expected) <= 1e-5


@given(
  st.tuples(*[st.integers(1, 4)] * 2),
  st.tuples(*[st.integers(1, 4)] * 2),
  st.sampled_from([1e-5, 0.5]),
  st.integers(0, 999),
)
@settings(max_examples=6, deadline=None)
def test_cosine_against_loops(query_size, support_size, eps, seed):
  query, support = normal((2, *query_size, 5), (2, *support_size, 5), seed=seed)
  support = support.at[1, 0, 0].set(0)
  correlation = cosine_correlation(query, support, eps=eps)
  np.testing.assert_allclose(correlation, cosine_oracle(query, support, eps), atol=2e-6)
  assert not np.asarray(correlation)[1, :, :, 0, 0].any(), 'a vector of zeros matches nothing'


def test_mask_may_be_of_any_type_and_size():
  *features, mask = normal((2, 4, 5, 3), (2, 2, 3, 3), (2, 9, 11))
  mask = mask > 0
  masked = mask_features(features, mask)
  for other in (mask.astype(jnp.uint8), mask.astype(jnp.float32), np.asarray(mask, np.float64)):
    assert_close(masked, mask_features(features, other), 0)
  assert_close(mask_features(features, jnp.ones_like(mask)), tuple(features), 1e-6)


@pytest.mark.parametrize('dtype', [jnp.float16, jnp.bfloat16])
def test_norms_of_short_types_neither_overflow_nor_lose_eps(dtype):
  """The sum of squares of a long vector is no float16, and eps is lost on a bfloat16 of 0.01."""
  query, support = (200 * x for x in normal((1, 2, 2, 64), (1, 2, 2, 64)))
  query, support = query.astype(dtype), jnp.abs(support.astype(dtype))
  correlation = cosine_correlation(query, support)
  assert correlation.dtype == dtype
  expected = cosine_oracle(query, support)
  np.testing.assert_allclose(correlation.astype(jnp.float32), expected, atol=2e-2)
  assert expected.max() > 0.1
  small = jnp.full((1, 1, 1, 1), 1e-5, dtype)
  assert abs(float(cosine_correlation(small, small)[0, 0, 0, 0, 0]) - 0.25) < 5e-3


def test_levels_tell_what_sizes_cannot():
  """Two levels of one size, as tiny images have them."""
  maps = normal(*[(1, 1, 2, 4)] * 5)
  shapes = [level.shape for level in hypercorrelation(maps, maps, levels=(2, 3))]
  assert shapes == [(1, 1, 2, 1, 2, 3), (1, 1, 2, 1, 2, 2)]
  assert [level.shape[-1] for level in hypercorrelation(maps, maps)] == [5]


@pytest.mark.parametrize(('counts', 'levels'), [((3, 2), None), ((3, 3), (1, 1)), ((2, 2), (2, 1))])
def test_maps_that_do_not_fit(counts, levels):
  query, support = ([jnp.ones((1, 2, 2, 3))] * n for n in counts)
  with pytest.raises(ValueError, match=f'{counts[0]} query maps, {counts[1]} support maps'):
    hypercorrelation(query, support, levels=levels)


def test_mapped_and_differentiated():
  query, support = normal((4, 2, 2, 3, 5), (4, 2, 3, 2, 5))
  each = np.stack([cosine_correlation(q, s) for q, s in zip(query, support, strict=True)])
  for mapped in (jax.vmap, jax.pmap):
    assert_close(mapped(cosine_correlation)(query, support), each)

  def f(query, support):
    return (cosine_correlation(query, support) ** 2).sum()

  gradient = jax.grad(f)(query[0], support[0])
  step = 1e-3 * np.random.default_rng(1).normal(size=query[0].shape)
  ends = [(cosine_oracle(query[0] + s * step, support[0]) ** 2).sum() for s in (1, -1)]
  np.testing.assert_allclose((gradient * step).sum(), (ends[0] - ends[1]) / 2, rtol=1e-3)


def test_gradient_of_discarded_background_is_finite():
  """Eq. 1 makes vectors of zeros, whose norm has no derivative."""
  query, support = normal((1, 2, 2, 4), (1, 2, 2, 4))

  def f(query, support):
    return hypercorrelation([query], mask_features([support], jnp.zeros((1, 2, 2))))[0].sum()

  for gradient in jax.grad(f, argnums=(0, 1))(query, support):
    np.testing.assert_array_equal(gradient, np.zeros_like(query))


def test_levels_are_the_maps_of_the_pyramid():
  maps = [jax.random.normal(jax.random.key(i), (1, n, n, 8)) for i, n in enumerate((6, 6, 3))]
  found = hsnet_jax.pyramid_levels(maps, maps, levels=(2, 1))
  assert [type(level) for level in found] == [hsnet_jax.Level] * 2
  assert [len(level.query) for level in found] == [1, 2], 'coarsest first'
  expected = hsnet_jax.hypercorrelation(maps, maps, levels=(2, 1))
  for level, whole in zip(found, expected, strict=True):
    np.testing.assert_array_equal(level.correlate(), whole)
  with pytest.raises(ValueError, match='3 .* 2 '):
    hsnet_jax.pyramid_levels(maps, maps[:2], levels=(2, 1))
