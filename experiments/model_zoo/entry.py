"""Defines what a zoo knows of a model, and the entries of those that come with the package."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.storage import configs
from hsnet_jax.errors import InputError
from hsnet_jax.weights.zoo import PACKAGED, packaged_path, sha256

_LONGEST = 2000  # Characters of a text.
_TEXTS = ('backbone', 'benchmark', 'source', 'license', 'limits', 'checksum', 'added')
_MOST = 2**62  # A database holds little more.
_NUMBERS = ('fold', 'shots', 'image_size', 'size')
_RECORD = 'hsnet_jax'  # Of a header, as `hsnet_jax.weights.stored` has it.
# What NOTICE and docs/recipes.md say of them.
_KNOWN: Mapping[str, Mapping[str, Any]] = {
  'photos': {
    'source': 'comes with hsnet_jax: ImageNet weights of EfficientNet-Lite0 (Tan & Le), a head'
    ' trained on PASCAL VOC 2012 and SBD',
    'license': 'apache-2.0',
    'limits': 'Telling an object from what is much like it, and so pictures without the object;'
    ' things of no fixed look, as tables, and small ones; gaps between things that lie near each'
    ' other; classes whose surroundings look alike in all pictures.',
  }
}


class Summary(NamedTuple):
  """Holds what a list says of a model; `miou` and its 95% interval are of the first evaluation."""

  name: str
  backbone: str
  benchmark: str | None
  fold: int | None
  shots: int | None
  miou: float | None
  miou_low: float | None
  miou_high: float | None
  size: int
  added: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
  """Holds what is known of a model.

  Attributes:
    name: lower case letters, digits, '.', '_' and '-'.
    backbone: by name.
    benchmark: what it was trained on; None where that is not known, as of those below.
    fold: of the benchmark, whose test classes it has not seen.
    shots: that it was trained with.
    image_size: side of the squares that it was trained on.
    evaluations: what it reaches, as `figures.find_evaluations` gives it; empty where nothing is
      measured.
    config: what its checkpoint records, the recipe among it.
    source: where the weights came from.
    license: by its identifier, such as 'apache-2.0'; None where nobody said.
    limits: what it is bad at, in words.
    checksum: SHA-256 of the file.
    size: of the file, in bytes.
    added: when; empty for what comes with the package.
  """

  name: str
  backbone: str
  benchmark: str | None = None
  fold: int | None = None
  shots: int | None = None
  image_size: int | None = None
  evaluations: tuple[Mapping, ...] = ()
  config: Mapping[str, Any]
  source: str
  license: str | None = None
  limits: str | None = None
  checksum: str
  size: int
  added: str = ''

  def __post_init__(self) -> None:
    """Refuses what a database does not hold, or a terminal and a page do not show as it is."""
    for field in _TEXTS:
      text = getattr(self, field)
      if text is not None and not (text.isprintable() and len(text) <= _LONGEST):
        raise InputError(f'`{field}` must be one line of at most {_LONGEST} characters')
    for field in _NUMBERS:
      if not 0 <= (getattr(self, field) or 0) <= _MOST:
        raise InputError(f'`{field}` must be a number from 0 to {_MOST}')

  @property
  def summary(self) -> Summary:
    """Returns what a list says."""
    figures = self.evaluations[0]['figures'] if self.evaluations else {}
    ends = figures.get('miou_interval') or (None, None)
    known = self.name, self.backbone, self.benchmark, self.fold, self.shots
    return Summary._make((*known, figures.get('miou'), *ends, self.size, self.added))


def to_text(entry: Entry) -> str:
  """Returns an entry as JSON."""
  return json.dumps(configs.to_json(entry), indent=1)


def from_text(text: str, *, source: str) -> Entry:
  """Reads what `to_text` wrote; raises InputError, which names the source, for anything else."""
  try:
    values = json.loads(text)
  except (TypeError, ValueError, RecursionError) as error:
    raise InputError(f'{source}: no entry of a model, or a damaged one') from error
  if not isinstance(values, dict):
    raise InputError(f'{source}: no entry of a model')
  entry = configs.from_json(Entry, values, source=source)
  if not entry.evaluations:
    return entry
  # Imported where there are figures: the metrics that name them take a second.
  from experiments.model_zoo.figures import evaluation_of

  found = (evaluation_of({**one, 'results': None}) for one in entry.evaluations)
  return dataclasses.replace(entry, evaluations=tuple(one for one in found if one))


def read_entry(path: pathlib.Path, *, source: str) -> Entry:
  """Reads a file that holds what `to_text` wrote; raises InputError, which names the source."""
  try:
    return from_text(path.read_text(encoding='utf-8'), source=source)
  except OSError as error:
    raise InputError(f'{source}: cannot be read ({error.strerror})') from error
  except UnicodeDecodeError as error:
    raise InputError(f'{source}: no entry of a model, or a damaged one') from error


def described(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns those fields of an entry that a checkpoint's record has."""
  found = {name: config.get(name) for name in ('benchmark', 'fold', 'shots', 'image_size')}
  # The one that `check_record` leaves to whoever needs it.
  return found | ({} if isinstance(found['shots'], int) else {'shots': None})


def packaged_entry(name: str) -> Entry:
  """Returns the entry of a model that comes with the package."""
  path, config = packaged_path(name), _packaged_config(name)
  return Entry(
    name=name,
    backbone=config['backbone'],
    config=config,
    checksum=sha256(path),
    size=path.stat().st_size,
    **described(config),
    **_KNOWN[name],
  )


def packaged_summaries() -> list[Summary]:
  """Returns what a list says of the models that come with the package."""
  summaries = []
  for name in PACKAGED:
    config = _packaged_config(name)
    benchmark, fold, shots = (config.get(key) for key in ('benchmark', 'fold', 'shots'))
    size = os.path.getsize(packaged_path(name))
    trained = config['backbone'], benchmark, fold, shots
    summaries.append(Summary(name, *trained, None, None, None, size, ''))
  return summaries


def _packaged_config(name: str) -> dict[str, Any]:
  """Reads a record off the head of a file: a list of models waits for no library of tensors."""
  with open(pathlib.Path(packaged_path(name)), 'rb') as file:
    header = json.loads(file.read(int.from_bytes(file.read(8), 'little')))
  return json.loads(header['__metadata__'][_RECORD])
