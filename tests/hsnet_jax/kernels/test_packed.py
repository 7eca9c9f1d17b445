"""The packed form of Eq. 2 with the layer over it, against the plain one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from hsnet_jax.conv4d import center_pivot_conv4d
from hsnet_jax.correlation import Level, normalize_features
from hsnet_jax.encoder import correlation_conv4d
from hsnet_jax.kernels import packed

# Query, support, and the kernel's side and stride, as at the network's levels and not.
SIZES = [
  ((4, 6), (9, 5), 3, 2),
  ((1, 1), (1, 1), 3, 2),
  ((3, 2), (13, 13), 5, 4),
]
MORE_SIZES = [((5, 4), (6, 7), 5, 4), ((2, 3), (4, 3), 3, 1)]
MASKS = ['empty', 'one', 'object', 'soft', 'scattered', 'full']


def mask(kind, size, seed=0):
  """A support mask at the size of the maps."""
  rng = np.random.default_rng(seed)
  found = np.zeros(size, np.float32)
  if kind == 'one':
    found[tuple(rng.integers(0, n) for n in size)] = 1
  elif kind == 'object':
    found[size[0] // 3 :, : max(1, size[1] // 2)] = 1
  elif kind == 'soft':
    found[:] = np.clip(rng.uniform(-1, 1, size), 0, 1)
  elif kind == 'scattered':
    found[:] = rng.random(size) < 0.3
  elif kind == 'full':
    found[:] = 1
  return found


def made(size, kinds, *, maps=2, channels=8, out=3, seed=0):
  """A level of an episode for each kind of mask, and two kernels."""
  hq_wq, hs_ws, k, _ = size
  keys = iter(jax.random.split(jax.random.key(seed), 2 * maps + 2))
  masks = jnp.asarray(np.stack([mask(kind, hs_ws, i) for i, kind in enumerate(kinds)]))
  draw = functools.partial(jax.random.normal, dtype=jnp.float32)
  query = [draw(next(keys), (len(kinds), *hq_wq, channels)) for _ in range(maps)]
  support = [
    draw(next(keys), (len(kinds), *hs_ws, channels)) * masks[..., None] for _ in range(maps)
  ]
  level = Level(*(tuple(map(normalize_features, side)) for side in (query, support)))
  kernels = [draw(next(keys), (k, k, maps, out)) for _ in range(2)]
  return level, *kernels


def plain(level, query_kernel, support_kernel, stride):
  x = level.correlate()
  return center_pivot_conv4d(x, query_kernel, support_kernel, stride=stride, implementation='plain')


def run(level, query_kernel, support_kernel, stride):
  return correlation_conv4d(
    level, query_kernel, support_kernel, stride=stride, implementation='packed'
  )


@functools.cache
def compiled(form, stride):
  return jax.jit(functools.partial(form, stride=stride))


def assert_close(a, b):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    scale = max(float(jnp.abs(y).max()), 1e-3)
    np.testing.assert_allclose(x / scale, y / scale, rtol=0, atol=2e-6)


def gradients(form, stride):
  """Of the kernels and of the maps, of a sum that weighs every output."""

  def loss(level, query_kernel, support_kernel):
    return jnp.sin(form(level, query_kernel, support_kernel, stride)).sum()

  return jax.grad(loss, argnums=(0, 1, 2))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  """Several blocks of each kind also where maps are small."""
  monkeypatch.setattr(packed, 'BLOCK_BYTES', 2**12)
  monkeypatch.setattr(packed, 'POSITIONS', 8)
  monkeypatch.setattr(packed, 'WINDOWS', 2)


@pytest.mark.parametrize(
  'size', [*SIZES, *(pytest.param(s, marks=pytest.mark.heavy) for s in MORE_SIZES)], ids=str
)
def test_every_mask_gives_what_the_plain_form_gives(size):
  operands, stride = made(size, MASKS), size[-1]
  assert_close(*(compiled(form, stride)(*operands) for form in (run, plain)))
  assert_close(*(jax.jit(gradients(form, stride))(*operands) for form in (run, plain)))


def test_the_last_block_is_filled_up(monkeypatch):
  """A height that no number of rows divides is not taken row by row."""
  monkeypatch.setattr(packed, 'BLOCK_BYTES', 3 * 4 * 2 * 49 * 4)
  lengths, in_blocks = [], packed.in_blocks
  monkeypatch.setattr(
    packed, 'in_blocks', lambda x, n: lengths.append((len(x), n)) or in_blocks(x, n)
  )
  size = ((5, 4), (6, 7), 5, 4)
  operands = made(size, ['object', 'soft'])
  forms = [jax.jit(gradients(form, 4)) for form in (run, plain)]
  assert_close(*(form(*operands) for form in forms))
  assert set(lengths) == {(5, 3)}
  assert_close(run(*operands, 4), plain(*operands, 4))


def test_an_empty_mask_computes_nothing_and_gives_zeros():
  operands = made(SIZES[0], ['empty'] * len(MASKS))  # As many as are compiled for already.
  assert not np.any(compiled(run, 4)(*operands))


@pytest.mark.heavy
def test_work_grows_with_the_object(monkeypatch):
  """As many products and windows are taken as the object asks for, and no more."""
  taken = []

  def counted(low, high, body, init):
    del low, body
    taken.append(int(high))
    return init

  monkeypatch.setattr(packed.lax, 'fori_loop', counted)
  monkeypatch.setattr(packed, 'BLOCK_BYTES', 2**30)
  size = ((1, 1), (13, 13), 5, 4)
  (query, support), *kernels = made(size, ['one'])
  with jax.disable_jit():
    packed.packed_correlation_conv4d(query, support, *kernels, stride=4)
    assert taken[0] == 1 and taken[1] <= 2, taken
    taken.clear()
    (query, support), *kernels = made(size, ['full'])
    packed.packed_correlation_conv4d(query, support, *kernels, stride=4)
  assert taken[:2] == [-(-13 * 13 // 8), -(-16 // 2)]


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_short_types_keep_their_type(dtype):
  operands = jax.tree.map(lambda x: x.astype(dtype), made(SIZES[0], MASKS))
  found, expected = (compiled(form, 4)(*operands) for form in (run, plain))
  assert found.dtype == expected.dtype == jnp.dtype(dtype)
  np.testing.assert_allclose(
    found.astype(np.float32), expected.astype(np.float32), rtol=0, atol=0.2
  )


@pytest.mark.heavy
def test_mapped_scanned_and_on_several_devices():
  operands = made(SIZES[2], ['object', 'soft', 'empty', 'full'] * 2)
  level, *kernels = operands
  expected = compiled(plain, 4)(*operands)
  one = functools.partial(run, stride=4)
  alone = jax.tree.map(lambda x: x[:, None], level)
  assert_close(jax.jit(jax.vmap(lambda x: one(x, *kernels)))(alone)[:, 0], expected)
  assert_close(jax.pmap(lambda x: one(x, *kernels))(alone)[:, 0], expected)
  scanned = jax.jit(lambda xs: jax.lax.map(lambda x: one(x, *kernels), xs))(alone)
  assert_close(scanned[:, 0], expected)
  mesh = Mesh(np.array(jax.devices()[:8]), ('data',), axis_types=(AxisType.Auto,))
  spread = jax.device_put(level, NamedSharding(mesh, P('data')))
  assert_close(jax.jit(one)(spread, *kernels), expected)


def test_sharded_episodes_sum_replicated_gradients_once():
  level, *kernels = made(SIZES[2], ['object', 'soft', 'empty', 'full'])
  mesh = Mesh(np.array(jax.devices()[:4]), ('data',))

  def of_kernels(kernels, level):
    return jax.grad(lambda k: (run(level, *k, stride=4) ** 2).sum())(kernels)

  specs = {'in_specs': (P(), P('data')), 'out_specs': P()}
  sharded = jax.jit(jax.shard_map(of_kernels, mesh=mesh, **specs, check_vma=True))
  assert_close(sharded(kernels, level), jax.jit(of_kernels)(kernels, level))


def test_window_positions_are_those_of_a_padded_convolution():
  found = packed.window_positions((3, 4), (3, 3), 2)
  assert found.shape == (4, 9) and found.max() == 12
  np.testing.assert_array_equal(found[0], [12, 12, 12, 12, 0, 1, 12, 4, 5])
  np.testing.assert_array_equal(found[3], [5, 6, 7, 9, 10, 11, 12, 12, 12])
