"""Looks after the folder of a sweep: what it is, its trials, and what is read from them again.

    sweep.json           what the sweep is: a command that says otherwise is refused
    trials/001/          the run folder of a trial (see `experiments.train`), and beside the run
      trial.json         its values and how it ended
      output.txt         what its processes printed, errors too
    results.csv, results.md, curves.png, parameters.png

These files are all that a sweep resumes from. They are each replaced as a whole, so a sweep may be
killed at any moment; Ray's own snapshots are written every ten seconds and in place.
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from experiments.storage.configs import from_json
from experiments.storage.results import is_unchanged
from experiments.training.folder import clear_run, read_validations
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import write_text

RESULTS = ('results.csv', 'results.md', 'curves.png', 'parameters.png')
LOG = 'output.txt'
# Ray's own files, of no use after the sweep; and the file that asks all trials to stop.
RAY_FOLDER, STOP_FILE = '.ray', '.stop'


@dataclasses.dataclass
class Trial:
  """Holds a trial as it is recorded.

  Attributes:
    number: from 1.
    params: {flag: value} that it drew.
    status: 'waiting' (to begin, or to be resumed), 'ended', 'stopped' (by ASHA) or 'failed'.
    reason: of a failure, the line that says why.
    values: {step: metric} of its validations, as its run has written them.
  """

  number: int
  params: dict[str, Any]
  status: str = 'waiting'
  reason: str = ''
  values: dict[int, float] = dataclasses.field(default_factory=dict)

  @property
  def name(self) -> str:
    """Returns its number as files and messages have it."""
    return f'{self.number:03d}'

  @property
  def done(self) -> bool:
    """Returns whether there is nothing left of it to run."""
    return self.status in ('ended', 'stopped')

  @property
  def best(self) -> tuple[int, float] | None:
    """Returns step and value of its best validation, the earliest of equals; None without any."""
    return max(self.values.items(), key=lambda item: (item[1], -item[0]), default=None)


def trial_folder(folder: pathlib.Path, number: int) -> pathlib.Path:
  """Returns the run folder of a trial."""
  return folder / 'trials' / f'{number:03d}'


def check_sweep_folder(
  folder: pathlib.Path, description: Mapping[str, Any], *, overwrite: bool
) -> bool:
  """Makes sure that a sweep may go to a folder; changes nothing.

  Args:
    folder: the folder, which need not be there.
    description: what the sweep is, as JSON holds it.
    overwrite: whether the sweep in it is replaced.

  Returns:
    Whether the sweep in it is resumed.

  Raises:
    InputError: the folder holds another sweep, or what is no sweep.
  """
  try:
    there = json.loads((folder / 'sweep.json').read_text(encoding='utf-8'))
  except NotADirectoryError as error:
    raise InputError(f'{folder}: a file, not a folder; name another `output_dir`') from error
  except FileNotFoundError:
    if folder.is_dir() and any(not p.name.startswith('.') for p in folder.iterdir()):
      raise InputError(
        f'{folder}: holds files and no sweep; name another folder with `output_dir`'
      ) from None
    return False
  except (ValueError, RecursionError) as error:
    raise InputError(f'{folder}/sweep.json: damaged ({error}); `overwrite` begins anew') from error
  if overwrite:
    return False
  differences = _differences(there, description)
  if differences:
    raise InputError(
      f'{folder}: holds a sweep with other settings ({"; ".join(differences)}); give the same,'
      ' `overwrite` replaces it, `output_dir` names another folder'
    )
  return True


def _differences(there: Any, here: Any, name: str = '') -> list[str]:
  if isinstance(there, dict) and isinstance(here, dict):
    keys = dict.fromkeys((*there, *here))
    pairs = ((k, there.get(k, 'nothing'), here.get(k, 'nothing')) for k in keys)
    prefix = f'{name}.' if name else ''
    return [line for k, old, new in pairs for line in _differences(old, new, prefix + k)]
  return [] if there == here else [f'{name}: {json.dumps(there)} there, {json.dumps(here)} here']


def begin_sweep(folder: pathlib.Path, description: Mapping[str, Any]) -> None:
  """Removes what an earlier sweep wrote, and records what this one is.

  What a person has added or changed stays.
  """
  for record in folder.glob('trials/*/trial.json'):
    trial = record.parent
    clear_run(trial)
    for path in (record, trial / LOG, *trial.glob('.lock*')):
      path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # Other things lie in it.
      trial.rmdir()
  for name in RESULTS:
    if is_unchanged(folder / name):
      (folder / name).unlink()
  write_text(folder / 'sweep.json', json.dumps(description, indent=2) + '\n')


def write_trial(folder: pathlib.Path, trial: Trial) -> None:
  """Records a trial; the values are its run's own."""
  record = {
    'number': trial.number,
    'params': trial.params,
    'status': trial.status,
    'reason': trial.reason,
  }
  path = trial_folder(folder, trial.number) / 'trial.json'
  write_text(path, json.dumps(record, indent=2) + '\n')


def read_trials(folder: pathlib.Path, *, metric: str) -> dict[int, Trial]:
  """Reads the trials of a sweep.

  Args:
    folder: of the sweep.
    metric: which figure of the validations.

  Returns:
    {number: trial}, in the order of their numbers.

  Raises:
    InputError: a record is damaged.
  """
  trials = {}
  for path in sorted(folder.glob('trials/*/trial.json')):
    try:
      trial = from_json(Trial, json.loads(path.read_text(encoding='utf-8')), source='record')
    except (ValueError, RecursionError, AttributeError) as error:
      raise InputError(f'{path}: damaged ({error}); remove its folder to run it anew') from error
    trial.values = read_validations(path.parent, metric=metric)
    trials[trial.number] = trial
  return dict(sorted(trials.items()))


def last_line(path: pathlib.Path) -> str:
  """Returns the last line of a log that says anything; of a command that fails, the reason."""
  text = path.read_text(encoding='utf-8', errors='replace') if path.is_file() else ''
  return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), '')
