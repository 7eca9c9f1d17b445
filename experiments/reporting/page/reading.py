"""Reads what a page is made of: folders of evaluations and of runs, as the commands leave them."""

import dataclasses
import io
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from PIL import Image

from experiments.reporting.paired import Counted, read_counted
from experiments.reporting.tables import FIGURES
from experiments.storage.figures import read_figures
from hsnet_jax.checkpoints import read_config
from hsnet_jax.errors import InputError

# Curves that must be numbers: where one is none the run has failed, and its scores say nothing.
_NUMBERS = ('train/running_loss', 'train/loss', 'train/miou', 'val/miou')
_PICTURES = ('episodes.png', 'extremes.png')
# What reading raises of a file that is no such one.
_BROKEN = (
  *(KeyError, IndexError, TypeError, ValueError, AttributeError),
  *(OverflowError, RecursionError),
)
_TABLES = {
  'reliability': ('from', 'to', 'pixels', 'probability', 'foreground'),
  'risk_coverage': ('coverage', 'risk', 'score'),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
  """Holds an evaluation.

  Attributes:
    name: what to call it, beside the others.
    folder: where it lies.
    about: what was evaluated, as results.json has it.
    columns: {head: figures}; the last is of all episodes.
    counted: its episodes.csv; None where there is none, as of earlier versions.
    pictures: {name: JPEG} of the pictures that lie there.
  """

  name: str
  folder: pathlib.Path
  about: Mapping[str, Any]
  columns: Mapping[str, Mapping[str, Any]]
  counted: Counted | None
  pictures: Mapping[str, bytes]

  @property
  def figures(self) -> Mapping[str, Any]:
    """Returns the figures over all episodes."""
    return list(self.columns.values())[-1]

  @property
  def protocol(self) -> str:
    """Says by which rules its episodes were drawn and judged."""
    about = self.about
    parts = [str(about.get('protocol', 'published'))]
    parts += [f'{about["absent"]:g} absent'] if about.get('absent') else []
    parts += ['original size'] if about.get('original_size') else []
    return ', '.join(parts)


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """Holds what a run wrote down.

  Attributes:
    name: what to call it, beside the others.
    folder: where it lies.
    curves: {figure: {step: number}}, such as `val/miou`.
    config: what its last checkpoint records of it; empty where there is none.
    said: the lines of its log.
  """

  name: str
  folder: pathlib.Path
  curves: Mapping[str, Mapping[int, float]]
  config: Mapping[str, Any]
  said: Sequence[str]


def read_all(folders: Sequence[str], *, mix: bool) -> tuple[list[Result], list[Run]]:
  """Reads folders of evaluations and runs.

  Args:
    folders: the folders; a run brings the evaluations in it, and so does a folder of evaluations.
    mix: whether evaluations may be of several protocols.

  Returns:
    The evaluations and the runs, each once, in the order given.

  Raises:
    InputError: a folder holds neither, a file is not what `evaluate` or `train` writes, a figure is
      no number, or protocols are mixed that are not to be.
  """
  if not folders:
    raise InputError('`results` is missing: name folders of evaluations and of runs')
  evaluations, runs = [], []
  for folder in (pathlib.Path(name).expanduser() for name in folders):
    is_run = (folder / 'metrics.jsonl').is_file()
    places = (folder,) if (folder / 'results.json').is_file() else _inside(folder)
    if not places and not is_run:
      what = 'holds neither results.json nor metrics.jsonl' if folder.is_dir() else 'is no folder'
      raise InputError(f'{folder}: {what}; name the folder of an evaluation or of a run')
    evaluations += places
    runs += [folder] if is_run else []
  results = [_read_result(path, name) for path, name in _named(evaluations)]
  if not mix:
    _check_protocols(results)
  return results, [_read_run(path, name) for path, name in _named(runs)]


def _inside(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
  """Returns the evaluations of a run, or of a folder of them."""
  found = [*folder.glob('evaluation/*/results.json'), *folder.glob('*/results.json')]
  return tuple(path.parent for path in sorted(found))


def _named(folders: Iterable[pathlib.Path]) -> list[tuple[pathlib.Path, str]]:
  """Returns folders, each once, with names as short as tell them apart."""
  places = {folder.resolve(): folder for folder in folders}
  named = []
  for place in places:
    parts = _parts(place)
    others = [_parts(other) for other in places if other != place]
    depth = next(
      (n for n in range(1, len(parts)) if parts[-n:] not in [o[-n:] for o in others]), len(parts)
    )
    named.append((places[place], '/'.join(parts[-depth:])))
  return named


def _parts(place: pathlib.Path) -> list[str]:
  return [part for part in place.parts if part != 'evaluation'] or ['results']


def _check_protocols(results: Sequence[Result]) -> None:
  for result in results[1:]:
    if result.protocol != results[0].protocol:
      raise InputError(
        f'{results[0].folder} is of the protocol "{results[0].protocol}", {result.folder} of'
        f' "{result.protocol}": their numbers do not belong in one table; leave one out, or give'
        ' `mix` to lay them side by side all the same'
      )


def _read_result(folder: pathlib.Path, name: str) -> Result:
  path = folder / 'results.json'

  def refuse(token: str) -> NoReturn:
    raise InputError(f'{folder}: results.json holds {token}, which is no number; evaluate anew')

  try:
    record = json.loads(path.read_text(encoding='utf-8'), parse_constant=refuse)
    columns = {str(head): _checked(figures) for head, figures in record.pop('results').items()}
    about = record
    last = list(columns.values())[-1]
    texts = {key: about[key] for key in ('model', 'backbone', 'benchmark')}
    numbers = {key: about[key] for key in ('fold', 'shots')}
    known = all(isinstance(x, str) for x in texts.values())
    known = known and all(type(x) is int for x in numbers.values())
    if not known or not isinstance(about.get('absent', 0), int | float):
      raise TypeError('of another type')
  except InputError:
    raise
  except OSError as error:
    raise InputError(f'{path}: {error.strerror}') from error
  except _BROKEN as error:
    raise InputError(f'{path}: is no results.json of `evaluate`; evaluate anew') from error
  if last.get('miou') is None:
    raise InputError(f'{folder}: its mIoU is no number; evaluate anew, or leave it out')
  counted = read_counted(folder) if (folder / 'episodes.csv').is_file() else None
  found = [picture for picture in _PICTURES if (folder / picture).is_file()]
  pictures = {picture: _as_jpeg(folder / picture) for picture in found}
  return Result(name, folder, about, columns, counted, pictures)


def _as_jpeg(path: pathlib.Path) -> bytes:
  """Returns a picture of photographs as it goes into a page, a fifth of the size."""
  made = io.BytesIO()
  try:
    with Image.open(path, formats=('PNG',)) as image:
      image.convert('RGB').save(made, 'JPEG', quality=85, subsampling=0, optimize=True)
  except Exception as error:  # Pillow raises nearly anything for what is no sound image.
    raise InputError(f'{path}: is no sound picture; evaluate anew, or remove it') from error
  return made.getvalue()


def _checked(figures: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the known figures of a column; raises TypeError where one is of another kind."""
  found: dict[str, Any] = {}
  names = [figure.name for figure in FIGURES] + ['auc_error']
  for name in names:
    if name in figures:
      found[name] = _number(figures[name])
    if figures.get(f'{name}_interval') is not None:
      found[f'{name}_interval'] = _ends(figures[f'{name}_interval'])
  for key in (figure.by_class for figure in FIGURES if figure.by_class):
    found[key] = {str(c): _number(value) for c, value in figures.get(key, {}).items()}
    ends = figures.get(f'{key}_interval') or {}
    found[f'{key}_interval'] = {str(c): _ends(value) for c, value in ends.items() if value}
  for key in ('class_episodes', 'figure_episodes'):
    if key in figures:
      found[key] = {str(name): int(number) for name, number in figures[key].items()}
  for key, heads in _TABLES.items():
    if key in figures:
      found[key] = [{head: _number(line[head]) for head in heads} for line in figures[key]]
  return found


def _number(value: Any) -> float | None:
  if value is None:
    return None
  if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
    raise TypeError(f'{value!r} is no number')
  return float(value)


def _ends(value: Any) -> tuple[float, float] | None:
  low, high = (_number(end) for end in value)
  return None if low is None or high is None else (low, high)


def _read_run(folder: pathlib.Path, name: str) -> Run:
  curves: dict[str, dict[int, float]] = {}
  for _, figures in read_figures(folder / 'metrics.jsonl'):
    for key, value in figures.items():
      known = isinstance(value, int | float) and math.isfinite(value)
      if key in _NUMBERS and not known:
        raise InputError(
          f'{folder}: metrics.jsonl has no number for {key} at step {figures["step"]}: the run has'
          ' failed; leave it out'
        )
      if key.startswith(('train/', 'val/')) and known:
        curves.setdefault(key, {})[figures['step']] = float(value)
  if not curves:
    raise InputError(f'{folder}: metrics.jsonl holds no figure yet; leave it out')
  try:
    config = read_config(folder / 'checkpoints' / 'last')
  except InputError:  # Moved without its checkpoints, which a page does not need.
    config = {}
  log = folder / 'log.txt'
  said = log.read_text(encoding='utf-8', errors='replace').splitlines() if log.is_file() else []
  return Run(name, folder, curves, config, said)
