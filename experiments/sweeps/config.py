"""Says what a sweep is told."""

import dataclasses
from typing import Any

from experiments.settings.fields import check, setting
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepConfig:
  """Holds what a sweep is told; each field is described by its help, and is a flag of the command.

  Raises:
    InputError: a value is none that the field may have.
  """

  space: str | None = setting(
    None, 'TOML file: [train] with fixed flags of experiments.train, [space] with searched.'
  )
  trials: int = setting(8, 'How many trials; more may be asked for later.', least=1)
  search: str = setting(
    'random',
    'random: the same seed gives the same trials; tpe: draws where trials before did well'
    ' (Optuna).',
    choices=('random', 'tpe'),
  )
  asha: bool = setting(
    False, 'Stop trials early that at the same number of validations are behind others.'
  )
  asha_grace: int = setting(
    2, 'Validations that every trial has before it may be stopped.', least=1
  )
  asha_factor: int = setting(
    3,
    'One in so many goes on, compared after --asha_grace validations and so many times as many,'
    ' again and again.',
    least=2,
  )
  metric: str = setting(
    'val/miou',
    'What is to be large, at its best validation. checkpoints/best is by val/miou in any case.',
    choices=('val/miou', 'val/fb_iou'),
  )
  cpus_per_trial: float = setting(1, 'Share of the CPUs.', least=0.1)
  gpus_per_trial: float = setting(0, 'Share of the GPUs; 0.5 puts two trials on one.', least=0.0)
  address: str | None = setting(
    None,
    'A Ray cluster, host:port or auto for the one that this machine is in. Default: a Ray of its'
    ' own, on this machine.',
  )
  seed: int = setting(0, 'Of the search.', least=0)
  output_dir: str | None = setting(
    None, "The sweep's folder. Default: sweeps/ and the name of the space file."
  )
  overwrite: bool = setting(False, 'Replace the sweep that --output_dir holds.')

  def __post_init__(self) -> None:
    """Refuses what no field may be."""
    check(self)
    gpus = self.gpus_per_trial
    if gpus > 1 and gpus != int(gpus):
      raise InputError(f'`gpus_per_trial`={gpus}: a part of one GPU, or a whole number')

  @property
  def halving(self) -> tuple[int, int] | None:
    """Returns ASHA's grace and factor; None where no trial is stopped early."""
    return (self.asha_grace, self.asha_factor) if self.asha else None

  def description(self) -> dict[str, Any]:
    """Returns what the sweep is, as opposed to how far it goes and where it runs, as JSON."""
    return {
      'search': self.search,
      'seed': self.seed,
      'metric': self.metric,
      'asha': list(self.halving) if self.halving else None,
    }
