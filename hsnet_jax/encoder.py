"""Defines the 4D encoder: squeezing blocks for each level, mixing blocks down them (Fig. 2)."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.lax import PrecisionLike
from jaxtyping import Array, Float

from hsnet_jax.conv4d import center_pivot_conv4d
from hsnet_jax.correlation import Level
from hsnet_jax.errors import InputError
from hsnet_jax.kernels.forms import choose
from hsnet_jax.kernels.group_norm import group_norm
from hsnet_jax.kernels.initial import fan_in_bound as fan_in_bound  # its name of 0.1.0
from hsnet_jax.kernels.initial import uniform_by_fan_in
from hsnet_jax.kernels.packed import packed_correlation_conv4d
from hsnet_jax.resize import map_size, resize_bilinear

Embedding = Float[Array, 'B Hq Wq Hs Ws C']

WIDTHS = (16, 64, 128)
MIXING_WIDTHS = (WIDTHS[-1],) * 3


class Squeezing(NamedTuple):
  """Describes a level's squeezing block: its name, its three layers' kernels and strides."""

  name: str
  kernels: tuple[int, ...]
  strides: tuple[int, ...]


def squeezing(levels: int) -> tuple[Squeezing, ...]:
  """Lays out the squeezing blocks of a pyramid.

  Strides bring the support dimensions of all levels to one size where each level has twice the
  side of the next: those of the coarsest level are 2, 2, 2, and with every finer one the next
  layer's doubles. A kernel is one wider than its stride. With three levels these are the published
  blocks; names count as the published parameters do (`encoder_layer4` is `squeeze4`), the finest
  level is 2.

  Args:
    levels: how many there are.

  Returns:
    One a level, coarsest first.
  """
  blocks = []
  for i in range(levels):
    strides = tuple(2 ** (1 + (i + len(WIDTHS) - 1 - j) // len(WIDTHS)) for j in range(len(WIDTHS)))
    kernels = tuple(stride + 1 for stride in strides)
    blocks.append(Squeezing(f'squeeze{levels + 1 - i}', kernels, strides))
  return tuple(blocks)


def mixing(levels: int) -> tuple[str, ...]:
  """Names the mixing blocks of a pyramid: one fewer than levels, coarsest first."""
  return tuple(f'mix{number}to{number - 1}' for number in range(levels + 1, 2, -1))


def upsample_query(
  x: Float[Array, 'B Hq Wq Hs Ws C'], size: tuple[int, int], *, precision: PrecisionLike = 'highest'
) -> Float[Array, 'B H2 W2 Hs Ws C']:
  """Resizes the query dimensions bilinearly with aligned corners.

  Args:
    x: embedded 4D correlations.
    size: `(height, width)` of the result's query dimensions.
    precision: of the products.

  Returns:
    The resized correlations; their support dimensions are as they were.
  """
  b, hq, wq, *rest = x.shape
  y = resize_bilinear(x.reshape(b, hq, wq, -1), size, precision=precision)
  return y.reshape(b, *size, *rest)


def correlation_conv4d(
  level: Level,
  query_kernel: Float[Array, 'k l C O'],
  support_kernel: Float[Array, 'k l C O'],
  bias: Float[Array, ' O'] | None = None,
  *,
  stride: int = 1,
  precision: PrecisionLike = 'highest',
  implementation: str = 'auto',
) -> Float[Array, 'B Hq Wq H2 W2 O']:
  """Computes `center_pivot_conv4d` of a level's correlations (Eq. 2 and Eq. 4 in one).

  Support positions that are all zeros, as Eq. 1 leaves most of them, cost nothing in the packed
  form, and the 4D tensor is not computed whole.

  Args:
    level: the maps.
    query_kernel: as `center_pivot_conv4d`, and so are the others.
    support_kernel: over the support dimensions.
    bias: the sum of both sides' biases.
    stride: on the support dimensions.
    precision: of the products.
    implementation: of `FORMS['correlation_conv4d']`, by default what its table says.

  Returns:
    The sum of both convolutions.

  Raises:
    ValueError: a side of a kernel is even, or there is no such form.
  """
  form = choose(
    'correlation_conv4d', implementation, weights=support_kernel, x=level.support[0], stride=stride
  )
  if form == 'plain':
    x = level.correlate(precision=precision)
    return center_pivot_conv4d(
      x,
      query_kernel,
      support_kernel,
      bias,
      stride=stride,
      precision=precision,
      implementation=implementation,
    )
  y = packed_correlation_conv4d(
    level.query, level.support, query_kernel, support_kernel, stride=stride, precision=precision
  )
  return y if bias is None else y + bias.reshape((1,) * 5 + (-1,))


def _support_size(x: Embedding | Level) -> tuple[int, ...]:
  return x.support[0].shape[1:3] if isinstance(x, Level) else x.shape[3:5]


class CenterPivotConv4d(nn.Module):
  """Applies `center_pivot_conv4d`; both sides keep the bias that the published layer has.

  Parameters are float32, the products of the type of the input.
  """

  features: int
  kernel_size: int
  stride: int = 1
  precision: PrecisionLike = 'highest'
  implementation: str = 'auto'

  @nn.compact
  def __call__(self, x: Embedding | Level) -> Float[Array, 'B Hq Wq H2 W2 O']:
    """Convolves an embedding, or a level's correlations, which need not be computed for it."""
    k, channels = self.kernel_size, len(x.query) if isinstance(x, Level) else x.shape[-1]
    shape = (k, k, channels, self.features)
    init = uniform_by_fan_in(shape)
    query_kernel = self.param('query_kernel', init, shape)
    query_bias = self.param('query_bias', init, (self.features,))
    support_kernel = self.param('support_kernel', init, shape)
    support_bias = self.param('support_bias', init, (self.features,))
    convolve: Any = correlation_conv4d if isinstance(x, Level) else center_pivot_conv4d
    dtype = x.query[0].dtype if isinstance(x, Level) else x.dtype
    return convolve(
      x,
      query_kernel.astype(dtype),
      support_kernel.astype(dtype),
      (query_bias + support_bias).astype(dtype),
      stride=self.stride,
      precision=self.precision,
      implementation=self.implementation,
    )


