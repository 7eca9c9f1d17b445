"""Makes the training step of the `tiny` backbone: loss at every feature map, norm, optimizer.

Images are uint8 [B, H, W, 3]; see `data_pipelines.shapes.lessons` for the other arrays.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Key, UInt8

from data_pipelines.shapes.lessons import MAX_OBJECTS, SILHOUETTE, Lessons
from hsnet_jax.backbones import tiny
from hsnet_jax.kernels.conv2d import conv2d
from hsnet_jax.training import normalize

_CELL = 4  # Whether an object covers a place is learned on a grid of 4 x 4 pixels.
_SHAPE = SILHOUETTE * SILHOUETTE
_ADAM, _MUON, _MOMENTUM = 3e-3, 0.05, 0.9
_WEIGHTS = {'presence': 1.0, 'class': 0.2, 'outline': 3.0}

# Mean and variance of a layer, by channel.
Moments = tuple[Array, Array]


def init(key: Key[Array, ''], *, num_classes: int) -> dict[str, Any]:
  """Makes random backbone weights and a linear head for every feature map.

  Args:
    key: random key.
    num_classes: of the pictures.

  Returns:
    `{'backbone': ..., 'heads': [{'kernel', 'bias'}, ...]}`; a head gives class, outline, presence.
  """
  backbone_key, head_key = jax.random.split(key)
  weights = tiny.init(backbone_key)
  probe = jax.eval_shape(tiny.apply, weights, jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32))
  heads = []
  for part, feature in zip(jax.random.split(head_key, len(probe)), probe, strict=True):
    width, cells = feature.shape[3], (128 // feature.shape[1] // _CELL) ** 2
    out = num_classes + _SHAPE + cells
    kernel = 0.3 * jax.random.normal(part, (width, out)) / np.sqrt(width)
    heads.append({'kernel': kernel, 'bias': jnp.zeros(out)})
  return {'backbone': weights, 'heads': heads}


def convolve(x: Array, kernel: Array, stride: int) -> Array:
  """Convolves; strided as one matrix product, whose gradient is far cheaper on a CPU."""
  size = kernel.shape[0]
  if stride == 1 or size == 1:
    return conv2d(x, kernel, stride=stride)
  pad = size // 2
  x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  height, width = ((n - size) // stride + 1 for n in x.shape[1:3])
  patches = [
    x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
    for i in range(size)
    for j in range(size)
  ]
  flat = kernel.reshape(-1, kernel.shape[3])
  return jnp.einsum('bhwc,co->bhwo', jnp.concatenate(patches, axis=-1), flat)


def batch_norm(moments: list[Moments] | None = None) -> Callable[..., Array]:
  """Makes a `conv_norm` for `tiny.apply` that normalizes with the batch's own statistics.

  Args:
    moments: takes the (mean, variance) of every layer in the order of use.

  Returns:
    The function.
  """

  def conv_norm(
    x: Array, conv: dict[str, Array], norm: dict[str, Array], *, stride: int = 1
  ) -> Array:
    y = convolve(x, conv['kernel'], stride)
    mean, var = y.mean((0, 1, 2)), y.var((0, 1, 2))
    if moments is not None:
      moments.append((mean, var))
    scale = norm['scale'] * lax.rsqrt(var + 1e-5)
    return y * scale[None, None, None] + (norm['bias'] - mean * scale)[None, None, None]

  return conv_norm


def _mix_colors(key: Array, x: Array) -> Array:
  """Maps the colors of every picture by a random linear map of its own, half of them inverted."""
  mix_key, shift_key, sign_key = jax.random.split(key, 3)
  count = x.shape[0]
  sign = jax.random.choice(sign_key, jnp.array([-1.0, 1.0]), (count, 1, 1))
  mix = jnp.eye(3)[None] * sign + 0.35 * jax.random.normal(mix_key, (count, 3, 3))
  shift = 0.25 * jax.random.normal(shift_key, (count, 1, 1, 3))
  return jnp.einsum('bhwc,bcd->bhwd', x, mix) + shift


class _Truth(NamedTuple):
  """Holds what `Lessons` say of their pictures, on the device."""

  label: Array
  classes: Array
  silhouettes: Array


def loss(
  params: dict[str, Any], key: Key[Array, ''], batch: Lessons
) -> tuple[Array, dict[str, Array]]:
  """Computes the mean over the feature maps of three losses of linear heads, position by position.

  Args:
    params: see `init`.
    key: random key, for the colors.
    batch: pictures.

  Returns:
    The loss; {'loss', 'accuracy': of the class at objects, [maps]}.
  """
  x = _mix_colors(key, normalize(jnp.asarray(batch.image), 'tiny'))
  features = tiny.apply(params['backbone'], x, conv_norm=batch_norm())
  truth = _Truth(*map(jnp.asarray, (batch.label, batch.classes, batch.silhouettes)))
  results = [_head_loss(f, h, truth) for f, h in zip(features, params['heads'], strict=True)]
  total = functools.reduce(operator.add, (r[0] for r in results)) / len(results)
  return total, {'loss': total, 'accuracy': jnp.stack([r[1] for r in results])}


def _head_loss(feature: Array, head: dict[str, Array], truth: _Truth) -> tuple[Array, Array]:
  """Computes the loss of one feature map, and its accuracy in telling the class of objects."""
  count, side = feature.shape[:2]
  stride = truth.label.shape[1] // side
  out = jnp.einsum('bhwc,cd->bhwd', feature, head['kernel']) + head['bias'][None, None, None]
  cells = (stride // _CELL) ** 2
  logits, outline, presence = jnp.split(
    out, [out.shape[3] - cells - _SHAPE, out.shape[3] - cells], axis=-1
  )
  # What the picture shows at the middle of a position; nothing where a boundary runs.
  here = truth.label[:, stride // 2 :: stride, stride // 2 :: stride].astype(jnp.int32)
  here = jnp.where(here > MAX_OBJECTS, 0, here)
  objects = (here > 0).astype(jnp.float32)
  area = jnp.maximum(objects.sum(), 1.0)

  classes = truth.classes.astype(jnp.int32)
  target = jnp.take_along_axis(classes, here.reshape(count, -1), axis=1).reshape(here.shape)
  class_loss = optax.softmax_cross_entropy_with_integer_labels(logits, target)
  accuracy = ((logits.argmax(-1) == target) * objects).sum() / area

  shapes = truth.silhouettes.reshape(count, MAX_OBJECTS + 1, _SHAPE).astype(jnp.float32) / 16
  shape = jnp.einsum('bhwk,bkd->bhwd', jax.nn.one_hot(here, MAX_OBJECTS + 1), shapes)
  outline_loss = optax.sigmoid_binary_cross_entropy(outline, shape).mean(-1)

  return (
    _WEIGHTS['presence'] * _presence_loss(presence, truth.label)
    + _WEIGHTS['class'] * (class_loss * objects).sum() / area
    + _WEIGHTS['outline'] * (outline_loss * objects).sum() / area
  ), accuracy


def _presence_loss(logits: Array, label: Array) -> Array:
  """Computes the loss of whether an object covers each 4 x 4 cell; boundary cells are left out."""
  count, side = logits.shape[:2]
  cells = label[:, _CELL // 2 :: _CELL, _CELL // 2 :: _CELL]
  inside = cells.shape[1] // side
  cells = cells.reshape(count, side, inside, side, inside).transpose(0, 1, 3, 2, 4)
  cells = cells.reshape(logits.shape)
  known = (cells <= MAX_OBJECTS).astype(jnp.float32)
  present = ((cells > 0) & (cells <= MAX_OBJECTS)).astype(jnp.float32)
  losses = optax.sigmoid_binary_cross_entropy(logits, present) * known
  return losses.sum() / known.sum()


def orthogonalize(update: Float[Array, 'k l c o']) -> Float[Array, 'k l c o']:
  """Brings all singular values of a kernel's update, a matrix of inputs by outputs, near 1.

  Five Newton-Schulz steps with the coefficients of Muon (Jordan et al., 2024); tall matrices are
  scaled by the root of their aspect.
  """
  x = update.reshape(-1, update.shape[3])
  wide = x.shape[0] < x.shape[1]
  x = x.T if wide else x
  x = x / (jnp.linalg.norm(x) + 1e-7)
  for _ in range(5):
    square = x.T @ x
    x = 3.4445 * x + x @ (-4.775 * square + 2.0315 * square @ square)
  x = x * np.sqrt(x.shape[0] / x.shape[1])
  return (x.T if wide else x).reshape(update.shape)


def make_optimizer(steps: int) -> optax.GradientTransformation:
  """Makes Muon for the backbone's kernels and Adam for norms and heads, on one cosine cycle."""
  adam_rate = optax.cosine_onecycle_schedule(steps, _ADAM, pct_start=0.2)
  muon = optax.chain(
    optax.trace(_MOMENTUM, nesterov=True),
    optax.stateless(lambda updates, _: jax.tree.map(orthogonalize, updates)),
    optax.scale_by_learning_rate(lambda i: adam_rate(i) * (_MUON / _ADAM)),
  )

  def kinds(params: Any) -> Any:
    return jax.tree.map(lambda p: 'muon' if p.ndim == 4 else 'adam', params)

  return optax.multi_transform(
    {'muon': muon, 'adam': optax.adamw(adam_rate, weight_decay=1e-4)}, kinds
  )


