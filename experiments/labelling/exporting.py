"""Exports what was drawn and found, as annotation tools and `train` read it: all of it or nothing.

Everything is written into a hidden folder beside the target, which takes its place once it is
whole. A target that someone has changed is left as it is; the export gets a number then.
"""

import functools
import itertools
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.reading.files import RESULT_ENDINGS
from data_pipelines.reading.images import png_bytes
from experiments.evaluation.prediction.exports import Labeled, files_of_format
from experiments.labelling import pictures
from experiments.labelling.database import rows
from experiments.labelling.database.rows import Picture
from experiments.labelling.database.store import Refused, Store
from experiments.labelling.labels import decode_label, write_label
from experiments.storage.folders import Source
from experiments.storage.results import MARKS, bytes_digest
from hsnet_jax.whole_files import write_text

FORMATS = ('png', 'coco', 'labelme', 'yolo', 'voc', 'folder')
# What annotation tools call what is no class.
_NO_CLASSES = ('background', '_background_', '__ignore__', 'ignored', '__macosx')
_LONGEST_NAME = 60
_KEPT_ENDINGS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')


def checked_name(name: str) -> str:
  """Returns the name of a class, which becomes that of a folder; `Refused` for what can be none."""
  name = name.strip()
  is_plain = name.isprintable() and 0 < len(name) <= _LONGEST_NAME and not name.startswith('.')
  if not is_plain or set(name) & set('/\\:*?"<>|') or name.endswith('.'):
    raise Refused(
      422,
      f'{name[:_LONGEST_NAME]!r}: a class needs a name of one line, of {_LONGEST_NAME} letters or'
      ' fewer, without / \\ : * ? " < > | and without a dot at its ends',
    )
  if name.casefold() in _NO_CLASSES:
    raise Refused(422, f'{name!r} is what annotation tools call no class; take another name')
  return name


def export(
  store: Store,
  folder: pathlib.Path,
  target: pathlib.Path,
  *,
  formats: Sequence[str],
  what: str,
) -> tuple[pathlib.Path, int]:
  """Writes all formats that are asked for, whole or not at all.

  Args:
    store: of the folder.
    folder: of the pictures.
    target: where a folder for each format is made.
    formats: of `FORMATS`.
    what: 'accepted', which takes in what was drawn; or 'all' that has a mask. What was rejected is
      never exported.

  Returns:
    The folder: the target, or the first of `target-2`, ... where someone has changed it; and how
    many files are in it.

  Raises:
    Refused: nothing is to export, or a format is unknown.
    OSError: what the disk refuses; nothing was changed then.
  """
  if unknown := [one for one in formats if one not in FORMATS]:
    raise Refused(422, f'formats: there is no {unknown[0]!r}; there are {", ".join(FORMATS)}')
  chosen = [one for one in store.read(rows.find_all) if _is_asked_for(one, what)]
  if not formats or not chosen:
    raise Refused(422, 'nothing to export: accept or draw a mask first, and name a format')
  target.parent.mkdir(parents=True, exist_ok=True)
  place = _choose(target)
  part, old = _beside(place)
  try:
    # First of all: what lies there is an export, and no picture in it is anyone's but a copy.
    part.mkdir()
    _write_marks(part, {})
    marks = _write(_files(store, folder, chosen, formats), part)
    _write_marks(part, {**_keep(place, part, but=formats), **marks})
    if place.exists():
      os.rename(place, old)
    os.rename(part, place)
  finally:
    _recover(place)
  return place, len(marks)


def _is_asked_for(one: Picture, what: str) -> bool:
  if one.state == 'waiting' or one.problem is not None or one.decision == 'rejected':
    return False
  return what == 'all' or one.state == 'drawn' or one.decision == 'accepted'


def _choose(target: pathlib.Path) -> pathlib.Path:
  """Returns the target, or the first one with a number, that may be replaced."""
  for number in itertools.count(1):
    place = target if number == 1 else target.with_name(f'{target.name}-{number}')
    _recover(place)
    if _takes(place) and not any(map(os.path.lexists, _beside(place))):
      return place
  raise AssertionError('numbers do not end')


def _beside(place: pathlib.Path) -> list[pathlib.Path]:
  """Names the folder that is written, and the one that what was there is moved to."""
  return [place.with_name(f'.{place.name}.{ending}') for ending in ('part', 'old')]


def _recover(place: pathlib.Path) -> None:
  """Clears up, after an earlier process that was killed as well."""
  part, old = _beside(place)
  if _is_own(old) and not os.path.lexists(place):
    os.rename(old, place)
  for path in (part, old):
    if _is_own(path):
      shutil.rmtree(path, ignore_errors=True)


def _is_own(path: pathlib.Path) -> bool:
  """Says whether a folder is an export's, whole or not, or holds no file at all."""
  if path.is_symlink() or not path.is_dir():
    return False
  return _read_marks(path) is not None or all(p.is_dir() for p in path.rglob('*'))


