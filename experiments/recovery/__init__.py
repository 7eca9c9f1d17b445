"""Kills runs and compares what they end with when resumed; breaks files and reads them."""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from experiments.recovery.config import ChaosConfig
  from experiments.recovery.files import read_mutated_files
  from experiments.recovery.fingerprint import fingerprint
  from experiments.recovery.rounds import kill_and_compare

__all__ = ['ChaosConfig', 'fingerprint', 'kill_and_compare', 'read_mutated_files']

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.config': ('ChaosConfig',),
    '.files': ('read_mutated_files',),
    '.fingerprint': ('fingerprint',),
    '.rounds': ('kill_and_compare',),
  },
)
