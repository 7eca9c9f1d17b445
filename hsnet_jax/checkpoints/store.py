"""Stores trees and JSON in an Orbax composite checkpoint: the only module that knows Orbax."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import is_unreadable

TREES = ('variables', 'opt_state')


class DamagedCheckpoint(InputError):
  """Tells that a checkpoint cannot be read, in whole or in part."""


def write(folder: pathlib.Path, *, trees: Mapping[str, Any], config: Mapping[str, Any]) -> None:
  """Writes a checkpoint; the folder is there once it is complete.

  Args:
    folder: a free path.
    trees: nested dicts of arrays, by their names of `TREES`.
    config: what JSON can hold.
  """
  items: dict[str, Any] = {name: ocp.args.PyTreeSave(tree) for name, tree in trees.items()}
  items['config'] = ocp.args.JsonSave(dict(config))
  with _checkpointer() as checkpointer:
    checkpointer.save(folder, args=ocp.args.Composite(**items))


def read_json(folder: pathlib.Path, *, named: str | os.PathLike) -> dict[str, Any]:
  """Reads the config of a checkpoint.

  Args:
    folder: of the checkpoint.
    named: what messages call it.

  Raises:
    DamagedCheckpoint: it cannot be read.
  """
  args = ocp.args.Composite(config=ocp.args.JsonRestore())
  with _damage_is_input_error(named), _checkpointer() as checkpointer:
    return dict(checkpointer.restore(folder, args=args)['config'])


def read_trees(folder: pathlib.Path, names: tuple[str, ...]) -> dict[str, Any]:
  """Reads the trees of these names that a checkpoint has, as nested dicts of arrays.

  Raises:
    DamagedCheckpoint: it cannot be read, or was never completed.
  """
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
  # To the devices in so many words: a guard against transfers lets these pass.
  return {name: jax.device_put(trees[name]) for name in stored}


def _checkpointer() -> ocp.Checkpointer:
  options = ocp.options.MultiprocessingOptions()
  if jax.process_count() > 1:
    # Every process reads for itself, and the one that writes waits for no other.
    me = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
      primary_host=me, active_processes={me}, barrier_sync_key_prefix=f'process{me}'
    )
  # Weights are noise to a compressor, which takes the cores that the training step works on.
  trees: dict[str, Any] = {
    name: ocp.PyTreeCheckpointHandler(use_compression=False, multiprocessing_options=options)
    for name in TREES
  }
  handler = ocp.CompositeCheckpointHandler(
    **trees,
    config=ocp.JsonCheckpointHandler(multiprocessing_options=options),
    composite_options=ocp.CompositeOptions(multiprocessing_options=options),
  )
  return ocp.Checkpointer(handler, multiprocessing_options=options)


@contextlib.contextmanager
def _damage_is_input_error(path: str | os.PathLike) -> Iterator[None]:
  try:
    yield
  except Exception as error:  # a file cut short fails wherever its reader happens to be
    if is_unreadable(error):
      raise
    raise DamagedCheckpoint(f'{path}: the checkpoint is damaged or was cut short') from error
