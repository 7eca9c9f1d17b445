"""Reads metrics.jsonl, the figures that a run writes down as it goes."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any


def read_figures(path: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
  """Reads the lines of a metrics.jsonl, those left out that are no figures of a step.

  Such a line is half written as yet, was cut short by a crash, or is damaged.

  Args:
    path: the file; nothing is read where there is none.

  Yields:
    Each line, with its end, and what it holds: 'step', a whole number, and figures by name.
  """
  try:
    text = path.read_text(encoding='utf-8', errors='replace')
  except FileNotFoundError:
    return
  for line in text.splitlines(keepends=True):
    try:
      figures = json.loads(line)
    except (ValueError, RecursionError):
      continue
    if isinstance(figures, dict) and type(figures.get('step')) is int:
      yield line, figures
