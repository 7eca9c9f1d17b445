"""Chooses the form of a kernel that is computed: one table, by shape and platform, for all.

A kernel's forms agree to rounding; 'plain' is the oracle of the others. A function that computes
one takes `implementation`: 'auto' for what the table says, 'portable' for what it says of no
platform in particular, or a form by its name.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Shape:
  """Holds what a choice of form goes by.

  Attributes:
    kernel: height and width of the kernel.
    channels: of the input.
    out: channels of the output.
    stride: of both axes.
    size: height and width of the maps.
    platform: the kind of device, such as 'cpu'; 'any' for a program that is to run on all of them.
  """

  kernel: tuple[int, int]
  channels: int
  out: int
  stride: int
  size: tuple[int, int]
  platform: str

  @property
  def dense_excess(self) -> float:
    """Computes how many times more multiply-adds the dense matrix takes than the convolution."""
    return self.size[0] * self.size[1] / (self.kernel[0] * self.kernel[1])

  @property
  def dense_elements(self) -> int:
    """Counts the elements of the convolution's dense matrix."""
    (height, width), out = self.size, self.out
    pixels = -(-height // self.stride) * -(-width // self.stride)
    return height * width * self.channels * pixels * out


Suits = Callable[[Shape], bool]


def _always(shape: Shape) -> bool:
  return True


# What serves all platforms is chosen for a CPU, where a wrong choice costs most; but loops, and
# parts of a batch, whose size need not be known there, are for a CPU alone.
ANY = 'any'
_CPU = ('cpu', ANY)

# Of a kernel the first form that suits is taken.
FORMS: Mapping[str, Mapping[str, Suits]] = {
  # Eq. 2 with the first layer over it. Loops start slowly: where there are few positions, all of
  # them are computed sooner.
  'correlation_conv4d': {
    'packed': lambda s: s.platform == 'cpu' and s.size[0] * s.size[1] >= 512,
    'plain': _always,
  },
  'conv2d': {
    # A matrix product of the channels.
    'pointwise': lambda s: s.kernel == (1, 1),
    # XLA's CPU backend takes two to four times as long for the gradient of the kernel. Few output
    # channels leave one so small that the plain form wins.
    'product_gradient': lambda s: s.platform == 'cpu' and s.out >= 8,
    'plain': _always,
  },
  'depthwise_conv2d': {
    # Six times faster than XLA's grouped convolution on 40 images of 100 x 100.
    'taps': lambda s: s.platform in _CPU,
    'plain': _always,
  },
  # The strided convolution over the support dimensions sees tens of thousands of images of a few
  # pixels, whose gradients took 3 to 9 times as long on an H200 in float32: the dense form may take
  # up to 8 times more multiply-adds and still win, as a product runs nearer the peak, and so do its
  # gradients. Its matrix grows with the squares of channels and sizes, not with the batch: at most
  # 64 MB; the network's own stay below a fifth of it at 400 x 400. A CPU's products
  # are no nearer the peak: from 13 x 13 by a kernel of 5 x 5, 6.8 times more, 72 ms in place of 22.
  'support_side': {
    'dense': lambda s: (
      s.dense_excess <= (2 if s.platform in _CPU else 8) and s.dense_elements <= 2**24
    ),
    'convolution': _always,
    'plain': _always,
  },
}


def choose(
  kernel: str,
  implementation: str,
  *,
  weights: Any,
  x: Any,
  stride: int = 1,
) -> str:
  """Chooses the form that a kernel is computed in.

  Args:
    kernel: a key of `FORMS`.
    implementation: 'auto', 'portable', or one of its forms.
    weights: `[k, l, C, O]`, or of a depthwise kernel `[k, l, C, 1]`.
    x: the maps `[..., H, W, C]`.
    stride: of both axes.

  Returns:
    The form's name.

  Raises:
    ValueError: the kernel has no such form.
  """
  forms = FORMS[kernel]
  if implementation not in ('auto', 'portable'):
    if implementation not in forms:
      raise ValueError(
        f'`implementation` of {kernel} is {implementation!r}; there are auto, portable, '
        f'{", ".join(forms)}'
      )
    return implementation
  shape = Shape(
    kernel=weights.shape[:2],
    channels=weights.shape[2],
    out=weights.shape[3],
    stride=stride,
    size=x.shape[-3:-1],
    # The default backend's, for which functions are traced.
    platform=ANY if implementation == 'portable' else jax.default_backend(),
  )
  return next(name for name, suits in forms.items() if suits(shape))
