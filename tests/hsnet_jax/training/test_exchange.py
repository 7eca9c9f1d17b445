"""hsnet_jax/training/exchange.py: which episodes exchange their roles, and what they are then."""

import types

import chex
import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hsnet_jax.errors import InputError
from hsnet_jax.training import exchange_roles
from hsnet_jax.training.exchange import exchanged

JITTED = jax.jit(exchange_roles, static_argnames='probability')
BOTH = pytest.mark.parametrize('apply', [exchange_roles, JITTED], ids=['plain', 'jitted'])
KEY = jax.random.key(3)
PICTURES = ('query_image', 'query_mask', 'query_ignore', 'support_images', 'support_masks')


def made(rows=16, shots=2, size=(4, 6)):
  rng = np.random.default_rng(1)
  masks = rng.integers(0, 2, (rows, 1 + shots, *size), np.uint8)
  masks[:, 0, 0, 0] = 1  # Every query shows something.
  images = rng.integers(0, 256, (rows, 1 + shots, *size, 3), np.uint8)
  return {
    'query_image': images[:, 0],
    'query_mask': masks[:, 0],
    'query_ignore': rng.integers(0, 2, (rows, *size), np.uint8),
    'support_images': images[:, 1:],
    'support_masks': masks[:, 1:],
    'class_id': np.arange(rows, dtype=np.int32),
    'index': np.arange(7, 7 + rows, dtype=np.int32),
    'valid': np.ones(rows, bool),
  }


def oracle(batch, swap):
  """The batch with the marked rows exchanged, row by row."""
  new = {name: x.copy() for name, x in batch.items()}
  for row in np.flatnonzero(swap):
    new['query_image'][row], new['query_mask'][row] = (
      batch['support_images'][row, 0],
      batch['support_masks'][row, 0],
    )
    new['support_images'][row, 0] = batch['query_image'][row]
    new['support_masks'][row, 0] = batch['query_mask'][row]
    new['query_ignore'][row] = 0
  return new


def run(batch, probability, key=KEY, apply=JITTED):
  return jax.device_get(apply(key, batch, probability=probability))


def swapped(before, after):
  return np.array([(a != b).any() for a, b in zip(before, after, strict=True)])


@BOTH
def test_never_always_and_by_chance(apply):
  batch = made()
  chex.assert_trees_all_equal(run(batch, 0.0, apply=apply), batch)
  chex.assert_trees_all_equal(run(batch, 1.0, apply=apply), oracle(batch, np.ones(16, bool)))
  some = run(batch, 0.5, apply=apply)
  swap = swapped(batch['query_image'], some['query_image'])
  assert 0 < swap.sum() < 16
  chex.assert_trees_all_equal(some, oracle(batch, swap))
  assert {n: x.dtype for n, x in some.items()} == {n: x.dtype for n, x in batch.items()}


def test_how_often():
  batch = made(rows=1000, shots=1, size=(1, 2))
  for probability in (0.1, 0.5):
    after = run(batch, probability)
    count = swapped(batch['query_image'], after['query_image']).sum()
    # Five standard deviations; pictures of 6 bytes do not coincide.
    assert abs(count - 1000 * probability) < 5 * np.sqrt(1000 * probability * (1 - probability))


def test_a_query_without_the_class_stays_one():
  """Empty masks stay what they are for; one pixel is enough, and so is all of the picture."""
  batch = made(rows=3)
  batch['query_mask'][0] = 0
  batch['query_mask'][1] = 0
  batch['query_mask'][1, 2, 3] = 1
  batch['query_mask'][2] = 1
  chex.assert_trees_all_equal(run(batch, 1.0), oracle(batch, [False, True, True]))


@BOTH
def test_no_query_is_among_its_own_supports(apply):
  """Supports may repeat: the first one may not, the others may; a pixel makes another picture."""
  batch = made(rows=5, shots=3)
  images, masks = batch['support_images'], batch['support_masks']
  for row, (one, other) in enumerate([(0, 1), (0, 2), (1, 2), (0, 1)]):
    images[row, other], masks[row, other] = images[row, one], masks[row, one]
  images[3, 1, 2, 3, 1] ^= 1
  expected = oracle(batch, [False, False, True, True, True])
  chex.assert_trees_all_equal(run(batch, 1.0, apply=apply), expected)


def test_an_episode_draws_for_itself():
  batch = made()
  order = np.random.default_rng(2).permutation(16)
  shuffled = {name: x[order] for name, x in batch.items()}
  expected = {name: x[order] for name, x in run(batch, 0.5).items()}
  chex.assert_trees_all_equal(run(shuffled, 0.5), expected)
  mesh = Mesh(np.array(jax.devices()[:4]), ('data',))
  spread = jax.device_put(batch, NamedSharding(mesh, PartitionSpec('data')))
  chex.assert_trees_all_equal(run(spread, 0.5), run(batch, 0.5))
  other = run(batch, 0.5, key=jax.random.key(4))
  assert swapped(run(batch, 0.5)['query_image'], other['query_image']).any()


def test_a_step_draws_by_its_number():
  batch = made()

  def step(state, batch, axis_name=None):
    return {name: batch[name] for name in PICTURES}, axis_name

  assert exchanged(KEY, step, probability=0.0) is step
  chosen = exchanged(KEY, step, probability=0.5)
  states = [types.SimpleNamespace(step=np.int32(n)) for n in (5, 5, 6)]
  first, again, later = (jax.device_get(chosen(state, batch, axis_name='data')) for state in states)
  assert first[1] == 'data'
  chex.assert_trees_all_equal(first[0], again[0])
  assert swapped(first[0]['query_image'], later[0]['query_image']).any()
  expected = run(batch, 0.5, key=jax.random.fold_in(KEY, 5))
  chex.assert_trees_all_equal(first[0], {name: expected[name] for name in PICTURES})


def test_what_cannot_be_exchanged_is_named():
  batch = made(rows=2)
  for probability in (-0.1, 1.5, float('nan')):
    with pytest.raises(InputError, match='`exchange`'):
      exchange_roles(KEY, batch, probability=probability)
  for name in ('query_mask', 'support_images'):
    smaller = {**batch, name: batch[name][..., :3, :] if 'mask' in name else batch[name][:, :, :3]}
    with pytest.raises(ValueError, match='pixels'):
      JITTED(KEY, smaller, probability=0.5)
