"""Reads and writes named tensors: `.safetensors`, `.npz`, PyTorch's `.pth`/`.pt`, Keras' `.h5`.

Reading never executes a pickle, and writing never leaves half a file.
"""

import contextlib
import io
import math
import os
import pathlib
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import is_disk_full, is_unreadable, replacing

# Before 2.6, torch.load(weights_only=True) could be made to run code (CVE-2025-32434).
_SAFE_TORCH = (2, 6)
# An archive of weights may unpack to this many bytes, or to so many times its own size: weights are
# noise to a compressor, and what unpacks to more is no weights.
_UNPACKED, _TIMES = 2**28, 100
_HEADS = {
  (1, 0): np.lib.format.read_array_header_1_0,
  (2, 0): np.lib.format.read_array_header_2_0,
}
# What training scripts call the network's state dict, in a dict of theirs.
_STATE_DICTS = ('state_dict', 'model_state_dict', 'model')


def read_tensors(
  path: str | os.PathLike, *, skip: Callable[[str], bool] = lambda name: False
) -> dict[str, np.ndarray]:
  """Reads every tensor of a `.safetensors`, `.npz`, `.pth` or `.pt` file.

  Args:
    path: the file; its ending says what it is.
    skip: names for which this is true are left unread.

  Returns:
    {name: array}, as the file has them.

  Raises:
    InputError: the file is missing, of another kind, damaged, or holds anything but tensors.
  """
  path = pathlib.Path(path).expanduser()
  readers = {
    '.safetensors': _read_safetensors,
    '.npz': _read_npz,
    '.pth': _read_torch,
    '.pt': _read_torch,
  }
  if path.suffix not in readers:
    raise InputError(f'{path}: weights are read from {", ".join(readers)} files only')
  if not path.is_file():
    raise InputError(f'{path}: there is no such file')
  with open(path, 'rb'):  # What may not be read says so by itself, as no reader does.
    return readers[path.suffix](path, skip)


def read_header(path: str | os.PathLike) -> dict[str, str]:
  """Reads the texts in the header of a `.safetensors` file, `write_tensors`' metadata.

  Args:
    path: the file.

  Returns:
    {name: text}; empty where it has none.

  Raises:
    InputError: the file is missing, of another kind, or damaged.
  """
  path = pathlib.Path(path).expanduser()
  if path.suffix != '.safetensors':
    raise InputError(f'{path}: a header is read of .safetensors files only')
  if not path.is_file():
    raise InputError(f'{path}: there is no such file')
  with open(path, 'rb'), _opened_safetensors(path) as file:
    return dict(file.metadata() or {})


def write_tensors(
  path: str | os.PathLike,
  tensors: Mapping[str, np.ndarray],
  *,
  metadata: Mapping[str, str] | None = None,
) -> None:
  """Writes `tensors` to a `.safetensors` or `.npz` file, whole or not at all.

  Args:
    path: the file; an existing one is replaced.
    tensors: {name: array}.
    metadata: texts for the header of a `.safetensors` file.

  Raises:
    InputError: another ending, or the disk is full or does not let the file be written.
  """
  path = pathlib.Path(path).expanduser()
  if path.suffix not in ('.safetensors', '.npz'):
    raise InputError(f'{path}: weights are written to .safetensors and .npz files only')
  tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
  with _whole_or_nothing(path) as file:
    if path.suffix == '.npz':
      # In memory first: an archive that cannot be finished complains when it is collected.
      buffer = io.BytesIO()
      np.savez(buffer, allow_pickle=False, **tensors)
      file.write(buffer.getvalue())
    else:
      import safetensors.numpy

      file.write(safetensors.numpy.save(tensors, metadata=dict(metadata or {})))


