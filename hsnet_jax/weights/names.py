"""Names the tensors of published files, and says where each lies in the project's trees.

A table maps every name of a file to a `Tensor`: the path of its leaf in the tree, its shape in
the file, and the axes that bring it into the tree's layout (PyTorch's kernels are OIHW, the
trees' HWIO). Both directions of every conversion, and every check of a file, go by these tables.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hsnet_jax import decoder
from hsnet_jax.backbones.backbone import Backbone
from hsnet_jax.backbones.table import BACKBONES, get_backbone
from hsnet_jax.encoder import MIXING_WIDTHS, WIDTHS, Block, mixing, squeezing
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.channels import feature_channels
from hsnet_jax.extensions.head import PUBLISHED, Head

# `squeeze4` is `encoder_layer4`, `mix4to3` is `encoder_layer4to3`.
_BLOCK = re.compile('squeeze|mix')
_PUBLISHED_DECODER = {
  'conv0': 'decoder1.0',
  'conv1': 'decoder1.2',
  'conv2': 'decoder2.0',
  'conv3': 'decoder2.2',
}

# Axes that bring a kernel of a file into the tree's layout.
_OIHW_TO_HWIO = (2, 3, 1, 0)
_DEPTHWISE = (2, 3, 0, 1)  # [channels, 1, H, W] to [H, W, channels, 1]

_TORCH_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
_KERAS_LEAVES = {
  'kernel': 'kernel',
  'scale': 'gamma',
  'bias': 'beta',
  'mean': 'moving_mean',
  'var': 'moving_variance',
}

# Files of every backbone may hold these, and PyTorch's its step counts besides what its row says.
_STEP_COUNTS = r'(.*\.)?num_batches_tracked'


class Tensor(NamedTuple):
  """Says where one tensor of a file belongs.

  Attributes:
    path: the keys of its leaf in the tree.
    shape: its shape in the file.
    axes: the transposition from the file's layout to the tree's.
  """

  path: tuple[str, ...]
  shape: tuple[int, ...]
  axes: tuple[int, ...]


def is_unused(name: str, *, backbone: str | Backbone | None = None) -> bool:
  """Says whether a file may hold `name` though the network does not use it.

  Args:
    name: a tensor's, without `module.`.
    backbone: the backbone whose file it is; None for any of the table.
  """
  known = [*BACKBONES.values()] if backbone is None else [get_backbone(backbone)]
  patterns = (_STEP_COUNTS, *{rf'(backbone\.)?({spec.unused})' for spec in known if spec.unused})
  return any(re.fullmatch(pattern, name) for pattern in patterns)


def without_wrapper(name: str) -> str:
  """Takes off the `module.` that a data-parallel wrapper puts before every name."""
  return name.removeprefix('module.')


def leaves(tree: Mapping[str, Any], *, path: tuple[str, ...] = ()) -> Iterator[tuple]:
  """Yields `(path, leaf)` for every leaf of a nested dict, in the dicts' own order."""
  for key, value in tree.items():
    if isinstance(value, Mapping):
      yield from leaves(value, path=(*path, str(key)))
    else:
      yield (*path, str(key)), value


@functools.cache
def backbone_tensors(backbone: str | Backbone) -> Mapping[str, Tensor]:
  """Returns the table of a backbone's file under torchvision's names.

  Backbones that torchvision does not have are named in the same manner after their own tree.
  """
  spec, table = get_backbone(backbone), {}
  for path, shape in _backbone_shapes(spec):
    name = '.'.join((*path[:-1], _TORCH_LEAVES.get(path[-1], path[-1])))
    if name in table:
      raise InputError(
        f'{spec.name}: {"/".join(table[name].path)} and {"/".join(path)} of its weights would both '
        f'be called {name} in a file; rename one of them'
      )
    table[name] = _torch_tensor(path, shape, depthwise=_is_depthwise(spec, path))
  return table


