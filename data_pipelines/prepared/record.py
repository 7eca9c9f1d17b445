"""Reads what a prepared set says of itself, and where it is, without TFDS.

TFDS writes `dataset_info.json` and `features.json` of a set, `experiments.prepare` its
`metadata.json`, the record.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipelines.reading.files import AnyPath
from hsnet_jax.errors import InputError

# What TFDS calls the one split of a set.
SPLIT = 'images'
# Of what is written; a set of another version is not read.
VERSION = '1.0.0'
# TFDS names a set's folder after the class of its builder; others have their benchmark's name.
SET_NAMES: Mapping[str, str] = {'pascal': 'pascal5i', 'coco': 'coco20i', 'fss': 'fss1000'}

INFO_FILES = ('dataset_info.json', 'features.json')
RECORD_FILE = 'metadata.json'

_VERSION = re.compile(r'\d+\.\d+\.\d+')
_KEYS = {
  'benchmark': str,
  'names': list,
  'skipped': dict,
  'lists': dict,
  'image_size': list | None,
  'shard_bytes': list,
}


def set_name(name: str) -> str:
  """Returns what the prepared set of a benchmark is called."""
  return SET_NAMES.get(name, name)


def set_folder(name: str, folder: AnyPath) -> Path:
  """Finds the prepared set of a benchmark in a folder of prepared sets.

  Raises:
    InputError: there is none, or none of this version.
  """
  folder = Path(os.path.expanduser(folder))
  versions = folder / set_name(name)
  found = versions / VERSION
  if found.is_dir():
    return found
  sets = versions.glob('*/dataset_info.json')
  others = sorted(p.parent.name for p in sets if _VERSION.fullmatch(p.parent.name))
  if others:
    raise InputError(
      f'{versions / others[-1]}: a prepared set of version {others[-1]}, and this program'
      f' reads {VERSION}; {anew(found)}'
    )
  if Path(f'{found}.unfinished').is_dir():
    raise InputError(
      f'{found}: the set was not prepared to its end; run experiments.prepare again, which'
      ' resumes where it stopped'
    )
  sets = sorted(p.parent.parent.name for p in folder.glob('*/*/dataset_info.json'))
  held = f'it holds {", ".join(sets)}' if sets else 'there is no prepared set in it'
  raise InputError(
    f'{folder}: no prepared set of {name} ({held}); prepare one by experiments.prepare with'
    f' `benchmark`={name} and `prepared_dir`={folder}'
  )


def read_record(folder: Path, name: str) -> Mapping[str, Any]:
  """Reads what a prepared set says of itself.

  Args:
    folder: the set's.
    name: the benchmark's.

  Returns:
    names: the images in the order of their records; skipped: {image name: why it was left out};
    lists: {'fold list': digest}; image_size: [height, width] or None; shard_bytes: the size of each
    file; description: the lists themselves, for a folder of one's own; drawn_masks: those of the
    benchmark; data_dir and files: where the images came from and `checks.files_digest` of them,
    which older sets lack.

  Raises:
    InputError: the set is not whole, or of another benchmark.
  """
  *_, record = (_read_object(folder, file) for file in (*INFO_FILES, RECORD_FILE))
  kept = all(key in record and isinstance(record[key], kind) for key, kind in _KEYS.items())
  if not kept or not _fits(record):
    raise _damaged(folder, RECORD_FILE)
  if record['benchmark'] != name:
    raise InputError(
      f'{folder}: a prepared set of {record["benchmark"]}, not of {name}; {anew(folder)}'
    )
  shards = sorted(folder.glob(f'*-{SPLIT}.array_record-*'))
  if [path.stat().st_size for path in shards] != record['shard_bytes']:
    raise InputError(
      f'{folder}: not whole: its array_record files are not those that it was prepared with;'
      f' {anew(folder)}'
    )
  return record


def _fits(record: Mapping[str, Any]) -> bool:
  """Tells whether what the lists of a record hold is of the types that it has there."""
  size, drawn = record['image_size'], record.get('drawn_masks', [])
  if not isinstance(drawn, list) or not isinstance(record.get('data_dir', ''), str):
    return False
  sizes = [*record['shard_bytes'], *([1, 1] if size is None else size)]
  texts = [*record['names'], *record['skipped'].values(), *record['lists'].values(), *drawn]
  return (
    (size is None or len(size) == 2)
    and all(type(number) is int and number > 0 for number in sizes)
    and all(isinstance(text, str) for text in texts)
  )


def list_key(fold: int, name: str) -> str:
  """Returns what a set's record calls a list."""
  return f'{fold} {name}'


def anew(folder: Path) -> str:
  """Says how a set is prepared once more."""
  return f'to prepare it anew, delete {folder} and run experiments.prepare'


def _read_object(folder: Path, file: str) -> dict[str, Any]:
  try:
    content = json.loads((folder / file).read_text(encoding='utf-8'))
  except (OSError, ValueError, RecursionError) as error:
    raise _damaged(folder, file) from error
  if not isinstance(content, dict):
    raise _damaged(folder, file)
  return content


def _damaged(folder: Path, file: str) -> InputError:
  return InputError(f'{folder}: {file} is missing or damaged; {anew(folder)}')
