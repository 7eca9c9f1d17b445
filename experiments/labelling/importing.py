"""Takes in labels that there are already, where nothing is drawn yet.

As many of each class as are segmented by become supports; the others are drawn, and no more.
"""

import os
import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from data_pipelines.own_pictures.folder import Folder
from data_pipelines.own_pictures.layouts import OPEN, read_text
from data_pipelines.reading.images import read_label
from experiments.labelling.database import rows
from experiments.labelling.database.store import Store
from experiments.labelling.exporting import checked_name
from experiments.labelling.labels import areas_of, next_color, write_label
from experiments.labelling.pictures import digest_of, read_file
from hsnet_jax.errors import InputError

_SUPPORTS = 5  # Of each class.


def take_in(store: Store, folder: pathlib.Path, given: str) -> str:
  """Takes in the labels of a folder.

  Args:
    store: of the pictures.
    folder: where these lie.
    given: a folder of what an annotation tool exported, of folders of masks for each class, or of
      PNGs with the names of the pictures, in which numbers are classes (`class_names.txt` names
      them) and 255 alone is an object.

  Returns:
    What was done, in a line.

  Raises:
    InputError: the folder is none of these, one of its labels is damaged, or one of its classes has
      a name that none may have; nothing is taken in then.
  """
  path = pathlib.Path(os.path.expanduser(given))
  known = {one.name: one for one in store.read(rows.find_all)}
  for _, label, names in _read(path, known):  # All of it, before anything is changed.
    for title in _used(label, names).values():
      checked_name(title)
  taken, passed, count = 0, 0, Counter[int]()
  for name, label, names in _read(path, known):
    one = known.get(name)
    is_of_size = one is not None and label.shape == (one.height, one.width)
    if one is None or one.state == 'drawn' or not is_of_size:
      passed += 1
      continue
    try:
      sha = digest_of(read_file(folder, name))
    except InputError:  # Gone.
      passed += 1
      continue
    numbers = _numbers(store, _used(label, names))
    table = np.zeros(max(names, default=0) + 1, np.uint8)
    for value, number in numbers.items():
      table[value] = number
    mapped = table[label]
    areas = areas_of(mapped)
    is_support = any(count[number] < _SUPPORTS for number in areas)
    store.draw(
      name,
      write_label(mapped),
      areas,
      since=one.revision,
      sha=sha,
      is_support=is_support,
      begins=False,
    )
    count.update(list(areas) if is_support else ())
    taken += 1
  if taken and count:
    store.begin()
  left = f'; {passed} left out: drawn already, of another size, or of no picture here'
  return f'{path}: {taken} labels taken in{left if passed else ""}'


Labels = Iterator[tuple[str, np.ndarray, Mapping[int, str]]]


def _read(path: pathlib.Path, known: Mapping[str, object]) -> Labels:
  """Yields the name of a picture, its label, and the names of the values in it."""
  if not path.is_dir():
    raise InputError(f'{path}: no such folder; `import_labels` must name a folder of labels')
  flat = sorted(p for p in path.iterdir() if p.suffix.lower() == '.png' and p.name[0] != '.')
  stems = {pathlib.PurePath(name).stem for name in known} | set(known)
  if any(p.stem in stems for p in flat) and not any(p.is_dir() for p in path.iterdir()):
    yield from _read_flat(path, flat, known)
    return
  yield from _read_exported(path)


def _read_flat(
  path: pathlib.Path, files: list[pathlib.Path], known: Mapping[str, object]
) -> Labels:
  names: dict[int, str] = {}
  if (path / 'class_names.txt').is_file():
    lines = read_text(path / 'class_names.txt').splitlines()
    lines = lines[1:] if lines[:1] == ['_background_'] else lines
    names = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
  by_stem: dict[str, str] = {}
  for name in known:
    by_stem.setdefault(pathlib.PurePath(name).stem, name)
  for file in files:
    label = read_label(file).copy()
    values = set(np.unique(label).tolist()) - {0}
    if not names and values <= {255}:
      label[label == 255] = 1
      values = {1} if values else set()
    label[label == 255] = 0  # A boundary, which is of no class.
    own = {n: names.get(n, 'object' if n == 1 else f'class {n}') for n in values - {255}}
    name = file.stem if file.stem in known else by_stem.get(file.stem, file.name)
    yield name, label, own


def _read_exported(path: pathlib.Path) -> Labels:
  """Reads what tools export; an image's labels of several classes are drawn over one another."""
  benchmark = Folder(path)
  names = dict(enumerate(benchmark.class_names, 1))
  merged: dict[str, list[str]] = {}
  for item, _ in benchmark.description()['items']:
    merged.setdefault(pathlib.PurePosixPath(item).name, []).append(item)
  for name, items in merged.items():
    label = None
    for item in dict.fromkeys(items):
      found = np.asarray(benchmark.load(item)[1])
      found = np.where(found == OPEN, 0, found).astype(np.uint16)
      label = found if label is None or label.shape != found.shape else np.maximum(label, found)
    if label is not None:
      yield name, label, names


def _used(label: np.ndarray, names: Mapping[int, str]) -> dict[int, str]:
  """Returns the names of the values that a label shows."""
  shown = set(np.unique(label).tolist())
  return {value: name for value, name in names.items() if value in shown}


def _numbers(store: Store, names: Mapping[int, str]) -> dict[int, int]:
  """Returns the class number of each value, and adds the classes that are new."""
  found = {}
  for value, name in sorted(names.items()):
    listed = store.read(rows.classes)
    known = {row['name'].casefold(): row['number'] for row in listed}
    tidy = checked_name(name)
    number = known.get(tidy.casefold())
    if number is None:
      number = store.add_class(tidy, next_color(listed))
    found[value] = number
  return found