@jax.jit
def _batch_moments(weights: dict[str, Any], images: Array) -> list[Moments]:
  moments: list[Moments] = []
  tiny.apply(weights, normalize(images, 'tiny'), conv_norm=batch_norm(moments))
  return moments


def mean_moments(
  weights: dict[str, Any], batches: Sequence[UInt8[np.ndarray, 'B H W 3']]
) -> list[Moments]:
  """Returns mean and variance of every layer, averaged over batches of pictures."""
  moments = [_batch_moments(weights, images) for images in batches]
  return jax.tree.map(lambda *values: sum(values) / len(values), *moments)


def with_moments(weights: dict[str, Any], moments: Sequence[Moments]) -> dict[str, Any]:
  """Returns the backbone with the statistics of `mean_moments` as its stored ones."""
  weights = jax.tree.map(lambda leaf: leaf, weights)
  rest = iter(moments)

  def conv_norm(
    x: Array, conv: dict[str, Array], norm: dict[str, Array], *, stride: int = 1
  ) -> Array:
    norm['mean'], norm['var'] = next(rest)
    return conv2d(x, conv['kernel'], stride=stride)

  # One pass over a blank picture meets the layers in the order in which they were measured.
  tiny.apply(weights, jnp.zeros((1, 32, 32, 3)), conv_norm=conv_norm)
  return weights
