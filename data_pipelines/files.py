"""Folders of images and masks: what is in them, found with few look-ups."""

import os
from collections.abc import Iterable
from pathlib import Path

from hsnet_jax.errors import InputError


def check_listed(pairs: Iterable[tuple[Path, Path]]) -> None:
  """Raises InputError where a listed image or its mask is missing.

  Args:
    pairs: the files of each image and of its mask.

  Raises:
    InputError: names the first missing file and says how many more there are.
  """
  columns = zip(*dict.fromkeys(pairs), strict=True)
  for what, paths in zip(('image', 'mask of a listed image'), columns, strict=False):
    present: dict[Path, set[str]] = {}
    for folder in {path.parent for path in paths}:
      # A listing is quicker than thousands of look-ups.
      present[folder] = set(os.listdir(folder)) if folder.is_dir() else set()
    missing = [path for path in paths if path.name not in present[path.parent]]
    if missing:
      more = f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''
      raise InputError(
        f'{missing[0]}{more}: no such {what}; complete --data_dir or narrow the lists of'
        ' --splits_dir'
      )
