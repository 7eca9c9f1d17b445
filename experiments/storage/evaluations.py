"""Says where the results of an evaluation go, so that none takes the place of another's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.storage.results import find_place
from hsnet_jax.weights.zoo import PACKAGED, is_of_zoo, packaged_path

# What an evaluation leaves in its folder.
FILES = (
  *('results.json', 'results.md', 'results.csv'),
  *('episodes.csv', 'episodes.png', 'extremes.png'),
)

# The checkpoints of a run, by their names in its folder `checkpoints`.
_OF_RUN = ('best', 'last', 'step_*')


def home_of(checkpoint: Path) -> Path:
  """Returns the folder of all evaluations of a checkpoint: its run's, or one beside it.

  Args:
    checkpoint: its folder, such as `runs/a/checkpoints/best`, or `converted/fold0`; or its file,
      which may have come with the package, or be the zoo's.

  Returns:
    Such as `runs/a/evaluation`, or `converted/fold0-evaluation`; of what comes with the package, or
    lies in the user's zoo, `runs/photos-evaluation`.
  """
  if checkpoint in map(packaged_path, PACKAGED) or is_of_zoo(checkpoint):
    return Path('runs', f'{checkpoint.stem}-evaluation')
  of_run = checkpoint.parent.name == 'checkpoints' and any(map(checkpoint.match, _OF_RUN))
  if of_run:
    return checkpoint.parent.parent / 'evaluation'
  name = checkpoint.stem if checkpoint.suffix == '.safetensors' else checkpoint.name
  return checkpoint.with_name(f'{name}-evaluation')


def name_of(about: Mapping[str, Any], *, usual: Mapping[str, Any]) -> str:
  """Names an evaluation after what it is of, and what of that is not as usual.

  Args:
    about: what was evaluated, as `results.json` has it.
    usual: what 'checkpoint_name', 'episodes', 'image_size', 'precision', 'protocol' and 'split' are
      where nothing is said, and 'support_margin', 'presence_threshold' and 'combine' if not as
      published; a name tells those that differ.

  Returns:
    Such as `hsnet-pascal-fold0-1shot-last-250episodes`.
  """
  name = '{model}-{benchmark}-fold{fold}-{shots}shot'.format(**about)
  name += '-original_size' if about['original_size'] else ''
  name += f'-absent{about["absent"]}' if about.get('absent') else ''
  margin = about.get('support_margin')
  if margin != usual.get('support_margin'):
    name += '-whole' if margin is None else f'-margin{margin}'
  presence = about.get('presence_threshold')
  if presence != usual.get('presence_threshold'):
    name += f'-presence{-1 if presence is None else presence}'
  by, one = about.get('combine', 'vote'), about['shots'] == 1
  name += f'-{by}' if not one and by != usual.get('combine', 'vote') else ''
  told = {
    'checkpoint_name': '{}',
    'episodes': '{}episodes',
    'image_size': '{}px',
    'precision': '{}',
    'protocol': '{}',
    'split': '{}',
  }
  other = [form.format(about[key]) for key, form in told.items() if about[key] != usual[key]]
  return '-'.join([name, *other])


def free_folder(folder: Path, *, of: Mapping[str, Any], files: Sequence[str] = FILES) -> Path:
  """Returns a folder where results may be written: nothing of something else is replaced.

  Args:
    folder: where they would go.
    of: what they are of.
    files: what will be written there; by default what an evaluation leaves.

  Returns:
    The folder, or the first of `folder-2`, `folder-3`, ... that is free or has the very same.
  """

  def numbered(number: int) -> Path:
    return folder if number == 1 else folder.with_name(f'{folder.name}-{number}')

  return numbered(find_place(lambda n: [numbered(n) / name for name in files], of=of))
