"""Writes a segmenter as StableHLO, by `jax.export`: one program for several platforms.

The file is a zip archive, uncompressed, of two entries: `program.bin`, what
`jax.export.deserialize` takes, and `about.json`.
"""

import contextlib
import json
import os
import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.export

from hsnet_jax.errors import InputError
from hsnet_jax.export.program import describe_arrays, make_program
from hsnet_jax.segmenter.segmenter import Segmenter
from hsnet_jax.whole_files import replacing

ENDING = '.stablehlo'
PROGRAM, ABOUT = 'program.bin', 'about.json'
PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')
_DEFAULT_PLATFORMS = ('cpu', 'cuda', 'tpu')


def export_stablehlo(
  path: str | os.PathLike,
  segmenter: Segmenter,
  *,
  shots: int | None = None,
  batch_size: int | None = None,
  platforms: Sequence[str] = _DEFAULT_PLATFORMS,
) -> dict[str, Any]:
  """Writes a segmenter as StableHLO, whole or not at all; `hsnet_jax.export.program` says of what.

  Kernels are in the forms that serve all platforms ('portable'): to rounding what the segmenter
  computes.

  Args:
    path: the `.stablehlo`; an existing one is replaced.
    segmenter: what is exported; fitted, unless `shots` is given.
    shots: how many supports the program is given each time; None bakes in the segmenter's own.
    batch_size: how many pictures it takes; None for any number.
    platforms: what it runs on, of 'cpu', 'cuda', 'rocm' and 'tpu'.

  Returns:
    What `about.json` says.

  Raises:
    InputError: an option does not fit, or flatbuffers, by which JAX writes programs, is missing.
    OSError: the file cannot be written.
  """
  path = checked_ending(path, ENDING)
  wrong = [name for name in platforms if name not in PLATFORMS]
  if wrong or not platforms:
    raise InputError(f'`platforms` is {list(platforms)}; take of {", ".join(PLATFORMS)}')
  check_flatbuffers()
  program = make_program(segmenter, shots=shots, batch_size=batch_size, implementation='portable')
  export = jax.export.export(jax.jit(program.function), platforms=tuple(platforms))
  with _without_locations():
    exported = export(*program.inputs.values())
  outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
  about = {
    **program.about,
    'outputs': describe_arrays(outputs),
    'platforms': list(platforms),
    'versions': {'jax': jax.__version__},
  }
  with replacing(path) as part, zipfile.ZipFile(part, 'w') as archive:
    archive.writestr(ABOUT, json.dumps(about, indent=1))
    archive.writestr(PROGRAM, bytes(exported.serialize()))
  return about


@contextlib.contextmanager
def _without_locations() -> Iterator[None]:
  """Keeps JAX from noting where each operation was written: paths of this machine."""
  name = 'jax_traceback_in_locations_limit'
  before = getattr(jax.config, name)
  jax.config.update(name, 0)
  try:
    yield
  finally:
    jax.config.update(name, before)


def checked_ending(path: str | os.PathLike, ending: str) -> pathlib.Path:
  """Returns the path of a file to write.

  Args:
    path: with or without `~`.
    ending: that its name must have.

  Raises:
    InputError: it has another one.
  """
  path = pathlib.Path(path).expanduser()
  if path.suffix != ending:
    raise InputError(f'{path}: give it the ending {ending}')
  return path


def check_flatbuffers() -> None:
  """Raises InputError where what JAX writes and reads programs with is missing."""
  try:
    import flatbuffers  # noqa: F401
  except ImportError:
    raise InputError('StableHLO needs flatbuffers: pip install flatbuffers') from None
