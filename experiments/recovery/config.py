"""Says what `experiments.chaos` is told."""

import dataclasses

from experiments.settings.fields import check, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChaosConfig:
  """Says how often runs are killed, and when; each field is described by its help, and is a flag.

  Raises:
    InputError: a value is none that the field may have.
  """

  rounds: int = setting(30, 'How often a run is killed.', least=1)
  seed: int = setting(0, 'Of the moments.', least=0)
  output_dir: str | None = setting(None, 'Where all runs stay. Default: a temporary folder.')
  epochs: int = setting(4, 'Of each run.', least=1)

  def __post_init__(self) -> None:
    """Refuses what no field may be."""
    check(self)
