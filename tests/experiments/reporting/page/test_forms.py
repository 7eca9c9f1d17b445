"""A table in its forms: CSV, Markdown and LaTeX."""

import csv
import io

import pytest

from experiments.reporting.page.forms import Table, Value, csv_form, latex_form, markdown_form
from experiments.reporting.page.published import FOLDS, published_rows

TABLE = Table(
  'name',
  'A caption',
  ['run', 'what|it_is', 'mIoU', 'more'],
  [
    ['a,b', 'x', Value(48.39199265066659, (43.38, 51.28)), Value(1.25, signed=True)],
    ['a_b & 5%', 'y|z', Value(None), Value(-0.5, (-1.0, 0.04), signed=True, digits=1)],
  ],
  left=2,
  note='A note.',
)


def test_csv_has_every_digit_and_the_ends():
  head, first, second = csv.reader(io.StringIO(csv_form(TABLE)))
  heads = ['mIoU', 'mIoU low', 'mIoU high', 'more', 'more low', 'more high']
  assert head == ['run', 'what|it_is', *heads]
  assert first == ['a,b', 'x', '48.39199265066659', '43.38', '51.28', '1.25', '', '']
  assert second == ['a_b & 5%', 'y|z', '', '', '', '-0.5', '-1.0', '0.04']


def test_markdown_keeps_its_columns():
  caption, _, head, rule, first, second, _, note = markdown_form(TABLE).splitlines()
  assert caption == 'A caption.' and note == 'In brackets: 95% intervals. A note.'
  assert rule == '| --- | --- | ---: | ---: |'
  assert head == '| run | what\\|it_is | mIoU | more |'
  assert first == '| a,b | x | 48.39 (43.4 to 51.3) | +1.25 |'
  assert second == '| a_b & 5% | y\\|z | - | -0.5 (-1.0 to 0.0) |'


def test_latex_escapes_what_it_would_read():
  lines = latex_form(TABLE).splitlines()
  assert r'\begin{tabular}{llrr}' in lines
  assert r'a,b & x & 48.39 {\scriptsize (43.4 to 51.3)} & $+1.25$ \\' in lines
  assert r'a\_b \& 5\% & y|z & -- & $-0.5$ {\scriptsize ($-$1.0 to 0.0)} \\' in lines
  special = Table('n', 'c', ['#'], [['~^\\{}$<>']])
  row = r'\textasciitilde{}\textasciicircum{}\textbackslash{}\{\}\$\textless{}\textgreater{} \\'
  assert row in latex_form(special)


@pytest.mark.parametrize('benchmark', ['pascal', 'coco', 'fss'])
@pytest.mark.parametrize('shots', [1, 5])
def test_published_means_are_those_of_their_folds(benchmark, shots):
  rows = [row for row in published_rows(benchmark) if row.shots == shots]
  assert len(rows) >= 2
  for row in rows:
    assert len(row.folds) == FOLDS[benchmark]
    assert row.miou == pytest.approx(sum(row.folds.values()) / len(row.folds), abs=0.151)
    assert '2104.01538' in row.source


def test_of_other_benchmarks_nothing_is_published():
  assert published_rows('shapes') == ()
