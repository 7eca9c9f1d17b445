"""Plans a reproduction: the commands, in their order, what each leaves, and what is missing."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Sequence

from data_pipelines import make_benchmark
from experiments.reporting.page.published import FOLDS
from experiments.reproduction.config import ReproduceConfig
from experiments.reproduction.rows import Row
from hsnet_jax.errors import InputError

_PUBLISHED_ENDINGS = ('.pt', '.pth')  # Read by torch, and converted.


@dataclasses.dataclass(frozen=True)
class Step:
  """Holds one command.

  Attributes:
    fold: that it is for.
    words: the command and its flags.
    leaves: what is there once it is done; None for one that finds out by itself, as `train` does.
  """

  fold: int
  words: tuple[str, ...]
  leaves: pathlib.Path | None

  @property
  def is_done(self) -> bool:
    """Says whether there is nothing to do."""
    return self.leaves is not None and self.leaves.exists()


def folds_of(config: ReproduceConfig, row: Row) -> tuple[int, ...]:
  """Returns the folds that are asked for.

  Raises:
    InputError: the benchmark has no such fold.
  """
  count = FOLDS[row.benchmark]
  folds = tuple(sorted(set(config.folds))) or tuple(range(count))
  if folds[-1] >= count:
    raise InputError(f'`folds` has {folds[-1]}; {row.benchmark} has 0 to {count - 1}')
  return folds


def results_of(config: ReproduceConfig, row: Row, fold: int) -> pathlib.Path:
  """Returns the folder of a fold's evaluation."""
  cut = '' if config.episodes is None else f'-{config.episodes}episodes'
  return _home(config, row) / 'evaluation' / f'fold{fold}-{row.published.shots}shot{cut}'


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
    given = (*given, ('--episodes', config.episodes), ('--output_dir', results))
    steps.append(Step(fold, _words('evaluate', *given), results / 'results.json'))
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
  found += [f'{path}: there is no such checkpoint' for path in paths if not path.exists()]
  needs_torch = any(path.suffix in _PUBLISHED_ENDINGS for path in paths)
  if needs_torch and importlib.util.find_spec('torch') is None:
    found.append("torch, which reads .pt files: pip install '.[torch]'")
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
    run = _home(config, row) / f'fold{fold}'
    further = ('--backbone', backbone), ('--backbone_weights', config.backbone_weights)
    further = (*further, ('--max_steps', config.max_steps), ('--run_dir', run))
    return [
      Step(fold, (*_words('train', *of, *further), *masking), None)
    ], run / 'checkpoints' / 'best'
  given = _given(config, fold)
  if given.suffix not in _PUBLISHED_ENDINGS:
    return [], given
  converted = _home(config, row) / 'converted' / f'fold{fold}'
  flags = ('--input', given), ('--output', converted), *of[:2], ('--backbone', backbone)
  return [Step(fold, (*_words('convert', *flags), *masking), converted)], converted


def _home(config: ReproduceConfig, row: Row) -> pathlib.Path:
  return pathlib.Path(config.output_dir).expanduser() / row.network


def _given(config: ReproduceConfig, fold: int) -> pathlib.Path:
  assert config.checkpoints is not None
  return pathlib.Path(config.checkpoints.replace('{fold}', str(fold))).expanduser()


def _words(command: str, *flags: tuple[str, object]) -> tuple[str, ...]:
  return (command, *(f'{name}={value}' for name, value in flags if value is not None))