def read_keras_h5(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads the weights of a Keras application, `{'layer/weight': array}`; needs h5py.

  Raises:
    InputError: h5py is not installed, or the file is missing or damaged.
  """
  path = pathlib.Path(path).expanduser()
  if not path.is_file():
    raise InputError(f'{path}: there is no such file')
  try:
    import h5py
  except ImportError:
    raise InputError(f'{path}: reading .h5 files needs h5py: pip install h5py') from None
  tensors = {}

  def take(name, item):
    if isinstance(item, h5py.Dataset):
      # Keras nests them as layer/layer/weight:0.
      layer, weight = name.split('/')[-2:]
      tensors[f'{layer}/{weight.removesuffix(":0")}'] = item[()]

  try:
    with h5py.File(path, 'r') as file:
      file.visititems(take)
  except (OSError, RuntimeError, ValueError, KeyError) as error:
    _check_damage(error)
    raise InputError(f'{path}: no intact .h5 file of Keras weights') from error
  return tensors


def find_file(path: str | os.PathLike, stem: str) -> pathlib.Path:
  """Returns `path`, or where it is a folder the weights in it that are obviously meant.

  Args:
    path: a file or a folder.
    stem: the weights' name: `stem.safetensors`, `.npz` or `.pth`, torchvision's
      `stem-0123abcd.pth`, or the Hub's `model.safetensors`; with `-` for `_`, too.

  Raises:
    InputError: nothing there, or a folder with no such file or several.
  """
  path = pathlib.Path(path).expanduser()
  if not path.exists():
    raise InputError(f'{path}: there is no such file or folder')
  if not path.is_dir():
    return path
  name = re.escape(stem).replace('_', '[-_]')
  named = re.compile(rf'{name}(-[0-9a-f]{{8}})?\.(safetensors|npz|pth|pt)')
  found = sorted(file for file in path.iterdir() if named.fullmatch(file.name))
  found = found or [file for file in (path / 'model.safetensors',) if file.is_file()]
  if not found:
    raise InputError(f'{path}: no weights of {stem} in this folder, such as {stem}.safetensors')
  if len(found) > 1:
    names = ', '.join(file.name for file in found)
    raise InputError(f'{path}: several weights of {stem} here, name one of {names}')
  return found[0]


@contextlib.contextmanager
def _whole_or_nothing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """Opens a file that takes the place of `path` once it is complete."""
  try:
    with replacing(path) as part, open(part, 'wb') as file:
      yield file
  except OSError as error:
    if is_disk_full(error):
      raise InputError(f'{path}: disk full while writing; nothing was written') from error
    raise InputError(f'{path}: cannot be written ({error.strerror})') from error


@contextlib.contextmanager
def _opened_safetensors(path: pathlib.Path) -> Iterator[Any]:
  try:
    import safetensors  # here, as all that one kind of file needs
  except ImportError:
    raise InputError(
      f"{path}: reading it needs safetensors (pip install 'hsnet-jax[weights]')"
    ) from None
  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      yield file
  except (safetensors.SafetensorError, OSError, TypeError, ValueError) as error:
    _check_damage(error)
    raise InputError(f'{path}: no intact .safetensors file ({_line(error)})') from error


def _read_safetensors(path: pathlib.Path, skip: Callable[[str], bool]) -> dict[str, np.ndarray]:
  with _opened_safetensors(path) as file:
    return {name: file.get_tensor(name) for name in file.keys() if not skip(name)}


def _read_npz(path: pathlib.Path, skip: Callable[[str], bool]) -> dict[str, np.ndarray]:
  _check_unpacked(path)
  try:
    # Opened here, so that it is closed where NumPy finds no archive in it.
    with open(path, 'rb') as stream, np.load(stream, allow_pickle=False) as file:
      _check_arrays(file.zip)
      return {name: file[name] for name in file.files if not skip(name)}
  except Exception as error:  # zipfile, zlib and the header's parser raise a dozen kinds
    _check_damage(error)
    raise InputError(f'{path}: no intact .npz file of arrays ({_line(error)})') from error


def _read_torch(path: pathlib.Path, skip: Callable[[str], bool]) -> dict[str, np.ndarray]:
  torch = _safe_torch(path)
  _check_unpacked(path)
  try:
    tensors = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # a damaged file fails wherever the parser happens to be
    _check_damage(error)
    raise InputError(
      f'{path}: damaged, or holds Python objects beside tensors, which are never unpickled'
    ) from error
  if not isinstance(tensors, Mapping):
    raise InputError(f'{path}: holds no state dict but a {type(tensors).__name__}')
  tensors = _unwrapped(tensors)
  strange = [
    str(name)
    for name, value in tensors.items()
    if not isinstance(name, str) or not isinstance(value, torch.Tensor)
  ]
  if strange:
    raise InputError(f'{path}: a state dict holds tensors alone, not {", ".join(strange[:10])}')
  return {name: torch_array(value) for name, value in tensors.items() if not skip(name)}


def _check_arrays(archive: zipfile.ZipFile) -> None:
  """Raises ValueError where an array's head promises more than its file holds.

  NumPy makes room for all of it first, and where there is none, the memory would be blamed.
  """
  for info in archive.infolist():
    with archive.open(info) as file:
      head = _HEADS.get(np.lib.format.read_magic(file))
      if head is not None:
        shape, _, dtype = head(file)
        if math.prod(shape) * dtype.itemsize > info.file_size:
          raise ValueError(f'{info.filename} promises {shape} of {dtype}, more than it holds')


def _check_unpacked(path: pathlib.Path) -> None:
  """Raises InputError where an archive would fill the memory; what is no archive is left alone."""
  try:
    with zipfile.ZipFile(path) as archive:
      unpacked = sum(info.file_size for info in archive.infolist())
  except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OSError):
    return
  packed = path.stat().st_size
  if unpacked > max(_UNPACKED, _TIMES * packed):
    raise InputError(
      f'{path}: {packed:,} bytes that say to unpack to {unpacked:,}; no weights do, fetch it again'
    )


def _unwrapped(found: Mapping[Any, Any]) -> Mapping[Any, Any]:
  """Returns the state dict in what a training script saved, beside its optimizer and the rest."""
  inside = (found.get(name) for name in _STATE_DICTS)
  return next((value for value in inside if isinstance(value, Mapping)), found)


def torch_array(tensor: Any) -> np.ndarray:
  """Returns a torch tensor's values as a NumPy array; bfloat16, which NumPy lacks, as float32."""
  tensor = tensor.detach().cpu()
  return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _safe_torch(path: pathlib.Path):
  try:
    import torch
  except ImportError:
    raise InputError(
      f'{path}: reading it needs torch (pip install torch); .safetensors files need none'
    ) from None
  if tuple(int(part) for part in torch.__version__.split('.')[:2]) < _SAFE_TORCH:
    raise InputError(f'{path}: torch {torch.__version__} may run code in it, use 2.6 or newer')
  return torch


def _check_damage(error: Exception) -> None:
  """Raises an error again that tells of the machine, not of the file that was being read."""
  if is_unreadable(error):
    raise error


def _line(error: Exception) -> str:
  return ' '.join(str(error).split()) or type(error).__name__
