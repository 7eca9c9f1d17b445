"""Kills runs, resumes them, and compares what they end with."""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from experiments.recovery.config import ChaosConfig
  from experiments.recovery.fingerprint import fingerprint
  from experiments.recovery.rounds import kill_and_compare

__all__ = ['ChaosConfig', 'fingerprint', 'kill_and_compare']

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.config': ('ChaosConfig',),
    '.fingerprint': ('fingerprint',),
    '.rounds': ('kill_and_compare',),
  },
)
