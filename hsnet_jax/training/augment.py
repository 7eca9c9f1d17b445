"""Augments a batch of episodes where it is trained on: one pure function, to be jitted.

A batch is what `hsnet_jax.training.steps` describes, and comes back in the same shapes and dtypes.
The query and each support get draws of their own, which depend on the key, on the episode's `index`
and on the picture's number in it (0 the query, then the supports): not on the batch's other rows,
on how many shots there are, or on the device that holds the row.

Flip, scale, shift and rotation are one affine resampling of a picture together with its masks:
bilinear for the image, nearest for the masks. Where it shows what lies outside of the photograph,
the image has the mean color and the mask is 0. In the query such pixels are marked in
`query_ignore`: invented pixels are background to the loss and nothing to the metrics, as the
boundary of a label is. A picture that would lose most of its object stays as it was taken, so no
object ever vanishes.

Colors change in the image alone, before it is resampled.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, UInt8

from hsnet_jax.errors import InputError

try:
  import dm_pix
except ImportError as error:
  raise ImportError("augmentation needs dm_pix: pip install 'hsnet-jax[train]'") from error

Range = tuple[float, float]

# The share of its object that a picture keeps, or else it stays as it was.
_LEAST_KEPT = 0.25


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """Says what is drawn for each picture, uniformly from ranges (low, high); by default nothing.

  Attributes:
    flip: probability of the mirror image.
    scale: enlargement, uniform in its logarithm; 2 shows a quarter of the picture.
    shift: how far the part shown, or the picture that was made smaller, may be from the center: 0
      not at all, 1 as far as there is room.
    rotate: counter-clockwise, in degrees.
    brightness: what is added to the channels, which are 0 to 1.
    contrast: factor of the distance to the mean color.
    saturation: factor of the saturation.
    hue: what is added to the hue, in turns.
  """

  flip: float = 0.0
  scale: Range = (1.0, 1.0)
  shift: float = 0.0
  rotate: Range = (0.0, 0.0)
  brightness: Range = (0.0, 0.0)
  contrast: Range = (1.0, 1.0)
  saturation: Range = (1.0, 1.0)
  hue: Range = (0.0, 0.0)

  def __post_init__(self):
    """Raises InputError for what cannot be drawn from."""
    for name in ('flip', 'shift'):
      if not 0 <= getattr(self, name) <= 1:
        raise InputError(f'{name} is {getattr(self, name)}; it must be from 0 to 1')
    for name in ('scale', 'rotate', 'brightness', 'contrast', 'saturation', 'hue'):
      low, high = getattr(self, name)
      if not -math.inf < low <= high < math.inf:
        raise InputError(f'{name} is ({low}, {high}); give a finite low end, then the high one')
    for name in ('scale', 'contrast', 'saturation'):
      low = getattr(self, name)[0]
      if low < 0 or (name == 'scale' and low == 0):
        raise InputError(f'{name} starts at {low}; a factor must be positive')

  @property
  def moves(self) -> bool:
    """Says whether pixels move."""
    return self.flip > 0 or self.scale != (1, 1) or self.rotate != (0, 0)

  @property
  def recolors(self) -> bool:
    """Says whether colors change."""
    shifts, factors = (self.brightness, self.hue), (self.contrast, self.saturation)
    return any(r != (0, 0) for r in shifts) or any(r != (1, 1) for r in factors)


_GEOMETRIC = Augmentation(flip=0.5, scale=(0.8, 1.25), shift=1.0, rotate=(-15.0, 15.0))
_PHOTOMETRIC = Augmentation(
  brightness=(-0.125, 0.125), contrast=(0.75, 1.25), saturation=(0.75, 1.25), hue=(-0.02, 0.02)
)

AUGMENTATIONS: Mapping[str, Augmentation] = {
  'none': Augmentation(),
  'flip': Augmentation(flip=0.5),
  'geometric': _GEOMETRIC,
  'photometric': _PHOTOMETRIC,
  'all': dataclasses.replace(
    _PHOTOMETRIC,
    flip=_GEOMETRIC.flip,
    scale=_GEOMETRIC.scale,
    shift=_GEOMETRIC.shift,
    rotate=_GEOMETRIC.rotate,
  ),
}


def augment(
  key: Array, batch: Mapping[str, Array | np.ndarray], *, options: Augmentation
) -> dict[str, Array | np.ndarray]:
  """Augments a batch of training episodes.

  Args:
    key: a random key, another for each step.
    batch: as the module describes it, on any sharding of its first axis.
    options: what to draw; static under `jit`.

  Returns:
    The batch with its images and masks augmented, all else as it was.
  """
  if not (options.moves or options.recolors):
    return dict(batch)
  picture = functools.partial(_picture, options=options)

  def episode(index, query, supports):
    own = jax.random.fold_in(key, index)
    numbers = 1 + jnp.arange(supports[0].shape[0], dtype=jnp.int32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(own, numbers)
    return picture(jax.random.fold_in(own, 0), *query), jax.vmap(picture)(keys, *supports)

  query = batch['query_image'], batch['query_mask'], batch['query_ignore']
  supports = batch['support_images'], batch['support_masks']
  # Of a support no pixel is left out, so what would mark them is dropped again.
  supports = *supports, jnp.zeros_like(supports[1])
  index, query, supports = jax.tree.map(jnp.asarray, (batch['index'], query, supports))
  # dm_pix settles types by NumPy's rules, whatever JAX is set to.
  with jax.numpy_dtype_promotion('standard'):
    query, supports = jax.vmap(episode)(index, query, supports)
  names = 'query_image', 'query_mask', 'query_ignore', 'support_images', 'support_masks'
  return {**batch, **dict(zip(names, (*query, *supports[:2]), strict=True))}


def augmented(key: Array, step: Callable[..., Any], *, options: Augmentation) -> Callable[..., Any]:
  """Makes a training step that augments its batch first.

  Args:
    key: of the run; each step folds the state's number in, so a run that is resumed draws
      what an unbroken one does.
    step: `(state, batch) -> ...`, of a state with its `step`; takes `axis_name` where it is mapped.
    options: what to draw.

  Returns:
    A function like `step`, to be jitted or mapped.
  """

  def augment_and_step(state, batch, *, axis_name: str | None = None):
    batch = augment(jax.random.fold_in(key, state.step), batch, options=options)
    one = step if axis_name is None else functools.partial(step, axis_name=axis_name)
    return one(state, batch)

  return augment_and_step


def _picture(
  key: Array,
  image: UInt8[Array, 'H W 3'],
  mask: UInt8[Array, 'H W'],
  ignore: UInt8[Array, 'H W'],
  *,
  options: Augmentation,
) -> tuple[UInt8[Array, 'H W 3'], UInt8[Array, 'H W'], UInt8[Array, 'H W']]:
  """Augments one picture."""
  # A number for each option, whether on or not: one option does not change another's draw.
  draws = jax.random.uniform(key, (9,), jnp.float32)
  pixels = image.astype(jnp.float32)
  # In this order the compiler computes a pixel's four neighbors once, not in every formula of a
  # color; and the colors that fill up what lies outside are not counted in the contrast.
  if options.recolors:
    pixels = _recolor(draws[5:], pixels, options)
  if options.moves:
    pixels, mask, ignore = _move(draws[:5], pixels, mask, ignore, options)
  return jnp.rint(pixels).astype(jnp.uint8), mask, ignore


def _between(draw: Array, bounds: Range) -> Array:
  return bounds[0] + draw * (bounds[1] - bounds[0])


def _move(draws: Array, image: Array, mask: Array, ignore: Array, options: Augmentation):
  """Resamples a picture and its masks where the drawn affine map takes them from."""
  size = mask.shape
  low, high = options.scale
  scale = jnp.exp(_between(draws[0], (math.log(low), math.log(high))))
  angle = jnp.deg2rad(_between(draws[1], options.rotate))
  room = options.shift * jnp.abs(1 - 1 / scale) / 2
  shifts = [room * n * (2 * draw - 1) for n, draw in zip(size, draws[2:4], strict=True)]
  mirror = jnp.where(draws[4] < options.flip, -1.0, 1.0)
  rows, columns = _source(size, scale=scale, angle=angle, shifts=shifts, mirror=mirror)

  def sample(plane, order):
    return map_coordinates(plane, [rows, columns], order=order, mode='nearest')

  inside = _within(rows, size[0]) & _within(columns, size[1])
  moved = jax.vmap(functools.partial(sample, order=1), -1, -1)(image)
  moved = jnp.where(inside[..., None], moved, image.mean((0, 1), keepdims=True))
  moved_mask = jnp.where(inside, sample(mask, 0), 0)
  moved_ignore = jnp.where(inside, sample(ignore, 0), 1)
  # In pixels of the photograph, of which a pixel of the result shows 1 / scale ** 2.
  shown = jnp.sum(moved_mask, dtype=jnp.float32) / scale**2
  lost = shown < _LEAST_KEPT * jnp.sum(mask, dtype=jnp.float32)
  pairs = ((image, moved), (mask, moved_mask), (ignore, moved_ignore))
  return tuple(jnp.where(lost, old, new) for old, new in pairs)


def _source(size, *, scale, angle, shifts, mirror) -> tuple[Array, Array]:
  """Computes the row and column of the photograph that each pixel of the result shows.

  Written out rather than as a matrix product, which accelerators shorten to few bits. Exact for
  mirror images, since centers are whole or half numbers.
  """
  centers = [(n - 1) / 2 for n in size]
  y, x = (jnp.arange(n, dtype=jnp.float32) - c for n, c in zip(size, centers, strict=True))
  y, x = y[:, None] / scale, x[None, :] / scale
  rows = jnp.cos(angle) * y + jnp.sin(angle) * x + (centers[0] + shifts[0])
  columns = mirror * (jnp.cos(angle) * x - jnp.sin(angle) * y) + (centers[1] + shifts[1])
  return rows, columns


def _within(positions: Array, count: int) -> Array:
  """Says whether the nearest of `count` pixels is one that there is."""
  return (positions > -0.5) & (positions < count - 0.5)


def _recolor(draws: Array, image: Array, options: Augmentation) -> Array:
  """Changes the colors of an image, values 0 to 255, and cuts them to that range.

  Hue and saturation change together: dm_pix.adjust_hue and adjust_saturation would go to HSV and
  back for each.
  """
  image = image / 255
  image = jnp.asarray(dm_pix.adjust_brightness(image, _between(draws[0], options.brightness)))
  image = jnp.asarray(dm_pix.adjust_contrast(image, _between(draws[1], options.contrast)))
  # Hue and saturation are those of colors that exist; outside of 0 to 1 they mean nothing.
  image = jnp.clip(image, 0, 1)
  hue, saturation, value = jnp.moveaxis(dm_pix.rgb_to_hsv(image), -1, 0)
  hue = hue + _between(draws[3], options.hue)  # It goes round in turns.
  saturation = jnp.clip(saturation * _between(draws[2], options.saturation), 0, 1)
  return 255 * jnp.clip(dm_pix.hsv_to_rgb(jnp.stack([hue, saturation, value], -1)), 0, 1)
