"""Writes what came out of a sweep: a table, a CSV and two plots."""

import csv
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from experiments.reporting.rows import markdown_table, text_table
from experiments.storage.results import find_place, mark, numbered, write_png
from experiments.sweeps.folder import Trial, trial_folder
from experiments.sweeps.space import Domain, flag_text, short_text
from hsnet_jax.whole_files import write_text

if TYPE_CHECKING:
  from matplotlib.figure import Figure

_BEST, _OTHER = 'tab:red', 'tab:blue'
_COLUMNS = 3  # Of the plots of flags.
# A folder holds one sweep: all that it writes there is of the same.
_OF = {'command': 'sweep'}


def ranked(trials: Mapping[int, Trial]) -> list[Trial]:
  """Returns trials, the best validation first, those without any last."""
  return sorted(trials.values(), key=lambda t: (-t.best[1] if t.best else float('inf'), t.number))


def table_rows(
  trials: Mapping[int, Trial], *, metric: str, flags: Sequence[str]
) -> list[list[str]]:
  """Lays trials out for a reader.

  Args:
    trials: {number: trial}.
    metric: what they are ranked by.
    flags: what was searched.

  Returns:
    Rows of text, the first one the heads: trial, how it ended, its best validation and that one's
    step, how many validations it had, its values.
  """
  rows = [['trial', 'status', metric, 'at step', 'validations', *flags]]
  for trial in ranked(trials):
    step, best = (str(trial.best[0]), f'{trial.best[1]:.2f}') if trial.best else ('-', '-')
    values = [short_text(trial.params[name]) for name in flags]
    rows.append([trial.name, trial.status, best, step, str(len(trial.values)), *values])
  return rows


def csv_table(trials: Mapping[int, Trial], *, metric: str, flags: Sequence[str]) -> str:
  """Returns a line a trial in the order of the table, with every digit."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow(['trial', 'status', metric, 'step', 'validations', *flags, 'reason'])
  for trial in ranked(trials):
    step, best = trial.best or ('', '')
    values = [flag_text(trial.params[name]) for name in flags]
    writer.writerow(
      [trial.number, trial.status, best, step, len(trial.values), *values, trial.reason]
    )
  return out.getvalue()


def write_results(
  folder: pathlib.Path,
  trials: Mapping[int, Trial],
  *,
  metric: str,
  domains: Mapping[str, Domain],
) -> str:
  """Writes results.csv, results.md, curves.png and parameters.png.

  Args:
    folder: of the sweep.
    trials: {number: trial}.
    metric: what they are ranked by.
    domains: {flag: domain} of what was searched.

  Returns:
    The table as text.
  """
  rows = table_rows(trials, metric=metric, flags=list(domains))
  for name, text in (
    ('results.csv', csv_table(trials, metric=metric, flags=list(domains))),
    ('results.md', markdown_table(rows) + '\n'),
  ):
    path = _place(folder / name)
    write_text(path, text)
    mark(path, of=_OF)
  if any(trial.values for trial in trials.values()):
    _save_figure(folder / 'curves.png', _curves(trials, metric))
    _save_figure(folder / 'parameters.png', _parameters(trials, metric, domains))
  return text_table(rows)


def best_run(folder: pathlib.Path, trials: Mapping[int, Trial]) -> pathlib.Path | None:
  """Returns the run folder of the best trial; None where no trial has validated."""
  first = next(iter(ranked(trials)), None)
  return trial_folder(folder, first.number) if first and first.best else None


def _place(path: pathlib.Path) -> pathlib.Path:
  """Returns where a file goes: beside one of its name that a person has changed."""
  return numbered(path, find_place(lambda n: [numbered(path, n)], of=_OF))


def _save_figure(path: pathlib.Path, figure: 'Figure') -> None:
  drawn = io.BytesIO()
  figure.savefig(drawn, dpi=120)
  with Image.open(drawn) as image:
    write_png(_place(path), image, of=_OF)


def _figure(width: float, height: float) -> 'Figure':
  # The one room that needs Matplotlib, which is optional. Its Figure needs no display.
  from matplotlib.figure import Figure

  return Figure(figsize=(width, height), layout='constrained')


def _curves(trials: Mapping[int, Trial], metric: str) -> 'Figure':
  """Draws the metric by step, a line a trial, a cross where one was cut short."""
  figure = _figure(7, 4.5)
  axes = figure.add_subplot()
  best, *others = [trial for trial in ranked(trials) if trial.best]
  for trial in (*others, best):
    steps = sorted(trial.values)
    values = [trial.values[step] for step in steps]
    if trial is best:
      axes.plot(
        steps, values, color=_BEST, linewidth=2, marker='.', label=f'trial {trial.name}: best'
      )
    else:
      axes.plot(steps, values, color=_OTHER, alpha=0.45, marker='.')
    if trial.status != 'ended':
      axes.plot(steps[-1:], values[-1:], color='black', marker='x', linestyle='none')
  axes.set(xlabel='step', ylabel=metric, title='Validation (x: stopped, failed or not done yet)')
  axes.grid(alpha=0.3)
  axes.legend()
  return figure


def _parameters(
  trials: Mapping[int, Trial], metric: str, domains: Mapping[str, Domain]
) -> 'Figure':
  """Draws the best validation of each trial against each searched flag, over all of its domain."""
  columns = min(_COLUMNS, len(domains))
  rows = -(-len(domains) // columns)
  figure = _figure(4 * columns, 3.2 * rows + 0.5)
  best, *others = [trial for trial in ranked(trials) if trial.best]
  figure.suptitle(f'Best validation of each trial; red: trial {best.name}')
  for place, (name, domain) in enumerate(domains.items(), 1):
    axes = figure.add_subplot(rows, columns, place)
    for trial in (*others, best):
      value = trial.params[name]
      x = domain.values.index(value) if domain.kind == 'choice' else value
      assert trial.best is not None
      axes.scatter(x, trial.best[1], color=_BEST if trial is best else _OTHER, clip_on=False)
    if domain.kind == 'choice':
      axes.set_xticks(range(len(domain.values)), [short_text(value) for value in domain.values])
      axes.set_xlim(-0.5, len(domain.values) - 0.5)
    else:
      axes.set_xscale('log' if domain.kind == 'log_uniform' else 'linear')
      axes.set_xlim(*domain.values)
    axes.set(xlabel=name, ylabel=metric)
    axes.grid(alpha=0.3)
  return figure
