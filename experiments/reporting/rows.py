"""Lays rows of text out as a table, for a terminal or in Markdown."""

from collections.abc import Sequence

Rows = Sequence[Sequence[str]]


def text_table(rows: Rows, *, left: int = 0) -> str:
  """Lays rows out for a terminal.

  Args:
    rows: of one length.
    left: how many columns, from the first on, are aligned at the left; the others at the right.

  Returns:
    A line each.
  """
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for row in rows:
    padded = list(map(str.rjust, row, widths))
    padded[:left] = map(str.ljust, row[:left], widths)
    lines.append('  '.join(padded).rstrip())
  return '\n'.join(lines)


def markdown_table(rows: Rows, *, left: int = 0) -> str:
  """Lays rows out in Markdown, the first one as heads; `left` as for `text_table`."""
  head, *rest = ['| ' + ' | '.join(row).strip() + ' |' for row in rows]
  columns = len(rows[0])
  rule = '| ' + ' | '.join(['---'] * left + ['---:'] * (columns - left)) + ' |'
  return '\n'.join([head, rule, *rest])
