"""Decides: which values the trials of a sweep get, and which trials are stopped early.

Both are told what trials before have come to, so that a sweep that was cut off resumes as it was.
"""

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

from experiments.sweeps.config import SweepConfig
from experiments.sweeps.folder import STOP_FILE, Trial, trial_folder, write_trial
from experiments.sweeps.space import Domain, Space, draw, flag_text

# ASHA wants to know how long the longest trial is; all end by themselves.
_MAX_VALIDATIONS = 10**6
# TPE draws so many trials at random before it follows what it has seen.
_STARTUP_SHARE, _STARTUP_MOST = 1 / 3, 10


class TrialSearch(OptunaSearch):
  """Gives trials their numbers and values, records them, and says what Ray is to run.

  Of a random search all values are drawn beforehand, each trial's by its number alone; Optuna has
  them as points to begin with, and nothing to choose.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    space: Space,
    config: SweepConfig,
    *,
    trials: Mapping[int, Trial],
    left: Sequence[int],
  ):
    """Tells Optuna what there is.

    Args:
      folder: of the sweep.
      space: what is searched.
      config: how.
      trials: {number: trial} of those that have begun.
      left: numbers of those that are to run; those that have begun come first.
    """
    points = [trials[n].params for n in left if n in trials]
    if config.search == 'random':
      points = [draw(space, seed=config.seed, number=n) for n in left]
    startup = min(_STARTUP_MOST, max(1, round(config.trials * _STARTUP_SHARE)))
    # With the seed alone, a sweep that is resumed would draw its first trials once more.
    seed = int(np.random.SeedSequence([config.seed, len(trials)]).generate_state(1)[0])
    super().__init__(
      {name: _distribution(domain) for name, domain in space.domains.items()},
      metric='score',
      mode='max',
      points_to_evaluate=points,
      sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True),
    )
    for trial in trials.values():
      if trial.done and trial.best is not None:
        self.add_evaluated_point(
          trial.params, trial.best[1], intermediate_values=best_so_far(trial.values)
        )
    self._folder, self._fixed, self._left = folder, dict(space.fixed), list(left)

  def suggest(self, trial_id: str) -> Any:
    """Returns the configuration of the next trial (see `experiments.sweeps.trials`)."""
    if not self._left or (self._folder / STOP_FILE).exists():
      return Searcher.FINISHED
    params: Any = super().suggest(trial_id)
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


def make_scheduler(config: SweepConfig, trials: Mapping[int, Trial]) -> TrialScheduler:
  """Makes what stops trials early.

  Args:
    config: of the sweep.
    trials: {number: trial} of those that have begun; ASHA compares with what the done ones reached.

  Returns:
    ASHA, or what stops none.
  """
  if config.halving is None:
    return FIFOScheduler()
  grace, factor = config.halving
  scheduler = ASHAScheduler(
    metric='score',
    mode='max',
    grace_period=grace,
    reduction_factor=factor,
    max_t=max(grace, _MAX_VALIDATIONS),
  )
  nobody: Any = None  # It asks nothing of who runs the trials.
  for trial in trials.values():
    if trial.done:
      past: Any = types.SimpleNamespace(trial_id=trial.name)  # All that ASHA asks of a trial.
      scheduler.on_trial_add(nobody, past)
      for count, score in enumerate(best_so_far(trial.values), 1):
        scheduler.on_trial_result(nobody, past, {'training_iteration': count, 'score': score})
  return scheduler


def best_so_far(values: Mapping[int, float]) -> list[float]:
  """Returns the best until each validation of `{step: value}`, as `TrialRun` has it."""
  return np.maximum.accumulate([values[s] for s in sorted(values)]).tolist() if values else []
