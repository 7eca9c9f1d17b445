"""hsnet_jax/training/augment.py against NumPy and SciPy, on pictures of a few pixels."""

import dataclasses
import functools
import types

import chex
import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scipy import ndimage

from hsnet_jax.errors import InputError
from hsnet_jax.training.augment import AUGMENTATIONS, Augmentation, augment, augmented

H, W = 12, 16
MASKS = ('query_mask', 'query_ignore', 'support_masks')
IMAGES = ('query_image', 'support_images')
JITTED = jax.jit(augment, static_argnames='options')
BOTH = pytest.mark.parametrize('apply', [augment, JITTED], ids=['plain', 'jitted'])
# Every operation by itself is a program of its own.
JITTED_OR_HEAVY = pytest.mark.parametrize(
  'apply', [pytest.param(augment, marks=pytest.mark.heavy), JITTED], ids=['plain', 'jitted']
)
KEY = jax.random.key(0)


def made(rows=2, shots=1, size=(H, W)):
  """A batch of noise; an object in the middle of each picture, a corner that is left out."""
  rng = np.random.default_rng(5)
  mask = np.zeros(size, np.uint8)
  mask[size[0] // 4 : -size[0] // 4, size[1] // 4 : -size[1] // 4] = 1
  mask[size[0] // 4, size[1] // 4] = 0
  ignore = np.zeros_like(mask)
  ignore[:3, :2] = 1
  pixels = rng.integers(0, 256, (rows, 1 + shots, *size, 3), dtype=np.uint8)
  return {
    'query_image': pixels[:, 0],
    'query_mask': np.tile(mask, (rows, 1, 1)),
    'query_ignore': np.tile(ignore, (rows, 1, 1)),
    'support_images': pixels[:, 1:],
    'support_masks': np.tile(mask, (rows, shots, 1, 1)),
    'class_id': np.arange(rows, dtype=np.int32),
    'index': np.arange(10, 10 + rows, dtype=np.int32),
    'valid': np.ones(rows, bool),
  }


def run(batch, options, key=KEY, apply=JITTED):
  return jax.device_get(apply(key, batch, options=options))


@BOTH
def test_nothing_changes_when_all_is_off(apply):
  batch = made()
  chex.assert_trees_all_equal(run(batch, AUGMENTATIONS['none'], apply=apply), batch)


def test_draws_that_change_nothing_change_no_bit():
  batch = made()
  still = Augmentation(shift=1.0, rotate=(0.0, 1e-30), brightness=(0.0, 1e-30))
  assert still.moves and still.recolors
  chex.assert_trees_all_equal(run(batch, still), batch)


@JITTED_OR_HEAVY
def test_flips_are_mirror_images(apply):
  batch = made()
  flipped = run(batch, Augmentation(flip=1.0), apply=apply)
  for name in IMAGES:
    np.testing.assert_array_equal(flipped[name], batch[name][..., ::-1, :])
  for name in MASKS:
    np.testing.assert_array_equal(flipped[name], batch[name][..., ::-1])


def test_half_of_the_pictures_flip_each_by_itself():
  batch = made(rows=32, size=(4, 4))
  flipped = run(batch, AUGMENTATIONS['flip'])
  moved = [
    (flipped[name] != batch[name]).reshape(32, -1).any(1) for name in ('query_mask', *IMAGES)
  ]
  np.testing.assert_array_equal(moved[0], moved[1])  # the image with its mask
  for one in moved:
    assert 8 <= one.sum() <= 24
  assert 8 <= (moved[1] != moved[2]).sum() <= 24  # a support not with its query


def test_a_quarter_turn_is_counter_clockwise():
  batch = made(size=(12, 12))
  turned = run(batch, Augmentation(rotate=(90.0, 90.0)))
  for name in IMAGES:
    np.testing.assert_array_equal(turned[name], np.rot90(batch[name], axes=(-3, -2)))
  for name in MASKS:
    np.testing.assert_array_equal(turned[name], np.rot90(batch[name], axes=(-2, -1)))


def affine(plane, scale, degrees, order):
  """SciPy's resampling about the center, in float64."""
  angle = np.deg2rad(degrees)
  turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
  center = (np.array(plane.shape) - 1) / 2
  return ndimage.affine_transform(
    plane.astype(np.float64), turn, center - turn @ center, order=order, mode='nearest'
  )


@pytest.mark.parametrize('scale, degrees', [(1.3, 0.0), (0.8, -33.0)])
def test_scale_and_rotation_are_one_resampling_about_the_center(scale, degrees):
  batch = made()
  out = run(batch, Augmentation(scale=(scale, scale), rotate=(degrees, degrees)))
  # What is outside by more than half a pixel, by SciPy's nearest neighbor with a margin.
  padded = np.pad(np.zeros((H, W)), 20, constant_values=1)
  outside = affine(padded, scale, degrees, order=0)[20:-20, 20:-20] > 0
  assert outside.any() == (scale < 1 or degrees != 0)
  for mask, name in ((batch['query_mask'], 'query_mask'), (batch['query_ignore'], 'query_ignore')):
    wanted = np.where(outside, name == 'query_ignore', affine(mask[0], scale, degrees, order=0))
    np.testing.assert_array_equal(out[name][0], wanted)
  for channel in range(3):
    plane = batch['query_image'][0, ..., channel]
    wanted = np.where(outside, plane.mean(), affine(plane, scale, degrees, order=1))
    np.testing.assert_allclose(out['query_image'][0, ..., channel], wanted, atol=0.51)


@pytest.mark.parametrize('scale', [0.5, 2.0])
def test_the_part_shown_lies_within_the_photograph_or_all_of_it_in_the_result(scale):
  batch = made(rows=8, shots=2)
  options = Augmentation(scale=(scale, scale), shift=1.0)
  batch['query_mask'] = np.ones_like(batch['query_mask'])
  batch['query_ignore'] = np.zeros_like(batch['query_ignore'])
  out = run(batch, options)
  if scale > 1:
    assert out['query_mask'].all() and not out['query_ignore'].any()
  else:
    # A quarter of the result, give or take the rounding of a row and a column.
    np.testing.assert_array_equal(out['query_mask'], 1 - out['query_ignore'])
    assert np.abs(out['query_mask'].sum((1, 2)) - H * W / 4).max() <= H / 2 + W / 2
    places = {tuple(np.argwhere(mask)[0]) for mask in out['query_mask']}
    assert len(places) > 4


def test_image_and_mask_move_together():
  batch = made(rows=6, shots=2, size=(32, 32))
  for image, mask in (('query_image', 'query_mask'), ('support_images', 'support_masks')):
    batch[image] = np.repeat(batch[mask][..., None] * np.uint8(255), 3, axis=-1)
  out = run(batch, AUGMENTATIONS['geometric'])
  for image, mask in (('query_image', 'query_mask'), ('support_images', 'support_masks')):
    gray, label = out[image][..., 0].reshape(-1, 32, 32), out[mask].reshape(-1, 32, 32)
    assert (label != batch[mask].reshape(-1, 32, 32)).any((1, 2)).mean() > 0.5
    for pixels, truth in zip(gray, label, strict=True):
      inner, outer = ndimage.binary_erosion(truth), ndimage.binary_dilation(truth)
      assert inner.sum() > 50 and (pixels[inner] > 128).all()
      assert (pixels[~outer] < 128).all()


def test_colors_change_as_defined():
  batch = made()
  options = Augmentation(brightness=(0.1, 0.1), contrast=(0.5, 0.5))
  out = run(batch, options)
  for name in IMAGES:
    image = batch[name] / 255 + 0.1
    mean = image.mean((-3, -2), keepdims=True)
    wanted = 255 * np.clip(0.5 * (image - mean) + mean, 0, 1)
    np.testing.assert_allclose(out[name], wanted, atol=0.51)
  gray = run(batch, Augmentation(saturation=(0.0, 0.0)))
  third = run(batch, Augmentation(hue=(1 / 3, 1 / 3)))
  for name in IMAGES:
    brightest = np.repeat(batch[name].max(-1, keepdims=True), 3, -1)
    np.testing.assert_allclose(gray[name], brightest, atol=1)
    # A third of a turn hands each channel on to the next.
    np.testing.assert_allclose(third[name], np.roll(batch[name], 1, axis=-1), atol=1)
  for name in MASKS:
    np.testing.assert_array_equal(out[name], batch[name])


def test_shapes_types_and_draws():
  batch, options = made(), AUGMENTATIONS['all']
  out = run(batch, options)
  chex.assert_trees_all_equal_shapes_and_dtypes(out, batch)
  chex.assert_trees_all_equal(run(batch, options), out)
  for entry in ('class_id', 'index', 'valid'):
    np.testing.assert_array_equal(out[entry], batch[entry])
  other = run(batch, options, key=jax.random.key(1))
  for entry in IMAGES:
    assert not (other[entry] == out[entry]).reshape(2, -1).all(1).any()


def test_no_object_is_lost():
  batch = made(rows=16, shots=2)
  for name in ('query_mask', 'support_masks'):
    batch[name] = np.zeros_like(batch[name])
    batch[name][..., 0, 3] = 1
    batch[name][-1] = 0  # One without an object moves as any other.
  out = run(batch, Augmentation(scale=(0.3, 4.0), shift=1.0, rotate=(-180.0, 180.0)))
  for image, mask in (('query_image', 'query_mask'), ('support_images', 'support_masks')):
    assert out[mask][:-1].any((-2, -1)).all() and not out[mask][-1].any()
    kept = (out[image] == batch[image]).all((-3, -2, -1))
    assert kept.any() and not kept.all() and not kept[-1].any()
    np.testing.assert_array_equal(out[mask][kept], batch[mask][kept])
  kept = (out['query_image'] == batch['query_image']).all((-3, -2, -1))
  np.testing.assert_array_equal(out['query_ignore'][kept], batch['query_ignore'][kept])


def test_an_episode_depends_on_nothing_but_key_and_index():
  options = AUGMENTATIONS['all']
  batch = made(rows=4, shots=3)
  whole = run(batch, options)
  order = np.array([2, 0])
  fewer = {name: value[order] for name, value in batch.items()}
  for name in ('support_images', 'support_masks'):
    fewer[name] = fewer[name][:, :1]
  out = run(fewer, options)
  for name, value in out.items():
    wanted = whole[name][order]
    np.testing.assert_array_equal(value, wanted[:, :1] if name.startswith('support') else wanted)


def test_batches_of_one_shape_are_one_trace():
  counted = chex.assert_max_traces(augment, n=1)
  traced = jax.jit(lambda key, batch: counted(key, batch, options=AUGMENTATIONS['flip']))
  first = traced(jax.random.fold_in(KEY, 0), made())
  second = traced(jax.random.fold_in(KEY, 1), made())
  assert not all(np.array_equal(first[name], second[name]) for name in first)


def test_a_step_augments_by_its_number():
  options, batch = AUGMENTATIONS['all'], made()
  step = augmented(KEY, lambda state, batch: batch, options=options)
  jitted = jax.jit(lambda number, batch: step(types.SimpleNamespace(step=number), batch))
  for number in (3, 4):
    wanted = run(batch, options, key=jax.random.fold_in(KEY, number))
    chex.assert_trees_all_equal(jax.device_get(jitted(number, batch)), wanted)


def test_a_sharded_batch_stays_where_it_is():
  options, batch = AUGMENTATIONS['all'], made(rows=8)
  mesh = Mesh(np.array(jax.devices()[:4]), ('data',))
  rows = NamedSharding(mesh, PartitionSpec('data'))
  sharded = jax.device_put(batch, rows)
  compiled = JITTED.lower(KEY, sharded, options=options).compile()
  for transfer in ('all-gather', 'all-reduce', 'all-to-all', 'collective-permute'):
    assert transfer not in compiled.as_text()
  out = compiled(KEY, sharded)
  assert all(value.sharding.is_equivalent_to(rows, value.ndim) for value in out.values())
  single = [run(jax.tree.map(lambda x, i=i: x[i : i + 2], batch), options) for i in (0, 2, 4, 6)]
  together = jax.tree.map(lambda *parts: np.concatenate(parts), *single)
  chex.assert_trees_all_equal(jax.device_get(out), together)


def test_vmap_is_a_loop_over_batches():
  options, batch = AUGMENTATIONS['all'], made(rows=4)
  keys = jax.random.split(KEY, 2)
  halves = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), batch)
  mapped = jax.jit(jax.vmap(functools.partial(augment, options=options)))(keys, halves)
  for i in range(2):
    half = jax.tree.map(lambda x, i=i: x[i], halves)
    chex.assert_trees_all_equal(
      jax.tree.map(lambda x, i=i: np.asarray(x[i]), mapped), run(half, options, key=keys[i])
    )


@pytest.mark.parametrize(
  'options, words',
  [
    ({'flip': 1.5}, 'flip is 1.5'),
    ({'scale': (1.2, 0.8)}, 'scale is (1.2, 0.8)'),
    ({'scale': (0.0, 1.0)}, 'scale starts at 0.0'),
    ({'rotate': (float('nan'), 1.0)}, 'rotate is (nan, 1.0)'),
    ({'contrast': (-1.0, 1.0)}, 'contrast starts at -1.0'),
  ],
)
def test_options_out_of_range_are_named(options, words):
  with pytest.raises(InputError) as error:
    Augmentation(**options)
  assert words in str(error.value)


def test_the_table_has_one_row_for_all_of_it():
  rows = {name: dataclasses.asdict(row) for name, row in AUGMENTATIONS.items()}
  off = rows.pop('none')
  for name in ('geometric', 'photometric'):
    changed = {k: v for k, v in rows[name].items() if v != off[k]}
    assert changed and changed.items() <= rows['all'].items()
