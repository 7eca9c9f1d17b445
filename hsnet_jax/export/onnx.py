"""Writes a segmenter as ONNX, by jax2onnx.

Every convolution is in its plain form: the center-pivot 4D one is two 2D ones over reshaped tensors
(Eq. 4), which is all that ONNX needs. What `hsnet_jax.export.program` says of a program is in the
file's metadata, under 'about'.
"""

import json
import os
import warnings
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun

from hsnet_jax.errors import InputError
from hsnet_jax.export.program import OUTPUTS, Program, describe_arrays, make_program
from hsnet_jax.export.stablehlo import checked_ending
from hsnet_jax.segmenter.segmenter import Segmenter
from hsnet_jax.whole_files import replacing

ENDING = '.onnx'
ABOUT = 'about'
# A protobuf, which the file is, holds no more.
_MOST_BYTES = 2**31 - 1


def export_onnx(
  path: str | os.PathLike,
  segmenter: Segmenter,
  *,
  shots: int | None = None,
  batch_size: int | None = 1,
) -> dict[str, Any]:
  """Writes a segmenter as ONNX, whole or not at all; `hsnet_jax.export.program` says of what.

  A network of another `precision` computes in float32 there.

  Args:
    path: the `.onnx`; an existing one is replaced.
    segmenter: what is exported; fitted, unless `shots` is given.
    shots: how many supports the program is given each time; None bakes in the segmenter's own.
    batch_size: how many pictures it takes; None for any number, which onnxruntime computes more
      slowly than a number that it knows.

  Returns:
    What the metadata says.

  Raises:
    InputError: an option does not fit, jax2onnx is missing, the network has an operation that it
      cannot express, or is too large for one file.
    OSError: the file cannot be written.
  """
  path = checked_ending(path, ENDING)
  _to_onnx()
  program = make_program(
    segmenter,
    shots=shots,
    batch_size=batch_size,
    implementation='plain',
    unroll=True,
    float32=True,
  )

  model, outputs = _converted(program, segmenter.model.backbone.name)
  about = {
    **program.about,
    'outputs': describe_arrays(outputs),
    'opset': model.opset_import[0].version,
    'versions': {'jax': jax.__version__},
  }
  entry = model.metadata_props.add()
  entry.key, entry.value = ABOUT, json.dumps(about)
  if model.ByteSize() > _MOST_BYTES:
    raise InputError(f'{path}: {model.ByteSize():,} bytes are too many for an ONNX file')
  with replacing(path) as part:
    part.write_bytes(model.SerializeToString())
  return about


def _to_onnx() -> Callable[..., Any]:
  try:
    from jax2onnx import to_onnx
  except ImportError:
    raise InputError("ONNX needs jax2onnx: pip install 'hsnet-jax[onnx]'") from None
  return to_onnx


def _converted(program: Program, backbone: str) -> tuple[Any, dict[str, Any]]:
  """Converts a program; returns ONNX's model, and the outputs' shapes and types by name."""

  def function(*inputs):
    found = program.function(*inputs)
    return [found[name] for name in OUTPUTS]

  # Traced before jax2onnx puts operations of its own in the place of JAX's.
  traced = jax.make_jaxpr(function)(*program.inputs.values())
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      model = _to_onnx()(
        jaxpr_as_fun(traced),
        list(program.inputs.values()),
        model_name='hsnet',
        input_names=list(program.inputs),
        output_names=list(OUTPUTS),
      )
  except NotImplementedError as error:
    raise InputError(f'jax2onnx cannot express the network of {backbone}: {error}') from error
  return model, dict(zip(OUTPUTS, traced.out_avals, strict=True))
