"""What is done is found again, and told in a table, the least certain first."""

import csv

import numpy as np
import pytest
from PIL import Image

from experiments.evaluation.prediction.queries import find_queries
from experiments.evaluation.prediction.report import write_results
from experiments.evaluation.prediction.segmenting import Segmented
from experiments.evaluation.prediction.summary import find_done, write_sheet, write_summary
from experiments.storage.results import find_mark, write_png
from tests.experiments.evaluation.given import picture

OF = {'command': 'predict', 'step': 3}
FIGURES = {'a': (0.9, 0.99), 'b': (0.8, 0.4), 'c': (0.0, 0.6), 'd': (0.7, 0.01)}


@pytest.fixture
def made(tmp_path):
  """Queries by their names, and their results in a folder."""
  (tmp_path / 'photos').mkdir()
  for name in FIGURES:
    picture(tmp_path / 'photos' / f'{name}.png', size=(8, 5))
  queries = {q.path.stem: q for q in find_queries([str(tmp_path / 'photos')])[0]}
  for name, sure in FIGURES.items():
    mask = np.zeros((5, 8), np.uint8)
    mask[:2, :4] = name != 'c'
    write_results(
      Segmented(queries[name], np.zeros((5, 8, 3), np.uint8), mask, *sure), tmp_path, of=OF
    )
  return queries, tmp_path


def rows(path):
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


def test_a_line_a_picture_the_least_certain_first(made):
  queries, folder = made
  done = find_done(queries.values(), folder, of=OF)
  path = write_summary([*done.values()], folder, of=OF)
  assert path == folder / 'summary.csv'
  found = rows(path)
  assert list(found[0]) == ['file', 'mask', 'area', 'confidence', 'presence', 'empty']
  # Of b and c, as far from one half, the one of lower confidence.
  assert [row['mask'] for row in found] == [f'{name}_predicted.png' for name in 'cbda']
  by_name = {row['mask'][0]: row for row in found}
  assert by_name['b'] == {
    'file': str(queries['b'].path),
    'mask': 'b_predicted.png',
    'area': '0.200000',
    'confidence': '0.800000',
    'presence': '0.400000',
    'empty': 'false',
  }
  assert by_name['c']['empty'] == 'true' and float(by_name['c']['area']) == 0


def test_a_summary_replaces_its_own_alone(made):
  queries, folder = made
  done = [*find_done(queries.values(), folder, of=OF).values()]
  assert write_summary([], folder, of=OF) is None
  first = write_summary(done[:2], folder, of=OF)
  assert write_summary(done, folder, of=OF) == first and len(rows(first)) == 4
  assert write_summary(done, folder, of={**OF, 'step': 4}) == first, 'the very same words'
  other = write_summary(done[:1], folder, of=OF)
  assert other == folder / 'summary-2.csv' and len(rows(first)) == 4
  first.write_text('mine')
  assert write_summary(done[:1], folder, of=OF) == other and first.read_text() == 'mine'


def test_a_summary_whose_mark_was_not_written_any_more_is_ones_own(made):
  queries, folder = made
  done = [*find_done(queries.values(), folder, of=OF).values()]
  path = write_summary(done, folder, of=OF)
  (folder / '.hsnet-results.json').unlink()
  assert write_summary(done, folder, of=OF) == path
  assert write_summary(done[:1], folder, of=OF) == path


@pytest.mark.parametrize('lost', ['mask', 'overlay', 'query', 'changed', 'settings', 'figures'])
def test_what_is_done_is_of_the_very_same(made, lost):
  queries, folder = made
  done, of = find_done(queries.values(), folder, of=OF), OF
  assert set(done) == set(queries.values())
  assert [done[queries[name]].figures['presence'] for name in 'abcd'] == [0.99, 0.4, 0.6, 0.01]
  if lost == 'query':
    picture(queries['a'].path, size=(8, 5))
  elif lost == 'settings':
    of = {**OF, 'step': 4}
  elif lost == 'changed':
    picture(folder / 'a_predicted.png')
  elif lost == 'figures':  # As masks were written before there were any.
    path = folder / 'a_predicted.png'
    with Image.open(path) as image:
      write_png(path, image.copy(), of=find_mark(path).of)
  else:
    getattr(done[queries['a']], lost).unlink()
  again = find_done(queries.values(), folder, of=of)
  assert set(again) == (set() if lost == 'settings' else {queries[name] for name in 'bcd'})


def test_a_sheet_shows_the_least_certain(made):
  queries, folder = made
  done = [*find_done(queries.values(), folder, of=OF).values()]
  assert write_sheet(done, folder, most=0, of=OF) is None
  path = write_sheet(done, folder, most=2, of=OF)
  assert path == folder / 'contact_sheet.png'
  first = path.read_bytes()
  # Of c and b, whatever becomes of the others.
  for name in 'ad':
    picture(done['abcd'.index(name)].overlay, size=(8, 5))
  assert write_sheet(done, folder, most=2, of=OF) == path and path.read_bytes() == first
  assert write_sheet(done, folder, most=3, of={**OF, 'step': 4}) == folder / 'contact_sheet-2.png'
  assert path.read_bytes() == first
