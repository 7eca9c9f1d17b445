"""Plans a reproduction: the commands, in their order, what each leaves, and what is missing."""

import dataclasses
import hashlib
import importlib.util
import pathlib
from collections.abc import Sequence

from data_pipelines import make_benchmark
from experiments.reporting.page.published import FOLDS
from experiments.reproduction.config import ReproduceConfig
from experiments.reproduction.rows import Row
from hsnet_jax.errors import InputError

_OF_TORCH = ('.pt', '.pth')  # Endings; a checkpoint with one is a published file, and converted.


@dataclasses.dataclass(frozen=True)
class Step:
  """Holds one command.

  Attributes:
    fold: that it is for.
    words: the command and its flags.
    leaves: what is there once it is done, or once nothing needs it.
  """

  fold: int
  words: tuple[str, ...]
  leaves: tuple[pathlib.Path, ...]

  @property
  def is_done(self) -> bool:
    """Says whether there is nothing to do."""
    return all(path.exists() for path in self.leaves)


def folds_of(config: ReproduceConfig, row: Row) -> tuple[int, ...]:
  """Returns the folds that are asked for.

  Raises:
    InputError: the benchmark has no such fold, or one network is given for several.
  """
  count = FOLDS[row.benchmark]
  folds = tuple(sorted(set(config.folds))) or tuple(range(count))
  if folds[-1] >= count:
    raise InputError(f'`folds` has {folds[-1]}; {row.benchmark} has 0 to {count - 1}')
  if len(folds) > 1 and config.checkpoints is not None and '{fold}' not in config.checkpoints:
    raise InputError(
      '`checkpoints` is one network, which has seen the classes of all folds but one: write'
      ' {fold} where its number is, or give `folds`'
    )
  return folds


def results_of(config: ReproduceConfig, row: Row, fold: int) -> pathlib.Path:
  """Returns the folder of a fold's evaluation: another network or other data have another one."""
  cut = '' if config.episodes is None else f'-{config.episodes}episodes'
  name = f'fold{fold}-{row.published.shots}shot{cut}-{_mark(config, fold)}'
  return home_of(config, row) / 'evaluation' / name


def home_of(config: ReproduceConfig, row: Row) -> pathlib.Path:
  """Returns the folder of all that is of a row's networks."""
  return pathlib.Path(config.output_dir).expanduser() / row.network


def plan(config: ReproduceConfig, row: Row) -> tuple[Step, ...]:
  """Lists the commands: for each fold the network, trained or converted, and its evaluation.

  Args:
    config: what is asked for, and is there.
    row: which figures.

  Returns:
    The steps, fold by fold.
  """
  of_data = ('--data_dir', config.data_dir), ('--splits_dir', config.splits_dir)
  steps = []
  for fold in folds_of(config, row):
    of = (('--benchmark', row.benchmark), ('--fold', fold))
    network, checkpoint = _network(config, row, fold, (*of, *of_data))
    steps += network
    results = results_of(config, row, fold)
    given = (('--checkpoint', checkpoint), *of, ('--shots', row.published.shots), *of_data)
    given = (*given, ('--episodes', config.episodes), ('--batch_size', config.batch_size))
    words = _words('evaluate', *given, ('--output_dir', results))
    steps.append(Step(fold, words, _files(results)))
  return tuple(steps)


def missing(config: ReproduceConfig, row: Row) -> list[str]:
  """Finds what is not there, all of it, before anything runs.

  Args:
    config: what is asked for.
    row: which figures.

  Returns:
    A line for each thing, with what to do about it.
  """
  found, folds = [], folds_of(config, row)
  paths = [_given(config, fold) for fold in folds] if config.checkpoints is not None else []
  weights = pathlib.Path(config.backbone_weights or '').expanduser()
  found += [f'{path}: there is no such checkpoint' for path in paths if not path.exists()]
  found += [] if weights.exists() else [f'{weights}: there are no such weights']
  needs_torch = any(path.suffix in _OF_TORCH for path in (*paths, weights))
  if needs_torch and importlib.util.find_spec('torch') is None:
    found.append("torch, which reads .pt files: pip install '.[torch]'")
  lacks = [name for name in ('data_dir', 'splits_dir') if getattr(config, name) is None]
  if lacks:
    return [*found, *(f'`{name}` of {row.benchmark}, a folder: give it' for name in lacks)]
  try:
    benchmark = make_benchmark(
      row.benchmark, data_dir=config.data_dir, splits_dir=config.splits_dir
    )
  except InputError as error:
    return [*found, str(error)]
  names = ('test' if 'test' in benchmark.splits else 'val', *(() if paths else ('trn', 'val')))
  for fold in folds:
    for name in dict.fromkeys(names):
      try:
        benchmark.check_images(image for image, _ in benchmark.split(fold, name).items)
      except InputError as error:
        found.append(str(error))
  return list(dict.fromkeys(found))


def _network(
  config: ReproduceConfig, row: Row, fold: int, of: Sequence[tuple[str, object]]
) -> tuple[list[Step], pathlib.Path]:
  """Returns the steps to a fold's network, and where it is then."""
  backbone, masking = row.published.backbone, () if row.mask_support else ('--nomask_support',)
  if config.checkpoints is None:
    cut = '' if config.max_steps is None else f'-{config.max_steps}steps'
    run = home_of(config, row) / f'fold{fold}{cut}'
    further = ('--backbone', backbone), ('--backbone_weights', config.backbone_weights)
    further = (*further, ('--max_steps', config.max_steps), ('--run_dir', run))
    # It resumes by itself, and what was evaluated needs no more of it.
    words = (*_words('train', *of, *further), *masking)
    step = Step(fold, words, _files(results_of(config, row, fold)))
    return [step], run / 'checkpoints' / 'best'
  given = _given(config, fold)
  if given.suffix not in _OF_TORCH:
    return [], given
  converted = home_of(config, row) / 'converted' / f'fold{fold}-{_mark(config, fold)}'
  flags = ('--input', given), ('--output', converted), *of[:2], ('--backbone', backbone)
  return [Step(fold, (*_words('convert', *flags), *masking), (converted,))], converted


def _mark(config: ReproduceConfig, fold: int) -> str:
  """Tells networks and data apart: a few letters that change with the files that are given."""
  of: list[object] = [config.max_steps]
  for name in (config.data_dir, config.splits_dir, config.backbone_weights):
    of.append(None if name is None else str(pathlib.Path(name).expanduser().absolute()))
  if config.checkpoints is not None:
    given = _given(config, fold).absolute()
    about = given.stat() if given.exists() else None
    of += [str(given), about and (about.st_size, about.st_mtime_ns)]
  return hashlib.sha256(repr(of).encode()).hexdigest()[:6]


def _files(results: pathlib.Path) -> tuple[pathlib.Path, ...]:
  """Names what an evaluation leaves, of which the first is written first."""
  return results / 'results.json', results / 'episodes.csv'


def _given(config: ReproduceConfig, fold: int) -> pathlib.Path:
  assert config.checkpoints is not None
  return pathlib.Path(config.checkpoints.replace('{fold}', str(fold))).expanduser()


def _words(command: str, *flags: tuple[str, object]) -> tuple[str, ...]:
  return (command, *(f'{name}={value}' for name, value in flags if value is not None))