class GroupNorm(nn.Module):
  """Applies `group_norm`, with parameters in float32."""

  groups: int = 4
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: Float[Array, 'B Hq Wq Hs Ws C']) -> Float[Array, 'B Hq Wq Hs Ws C']:
    """Normalizes each group of channels over all positions of an episode."""
    channels = (x.shape[-1],)
    scale = self.param('scale', nn.initializers.ones, channels, jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, channels, jnp.float32)
    return group_norm(x, scale, bias, groups=self.groups, epsilon=self.epsilon)


class Block(nn.Module):
  """Applies three center-pivot convolutions, each with group norm and ReLU (Fig. 3)."""

  features: tuple[int, ...]
  kernels: tuple[int, ...] = (3, 3, 3)
  strides: tuple[int, ...] = (1, 1, 1)
  precision: PrecisionLike = 'highest'
  implementation: str = 'auto'

  @nn.compact
  def __call__(self, x: Any) -> Float[Array, 'B Hq Wq H2 W2 O']:
    """Applies the layers to an embedding or a `Level`; support dimensions shrink by each stride."""
    for i, layer in enumerate(zip(self.features, self.kernels, self.strides, strict=True)):
      x = CenterPivotConv4d(*layer, self.precision, self.implementation, name=f'conv{i}')(x)
      x = GroupNorm(name=f'norm{i}')(x)
      x = nn.relu(x)
    return x


class Encoder(nn.Module):
  """Squeezes each level's support dimensions and mixes coarse into fine."""

  precision: PrecisionLike = 'highest'
  implementation: str = 'auto'

  @nn.compact
  def __call__(
    self, pyramid: tuple[Float[Array, 'B _Hq _Wq _Hs _Ws _L'] | Level, ...]
  ) -> Float[Array, 'B H W 128']:
    """Encodes a hypercorrelation.

    Args:
      pyramid: one tensor a level, coarsest first, or the maps that it is of.

    Returns:
      The context at every position of the finest query map: the mean over support positions.

    Raises:
      InputError: two levels' support dimensions differ after squeezing, as VGG-16's do at some
        sizes.
    """
    block = functools.partial(Block, precision=self.precision, implementation=self.implementation)
    squeezed = [
      block(WIDTHS, kernels, strides, name=name)(level)
      for (name, kernels, strides), level in zip(squeezing(len(pyramid)), pyramid, strict=True)
    ]
    mixed = squeezed[0]
    for name, finer in zip(mixing(len(pyramid)), squeezed[1:], strict=True):
      if mixed.shape[3:5] != finer.shape[3:5]:
        raise InputError(
          f'the support dimensions of two levels, {mixed.shape[3:5]} and {finer.shape[3:5]}, '
          f'differ after squeezing (support maps of {tuple(map(_support_size, pyramid))}, '
          'coarsest first); choose another image size'
        )
      mixed = upsample_query(mixed, map_size(finer), precision=self.precision) + finer
      mixed = block(MIXING_WIDTHS, name=name)(mixed)
    return mixed.mean(axis=(3, 4))
