"""The project's checkpoints: a folder, written whole or not at all. Only this room knows Orbax.

A checkpoint stands by itself: it holds `variables` (learnable and frozen), for training to go on
also the optimizer's state, and `config`, JSON that says what was trained on what. Inside are the
items 'variables', 'opt_state' and 'config' of an Orbax composite checkpoint, the layout of one
step of an `orbax.checkpoint.CheckpointManager`.
"""

import contextlib
import dataclasses
import errno
import importlib.metadata
import json
import logging
import os
import pathlib
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization

from hsnet_jax.errors import InputError
from hsnet_jax.weights.files import is_disk_full

FORMAT_VERSION = 1

_REFUSED = (errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE)
_TREES = ('variables', 'opt_state')
_RECORDED = ('hsnet-jax', 'jax', 'flax', 'optax', 'orbax-checkpoint')


class DamagedCheckpoint(InputError):
  """A checkpoint that cannot be read, in whole or in part."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """What a checkpoint holds.

  Attributes:
    variables: {'params', 'backbone'}.
    config: what `save_checkpoint` was given, and 'format_version', 'step' and 'versions'.
    step: optimizer steps taken, if that was recorded.
    opt_state: the optimizer's state, if it was asked for.
  """

  variables: dict[str, Any]
  config: dict[str, Any]
  step: int | None = None
  opt_state: Any = None


def save_checkpoint(
  path: str | os.PathLike,
  variables: Mapping[str, Any],
  *,
  config: Mapping[str, Any],
  opt_state: Any = None,
  step: int | None = None,
  retire_to: str | os.PathLike | None = None,
) -> None:
  """Writes a checkpoint; an earlier one at `path` stays until the new one is complete.

  Args:
    path: the checkpoint's folder; its parents are made where they are missing.
    variables: {'params', 'backbone'}.
    config: 'backbone', and whatever else belongs to it (benchmark, fold, shots, image_size,
      mask_support, scores, ...): values that JSON can hold, NumPy's numbers among them.
    opt_state: the optimizer's state, to train on from here.
    step: optimizer steps taken.
    retire_to: a free path beside it where the earlier one goes then; None removes it.

  Raises:
    InputError: the disk is full, or `path` holds something that is no checkpoint.
    ValueError: `config` names no backbone.
  """
  if 'backbone' not in config:
    raise ValueError("a checkpoint's config needs 'backbone'")
  path = _absolute(path)
  record = {**config, 'format_version': FORMAT_VERSION, 'step': step, 'versions': _versions()}
  items = {
    'variables': ocp.args.PyTreeSave(serialization.to_state_dict(variables)),
    'config': ocp.args.JsonSave(json.loads(json.dumps(record, default=_plain))),
  }
  if opt_state is not None:
    items['opt_state'] = ocp.args.PyTreeSave(serialization.to_state_dict(opt_state))
  staged, kept = _staged(path), 'nothing was written'
  try:
    _make_room(path)
    kept = _what_is_kept(path)
    with _quiet(), _checkpointer() as checkpointer:
      checkpointer.save(staged, args=ocp.args.Composite(**items))
    _swap(staged, path, _previous(path) if retire_to is None else _absolute(retire_to))
  except Exception as error:
    if not is_disk_full(error):
      raise
    raise InputError(f'{path}: disk full while saving; {kept}') from error
  finally:
    _clear(path)


def load_checkpoint(
  path: str | os.PathLike, *, backbone: str | None = None, opt_state: Any = None
) -> Checkpoint:
  """Reads a checkpoint back, on whatever devices there are.

  Args:
    path: the checkpoint's folder.
    backbone: the backbone it must have; None takes any.
    opt_state: a state of the same optimizer, or its shapes (`jax.eval_shape(tx.init, params)`),
      to get the stored one in that structure; None leaves it unread.

  Returns:
    The checkpoint, its arrays on the default device.

  Raises:
    InputError: no checkpoint there, damaged, cut short, of a newer format or another backbone,
      or without a fitting optimizer state.
  """
  config = read_config(path)
  if backbone is not None and config['backbone'] != backbone:
    raise InputError(f'{path}: a checkpoint of {config["backbone"]}, not of {backbone}')
  trees = _restore(_find(path), ('variables',) if opt_state is None else _TREES)
  state = None
  if opt_state is not None:
    if 'opt_state' not in trees:
      raise InputError(f'{path}: holds no optimizer state to train on from')
    state = _fitted(opt_state, trees['opt_state'], path)
  return Checkpoint(trees['variables'], config, config['step'], state)


def read_config(path: str | os.PathLike) -> dict[str, Any]:
  """Reads what a checkpoint records about itself, without its arrays.

  Returns:
    The `config` it was saved with, and 'format_version', 'step' and 'versions'.

  Raises:
    InputError: no checkpoint there, cut short, or of a newer format.
  """
  folder = _find(path)
  with _damage_is_input_error(path), _checkpointer() as checkpointer:
    config = checkpointer.restore(folder, args=ocp.args.Composite(config=ocp.args.JsonRestore()))
    config = dict(config['config'])
    version = config['format_version']
  if version > FORMAT_VERSION:
    raise InputError(
      f'{path}: checkpoint format {version} is newer than this program, which reads up to '
      f'{FORMAT_VERSION}; update it'
    )
  return config


def _checkpointer() -> ocp.Checkpointer:
  options = ocp.options.MultiprocessingOptions()
  if jax.process_count() > 1:
    # Every process reads for itself, and the one that writes waits for no other.
    me = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
      primary_host=me, active_processes={me}, barrier_sync_key_prefix=f'process{me}'
    )
  own = {'multiprocessing_options': options}
  # Weights are noise to a compressor, which takes the cores that the training step works on.
  trees = {name: ocp.PyTreeCheckpointHandler(use_compression=False, **own) for name in _TREES}
  config = ocp.JsonCheckpointHandler(**own)
  handler = ocp.CompositeCheckpointHandler(
    **trees, config=config, composite_options=ocp.CompositeOptions(**own)
  )
  return ocp.Checkpointer(handler, **own)


def _restore(folder: pathlib.Path, names: tuple[str, ...]) -> dict[str, Any]:
  """The trees of these names that a checkpoint has, as nested dicts of arrays."""
  with _damage_is_input_error(folder), _checkpointer() as checkpointer:
    metadata = checkpointer.metadata(folder)
    if metadata.commit_timestamp_nsecs is None:
      raise ValueError('never completed')
    stored = {
      name: metadata.item_metadata[name] for name in names if name in metadata.item_metadata
    }
    # As NumPy arrays, so that the devices it was saved from need not be there.
    args = {
      name: ocp.args.PyTreeRestore(
        restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item.tree)
      )
      for name, item in stored.items()
    }
    trees = checkpointer.restore(folder, args=ocp.args.Composite(**args))
  return {name: jax.tree.map(jnp.asarray, trees[name]) for name in stored}


def _fitted(template: Any, stored: dict[str, Any], path: str | os.PathLike) -> Any:
  """The stored optimizer state in the template's structure."""
  try:
    state = serialization.from_state_dict(template, stored)
    same = jax.tree.map(lambda a, b: jnp.shape(a) == jnp.shape(b), template, state)
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(f'{path}: its optimizer state is of another optimizer') from error
  if not all(jax.tree.leaves(same)):
    raise InputError(f'{path}: its optimizer state is of another network')
  return state