@functools.cache
def keras_tensors(backbone: str | Backbone) -> Mapping[str, Tensor]:
  """Returns the table of a backbone's file under Keras' names, `layer/weight`, kernels HWIO."""
  spec, table = get_backbone(backbone), {}
  for path, shape in _backbone_shapes(spec):
    weight = _KERAS_LEAVES.get(path[-1], path[-1])
    if weight == 'kernel' and _is_depthwise(spec, path):
      weight = 'depthwise_kernel'
    table['/'.join((*path[:-1], weight))] = Tensor(path, shape, tuple(range(len(shape))))
  return table


@functools.cache
def hsnet_tensors(backbone: str | Backbone, *, head: Head = PUBLISHED) -> Mapping[str, Tensor]:
  """Returns the table of a published HSNet checkpoint; paths begin in `variables`.

  Args:
    backbone: of the network.
    head: what its head has beyond the published one, whose tensors have names in its manner.
  """
  table = {
    f'backbone.{name}': tensor._replace(path=('backbone', *tensor.path))
    for name, tensor in backbone_tensors(backbone).items()
  }
  spec = get_backbone(backbone)
  for name, path, shape in _learnable(head.correlated(spec.levels), _added(spec, head)):
    table[f'hpn_learner.{name}'] = _torch_tensor(('params', *path), shape)
  return table


def detect_backbone(
  shapes: Mapping[str, tuple[int, ...]],
  *,
  tensors: Callable[[str], Mapping[str, Tensor]] = hsnet_tensors,
) -> str | None:
  """Returns the backbone whose published checkpoint has exactly these names and shapes.

  Args:
    shapes: names, with or without `module.`, to shapes; unused tensors may be among them.
    tensors: `backbone_tensors`, where the shapes are those of a backbone alone.
  """
  used = {without_wrapper(name): tuple(shape) for name, shape in shapes.items()}
  used = {name: shape for name, shape in used.items() if not is_unused(name)}
  for backbone in BACKBONES:
    if used == {name: tensor.shape for name, tensor in tensors(backbone).items()}:
      return backbone
  return None


def check_names(
  shapes: Mapping[str, tuple[int, ...]],
  table: Mapping[str, Tensor],
  *,
  source: str,
  hint: str = '',
  backbone: str | Backbone | None = None,
) -> None:
  """Raises unless names and shapes are exactly those of `table`, unused tensors aside.

  Args:
    shapes: the names found, and their shapes.
    table: what is expected.
    source: what the names were found in, for the message.
    hint: what to do about it, at the end of the message.
    backbone: whose unused tensors may be there; None for those of any of the table.

  Raises:
    InputError: naming every missing, unexpected and wrongly shaped tensor, in one line.
  """
  missing = [name for name in table if name not in shapes]
  unexpected = [
    name for name in shapes if name not in table and not is_unused(name, backbone=backbone)
  ]
  misshapen = [
    f'{name} ({list(shapes[name])} instead of {list(tensor.shape)})'
    for name, tensor in table.items()
    if name in shapes and tuple(shapes[name]) != tensor.shape
  ]
  problems = [
    f'{kind}: {", ".join(names)}'
    for kind, names in (
      ('missing', missing),
      ('unexpected', unexpected),
      ('wrong shape', misshapen),
    )
    if names
  ]
  if problems:
    raise InputError(f'{source} does not fit: ' + '; '.join(problems) + hint)


def check_parts(names: Iterable[str], *, source: str) -> None:
  """Raises InputError where one of an HSNet's two parts is missing altogether.

  Args:
    names: of the tensors, with or without `module.`.
    source: what they were found in, for the message.
  """
  held = {without_wrapper(name).partition('.')[0] for name in names}
  parts = {'backbone': 'the backbone', 'hpn_learner': 'the learned layers'}
  missing = [part for part in parts if part not in held]
  if len(missing) == 1:
    raise InputError(
      f'{source}: {parts[missing[0]]} is missing: no tensor is called {missing[0]}.*; save the'
      ' state dict of the whole network'
    )


