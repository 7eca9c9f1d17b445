"""Lays results out in tables: as the paper does, by figure, by class, in pairs."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.reporting.page.forms import Cell, Table, Value, number
from experiments.reporting.page.published import FOLDS, Published, departures, published_rows
from experiments.reporting.page.reading import Result
from experiments.reporting.paired import paired_differences
from experiments.reporting.tables import FIGURES, table_rows

# So many classes are columns; more of them, as COCO and FSS-1000 have, are rows.
_CLASS_COLUMNS = 12
# What evaluations of one row must not differ in, beside the fold.
_OF_FOLD = ('fold', 'checkpoint', 'step', 'weights', 'list', 'seconds', 'date', 'note', 'versions')
_OF_FOLD += ('empty_supports', 'threshold', 'pictures', 'also_first', 'batch_size')
_CLEAR = 'The interval of a difference that holds 0 does not tell which is better.'


@dataclasses.dataclass(frozen=True)
class Line:
  """Holds a line of the paper's table: one model, or one for each fold.

  Attributes:
    label: what to call it.
    results: {fold: evaluation}.
  """

  label: str
  results: Mapping[int, Result]

  @property
  def about(self) -> Mapping[str, Any]:
    """Returns what its evaluations are of; of the fold and the checkpoint that of the first."""
    return next(iter(self.results.values())).about

  @property
  def whole(self) -> bool:
    """Says whether all folds are there."""
    return len(self.results) == FOLDS.get(self.about['benchmark'])

  def mean(self, figure: str) -> float | None:
    """Returns the mean of a figure over the folds that are there."""
    values = [result.figures.get(figure) for result in self.results.values()]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def lines_of(results: Sequence[Result]) -> list[Line]:
  """Joins evaluations that differ in the fold alone.

  Args:
    results: the evaluations.

  Returns:
    A line for each set of them; where a fold is there twice, as of two seeds, nobody knows which
    belong together, and each has a line of its own.
  """
  groups: dict[str, list[Result]] = {}
  for result in results:
    kept = {k: v for k, v in sorted(result.about.items()) if k not in _OF_FOLD}
    groups.setdefault(repr(kept), []).append(result)
  lines = []
  for group in groups.values():
    folds = [result.about['fold'] for result in group]
    if len(group) > 1 and len(set(folds)) == len(folds):
      label = '{model} ('.format(**group[0].about) + ', '.join(r.name for r in group) + ')'
      lines.append(Line(label, dict(zip(folds, group, strict=True))))
    else:
      lines += [Line(r.name, {r.about['fold']: r}) for r in group]
  return lines


def paper_tables(results: Sequence[Result], *, mix: bool) -> list[Table]:
  """Lays mIoU out by fold, as the paper does, published rows of the same shots below ours.

  Args:
    results: the evaluations.
    mix: whether they may be of several protocols, which are told then.

  Returns:
    Of each benchmark a table, and one of the differences where the paper has such results.
  """
  tables = []
  for benchmark in dict.fromkeys(result.about['benchmark'] for result in results):
    lines = lines_of([result for result in results if result.about['benchmark'] == benchmark])
    compared = [(line, other) for line in lines for other in _published(line)]
    folds = sorted({f for line in lines for f in line.results} | _folds(compared))
    heads = ['method', 'backbone', 'shots', *(['protocol'] if mix else [])]
    head = [*heads, *(f'fold {fold}' for fold in folds), 'mean', 'FB-IoU']
    rows = [_own_row(line, folds, mix=mix) for line in lines]
    for other in dict.fromkeys(map(_key, (other for _, other in compared))):
      row = next(o for _, o in compared if _key(o) == other)
      words = [f'{row.method}, published', row.backbone, str(row.shots)]
      values = [*(row.folds.get(fold) for fold in folds), row.miou, row.fb_iou]
      cells = [Value(value, digits=1) for value in values]
      rows.append([*words, *(['published'] if mix else []), *cells])
    caption = f'mIoU on {benchmark} by fold, and FB-IoU, in percent'
    sources = ', '.join(dict.fromkeys(other.source for _, other in compared))
    note = f'Published: {sources}. ' if sources else ''
    note += 'The mean is of all folds; FB-IoU of the folds given.'
    note = ' '.join([note, *_remarks(lines, benchmark)])
    tables.append(Table(f'results-{benchmark}', caption, head, rows, len(heads), note))
    if compared:
      tables.append(_published_differences(compared, benchmark))
  return tables


def _own_row(line: Line, folds: Sequence[int], *, mix: bool) -> list[Cell]:
  about = line.about
  first = next(iter(line.results.values()))
  words = [line.label, about['backbone'], str(about['shots']), *([first.protocol] if mix else [])]
  cells = [
    _value(line.results[fold].figures, 'miou') if fold in line.results else Value(None)
    for fold in folds
  ]
  fb_iou = _value(first.figures, 'fb_iou') if len(line.results) == 1 else Value(line.mean('fb_iou'))
  return [*words, *cells, Value(line.mean('miou') if line.whole else None), fb_iou]


def _published(line: Line) -> list[Published]:
  """Returns the published rows that a line may be compared with: those of its backbone, if any."""
  about, first = line.about, next(iter(line.results.values()))
  if first.protocol != 'published':
    return []
  rows = [r for r in published_rows(about['benchmark']) if r.shots == about['shots']]
  return [r for r in rows if r.backbone == about['backbone']] or rows


def _key(row: Published) -> tuple[str, str, int]:
  return row.method, row.backbone, row.shots


def _folds(compared: Iterable[tuple[Line, Published]]) -> set[int]:
  return {fold for _, other in compared for fold in other.folds}


def _published_differences(compared: Sequence[tuple[Line, Published]], benchmark: str) -> Table:
  rows = []
  folds = sorted({fold for line, _ in compared for fold in line.results})
  whole = any(line.whole for line, _ in compared)
  for line, other in compared:
    own = {fold: result.figures['miou'] for fold, result in line.results.items()}
    cells = [_less(own.get(fold), other.folds.get(fold)) for fold in folds]
    if whole:  # What the paper has of FB-IoU is of all folds, too.
      means = [(line.mean('miou'), other.miou), (line.mean('fb_iou'), other.fb_iou)]
      cells += [_less(*pair) if line.whole else Value(None) for pair in means]
    same = line.about['model'] == 'hsnet' and line.about['backbone'] == other.backbone
    words = [line.label, f'{other.method}, {other.backbone}', str(other.shots)]
    rows.append([*words, 'yes' if same else 'no', *cells])
  heads = ['ours', 'published', 'shots', 'same network']
  means = ['mean', 'FB-IoU'] if whole else []
  head = [*heads, *(f'fold {fold}' for fold in folds), *means]
  caption = f'Ours less the published results on {benchmark}, in percentage points'
  note = 'Where the paper has no such backbone, all that it has of these shots are beside ours.'
  return Table(f'published-{benchmark}', caption, head, rows, 4, note)


def _less(own: float | None, other: float | None) -> Value:
  return Value(None if own is None or other is None else own - other, signed=True, digits=1)


def _remarks(lines: Sequence[Line], benchmark: str) -> list[str]:
  """Says what of our settings is not as published."""
  said: dict[str, list[str]] = {}
  for line in lines:
    for words in departures(line.about, benchmark):
      said.setdefault(words, []).append(line.label)
  return [f'Of {", ".join(labels)}: {words}.' for words, labels in said.items()]


def figure_table(results: Sequence[Result], *, mix: bool) -> Table:
  """Lays out all figures, an evaluation a row."""
  shown = [f for f in FIGURES if any(f.name in result.figures for result in results)]
  words = ['fold', 'shots', *(['protocol'] if mix else []), 'episodes']
  head = ['evaluation', *words, *(figure.heading for figure in shown)]
  rows = []
  for result in results:
    of = [str(result.about[key]) for key in ('fold', 'shots')]
    of += [result.protocol] if mix else []
    of.append(str(result.about.get('episodes', '-')))
    rows.append([result.name, *of, *(_value(result.figures, figure.name) for figure in shown)])
  note = '"-": not counted by the version that evaluated, or of no episode.'
  return Table('figures', 'All figures, in percent', head, rows, len(words) + 1, note)


def class_tables(results: Sequence[Result]) -> list[Table]:
  """Lays out the IoU of each class, a table for each benchmark and fold."""
  groups: dict[tuple[str, int], list[Result]] = {}
  for result in results:
    groups.setdefault((result.about['benchmark'], result.about['fold']), []).append(result)
  tables = []
  for (benchmark, fold), group in groups.items():
    classes = list(dict.fromkeys(c for r in group for c in r.figures['class_iou']))
    cells = [[_value(r.figures, 'class_iou', c) for c in classes] for r in group]
    names = [r.name for r in group]
    if len(classes) <= _CLASS_COLUMNS:
      head, rows = ['evaluation', *classes], [[n, *c] for n, c in zip(names, cells, strict=True)]
    else:
      across = list(zip(*cells, strict=True))
      head, rows = ['class', *names], [[c, *r] for c, r in zip(classes, across, strict=True)]
    caption = f'IoU of each class of {benchmark}, fold {fold}, in percent'
    tables.append(Table(f'classes-{benchmark}-fold{fold}', caption, head, rows))
  return tables


def _value(figures: Mapping[str, Any], key: str, name: str | None = None) -> Value:
  """Returns a figure, or that of a class, with its interval."""
  found, ends = figures.get(key), figures.get(f'{key}_interval')
  if name is not None:
    found, ends = (found or {}).get(name), (ends or {}).get(name)
  return number(found)._replace(ends=ends)


def difference_table(results: Sequence[Result]) -> tuple[Table | None, list[str]]:
  """Compares every two evaluations of the same episodes, episode by episode.

  Args:
    results: the evaluations.

  Returns:
    mIoU and the IoU of each class of both, with intervals of their differences; None where no two
    are of the same episodes. And the names of evaluations without an episodes.csv.
  """
  rows: list[list[Cell]] = []
  known = [(result.name, result.counted) for result in results if result.counted]
  for (name, first), (other, second) in itertools.combinations(known, 2):
    if first.episodes == second.episodes:
      for one in paired_differences(first, second, names=(name, other)):
        values = [Value(one.first), Value(one.second), Value(one.value, one.ends, signed=True)]
        rows.append([name, other, one.label, *values])
  without = [result.name for result in results if not result.counted]
  if not rows:
    return None, without
  head = ['first', 'second', 'of', 'first has', 'second has', 'difference']
  caption = 'What one evaluation has more than another of the same episodes, in percentage points'
  note = f'They are paired, by bootstrap over the query pictures. {_CLEAR}'
  return Table('differences', caption, head, rows, 3, note), without


def episode_table(results: Sequence[Result], *, each: int = 3) -> Table | None:
  """Lists the best, the median and the worst episodes of each evaluation, by episodes.csv."""
  rows: list[list[Cell]] = []
  for result in (r for r in results if r.counted):
    counted = result.counted
    assert counted is not None
    iou, share = shares(counted.counts)
    there = np.flatnonzero(share > 0)
    order = there[np.argsort(iou[there], kind='stable')]
    middle = max(0, len(order) // 2 - each // 2)
    for kind, chosen in (
      ('best', order[::-1][:each]),
      ('median', order[middle : middle + each]),
      ('worst', order[:each]),
    ):
      for i in chosen.tolist():
        index, name, query, supports = counted.episodes[i]
        values = [Value(float(share[i])), Value(float(iou[i]))]
        rows.append([result.name, kind, index, name, query, _listed(supports), *values])
  head = ['evaluation', 'which', 'episode', 'class', 'query', 'supports', 'object share', 'IoU']
  caption = 'The best, the median and the worst episodes, by IoU, in percent'
  note = 'Queries that lack the object are left out.'
  return Table('episodes', caption, head, rows, 6, note) if rows else None


def _listed(supports: str) -> str:
  """Returns the supports of an episode, which a file has as JSON, as words."""
  try:
    found = json.loads(supports)
  except ValueError:
    return supports
  return ', '.join(map(str, found)) if isinstance(found, list) else supports


def shares(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns IoU, and the object's share of the query, of each episode's counts, in percent."""
  true, false_positive, missed, background = counts.T
  union = np.maximum(true + false_positive + missed, 1)
  pixels = np.maximum(true + false_positive + missed + background, 1)
  return 100 * true / union, 100 * (true + missed) / pixels


