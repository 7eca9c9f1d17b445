"""Makes the function that is exported: pictures as they are read in, masks and logits out.

It takes `images`, uint8 `[B, S, S, 3]` of the side S that the network sees, and where supports are
given and not baked in `support_images`, uint8 `[K, S, S, 3]`, and `support_masks`, uint8
`[K, S, S]` in {0, 1}. Normalization is inside. It returns

- `mask`, uint8 `[B, C, S, S]` in {0, 1}: where each of the C classes is;
- `probability`, float32 `[B, C, S, S]`: its foreground probability, averaged over its supports;
- `logits`, float32 `[B, N, h, w, 2]`, at the decoder's own size and channel 1 the foreground: N is
  a set for each support where they vote, else one for each class.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsnet_jax.backbones.pixels import normalize
from hsnet_jax.errors import InputError
from hsnet_jax.inference import SupportSet, combination, combine_shots, match_shots
from hsnet_jax.model import HSNet, fold_backbone
from hsnet_jax.models import describe_network
from hsnet_jax.resize import resize_bilinear
from hsnet_jax.segmenter import programs
from hsnet_jax.segmenter.segmenter import Segmenter

FORMAT, FORMAT_VERSION = 'hsnet-jax export', 1
OUTPUTS: tuple[str, ...] = ('mask', 'probability', 'logits')
# The name of the batch's size where that is left open.
_BATCH = 'batch'
_GIVEN_CLASS = 'object'
_PREPARING = (
  'RGB, 0 to 255, turned upright and resized to image_size x image_size, whatever its shape, by '
  "Pillow's bilinear filter; a mask by the nearest pixel, 1 on the object. Supports that the "
  'program is given are cut to a window around their object first, with support_margin on each '
  'side, as hsnet_jax.extensions.windows has it. Nothing else: normalization is inside.'
)


class Program(NamedTuple):
  """Holds a function to export.

  Attributes:
    function: of the inputs by position; a dictionary of `OUTPUTS`.
    inputs: their shapes and types, by name; the batch may be a symbol.
    about: what someone who has the file alone needs to know, for JSON.
  """

  function: Callable[..., dict[str, Array]]
  inputs: dict[str, jax.ShapeDtypeStruct]
  about: dict[str, Any]


def make_program(
  segmenter: Segmenter,
  *,
  shots: int | None = None,
  batch_size: int | None = None,
  implementation: str = 'auto',
  unroll: bool = False,
  float32: bool = False,
) -> Program:
  """Makes the function of a segmenter; the module says what it takes and returns.

  Args:
    segmenter: what is exported; fitted, unless `shots` is given.
    shots: how many supports of one class the program is given each time; None bakes in those that
      the segmenter was fitted to.
    batch_size: how many pictures it takes; None for any number.
    implementation: of the kernels, as `HSNet` has it; 'auto' does not go with any number.
    unroll: as for `match_shots`.
    float32: whether a network of another `precision` computes in float32.

  Returns:
    The program.

  Raises:
    InputError: the segmenter is not fitted, or a number is below 1.
  """
  for name, count in (('shots', shots), ('batch_size', batch_size)):
    if count is not None and count < 1:
      raise InputError(f'`{name}` is {count}; it must be at least 1')
  module = segmenter.model.module.clone(implementation=implementation)
  if float32:
    module = module.clone(dtype=None)
  size, by = segmenter.image_size, segmenter.combine
  batch = jax.export.symbolic_shape(_BATCH)[0] if batch_size is None else batch_size
  inputs = {'images': jax.ShapeDtypeStruct((batch, size, size, 3), np.uint8)}
  baked: Sequence[SupportSet] = ()
  if shots is not None:
    classes, counts = (_GIVEN_CLASS,), [shots]
    variables = fold_backbone(segmenter.model.variables, backbone=segmenter.model.backbone)
    inputs['support_images'] = jax.ShapeDtypeStruct((shots, size, size, 3), np.uint8)
    inputs['support_masks'] = jax.ShapeDtypeStruct((shots, size, size), np.uint8)
  elif segmenter.fitted is not None:
    classes, (_, variables, baked) = segmenter.classes, segmenter.fitted
    counts = [len(one.features[0]) for one in baked]
  else:
    raise InputError(
      'this segmenter has seen no supports to bake in; `fit` it, or give `shots`, as many as the'
      ' program is to be given each time'
    )

  def function(images, *supports):
    sets = [programs.encode_supports(module, variables, *supports)] if supports else baked
    return _segment(module, variables, images, sets, by=by, size=size, unroll=unroll)

  rows = [name for name, n in zip(classes, counts, strict=True) for _ in range(_rows(by, n))]
  about = _describe(segmenter, module, inputs, classes=classes, rows=rows, given=shots is not None)
  return Program(function, inputs, about)


def describe_arrays(arrays: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Describes inputs or outputs for JSON; a size that is left open has a name.

  Args:
    arrays: anything with shape and dtype, by name.

  Returns:
    The name, dtype and shape of each, in their order.
  """
  return [
    {
      'name': name,
      'dtype': np.dtype(x.dtype).name,
      'shape': [n if isinstance(n, int) else str(n) for n in x.shape],
    }
    for name, x in arrays.items()
  ]


def _rows(by: str, shots: int) -> int:
  """Counts the sets of logits that are left of K shots; `vote` keeps all."""
  shape = jax.ShapeDtypeStruct((shots, 1, 1, 1, 2), jnp.float32)
  return jax.eval_shape(combination(by), shape).shape[0]


def _segment(
  module: HSNet,
  variables: Mapping[str, Any],
  images: Array,
  sets: Sequence[SupportSet],
  *,
  by: str,
  size: int,
  unroll: bool,
) -> dict[str, Array]:
  """Segments pictures by the support sets of several classes, as `Segmenter.predict` does."""
  pictures = normalize(images, module.backbone)
  features: Any = module.apply(variables, pictures, method='encode')
  logits = [match_shots(module, variables, features, one, unroll=unroll) for one in sets]
  logits = [combination(by)(one) for one in logits]
  found = [combine_shots(_resized(one, size)) for one in logits]
  return {
    'mask': jnp.stack([one.mask for one in found], axis=1),
    'probability': jnp.stack([one.probability for one in found], axis=1),
    'logits': jnp.moveaxis(jnp.concatenate(logits), 0, 1),
  }


def _resized(logits: Float[Array, 'K B h w 2'], size: int) -> Float[Array, 'K B H W 2']:
  shots, batch, height, width, _ = logits.shape
  flat = resize_bilinear(logits.reshape(shots * batch, height, width, 2), (size, size))
  return flat.reshape(shots, batch, size, size, 2)


def _describe(
  segmenter: Segmenter,
  module: HSNet,
  inputs: Mapping[str, Any],
  *,
  classes: Sequence[str],
  rows: Sequence[str],
  given: bool,
) -> dict[str, Any]:
  """Says what someone who has the program alone needs to know."""
  network = describe_network(module)
  return {
    'format': FORMAT,
    'format_version': FORMAT_VERSION,
    'image_size': segmenter.image_size,
    'classes': list(classes),
    'rows_of_logits': list(rows),
    'supports': 'given' if given else 'baked in',
    'support_margin': segmenter.support_margin,
    'combine': segmenter.combine,
    'preparing': _PREPARING,
    **{name: network[name] for name in ('backbone', 'precision', 'presence_threshold')},
    'inputs': describe_arrays(inputs),
  }
