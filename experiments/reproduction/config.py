"""Configures a reproduction; each field is a flag as well."""

import dataclasses

from experiments.settings.fields import check, setting
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReproduceConfig:
  """Names a row of the paper's tables and what is there to reproduce it from."""

  row: str | None = setting(
    None, 'Which row, such as pascal-resnet50-1shot. Default: lists all, with what is published.'
  )
  checkpoints: str | None = setting(
    None,
    'A trained network for each fold, with {fold} for its number, such as pascal_fold{fold}.pt: a'
    " published .pt, which is converted, or a checkpoint of this project's. Default: each fold is"
    ' trained by the published recipe.',
  )
  data_dir: str | None = setting(
    None,
    "The benchmark's own folder of images; for pascal the one that holds JPEGImages and"
    ' SegmentationClassAug.',
  )
  splits_dir: str | None = setting(
    None, 'Folder of the published lists, the one that holds pascal/, coco/ and fss/.'
  )
  backbone_weights: str | None = setting(
    None, 'Trains from these ImageNet weights, a file. Default: those of the Hugging Face Hub.'
  )
  folds: tuple[int, ...] = setting((), 'These folds alone, by commas. Default: all.', least=0)
  episodes: int | None = setting(
    None,
    'So many test episodes a fold. Default: as published; fewer compare with nothing.',
    least=1,
  )
  batch_size: int | None = setting(
    None,
    'Episodes that are evaluated at a time; fewer take less memory. Default: as in training.',
    least=1,
  )
  max_steps: int | None = setting(
    None, 'Trains so many steps at most. Default: all epochs of the recipe.', least=1
  )
  output_dir: str = setting(
    'runs/reproduce', 'Where runs, evaluations and tables go; what is done there is not done again.'
  )
  dry_run: bool = setting(False, 'Says what is missing, prints the commands, and runs none.')

  def __post_init__(self) -> None:
    """Refuses what no field may be, and fields that exclude each other."""
    check(self)
    if self.checkpoints is not None and (self.backbone_weights or self.max_steps):
      raise InputError(
        '`backbone_weights` and `max_steps` are for training; leave them out with `checkpoints`'
      )