def check_finite(tensors: Mapping[str, Any], *, source: str) -> None:
  """Raises InputError where tensors hold NaN or infinity, with their names.

  Args:
    tensors: {name: array}, of the host or a device.
    source: what they were found in, for the message.
  """
  wrong = [name for name, x in jax.device_get(dict(tensors)).items() if not np.isfinite(x).all()]
  if wrong:
    more = f' and {len(wrong) - 10} more' if len(wrong) > 10 else ''
    raise InputError(
      f'{source}: NaN or infinity in {", ".join(wrong[:10])}{more}: such weights give no masks;'
      ' take an earlier checkpoint'
    )


def _backbone_shapes(spec: Backbone) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
  tree = jax.eval_shape(lambda: spec.init(jax.random.key(0)))  # shapes alone, nothing computed
  return [(path, tuple(leaf.shape)) for path, leaf in leaves(tree)]


def _is_depthwise(spec: Backbone, path: tuple[str, ...]) -> bool:
  return len(path) > 1 and spec.is_depthwise(path[-2])


def _torch_tensor(
  path: tuple[str, ...], shape: tuple[int, ...], *, depthwise: bool = False
) -> Tensor:
  """Describes a tensor of PyTorch's layout by the tree's `shape`."""
  axes = tuple(range(len(shape)))
  if len(shape) == 4:
    axes = _DEPTHWISE if depthwise else _OIHW_TO_HWIO
  return Tensor(path, tuple(shape[axes.index(axis)] for axis in range(len(shape))), axes)


def _added(spec: Backbone, head: Head) -> Mapping[str, int]:
  """Counts the channels that a head adds to the input of each layer of the decoder."""
  added = {'conv0': 2 * sum(head.correlated(spec.levels)), 'conv2': 1} if head.prior else {}
  if not head.skip:
    return added
  skipped = head.skipped(feature_channels(spec), spec.levels)
  fine = added.get('conv2', 0) + decoder.SKIP_WIDTH
  return {**added, 'conv2': fine, 'skip': sum(skipped)}


def _learnable(levels: Sequence[int], added: Mapping[str, int]) -> Iterator[tuple]:
  """Yields published name, path in `params` and shape of every learnable tensor."""
  blocks = [
    (name, kernels, level, WIDTHS)
    for (name, kernels, _), level in zip(squeezing(len(levels)), reversed(levels), strict=True)
  ] + [(name, Block.kernels, WIDTHS[-1], MIXING_WIDTHS) for name in mixing(len(levels))]
  for block, kernels, channels, widths in blocks:
    published = _BLOCK.sub('encoder_layer', block)
    for i, (size, width) in enumerate(zip(kernels, widths, strict=True)):
      # The published blocks count convolution, norm and ReLU as three layers.
      conv, norm = f'{published}.{3 * i}', f'{published}.{3 * i + 1}'
      for number, side in ((1, 'query'), (2, 'support')):
        path = ('encoder', block, f'conv{i}')
        shape = (size, size, channels, width)
        yield f'{conv}.conv{number}.weight', (*path, f'{side}_kernel'), shape
        yield f'{conv}.conv{number}.bias', (*path, f'{side}_bias'), (width,)
      yield f'{norm}.weight', ('encoder', block, f'norm{i}', 'scale'), (width,)
      yield f'{norm}.bias', ('encoder', block, f'norm{i}', 'bias'), (width,)
      channels = width
  channels = WIDTHS[-1]  # of the last block, the decoder's input
  for (layer, published), width in zip(_PUBLISHED_DECODER.items(), decoder.WIDTHS, strict=True):
    shape = (3, 3, channels + added.get(layer, 0), width)
    yield f'{published}.weight', ('decoder', layer, 'kernel'), shape
    yield f'{published}.bias', ('decoder', layer, 'bias'), (width,)
    channels = width
  if 'skip' in added:
    shape = (1, 1, added['skip'], decoder.SKIP_WIDTH)
    yield 'skip.weight', ('decoder', 'skip', 'kernel'), shape
    yield 'skip.bias', ('decoder', 'skip', 'bias'), (decoder.SKIP_WIDTH,)
  if 'conv0' in added:
    yield from ((f'prior.{name}', ('decoder', name), (1,)) for name in ('gain', 'threshold'))
