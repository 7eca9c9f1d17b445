"""Writes a table in the forms that people take it in: CSV, Markdown and LaTeX."""

import csv
import dataclasses
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

from experiments.reporting.rows import markdown_table


class Value(NamedTuple):
  """Holds a number of a table, in percent, and the ends of its 95% interval where it has one.

  Attributes:
    value: the number; None where there is none.
    ends: the lower and the upper end.
    signed: whether it is a difference, which has its sign.
    digits: behind the point; published numbers have one.
  """

  value: float | None
  ends: tuple[float, float] | None = None
  signed: bool = False
  digits: int = 2

  @property
  def text(self) -> str:
    """Returns the number, rounded; '-' for none."""
    if self.value is None:
      return '-'
    return f'{self.value:{"+" if self.signed else ""}.{self.digits}f}'

  @property
  def interval(self) -> str:
    """Returns the ends with one digit each; '' for none."""
    return '' if self.ends is None else ' to '.join(f'{end:.1f}' for end in self.ends)


Cell = str | Value


@dataclasses.dataclass(frozen=True)
class Table:
  """Holds a table.

  Attributes:
    name: of its files, without ending.
    caption: what it shows.
    head: of the columns.
    rows: cells, as many each as heads.
    left: how many columns, from the first on, are words.
    note: what is to be known of it, in sentences.
  """

  name: str
  caption: str
  head: Sequence[str]
  rows: Sequence[Sequence[Cell]]
  left: int = 1
  note: str = ''

  @property
  def notes(self) -> str:
    """Returns the note, and what brackets are where there are any."""
    ends = any(isinstance(cell, Value) and cell.ends for row in self.rows for cell in row)
    return ' '.join(x for x in ('In brackets: 95% intervals.' if ends else '', self.note) if x)


def number(value: float | None) -> Value:
  """Returns a number of a record as a cell; none where it is null."""
  return Value(None if value is None else float(value))


def csv_form(table: Table) -> str:
  """Returns lines of CSV with every digit; of a column with intervals two more, their ends."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  columns = [[row[i] for row in table.rows] for i in range(len(table.head))]
  with_ends = [any(isinstance(cell, Value) and cell.ends for cell in column) for column in columns]
  head = []
  for name, ends in zip(table.head, with_ends, strict=True):
    head += [name, f'{name} low', f'{name} high'] if ends else [name]
  writer.writerow(head)
  for row in table.rows:
    line = []
    for cell, ends in zip(row, with_ends, strict=True):
      if isinstance(cell, Value):
        line += ['' if cell.value is None else cell.value]
        line += list(cell.ends or ('', '')) if ends else []
      else:
        line += [cell, '', ''] if ends else [cell]
    writer.writerow(line)
  return out.getvalue()


def markdown_form(table: Table) -> str:
  """Returns the table in Markdown, each interval behind its number, the caption above."""

  def text(cell: Cell) -> str:
    if isinstance(cell, str):
      return cell.replace('|', '\\|').replace('\n', ' ')
    return f'{cell.text} ({cell.interval})' if cell.ends else cell.text

  rows = [[text(head) for head in table.head], *([text(cell) for cell in r] for r in table.rows)]
  parts = [f'{table.caption}.', markdown_table(rows, left=table.left), table.notes]
  return '\n\n'.join(part for part in parts if part) + '\n'


_SPECIAL = {
  '\\': r'\textbackslash{}',
  '~': r'\textasciitilde{}',
  '^': r'\textasciicircum{}',
  '<': r'\textless{}',
  '>': r'\textgreater{}',
  **{c: f'\\{c}' for c in '&%$#_{}'},
}


def latex_text(text: str) -> str:
  """Returns words as LaTeX prints them."""
  return re.sub(r'[\\~^<>&%$#_{}]', lambda found: _SPECIAL[found[0]], text)


def latex_form(table: Table) -> str:
  r"""Returns the table as LaTeX, to be \input; it needs the package booktabs."""

  def text(cell: Cell) -> str:
    if isinstance(cell, str):
      return latex_text(cell)
    shown = cell.text if cell.value is not None and not cell.signed else f'${cell.text}$'
    shown = '--' if cell.value is None else shown
    ends = cell.interval.replace('-', '$-$')
    return f'{shown} {{\\scriptsize ({ends})}}' if cell.ends else shown

  columns = 'l' * table.left + 'r' * (len(table.head) - table.left)
  lines = [' & '.join(map(text, row)) + r' \\' for row in (table.head, *table.rows)]
  return '\n'.join([
    r'% Needs \usepackage{booktabs}.',
    r'\begin{table}',
    r'\centering',
    f'\\caption{{{latex_text(f"{table.caption}. {table.notes}".strip())}}}',
    f'\\begin{{tabular}}{{{columns}}}',
    r'\toprule',
    lines[0],
    r'\midrule',
    *lines[1:],
    r'\bottomrule',
    r'\end{tabular}',
    r'\end{table}',
    '',
  ])  # fmt: skip


FORMS = {'csv': csv_form, 'md': markdown_form, 'tex': latex_form}
