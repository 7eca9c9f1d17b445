"""Looks after the folder of a training run: who may write to it, and what is read from it again."""

import contextlib
import math
import os
import pathlib
import re
import shutil

from experiments.storage.figures import read_figures
from experiments.storage.results import MARKS, is_unchanged
from hsnet_jax.checkpoints import read_config
from hsnet_jax.errors import InputError

# What a run and its evaluations write. Nothing else that lies in the folder is ever removed.
_SAVED = (
  'checkpoints/best',
  'checkpoints/last',
  'checkpoints/.step_*.old',
  'checkpoints/.best.*',
  'checkpoints/.last.*',
)
_OLDER = re.compile('step_[0-9]{8,}')
_WRITTEN = (
  'metrics.jsonl',
  'log.txt',
  'tensorboard/events.out.tfevents.*',
  'tensorboard/plugins',
)
# What people open and note things in: it is marked, and what was changed since stays.
_MARKED = (
  'pictures/validation*.png',
  'evaluation/*/results.*',
  'evaluation/*/episodes.*',
  'evaluation/*/extremes.png',
)


def check_run_folder(
  path: str | os.PathLike[str], *, resume: bool | None, overwrite: bool
) -> tuple[pathlib.Path, bool]:
  """Makes sure that a run may go to a folder; changes nothing.

  Args:
    path: the folder, which need not be there; `~` is the home folder.
    resume: whether the run in it is resumed; None: where there is one that can be.
    overwrite: whether the run in it is replaced; not both, as `TrainConfig` has it.

  Returns:
    The folder, and whether the run in it is resumed.

  Raises:
    InputError: it holds a run that would be lost, or is to be replaced and holds no run.
  """
  folder = pathlib.Path(path).expanduser()
  if resume is None and not overwrite:
    resume = bool(_paths(folder, ('checkpoints/last', 'checkpoints/.last.new')))
    # What ended before its first 'last' has nothing to resume from, and begins again: it was
    # validated once at most, and had no 'best' before. Where there is more, 'last' was taken away.
    older, validated = older_checkpoints(folder / 'checkpoints'), len(read_validations(folder))
    has_best = (folder / 'checkpoints' / 'best').exists()
    if not resume and (older or validated > 1 or (has_best and not validated)):
      place = f'put {older[-1]} there to resume it' if older else 'put it back'
      raise InputError(
        f'{folder / "checkpoints" / "last"}: the run here has lost it; {place}, give `overwrite` to'
        ' replace the run, or another `run_dir`'
      )
  elif _saved(folder) and not (resume or overwrite):
    raise InputError(
      f'{folder}: holds a run already; `resume` resumes it, `overwrite` replaces it, `run_dir`'
      ' names another folder'
    )
  if overwrite and not _holds_run(folder) and any(_paths(folder, ('[!.]*',))):
    raise InputError(f'{folder}: not a run; `overwrite` replaces runs alone')
  return folder, bool(resume)


def step_of_last(folder: pathlib.Path) -> int | None:
  """Returns the step that the run in a folder can be resumed from; None where there is none."""
  try:
    return read_config(folder / 'checkpoints' / 'last')['step']
  except InputError:
    return None


def clear_run(folder: pathlib.Path) -> None:
  """Removes what an earlier run wrote, even one that ended before its first checkpoint.

  Results and pictures that a person has changed since stay.
  """
  if not _holds_run(folder):
    return
  unchanged = [path for path in _paths(folder, _MARKED) if is_unchanged(path)]
  for path in [*_saved(folder), *_paths(folder, _WRITTEN), *unchanged]:
    if path.is_dir() and not path.is_symlink():
      shutil.rmtree(path)
    else:
      path.unlink()
  for marks in _paths(folder, (f'evaluation/*/{MARKS}',)):
    if [*marks.parent.iterdir()] == [marks]:  # Nothing is left that they are of.
      marks.unlink()
  emptied = ('checkpoints', 'tensorboard', 'pictures', 'evaluation/*', 'evaluation')
  for path in _paths(folder, emptied):
    with contextlib.suppress(OSError):  # Other things lie in it.
      path.rmdir()


def older_checkpoints(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns the checkpoints in a folder of them that were 'last' before, the newest last."""
  return [path for path in sorted(folder.glob('step_*')) if _OLDER.fullmatch(path.name)]


def read_validations(
  folder: pathlib.Path, *, last_step: float = math.inf, metric: str = 'val/miou'
) -> dict[int, float]:
  """Reads the validation scores that a run wrote down, even one that is still running.

  Args:
    folder: the run's folder.
    last_step: the step it resumes from; what was measured later is left out.
    metric: which figure, by its name in metrics.jsonl.

  Returns:
    {step: score}. Where a step was taken twice, after a crash, the later figure counts.
  """
  scores = {}
  for _, figures in read_figures(folder / 'metrics.jsonl'):
    score = figures.get(metric)
    if isinstance(score, int | float) and figures['step'] <= last_step:
      scores[figures['step']] = score
  return scores


def _holds_run(folder: pathlib.Path) -> bool:
  return (folder / 'metrics.jsonl').is_file() or bool(_saved(folder))


def _saved(folder: pathlib.Path) -> list[pathlib.Path]:
  return _paths(folder, _SAVED) + older_checkpoints(folder / 'checkpoints')


def _paths(folder: pathlib.Path, patterns: tuple[str, ...]) -> list[pathlib.Path]:
  return [path for pattern in patterns for path in sorted(folder.glob(pattern))]
