"""Finds the kernels that the network computes, with the shapes that they have in it."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from experiments.timing.costs.pieces import Piece
from hsnet_jax.conv4d import center_pivot_conv4d
from hsnet_jax.correlation import Level
from hsnet_jax.encoder import MIXING_WIDTHS, WIDTHS, correlation_conv4d
from hsnet_jax.kernels.conv2d import conv2d
from hsnet_jax.kernels.depthwise import depthwise_conv2d
from hsnet_jax.kernels.forms import FORMS, choose


@dataclasses.dataclass(frozen=True)
class Case:
  """Holds one kernel at one shape.

  Attributes:
    kernel: a key of `FORMS`.
    piece: computes it; its `args` begin with the kernel's weights, its name says the shape.
    chosen: the form that 'auto' takes here.
    times: how often the network has it.
  """

  kernel: str
  piece: Piece
  chosen: str
  times: int = 1

  def forms(self) -> list[str]:
    """Names the forms that there are for this shape."""
    return [form for form in FORMS[self.kernel] if self._takes(form)]

  def _takes(self, form: str) -> bool:
    try:
      jax.eval_shape(self.piece.function(form), *self.piece.args)
    except ValueError:  # As the pointwise form says of a kernel of 3 x 3.
      return False
    return True


def cases(parts: Iterable[Piece]) -> list[Case]:
  """Finds the kernels of the network's parts, each shape once.

  Args:
    parts: of `pieces`.

  Returns:
    The cases, kernel by kernel in the order of `FORMS`.
  """
  found: dict[tuple[str, str, int], Case] = {}
  for part in parts:
    squeezes = len(part.args) == 2 and isinstance(part.args[1], Level)
    for case in (*(_squeezing(part) if squeezes else _mixing(part)), *_convolutions(part)):
      key = case.kernel, case.piece.name, case.piece.learned
      times = found[key].times + 1 if key in found else 1
      found[key] = dataclasses.replace(case, times=times)
  order = list(FORMS)
  return sorted(found.values(), key=lambda case: order.index(case.kernel))


def _squeezing(part: Piece) -> Iterator[Case]:
  """Yields the layers of a squeezing block: the first one's correlation, then support sides."""
  params, level = part.args
  kernels = [params[f'conv{i}'] for i in range(len(WIDTHS))]
  # A kernel is one wider than its stride.
  strides = [kernel['support_kernel'].shape[0] - 1 for kernel in kernels]
  weights = kernels[0]['query_kernel'], kernels[0]['support_kernel']
  size = *level.query[0].shape[:3], *level.support[0].shape[1:3]
  channels = [f.shape[-1] for f in level.support]

  def correlate(form: str) -> Callable:
    convolve = functools.partial(correlation_conv4d, stride=strides[0], implementation=form)
    return lambda query, support, level: convolve(level, query, support)

  name = f'{_by(size)}, {len(channels)} maps of {channels[0]}, {_kernel(weights[1], strides[0])}'
  piece = Piece(name, correlate, (*weights, level), 2, part.needless)
  kernel = 'correlation_conv4d'
  yield Case(
    kernel, piece, choose(kernel, 'auto', weights=weights[1], x=level.support[0], stride=strides[0])
  )
  for kernel, stride, before, width in zip(
    kernels[1:], strides[1:], strides[:-1], WIDTHS[:-1], strict=True
  ):
    size = *size[:3], *(-(-n // before) for n in size[3:])
    yield _layer(kernel, (*size, width), stride)


def _mixing(part: Piece) -> Iterator[Case]:
  """Yields the layers of a mixing block, which are alike; of other parts nothing."""
  params, *rest = part.args
  if len(rest) == 2 and 'conv0' in params and 'support_kernel' in params['conv0']:
    for i in range(len(MIXING_WIDTHS)):
      yield _layer(params[f'conv{i}'], rest[1].shape, 1)


def _layer(params: Any, shape: tuple[int, ...], stride: int) -> Case:
  """Makes a case of a center-pivot layer, whose forms are those of its support side."""
  weights = params['query_kernel'], params['support_kernel']

  def convolve(form: str) -> Callable:
    of_form = functools.partial(center_pivot_conv4d, stride=stride, implementation=form)
    return lambda query, support, x: of_form(x, query, support)

  name = f'{_by(shape[:-1])}, {_kernel(weights[1], stride)}'
  x = jax.ShapeDtypeStruct(shape, np.float32)
  chosen = choose('support_side', 'auto', weights=weights[1], x=x, stride=stride)
  return Case('support_side', Piece(name, convolve, (*weights, x), 3), chosen)


def _convolutions(part: Piece) -> Iterator[Case]:
  """Yields the 2D convolutions of a part, found in its plain form."""
  program = jax.make_jaxpr(part.function('plain'))(*part.args)
  for equation in _equations(program.jaxpr):
    if equation.primitive.name != 'conv_general_dilated':
      continue
    x, weights = (operand.aval.shape for operand in equation.invars)
    stride, *_ = equation.params['window_strides']
    padding = equation.params['padding']
    if equation.params['feature_group_count'] > 1:
      weights = (*weights[:2], *weights[:1:-1])
      kernel, convolve = 'depthwise_conv2d', functools.partial(depthwise_conv2d, padding=padding)
    elif padding == tuple((k // 2, k // 2) for k in weights[:2]):
      kernel, convolve = 'conv2d', conv2d
    else:  # 'SAME' with a stride: XLA's own in any form.
      continue
    x, weights = (jax.ShapeDtypeStruct(shape, np.float32) for shape in (x, weights))
    chosen = choose(kernel, 'auto', weights=weights, x=x, stride=stride)
    name = f'{_by(x.shape[:-1])}, {_kernel(weights, stride)}'
    function = functools.partial(_with_form, convolve, stride)
    yield Case(kernel, Piece(name, function, (weights, x), 2 * bool(part.learned)), chosen)


def _with_form(convolve: Callable, stride: int, form: str) -> Callable:
  return lambda weights, x: convolve(x, weights, stride=stride, implementation=form)


def _equations(program: Any) -> Iterator[Any]:
  """Yields the equations of a program and of those within it."""
  for equation in program.eqns:
    yield equation
    for given in equation.params.values():
      for inner in given if isinstance(given, tuple | list) else (given,):
        inner = getattr(inner, 'jaxpr', inner)
        if hasattr(inner, 'eqns'):
          yield from _equations(inner)


def _by(sizes: Iterable[int]) -> str:
  return ' x '.join(map(str, sizes))


def _kernel(weights: Any, stride: int) -> str:
  height, width, channels, out = weights.shape
  return f'{height} x {width}, {channels} to {out}, stride {stride}'
