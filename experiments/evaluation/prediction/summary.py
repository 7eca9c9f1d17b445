"""Says of each picture what was found and how sure the network is, the least certain first.

What is told lies in the marks of the masks themselves, each written whole with its mask: whatever
ends the work, another run finds what is done and does the rest.
"""

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

from data_pipelines.reading.files import RESULT_ENDINGS, SHEET
from experiments.evaluation.prediction.queries import Query, digest_of
from experiments.reporting.pictures import draw_sheet
from experiments.storage.results import find_mark, find_place, numbered, write_marked, write_png

NAME = 'summary.csv'
_CELL = 176  # Of a picture on the sheet, pixels.
_FIGURES = ('area', 'confidence', 'presence')


@dataclasses.dataclass(frozen=True)
class Result:
  """Holds what was found in a picture, beside what the files show.

  Attributes:
    query: the picture.
    mask: the file of the mask.
    overlay: the file of the overlay.
    area: the share of the picture that is marked.
    confidence: the mean probability of what is marked, 0 where nothing is.
    presence: how probable it is that the object is there at all.
  """

  query: Query
  mask: pathlib.Path
  overlay: pathlib.Path
  area: float
  confidence: float
  presence: float

  @property
  def figures(self) -> dict[str, float]:
    """Returns area, confidence and presence, by their names."""
    return {name: getattr(self, name) for name in _FIGURES}


def files_of(query: Query, folder: pathlib.Path, *, of: Mapping[str, Any]) -> list[pathlib.Path]:
  """Names the files of a picture's mask and overlay, which replace nothing else.

  Args:
    query: the picture.
    folder: where results go.
    of: what they are results of, the picture itself included.

  Returns:
    `NAME_predicted.png` and `NAME_overlay.png`, or both with a number.
  """
  name = folder / query.name

  def paths_of(number: int) -> list[pathlib.Path]:
    return [numbered(name.with_name(f'{name.name}{e}.png'), number) for e in RESULT_ENDINGS]

  return paths_of(find_place(paths_of, of=of))


def find_done(
  queries: Iterable[Query], folder: pathlib.Path, *, of: Mapping[str, Any]
) -> dict[Query, Result]:
  """Finds the pictures whose results are there, of the very same settings and unchanged.

  Args:
    queries: the pictures.
    folder: where results go.
    of: what they are results of, from `describe`.

  Returns:
    What was found in those that are done.
  """
  found = (_find_result(query, folder, of) for query in queries)
  return {one.query: one for one in found if one is not None}


def _find_result(query: Query, folder: pathlib.Path, of: Mapping[str, Any]) -> Result | None:
  name = folder / query.name
  # Most often nothing is there, and no picture needs to be read to say so.
  if not os.path.lexists(name.with_name(f'{name.name}{RESULT_ENDINGS[0]}.png')):
    return None
  try:
    mask, overlay = files_of(query, folder, of={**of, 'query': digest_of(query)})
  except OSError:  # Who reads it says what is wrong.
    return None
  mark = find_mark(mask) if overlay.exists() else None
  if mark is None or not all(isinstance(mark.found.get(name), float) for name in _FIGURES):
    return None
  return Result(query, mask, overlay, **{name: mark.found[name] for name in _FIGURES})


def least_certain_first(results: Iterable[Result]) -> list[Result]:
  """Sorts by how far the presence is from one half, then by confidence, the lowest first."""

  def certainty(one: Result) -> tuple[float, float, str]:
    return abs(one.presence - 0.5), one.confidence, str(one.query)

  return sorted(results, key=certainty)


def write_sheet(
  results: Sequence[Result], folder: pathlib.Path, *, most: int, of: Mapping[str, Any]
) -> pathlib.Path | None:
  """Draws the overlays of some pictures on a page, the least certain first.

  Args:
    results: what was found; nothing is drawn where that is nothing.
    folder: where the page goes.
    most: so many are shown.
    of: what it is a result of.

  Returns:
    `contact_sheet.png`, or with a number where another one lies there.
  """
  shown = least_certain_first(results)[:most]
  if not shown:
    return None
  thumbnails = []
  for one in shown:
    with Image.open(one.overlay) as drawn:
      image = drawn.convert('RGB')
    image.thumbnail((_CELL, _CELL))
    line = f'{one.query.name.as_posix()} {one.presence:.2f} {one.confidence:.2f}'
    thumbnails.append((image, line))
  first = 'all' if len(shown) == len(results) else f'the least certain {len(shown)}'
  title = f'{first} of {len(results)}: presence, confidence'

  def paths_of(number: int) -> list[pathlib.Path]:
    return [numbered(folder / SHEET, number)]

  (path,) = paths_of(find_place(paths_of, of=of))
  write_png(path, draw_sheet(thumbnails, title=title, cell=_CELL), of=of)
  return path


def write_summary(
  results: Sequence[Result], folder: pathlib.Path, *, of: Mapping[str, Any]
) -> pathlib.Path | None:
  """Writes a line for each picture, the least certain first.

  Args:
    results: what was found; nothing is written where that is nothing.
    folder: where it goes; masks are named as they lie in it.
    of: what it is a result of.

  Returns:
    `summary.csv`, or with a number where another one lies there.
  """
  if not results:
    return None
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(('file', 'mask', *_FIGURES, 'empty'))
  for one in least_certain_first(results):
    figures = (f'{value:.6f}' for value in one.figures.values())
    mask = one.mask.relative_to(folder).as_posix()
    writer.writerow((one.query, mask, *figures, 'false' if one.area else 'true'))
  return write_marked(folder / NAME, text.getvalue(), of=of)
