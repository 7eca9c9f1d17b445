"""Says what a run is told (`TrainConfig`), and what its checkpoints record (`RunConfig`)."""

import dataclasses
from collections.abc import Mapping

from experiments.settings.episodes import EpisodeSettings
from experiments.settings.fields import setting
from experiments.settings.recipe import NAMED
from hsnet_jax.errors import InputError

# The keys of `experiments.training.session.PARALLEL` and of `hsnet_jax.training.augment`'s
# `AUGMENTATIONS`, which bring JAX with them.
PARALLEL = ('jit', 'pmap')
TEST_CLASSES = ('background', 'left_out', 'ignored')
AUGMENT = ('none', 'flip', 'geometric', 'photometric', 'all')


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(EpisodeSettings):
  """Holds what a training run is told.

  Each field is described by its help, and is a flag of `experiments.train` under the same name.
  None stands for what the help says, which is mostly the benchmark's recipe.

  Raises:
    InputError: a value is none that the field may have, or two fields exclude each other.
  """

  recipe: str | None = setting(
    None,
    'Whose defaults are taken: published, or photos, which suits photographs and a CPU. Default:'
    " the benchmark's own, which is published for all but shapes and coco.",
    choices=NAMED,
  )
  learning_rate: float = setting(1e-3, 'Of Adam.', least=0.0)
  schedule: str | None = setting(
    None,
    'Of the learning rate; cosine falls to 0 at the last step. Default: constant, as published'
    ' (shapes: cosine).',
    choices=('constant', 'cosine'),
  )
  warmup_steps: int = setting(0, 'Over so many steps the learning rate rises from 0.', least=0)
  weight_decay: float = setting(0.0, 'Decoupled (AdamW); 0: none, as published.', least=0.0)
  clip: float = setting(
    0.0, 'Norm that gradients are scaled down to; 0: no limit, as published.', least=0.0
  )
  accumulate: int = setting(
    1,
    'Take each batch in so many parts, whose gradients are added: the same step in less memory.'
    ' --batch_size stays that of the whole batch.',
    least=1,
  )
  parallel: str = setting(
    'jit',
    'How the rows of a batch are divided over the devices: by the compiler (jit) or one program a'
    ' device (pmap). The figures are the same to rounding.',
    choices=PARALLEL,
  )
  ema: float | None = setting(
    None,
    'Decay of a moving average of the parameters that is validated and used in their place; 0.99'
    ' averages about 100 steps. Default: 0, none, as published (photos: 0.99).',
    least=0.0,
    most=0.9999,
  )
  foreground_weight: float | None = setting(
    None,
    'How much a pixel of the object weighs in the loss; above 1 more is marked, as is best for the'
    ' IoU. Default: 1, as published (photos: 2).',
    least=0.0,
  )
  boundary_weight: float | None = setting(
    None,
    "How much a pixel near the object's boundary, within 4 pixels on either side, weighs in the"
    " loss. PASCAL's unlabeled ring counts as background, as published, and lies just there: above"
    ' 1 masks become thin. Default: 1, as published.',
    least=0.0,
  )
  dice: float | None = setting(
    None, 'So many times the soft Dice loss is added. Default: 0, as published.', least=0.0
  )
  augment: str | None = setting(
    None,
    'Of the training episodes, each picture by itself. flip: mirror images; geometric: also scale,'
    ' shift and rotation; photometric: colors; all: both. Default: none, as published (photos:'
    ' flip).',
    choices=AUGMENT,
  )
  exchange: float | None = setting(
    None,
    'Probability that the query and the first support of a training episode exchange their roles.'
    ' Default: 0, as published.',
    least=0.0,
    most=1.0,
  )
  epochs: int | None = setting(
    None, 'Passes over the training list. Default: 2000 (shapes: 9).', least=1
  )
  max_steps: int | None = setting(None, 'Stop after this many steps.', least=1)
  max_minutes: float | None = setting(
    None,
    'Stop so long after training has begun, or resumed; the last validation comes on top.',
    least=0.0,
  )
  val_episodes: int | None = setting(
    None,
    'Validation episodes. Default: 1000, as published (shapes: 250; shapes, fss and folder: each'
    ' test picture once).',
    least=1,
  )
  validation: str = setting(
    'published',
    "published: on the fold's test episodes; heldout: on classes of the next fold, left out of"
    ' training, so that the test stays unseen.',
    choices=('published', 'heldout'),
  )
  val_every: int = setting(1, 'Validate every so many epochs.', least=1)
  mask_support: bool = setting(
    True, "Mask the support's features (Eq. 1); without it, the dagger variant."
  )
  prior: bool | None = setting(
    None,
    'Start from the map that prototypes of the object and its surroundings give untrained, and'
    ' correct it. Default: no, as published (photos: yes).',
  )
  skip: bool | None = setting(
    None,
    "Let the decoder see the query's features of the level below those correlated; needs"
    ' --correlated_levels. Default: no, as published (photos: yes).',
  )
  correlated_levels: int | None = setting(
    None,
    "How many of the backbone's levels are correlated, the coarsest. Default: all, as published"
    ' (photos: 2).',
    least=1,
  )
  hybrid_masking: bool | None = setting(
    None,
    'Fill what Eq. 1 leaves out of the supports with the features of the picture in which'
    ' everything but the object is blank (hybrid masking). Default: no, as published.',
  )
  background_correlation: bool | None = setting(
    None,
    "Subtract from every correlation the query position's mean one with the support's background."
    ' Default: no, as published.',
  )
  absent: float | None = setting(
    None,
    'How many of the training episodes have a query without the class; pictures without the object'
    ' are then left empty more often. Default: 0, none, as published (photos: 0.15).',
    least=0.0,
    most=1.0,
  )
  presence_threshold: float | None = setting(
    None,
    'Recorded for predict and for evaluate --absent: how like the object, as a cosine, must be what'
    ' is found, for anything to be marked; -1: marked always, as published. Training does not use'
    ' it. Default: -1 (photos: 0).',
    least=-1.0,
    most=1.0,
  )
  test_classes: str = setting(
    'background',
    'What becomes of test classes that training pictures show, and with --validation=heldout of'
    ' those held out. background: taught as that, as published; left_out: such pictures are not'
    ' trained on, for which every label is read at the start; ignored: those pixels of a query are'
    ' left out of the loss.',
    choices=TEST_CLASSES,
  )
  seed: int = setting(0, 'Of initial values and training episodes.', least=0)
  run_dir: str | None = setting(
    None, "The run's folder. Default: runs/BENCHMARK-foldF-Kshot-BACKBONE."
  )
  save_every: int | None = setting(
    None, 'Save also every so many steps. Default: when validated.', least=1
  )
  keep: int = setting(
    1,
    'How many of the newest checkpoints to keep, beside the best: last, and step_N before it.',
    least=1,
  )
  profile: bool = setting(
    False, 'Trace five steps, for the profiler of TensorBoard, into its folder.'
  )
  resume: bool | None = setting(
    None,
    'Resume from checkpoints/last of --run_dir. Default: where there is one; --noresume refuses.',
  )
  overwrite: bool = setting(False, 'Replace the run that --run_dir holds.')

  def __post_init__(self) -> None:
    """Refuses what no field may be, and fields that exclude each other."""
    super().__post_init__()
    if self.resume and self.overwrite:
      raise InputError('`resume` and `overwrite` exclude each other; give one')


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
  """Holds what a run is, as its checkpoints record it: with all defaults filled in.

  A run is resumed with the same alone. The fields are those of `TrainConfig` of the same names, and

  Attributes:
    lists: digests of the lists of images, by 'trn' and 'val'.
    schedule_steps: the step that a cosine schedule ends with; None for a constant one.
    backbone_weights: a digest of the backbone's weights, or 'random'.
  """

  benchmark: str = 'shapes'
  fold: int = 0
  shots: int = 1
  backbone: str = 'resnet50'
  mask_support: bool = True
  prior: bool = False
  skip: bool = False
  correlated_levels: int | None = None
  hybrid_masking: bool = False
  background_correlation: bool = False
  absent: float = 0.0
  presence_threshold: float | None = None
  image_size: int = 400
  support_margin: float | None = None
  combine: str = 'vote'
  batch_size: int = 20
  learning_rate: float = 1e-3
  schedule: str = 'constant'
  warmup_steps: int = 0
  weight_decay: float = 0.0
  clip: float = 0.0
  accumulate: int = 1
  ema: float = 0.0
  foreground_weight: float = 1.0
  boundary_weight: float = 1.0
  dice: float = 0.0
  augment: str = 'none'
  exchange: float = 0.0
  test_classes: str = 'background'
  precision: str = 'float32'
  protocol: str = 'published'
  seed: int = 0
  validation: str = 'published'
  val_every: int = 1
  val_episodes: int | None = None
  lists: Mapping[str, str] = dataclasses.field(default_factory=dict)
  schedule_steps: int | None = None
  backbone_weights: str = 'random'