def _absolute(path: str | os.PathLike) -> pathlib.Path:
  return pathlib.Path(os.path.realpath(pathlib.Path(path).expanduser()))


def _staged(path: pathlib.Path) -> pathlib.Path:
  """Where a checkpoint is complete before it takes the earlier one's place."""
  return path.with_name(f'.{path.name}.new')


def _previous(path: pathlib.Path) -> pathlib.Path:
  return path.with_name(f'.{path.name}.old')


def _find(path: str | os.PathLike) -> pathlib.Path:
  """The folder that holds the checkpoint of this path."""
  path = _absolute(path)
  # A crash between the two renames of _swap leaves the new one beside its place.
  folder = path if path.exists() or not _staged(path).is_dir() else _staged(path)
  if not folder.exists():
    raise InputError(f'{path}: there is no such checkpoint')
  if not _is_checkpoint(folder):
    raise InputError(f'{path}: this is no checkpoint')
  return folder


def _is_checkpoint(folder: pathlib.Path) -> bool:
  return (folder / 'config' / 'metadata').is_file() and (folder / 'variables').is_dir()


def _make_room(path: pathlib.Path) -> None:
  """Finishes or clears what a crash left, and refuses to replace what is no checkpoint."""
  path.parent.mkdir(parents=True, exist_ok=True)
  if not path.exists() and _staged(path).is_dir():
    os.rename(_staged(path), path)
  elif path.is_dir() and not any(path.iterdir()):
    path.rmdir()
  elif path.exists() and not _is_checkpoint(path):
    raise InputError(f'{path}: holds other things than a checkpoint; name another folder')
  _clear(path)


