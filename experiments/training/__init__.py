"""Trains: what a run is told, its steps, its validation, its folder; `train` does all of it."""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from experiments.training.config import TrainConfig
  from experiments.training.processes import stopped_by_sigterm
  from experiments.training.run import Outcome, train

__all__ = ['Outcome', 'TrainConfig', 'stopped_by_sigterm', 'train']

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.config': ('TrainConfig',),
    '.processes': ('stopped_by_sigterm',),
    '.run': ('Outcome', 'train'),
  },
)
