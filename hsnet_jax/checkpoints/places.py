"""Finds where a checkpoint and its predecessor lie, and what a crash in between leaves.

A checkpoint is written beside its place, under `staged`, and takes it by a rename; what was there
goes to `previous` meanwhile. No moment is without a whole one.
"""

import os
import pathlib
import shutil

from hsnet_jax.errors import InputError


def absolute(path: str | os.PathLike) -> pathlib.Path:
  """Follows links, and the tilde."""
  return pathlib.Path(os.path.realpath(pathlib.Path(path).expanduser()))


def staged(path: pathlib.Path) -> pathlib.Path:
  """Says where a checkpoint is complete before it takes the earlier one's place."""
  return path.with_name(f'.{path.name}.new')


def previous(path: pathlib.Path) -> pathlib.Path:
  """Says where the earlier checkpoint is until the new one has its place."""
  return path.with_name(f'.{path.name}.old')


def find_checkpoint(path: str | os.PathLike) -> pathlib.Path:
  """Finds the checkpoint that a path names: itself, or the best one of a run's folder."""
  path = pathlib.Path(path).expanduser()
  folder = path / 'checkpoints'
  return folder / 'best' if folder.is_dir() else path


def find(path: str | os.PathLike) -> pathlib.Path:
  """Finds the folder that holds the checkpoint of a path, which may be a run's.

  Raises:
    InputError: there is none.
  """
  path = absolute(find_checkpoint(path))
  # A crash between the two renames of `swap` leaves the new one beside its place.
  folder = path if path.exists() or not staged(path).is_dir() else staged(path)
  if not folder.exists():
    raise InputError(f'{path}: there is no such checkpoint')
  if not _is_checkpoint(folder):
    raise InputError(f'{path}: this is no checkpoint')
  return folder


def _is_checkpoint(folder: pathlib.Path) -> bool:
  return (folder / 'config' / 'metadata').is_file() and (folder / 'variables').is_dir()


def make_room(path: pathlib.Path) -> None:
  """Finishes or clears what a crash left, and refuses to replace what is no checkpoint.

  Raises:
    InputError: other things are there.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  if not path.exists() and staged(path).is_dir():
    os.rename(staged(path), path)
  elif path.is_dir() and not any(path.iterdir()):
    path.rmdir()
  elif path.exists() and not _is_checkpoint(path):
    raise InputError(f'{path}: holds other things than a checkpoint; name another folder')
  clear(path)


def swap(new: pathlib.Path, path: pathlib.Path, retired: pathlib.Path) -> None:
  """Puts a complete checkpoint in its place, and the one that was there where it retires."""
  if path.exists():
    os.rename(path, retired)
  os.rename(new, path)


def clear(path: pathlib.Path) -> None:
  """Removes all that is left beside a checkpoint from writing it."""
  if path.exists():
    shutil.rmtree(previous(path), ignore_errors=True)
    shutil.rmtree(staged(path), ignore_errors=True)
  for unfinished in path.parent.glob(f'.{path.name}.new.orbax-checkpoint-tmp*'):
    shutil.rmtree(unfinished, ignore_errors=True)