def _what_is_kept(path: pathlib.Path) -> str:
  """What to say of this path should the disk be full: read before, while nothing is failing."""
  if not path.exists():
    return 'nothing was written'
  try:
    step = read_config(path)['step']
  except (InputError, OSError):
    return 'what was there is as it was'
  return f'the checkpoint {"" if step is None else f"of step {step} "}there is intact'


def _swap(staged: pathlib.Path, path: pathlib.Path, previous: pathlib.Path) -> None:
  if path.exists():
    os.rename(path, previous)
  os.rename(staged, path)


def _clear(path: pathlib.Path) -> None:
  """Removes all that is left beside a checkpoint from writing it."""
  if path.exists():
    shutil.rmtree(_previous(path), ignore_errors=True)
    shutil.rmtree(_staged(path), ignore_errors=True)
  for unfinished in path.parent.glob(f'.{path.name}.new.orbax-checkpoint-tmp*'):
    shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def _damage_is_input_error(path: str | os.PathLike) -> Iterator[None]:
  try:
    with _quiet():
      yield
  except MemoryError:
    raise
  except Exception as error:  # a file cut short fails wherever its reader happens to be
    if any(os.strerror(code) in str(error) for code in _REFUSED):
      raise  # that says nothing of the checkpoint
    raise DamagedCheckpoint(f'{path}: the checkpoint is damaged or was cut short') from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps the threads behind Orbax from printing tracebacks of an error that is raised as well."""
  if sys.unraisablehook is _drop_late_reports:  # inside another, or after an error
    yield
    return
  logger, loop_logger = logging.getLogger('absl'), logging.getLogger('asyncio')
  logger.addFilter(_not_from_orbax)
  loop_logger.addFilter(_not_from_tensorstore)
  _hooks.append(sys.unraisablehook)
  sys.unraisablehook = _drop_late_reports
  try:
    yield
  except BaseException:
    # After an error all stay: other reads and writes are under way then, and end whenever they
    # end. Those that Orbax had not begun yet are reported when they are collected.
    warnings.filterwarnings('ignore', "coroutine '.*' was never awaited", RuntimeWarning)
    raise
  logger.removeFilter(_not_from_orbax)
  loop_logger.removeFilter(_not_from_tensorstore)
  sys.unraisablehook = _hooks.pop()


def _not_from_orbax(record: logging.LogRecord) -> bool:
  return 'orbax' not in record.pathname


def _not_from_tensorstore(record: logging.LogRecord) -> bool:
  """False for the further reads or writes that failed beside the one whose error was raised."""
  error = record.exc_info[1] if record.exc_info else None
  return not (isinstance(error, ValueError) and 'local file' in str(error))


_hooks = []  # what reported exceptions that nothing could catch before _drop_late_reports did


def _drop_late_reports(unraisable: Any) -> None:
  """Drops what TensorStore's threads say when Orbax, on an error, has closed their event loop."""
  late = isinstance(unraisable.exc_value, RuntimeError) and (
    str(unraisable.exc_value) == 'Event loop is closed'
  )
  if not late:
    _hooks[-1](unraisable)


def _versions() -> dict[str, str]:
  versions = {}
  for name in _RECORDED:
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      versions[name] = 'not installed'  # the project itself, run from a checkout
  return versions


def _plain(value: Any) -> Any:
  """What JSON writes in place of NumPy's and JAX's numbers and arrays."""
  if hasattr(value, 'tolist'):
    return value.tolist()
  raise TypeError(f'a config cannot hold a {type(value).__name__}')
