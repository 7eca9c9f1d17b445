"""Says what the training of the `tiny` backbone is told."""

import dataclasses
import os

from experiments.settings.fields import check, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class TinyConfig:
  """Says how `tiny` is trained; each field is described by its help, and is a flag of the command.

  Raises:
    InputError: a value is none that the field may have.
  """

  output: str | None = setting(None, 'The .safetensors file to write.')
  steps: int = setting(3000, 'Optimizer steps.', least=1)
  batch_size: int = setting(16, 'Pictures per step.', least=1)
  plain_images: int = setting(2000, 'Pictures without textures.', least=1)
  images: int = setting(6000, 'Pictures with textures.', least=1)
  classes: int = setting(250, 'Classes of outlines.', least=2, most=255)
  image_size: int = setting(128, 'Side of the pictures.', least=64)
  seed: int = setting(0, 'Of initial values and batches.', least=0)
  processes: int = setting(
    os.cpu_count() or 0, 'How many processes draw the pictures; 0: this one.', least=0
  )

  def __post_init__(self) -> None:
    """Refuses what no field may be."""
    check(self)
