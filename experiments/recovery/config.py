"""Says what `experiments.chaos` is told."""

import dataclasses

from experiments.settings.fields import check, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChaosConfig:
  """Says what is broken, how often and how; each field is described by its help, and is a flag.

  Raises:
    InputError: a value is none that the field may have.
  """

  what: str = setting(
    'kills',
    'kills: runs are killed and resumed. files: files are mutated and read.',
    choices=('kills', 'files'),
  )
  rounds: int = setting(30, 'How often a run is killed, or how many files are read.', least=1)
  seed: int = setting(0, 'Of the moments, or of the mutations.', least=0)
  output_dir: str | None = setting(
    None, 'Where all runs stay, or the files that made something fail. Default: nowhere.'
  )
  epochs: int = setting(4, 'Of each run that is killed.', least=1)
  first: int = setting(
    1, 'The round to begin with: a file of some round can be read again.', least=1
  )

  def __post_init__(self) -> None:
    """Refuses what no field may be."""
    check(self)
