"""Runs exported files, and compares them with the network that they are of."""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import numpy as np

from hsnet_jax.errors import InputError
from hsnet_jax.export import onnx, stablehlo
from hsnet_jax.export.program import FORMAT, FORMAT_VERSION, OUTPUTS, make_program
from hsnet_jax.segmenter.pictures import Picture, read_picture, resize_picture
from hsnet_jax.segmenter.segmenter import Segmenter


@dataclasses.dataclass(frozen=True, eq=False)
class Exported:
  """Holds a program that was read from a file.

  Attributes:
    about: what the file says of it: 'inputs', 'outputs', 'image_size', 'classes' and more.
  """

  about: dict[str, Any]
  _run: Callable[..., dict[str, np.ndarray]] = dataclasses.field(repr=False)

  def __call__(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Runs it; `hsnet_jax.export.program` says of what, and what comes out.

    Args:
      inputs: as `about['inputs']` lists them.

    Returns:
      The outputs, by name.

    Raises:
      InputError: the inputs are others.
    """
    given = [(x.dtype.name, x.shape) for x in map(np.asarray, inputs)]
    wanted = [(one['dtype'], tuple(one['shape'])) for one in self.about['inputs']]
    fits = len(given) == len(wanted) and all(map(_fits, given, wanted))
    if not fits:
      raise InputError(f'the program takes {wanted}, not {given}')
    return self._run(*inputs)


def read_exported(path: str | os.PathLike) -> Exported:
  """Reads what `export_stablehlo` or `export_onnx` wrote; the latter's runs by onnxruntime.

  Args:
    path: the `.stablehlo` or `.onnx`.

  Returns:
    The program.

  Raises:
    InputError: the file is missing, damaged or of another kind, or the package that runs it is
      missing.
  """
  path = pathlib.Path(path).expanduser()
  if not path.is_file():
    raise InputError(f'{path}: there is no such file')
  readers = {stablehlo.ENDING: _read_stablehlo, onnx.ENDING: _read_onnx}
  if path.suffix not in readers:
    raise InputError(f'{path}: give a file that ends with {" or ".join(readers)}')
  return readers[path.suffix](path)


def largest_difference(exported: Exported, segmenter: Segmenter, picture: Picture) -> float:
  """Compares the logits of an exported program with those of the segmenter on a picture.

  A program that is given supports gets the picture itself for all of them, a square in its middle
  being the object.

  Args:
    exported: from `read_exported`.
    segmenter: what it was exported from.
    picture: a path, a Pillow image, or uint8 `[h, w, 3]`.

  Returns:
    The largest absolute difference.

  Raises:
    InputError: the picture cannot be read, or the program is of another segmenter.
  """
  size = exported.about['image_size']
  small = resize_picture(read_picture(picture, name='the picture'), (size, size))
  arrays, shots = [], None
  for one in exported.about['inputs']:
    count = one['shape'][0] if isinstance(one['shape'][0], int) else 1
    if one['name'] == 'support_masks':
      shots, middle = count, np.zeros((size, size), np.uint8)
      middle[size // 4 : -(size // 4), size // 4 : -(size // 4)] = 1
      arrays.append(np.stack([middle] * count))
    else:
      arrays.append(np.stack([small] * count))
  program = make_program(segmenter, shots=shots, batch_size=len(arrays[0]))
  if [x.shape for x in program.inputs.values()] != [x.shape for x in arrays]:
    raise InputError('the program was exported from another segmenter')
  ours = np.asarray(jax.jit(program.function)(*arrays)['logits'])
  theirs = exported(*arrays)['logits']
  if ours.shape != theirs.shape:
    raise InputError('the program was exported from another segmenter')
  return float(np.abs(ours - theirs).max())


def _fits(given: tuple[str, Sequence[int]], wanted: tuple[str, Sequence[Any]]) -> bool:
  """Says whether a dtype and shape are those wanted, names standing for any size."""
  (dtype, shape), (wanted_dtype, wanted_shape) = given, wanted
  return (
    dtype == wanted_dtype
    and len(shape) == len(wanted_shape)
    and all(isinstance(w, str) or n == w for n, w in zip(shape, wanted_shape, strict=True))
  )


def _read_stablehlo(path: pathlib.Path) -> Exported:
  stablehlo.check_flatbuffers()
  try:
    with zipfile.ZipFile(path) as archive:
      about = json.loads(archive.read(stablehlo.ABOUT))
      program = jax.export.deserialize(bytearray(archive.read(stablehlo.PROGRAM)))
  except Exception as error:  # Readers of archives and flatbuffers raise nearly anything.
    raise InputError(f'{path}: no exported program, or a damaged one; export it again') from error
  call = jax.jit(program.call)

  def run(*inputs):
    return {name: np.asarray(x) for name, x in call(*inputs).items()}

  return Exported(_checked(about, path), run)


def _read_onnx(path: pathlib.Path) -> Exported:
  try:
    import onnxruntime
  except ImportError:
    raise InputError('running ONNX needs onnxruntime: pip install onnxruntime') from None
  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3  # It warns of initializers that nobody uses.
  try:
    session = onnxruntime.InferenceSession(
      path, sess_options=options, providers=['CPUExecutionProvider']
    )
    about = json.loads(session.get_modelmeta().custom_metadata_map[onnx.ABOUT])
  except Exception as error:  # It has a class of its own for each thing that can be wrong.
    raise InputError(f'{path}: no exported program, or a damaged one; export it again') from error
  names = [one.name for one in session.get_inputs()]

  def run(*inputs):
    given = dict(zip(names, map(np.asarray, inputs), strict=True))
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), given), strict=True))

  return Exported(_checked(about, path), run)


def _checked(about: Any, path: pathlib.Path) -> dict[str, Any]:
  """Returns what a file says of its program, if this version wrote or knows it."""
  if not isinstance(about, dict) or about.get('format') != FORMAT:
    raise InputError(f'{path}: not a file that `export` wrote')
  if about.get('format_version', 0) > FORMAT_VERSION:
    raise InputError(f'{path}: written by a newer version of this package; install that one')
  return about