def _takes(place: pathlib.Path) -> bool:
  """Says whether an export may take a folder's place: an earlier one, that nobody has changed."""
  if not os.path.lexists(place):
    return True
  if place.is_symlink() or not place.is_dir():
    return False
  there = {p.relative_to(place).as_posix() for p in place.rglob('*') if not p.is_dir()}
  if not there:
    return True
  marks = _read_marks(place)
  if marks is None:
    return False
  return there == {MARKS, *marks} and all(
    bytes_digest(place / name) == mark['bytes'] for name, mark in marks.items()
  )


def _write(files: Mapping[str, Source], part: pathlib.Path) -> dict[str, Any]:
  """Writes files; returns the mark of each."""
  marks = {}
  for name, source in files.items():
    path = part / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert not isinstance(source, pathlib.Path)  # Pictures are read without following a link.
    path.write_bytes(source())
    marks[name] = {'bytes': bytes_digest(path)}
  return marks


def _keep(place: pathlib.Path, part: pathlib.Path, *, but: Sequence[str]) -> dict[str, Any]:
  """Copies what an earlier export wrote in other formats; returns the mark of each file."""
  marks = {} if not place.exists() else _read_marks(place) or {}
  kept = {name: mark for name, mark in marks.items() if name.split('/')[0] not in but}
  for name in kept:
    (part / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(place / name, part / name)
  return kept


def _read_marks(place: pathlib.Path) -> dict[str, Any] | None:
  """Returns the mark of each file of an export; None where a folder is none."""
  try:
    content = json.loads((place / MARKS).read_text(encoding='utf-8'))
    return {str(name): {'bytes': str(mark['bytes'])} for name, mark in content['files'].items()}
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return None


def _write_marks(part: pathlib.Path, marks: Mapping[str, Any]) -> None:
  write_text(part / MARKS, json.dumps({'export': True, 'files': marks}, indent=2) + '\n')


def _files(
  store: Store, folder: pathlib.Path, chosen: Sequence[Picture], formats: Sequence[str]
) -> dict[str, Source]:
  """Names all files, and says what makes each."""
  listed = store.read(rows.classes)
  table = np.zeros(256, np.uint8)  # Numbers of classes need have no order.
  for place, row in enumerate(listed, 1):
    table[row['number']] = place
  names = [row['name'] for row in listed]
  labeled = list(_labeled(store, folder, chosen, table))
  files: dict[str, Source] = {}
  for kind in dict.fromkeys(formats):
    made = {'png': _png, 'folder': _folder}.get(kind)
    if made is None:
      found = files_of_format(labeled, kind, class_names=names)
    else:
      found = made(labeled, names)
    files |= {f'{kind}/{name}': source for name, source in found.items()}
  return files


def _labeled(
  store: Store, folder: pathlib.Path, chosen: Sequence[Picture], table: np.ndarray
) -> Iterator[Labeled]:
  """Yields pictures under names that differ, in small letters and without their ending too."""
  taken: set[str] = set()
  for one in chosen:
    path = pathlib.PurePath(one.name)
    kept = path.suffix.lower() in _KEPT_ENDINGS
    stems = (path.stem, path.name, *(f'{path.name}-{n}' for n in range(2, len(chosen) + 2)))
    stem = next(s for s in map(_plain, stems) if s.casefold() not in taken)
    taken.add(stem.casefold())
    label = functools.partial(_label, store, one.name, table)
    source = functools.partial(_picture, folder, one.name, kept)
    file = stem + (path.suffix if kept else '.png')
    yield Labeled(stem, file, source, label, one.confidence)


def _plain(stem: str) -> str:
  """Returns a name that says neither that a picture is a mask nor that it was predicted."""
  return f'{stem}_' if stem.casefold().endswith(('_mask', *RESULT_ENDINGS)) else stem


def _label(store: Store, name: str, table: np.ndarray) -> np.ndarray:
  _, mask = store.shown(name)
  if mask is None:
    raise Refused(409, f'{name}: its mask was taken away meanwhile; export again')
  return table[decode_label(mask)]


def _picture(folder: pathlib.Path, name: str, is_kept: bool) -> bytes:
  data = pictures.read_file(folder, name)
  return data.data if is_kept else png_bytes(pictures.read_picture(data), name=name).data


def _png(labeled: Sequence[Labeled], names: Sequence[str]) -> dict[str, Source]:
  """Makes a label a picture, and the classes' names: line 1 is that of number 1."""
  files: dict[str, Source] = {
    f'{one.stem}.png': functools.partial(lambda one: write_label(one.label()), one)
    for one in labeled
  }
  return {'class_names.txt': ''.join(f'{name}\n' for name in names).encode, **files}


def _folder(labeled: Sequence[Labeled], names: Sequence[str]) -> dict[str, Source]:
  """Makes a folder a class, each picture beside its mask, as `--benchmark=folder` reads it."""
  files: dict[str, Source] = {}
  for one in labeled:
    shown = set(np.unique(one.label()).tolist())
    for number, name in enumerate(names, 1):
      if number in shown:
        files[f'{name}/{one.file}'] = one.source
        files[f'{name}/{one.stem}_mask.png'] = functools.partial(_mask, one, number)
  return files


def _mask(one: Labeled, number: int) -> bytes:
  return write_label(np.where(one.label() == number, np.uint8(255), np.uint8(0)))
