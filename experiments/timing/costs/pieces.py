"""Takes the network apart: its parts as functions of their own, with what they work on."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.timing.costs.operations import count, count_zeros, with_gradient
from hsnet_jax.backbones import get_backbone
from hsnet_jax.correlation import Level, pyramid_levels
from hsnet_jax.decoder import Decoder
from hsnet_jax.encoder import MIXING_WIDTHS, WIDTHS, Block, mixing, squeezing, upsample_query
from hsnet_jax.model import HSNet, fold_backbone
from hsnet_jax.resize import map_size, resize_bilinear
from hsnet_jax.training import init_params


@dataclasses.dataclass(frozen=True)
class Piece:
  """Holds a part of the network, and what it works on.

  Attributes:
    name: what it is called.
    function: of its kernels' implementation, gives a function of `args`.
    args: arrays, or shapes of them, for which there is noise.
    learned: with respect to how many of `args`, the first ones, training asks for a gradient.
    needless: counts the operations of the plain form, with the gradient or without, that Eq. 1
      makes needless.
  """

  name: str
  function: Callable[[str], Callable]
  args: tuple
  learned: int = 0
  needless: Callable[[bool], float] = lambda train: 0.0

  def compiled(self, *, train: bool, implementation: str = 'auto') -> Callable[[], Any]:
    """Makes a function without arguments that computes the part, in training its gradient too."""
    given = jax.device_put(jax.tree.map(_filled, self._given(train)))
    program = jax.jit(with_gradient(self.function(implementation), self.learned if train else 0))
    return lambda: program(*given)

  def operations(self, *, train: bool) -> float:
    """Counts what is to be computed."""
    whole = with_gradient(self.function('plain'), self.learned if train else 0)
    return count(whole, *self._given(train)) - self.needless(train)

  def _given(self, train: bool) -> tuple:
    """Returns the shape of the values' gradient, where one is computed, and the arguments."""
    if not train or not self.learned:
      return (np.zeros(()), *self.args)
    values = jax.eval_shape(self.function('plain'), *self.args)
    return (values, *self.args)


def _filled(x: Any) -> Any:
  if not isinstance(x, jax.ShapeDtypeStruct):
    return x
  return np.random.default_rng(0).standard_normal(x.shape, dtype=np.float32).astype(x.dtype)


def make_variables(backbone: str, *, train: bool) -> dict[str, Any]:
  """Draws variables; norms are folded where nothing is trained, as commands do."""
  key = jax.random.key(0)
  params = init_params(key, HSNet(backbone))
  variables = {'params': params, 'backbone': get_backbone(backbone).init(key)}
  return variables if train else fold_backbone(variables, backbone=backbone)


def pieces(
  backbone: str, variables: Mapping[str, Any], batch: Mapping[str, np.ndarray]
) -> Iterator[Piece]:
  """Takes the network apart, from pictures to logits.

  Args:
    backbone: its name.
    variables: of the network.
    batch: query and support `[B, H, W, 3]`, normalized, and support_mask `[B, H, W]`.

  Yields:
    The parts, each of which works on what those before it give.
  """
  count_, size = len(batch['query']), batch['query'].shape[1:3]
  images = jnp.concatenate([batch['query'], batch['support']])
  encode = Piece('backbone', _encode(backbone), (variables, images))
  yield encode
  features = _values(encode)
  halves = [tuple(f[:count_] for f in features), tuple(f[count_:] for f in features)]
  masked = Piece('Eq. 1 and norms', _mask(backbone), (*halves, batch['support_mask']))
  yield masked
  levels, params = _values(masked), variables['params']['encoder']
  squeezed = []
  for block, level in zip(squeezing(len(levels)), levels, strict=True):
    kernel = params[block.name]['conv0']['support_kernel']
    needless = functools.partial(
      count_zeros, level, kernel, stride=block.strides[0], mask=batch['support_mask']
    )
    name = f'{block.name}, maps of {" x ".join(map(str, map_size(level.query[0])))}'
    squeeze = Piece(name, _squeeze(block), (params[block.name], level), 1, needless)
    yield squeeze
    squeezed.append(_values(squeeze))
  mixed = squeezed[0]
  for name, finer in zip(mixing(len(levels)), squeezed[1:], strict=True):
    mix = Piece(name, _mix, (params[name], mixed, finer), 3)
    yield mix
    mixed = _values(mix)
  yield Piece('decoder', _decode(size), (variables['params']['decoder'], mixed), 2)


def _values(piece: Piece) -> Any:
  return jax.block_until_ready(jax.jit(piece.function('auto'))(*piece.args))


def _encode(backbone: str) -> Callable[[str], Callable]:
  def of(implementation):
    model = HSNet(backbone, implementation=implementation)
    return lambda variables, images: model.apply(variables, images, method='encode')

  return of


def _mask(backbone: str) -> Callable[[str], Callable]:
  def of(implementation):
    model = HSNet(backbone, implementation=implementation)

    def levels(query, support, mask) -> tuple[Level, ...]:
      masked: Any = model.apply({}, support, mask, method='mask_support_features')
      return pyramid_levels(query, masked, levels=get_backbone(backbone).levels, normalized=True)

    return levels

  return of


def _squeeze(block: Any) -> Callable[[str], Callable]:
  def of(implementation):
    module = Block(WIDTHS, block.kernels, block.strides, implementation=implementation)
    return lambda params, level: module.apply({'params': params}, level)

  return of


def _mix(implementation: str) -> Callable:
  module = Block(MIXING_WIDTHS, implementation=implementation)

  def mix(params, coarse, finer):
    return module.apply({'params': params}, upsample_query(coarse, map_size(finer)) + finer)

  return mix


def _decode(size: tuple[int, int]) -> Callable[[str], Callable]:
  def of(implementation):
    module = Decoder(implementation=implementation)

    def decode(params, embedding):
      logits: Any = module.apply({'params': params}, embedding.mean(axis=(3, 4)))
      return resize_bilinear(logits, size)

    return decode

  return of
