"""Which values the trials of a sweep get, and which trials are stopped early.

Both are told what trials before have come to, so that a sweep that was cut off goes on as it was.
"""

import dataclasses
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna import distributions
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from experiments.sweeps.folder import STOP_FILE, Trial, trial_folder, write_trial
from experiments.sweeps.space import Domain, Space, draw, flag_text

# ASHA wants to know how long the longest trial is; all end by themselves.
_MAX_VALIDATIONS = 10**6
# TPE draws so many trials at random before it follows what it has seen.
_STARTUP_SHARE, _STARTUP_MOST = 1 / 3, 10


@dataclasses.dataclass(frozen=True)
class Options:
  """How trials are chosen and where they run.

  Attributes:
    trials: how many there are.
    search: 'random' or 'tpe'.
    seed: of the search.
    metric: the figure of the validations that is to be large.
    asha: (validations before a trial may be stopped, one in how many goes on); None: no stopping.
    cpus: share of a trial.
    gpus: share of a trial.
    address: of the cluster; None: this machine.
  """

  trials: int
  search: str
  seed: int
  metric: str
  asha: tuple[int, float] | None
  cpus: float
  gpus: float
  address: str | None


class TrialSearch(OptunaSearch):
  """Gives trials their numbers and values, records them, and says what Ray is to run.

  Of a random search all values are drawn beforehand, each trial's by its number alone; Optuna has
  them as points to begin with, and nothing to choose.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    space: Space,
    options: Options,
    *,
    trials: Mapping[int, Trial],
    left: Sequence[int],
  ):
    """Tells Optuna what there is.

    Args:
      folder: of the sweep.
      space: what is searched.
      options: how.
      trials: {number: trial} of those that have begun.
      left: numbers of those that are to run; those that have begun come first.
    """
    points = [trials[n].params for n in left if n in trials]
    if options.search == 'random':
      points = [draw(space, seed=options.seed, number=n) for n in left]
    startup = min(_STARTUP_MOST, max(1, round(options.trials * _STARTUP_SHARE)))
    # With the seed alone, a sweep that goes on would draw its first trials once more.
    seed = int(np.random.SeedSequence([options.seed, len(trials)]).generate_state(1)[0])
    super().__init__(
      {name: _distribution(domain) for name, domain in space.domains.items()},
      metric='score',
      mode='max',
      points_to_evaluate=points,
      sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True),
    )
    for trial in trials.values():
      if trial.done and trial.values:
        self.add_evaluated_point(
          trial.params, trial.best[1], intermediate_values=best_so_far(trial.values)
        )
    self._folder, self._fixed, self._left = folder, dict(space.fixed), list(left)

  def suggest(self, trial_id: str) -> dict[str, Any] | str:
    """The configuration of the next trial (see `experiments.sweeps.trials`)."""
    if not self._left or (self._folder / STOP_FILE).exists():
      return Searcher.FINISHED
    params = super().suggest(trial_id)
    number = self._left.pop(0)
    write_trial(self._folder, Trial(number, params))
    return {
      'number': number,
      'params': params,
      'run_dir': str(trial_folder(self._folder, number)),
      'arguments': [f'--{name}={flag_text(v)}' for name, v in {**self._fixed, **params}.items()],
    }

  def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
    """Tells Optuna; a trial that is interrupted early has nothing to tell."""
    if 'score' in result:
      super().on_trial_result(trial_id, result)


def _distribution(domain: Domain) -> distributions.BaseDistribution:
  if domain.kind == 'choice':
    return distributions.CategoricalDistribution(domain.values)
  if domain.kind == 'integer':
    return distributions.IntDistribution(*domain.values)
  return distributions.FloatDistribution(*domain.values, log=domain.kind == 'log_uniform')


def make_scheduler(options: Options, trials: Mapping[int, Trial]) -> TrialScheduler:
  """What stops trials early.

  Args:
    options: of the sweep.
    trials: {number: trial} of those that have begun; ASHA compares with what the done ones reached.

  Returns:
    ASHA, or what stops none.
  """
  if options.asha is None:
    return FIFOScheduler()
  grace, factor = options.asha
  scheduler = ASHAScheduler(
    metric='score',
    mode='max',
    grace_period=grace,
    reduction_factor=factor,
    max_t=max(grace, _MAX_VALIDATIONS),
  )
  for trial in trials.values():
    if trial.done:
      past = types.SimpleNamespace(trial_id=trial.name)  # All that ASHA asks of a trial.
      scheduler.on_trial_add(None, past)
      for count, score in enumerate(best_so_far(trial.values), 1):
        scheduler.on_trial_result(None, past, {'training_iteration': count, 'score': score})
  return scheduler


def best_so_far(values: Mapping[int, float]) -> list[float]:
  """After each validation of `{step: value}` the best until then, as `TrainProcess` has it."""
  return np.maximum.accumulate([values[s] for s in sorted(values)]).tolist() if values else []
