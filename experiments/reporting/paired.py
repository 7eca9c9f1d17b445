"""Compares two evaluations of the same episodes, episode by episode, from their episodes.csv."""

import csv
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.reporting.tables import EPISODE, PIXELS
from hsnet_jax.errors import InputError
from hsnet_jax.metrics import Confusion, miou_difference_interval


@dataclasses.dataclass(frozen=True, eq=False)
class Counted:
  """Holds what an evaluation counted of each episode.

  Attributes:
    episodes: number, class, query and supports of each, as the file has them.
    counts: true and false positives, false and true negatives, int64 `[N, 4]`.
  """

  episodes: list[tuple[str, ...]]
  counts: np.ndarray


def read_counted(folder: str | pathlib.Path) -> Counted:
  """Reads the episodes.csv of an evaluation.

  Args:
    folder: the evaluation's; or the file.

  Returns:
    What it holds, in the order of the episodes' numbers.

  Raises:
    InputError: there is none, or it is no such file.
  """
  path = pathlib.Path(folder).expanduser()
  path = path / 'episodes.csv' if path.is_dir() else path
  try:
    with path.open(encoding='utf-8', newline='') as file:
      lines = sorted(csv.DictReader(file), key=lambda line: int(line['episode']))
    counts = np.array([[int(line[name]) for name in PIXELS] for line in lines], np.int64)
    episodes = [tuple(line[name] for name in EPISODE) for line in lines]
  except OSError as error:
    raise InputError(f'{path}: {error.strerror}; name the folder of an evaluation') from error
  except (KeyError, TypeError, ValueError, csv.Error) as error:
    raise InputError(f'{path}: is no episodes.csv of `evaluate`; make it anew') from error
  if not lines:
    raise InputError(f'{path}: has no episode')
  return Counted(episodes, counts)


class Difference(NamedTuple):
  """Holds a figure of two evaluations, in percent.

  Attributes:
    label: 'mIoU', or the class whose IoU it is.
    first: of the one.
    second: of the other.
    ends: the 95% interval of what the first has more, paired.
  """

  label: str
  first: float
  second: float
  ends: tuple[float, float]

  @property
  def value(self) -> float:
    """Returns what the first has more."""
    return self.first - self.second


def paired_differences(
  first: Counted, second: Counted, *, names: Sequence[str]
) -> list[Difference]:
  """Compares mIoU and the IoU of each class of two evaluations.

  Args:
    first: one evaluation.
    second: the other, of the same episodes.
    names: what to call them.

  Returns:
    mIoU, then the classes in the order in which they come.

  Raises:
    InputError: the two are not of the same episodes.
  """
  if first.episodes != second.episodes:
    number = next(
      (a[0] for a, b in zip(first.episodes, second.episodes, strict=False) if a != b),
      str(min(len(first.episodes), len(second.episodes))),
    )
    raise InputError(
      f'{names[0]} and {names[1]} are of other episodes, from number {number} on: evaluate both'
      ' with the same benchmark, fold, shots and number of episodes'
    )
  classes = list(dict.fromkeys(name for _, name, *_ in first.episodes))
  class_id = np.array([classes.index(name) for _, name, *_ in first.episodes])
  queries = {query: i for i, query in enumerate(dict.fromkeys(e[2] for e in first.episodes))}
  picture = np.array([queries[query] for _, _, query, _ in first.episodes])
  found = []
  for label, chosen in [
    ('mIoU', range(len(classes))),
    *((c, [i]) for i, c in enumerate(classes)),
  ]:
    kept = np.isin(class_id, chosen)
    own, other = first.counts[kept], second.counts[kept]
    of = class_id[kept], picture[kept]
    values = [
      Confusion.empty(len(classes)).update(x, of[0]).result(list(chosen))['miou']
      for x in (own, other)
    ]
    ends = miou_difference_interval(np.random.default_rng(0), own, other, *of, classes=list(chosen))
    found.append(Difference(label, values[0], values[1], ends))
  return found


def paired_rows(first: Counted, second: Counted, *, names: Sequence[str]) -> list[list[str]]:
  """Lays out what `paired_differences` finds, as rows of text, the first one the heads."""
  rows = [['percent', *names, 'difference', '95% interval']]
  for i, one in enumerate(paired_differences(first, second, names=names)):
    values = [f'{value:.2f}' for value in (one.first, one.second, one.value)]
    label = f'  {one.label}' if i else one.label
    rows.append([label, *values, ' to '.join(f'{end:.1f}' for end in one.ends)])
  return rows