def whole_tables(result: Result) -> list[Table]:
  """Lays out all that results.json has of an evaluation: each column, and the tables beside."""
  head, *rows = table_rows(result.columns)
  errors = [figures.get('auc_error') for figures in result.columns.values()]
  if any(error is not None for error in errors):
    rows.append(['AUC, error of bins', *('-' if e is None else f'{e:.4f}' for e in errors)])
  kept = [[row[0].strip(), *row[1:]] for row in rows]
  stem, name = f'all-{file_name(result.name)}', result.name
  tables = [Table(stem, f'All columns of {name}, in percent; episodes in brackets', head, kept)]
  for column, figures in result.columns.items():
    for key, title in (('reliability', 'Reliability'), ('risk_coverage', 'Risk and coverage')):
      lines = figures.get(key)
      if lines:
        cells = [[_plain(key, value) for key, value in line.items()] for line in lines]
        caption = f'{title} of {name}, {column}, in percent'
        own = f'{key}-{file_name(name)}-{file_name(column)}'
        tables.append(Table(own, caption, list(lines[0]), cells, 0))
  return tables


def _plain(key: str, value: float | None) -> Cell:
  """Returns a cell of a table of results.json: pixels are whole, scores margins of logits."""
  if value is None or key not in ('pixels', 'score'):
    return number(value)
  return str(int(value)) if key == 'pixels' else f'{value:.4f}'


def file_name(name: str) -> str:
  """Returns a name as one of a file: letters, digits and what is safe beside them."""
  return ''.join(c if c.isalnum() or c in '.-_' else '-' for c in name)
