"""Reads what a model reaches from the results of its evaluations, each figure with its interval."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from experiments.reporting.tables import FIGURES
from experiments.storage.evaluations import home_of
from hsnet_jax.errors import InputError

# What an evaluation is of, by the names of results.json: no path of anyone's disk is among it.
_ABOUT = {
  **dict.fromkeys(('model', 'benchmark', 'split', 'protocol', 'note', 'date'), str),
  **dict.fromkeys(('fold', 'shots', 'episodes', 'image_size', 'original_size'), int),
  'absent': float,
}
_NAMES = frozenset(figure.name for figure in FIGURES)
_BY_CLASS = frozenset(figure.by_class for figure in FIGURES if figure.by_class)
_MOST = 1e12  # Of a figure or a count; no sound one is near it.
_COUNTS = frozenset(('class_episodes', 'figure_episodes'))


def find_evaluations(
  checkpoint: pathlib.Path, *, weights: str, config: Mapping[str, Any]
) -> tuple[dict[str, Any], ...]:
  """Finds the evaluations beside a checkpoint that are of its weights.

  Args:
    checkpoint: its folder or file.
    weights: digest of its variables, as results.json has it.
    config: what it records.

  Returns:
    Of each, what it is of and 'figures', a column as `experiments.reporting.tables` has it. Those
    of the benchmark, fold and shots that it was trained for come first, of those the ones with most
    episodes.
  """
  found = []
  for path in sorted(home_of(checkpoint).glob('*/results.json')):
    record = _read(path)
    if record.get('weights') == weights and record.get('model') == 'hsnet':
      found.append(evaluation_of(record))
  return in_order([one for one in found if one], config)


def read_evaluation(path: pathlib.Path, *, weights: str) -> dict[str, Any]:
  """Reads one evaluation, whose file a user names.

  Args:
    path: its results.json, or the folder of it.
    weights: digest of the variables that it must be of.

  Raises:
    InputError: there is none, it is damaged, or of other weights.
  """
  path = path / 'results.json' if path.is_dir() else path
  record = _read(path)
  found = evaluation_of(record)
  if found is None:
    raise InputError(f'{path}: no results of `evaluate`, or damaged ones')
  if record.get('weights') != weights:
    raise InputError(f'{path}: of other weights, {record.get("weights")}, not {weights}')
  return found


def evaluation_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
  """Takes from results.json, or from an entry, what has the type that it should have.

  Args:
    record: what it holds.

  Returns:
    The evaluation; None where it has no figure at all.
  """
  figures = record.get('figures')
  results = record.get('results')
  if isinstance(results, Mapping):
    # Of all episodes, not of the first so many.
    columns = [column for head, column in results.items() if str(head).startswith('all')]
    figures = columns[0] if columns else None
  if not isinstance(figures, Mapping):
    return None
  about = {name: record[name] for name, kind in _ABOUT.items() if _is_a(kind, record.get(name))}
  taken = {name: _sound(name, value) for name, value in figures.items()}
  sound = {name: value for name, value in taken.items() if value is not None}
  return {**about, 'figures': sound} if _NAMES & set(sound) else None


def in_order(found: list[dict[str, Any]], config: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
  """Orders evaluations: those that say most of a model first."""

  def rank(one: Mapping[str, Any]) -> tuple[Any, ...]:
    other = [one.get(name) != config.get(name) for name in ('benchmark', 'fold', 'shots')]
    episodes = one.get('episodes')
    return *other, -episodes if isinstance(episodes, int) else 0, str(one.get('date'))

  return tuple(sorted(found, key=rank))


def heading(evaluation: Mapping[str, Any]) -> str:
  """Says in a few words what an evaluation is of."""
  text = f'{evaluation.get("benchmark", "?")} fold {evaluation.get("fold", "?")}'
  text += f' {evaluation["split"]}' if evaluation.get('split') not in (None, 'val') else ''
  text += f', {evaluation.get("shots", "?")}-shot, {evaluation.get("episodes", "?")} episodes'
  text += f', {evaluation.get("image_size", "?")} px'
  text += ', at original size' if evaluation.get('original_size') else ''
  return text + (f', {evaluation["absent"]:.0%} absent' if evaluation.get('absent') else '')


def _read(path: pathlib.Path) -> dict[str, Any]:
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror})') from error
  except (ValueError, RecursionError):
    return {}
  return found if isinstance(found, dict) else {}


def _is_a(kind: type, value: Any) -> bool:
  return isinstance(value, kind) and (not isinstance(value, str) or value.isprintable())


def _is_number(value: Any) -> bool:
  plain = isinstance(value, int | float) and not isinstance(value, bool)
  return plain and -_MOST < value < _MOST  # NaN is neither.


def _is_interval(value: Any) -> bool:
  return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))


def _sound(name: str, value: Any) -> Any:
  """Returns a figure that is a number, an interval of two, or a table of either by class."""
  is_sound = _is_number
  if name.endswith('_interval'):
    name, is_sound = name.removesuffix('_interval'), _is_interval
  if name in _NAMES:
    return value if is_sound(value) else None
  if name not in _BY_CLASS | _COUNTS or not isinstance(value, Mapping):
    return None
  return {key: one for key, one in value.items() if key.isprintable() and is_sound(one)}
