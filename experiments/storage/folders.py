"""Writes folders of many files that belong together, each only over itself as it was written.

Their marks lie in one file of the folder, `results.MARKS`, with the digest of each. The folder says
with it that it is an export: no picture in it is anyone's but a copy.
"""

import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.storage.results import MARKS, Of, bytes_digest
from hsnet_jax.whole_files import replacing, write_text

_EXPORT = 'export'

# What makes a file's bytes, or the file that it is a copy of.
Source = Callable[[], bytes] | Path


def is_export(folder: Path) -> bool:
  """Returns whether a folder is one that `write_export` wrote."""
  return _read(folder) is not None


def write_export(folder: Path, files: Mapping[str, Source], *, of: Of) -> Path:
  """Writes files that belong together into a folder, each whole or not at all.

  A file that is there already stays where it is the same, and is replaced where it is what was
  written earlier, of the same and unchanged. If any is something else, all go to the next folder.

  Args:
    folder: the folder.
    files: what is to be in them, by their paths in it. Copies are no links: who changes one does
      not change the picture itself.
    of: what they are results of: names to plain values.

  Returns:
    The folder: that one, or the first of `folder-2`, `folder-3`, ... that takes them all.
  """
  of = json.loads(json.dumps(dict(of)))
  numbers = itertools.count(1)
  places = (folder if n == 1 else folder.with_name(f'{folder.name}-{n}') for n in numbers)
  place = next(one for one in places if _takes(one, files, of))
  marks = _read(place) or {}
  # Before anything else: copies are not to be taken for pictures, whatever ends this.
  _write(place, marks)
  for name, source in files.items():
    path = place / name
    if isinstance(source, Path):
      if not path.exists():
        with replacing(path) as part:
          shutil.copyfile(source, part)
      continue
    data = source()
    if not _holds(path, data):
      with replacing(path) as part:
        part.write_bytes(data)
    marks[name] = {'bytes': bytes_digest(path), 'of': of}
  _write(place, marks)
  return place


def _takes(folder: Path, files: Mapping[str, Source], of: Of) -> bool:
  """Returns whether every file may be written into a folder."""
  if not os.path.lexists(folder):
    return True
  marks = _read(folder)
  if marks is None:  # Someone's own, unless nothing is in it.
    return folder.is_dir() and not any(folder.iterdir())
  for name, source in files.items():
    path = folder / name
    if not os.path.lexists(path):
      continue
    if isinstance(source, Path):
      same = path.is_file() and _are_same(path, source)
    else:
      mark = marks.get(name, {})
      ours = mark.get('of') == of and path.is_file() and mark.get('bytes') == bytes_digest(path)
      # Written just before something was killed, it has no mark yet.
      same = ours or _holds(path, source())
    if not same:
      return False
  return True


def _are_same(one: Path, other: Path) -> bool:
  return one.stat().st_size == other.stat().st_size and bytes_digest(one) == bytes_digest(other)


def _holds(path: Path, data: bytes) -> bool:
  return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _read(folder: Path) -> dict[str, Any] | None:
  """Returns the marks of an export; None where a folder is none."""
  try:
    found = json.loads((folder / MARKS).read_text(encoding='utf-8'))
    return dict(found['files']) if found[_EXPORT] is True else None
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    return None


def _write(folder: Path, marks: Mapping[str, Any]) -> None:
  content = {_EXPORT: True, 'files': {name: marks[name] for name in sorted(marks)}}
  write_text(folder / MARKS, json.dumps(content, indent=2) + '\n')
