"""Searches hyperparameters with Ray Tune: its space, search, trials, folder and report."""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from experiments.sweeps.config import SweepConfig
  from experiments.sweeps.run import SweepOutcome, sweep
  from experiments.sweeps.signals import stopped_by_signals

__all__ = ['SweepConfig', 'SweepOutcome', 'stopped_by_signals', 'sweep']

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.config': ('SweepConfig',),
    '.run': ('SweepOutcome', 'sweep'),
    '.signals': ('stopped_by_signals',),
  },
)
