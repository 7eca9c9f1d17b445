"""Names the settings that training and evaluation share: benchmark, backbone, sizes, protocol."""

import dataclasses

from data_pipelines.catalog import BENCHMARKS
from experiments.settings.fields import check, setting
from hsnet_jax.errors import InputError
from hsnet_jax.inference.table import COMBINATIONS

# What networks compute in: the keys of `hsnet_jax.models.PRECISIONS`, which brings JAX with it.
PRECISIONS = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpisodeSettings:
  """Says whose episodes are seen, how, and by which backbone.

  Each field is described by its help, and is a flag of the commands under the same name. None
  stands for what the help says; `experiments.settings.sources` finds it.

  Raises:
    InputError: a value is none that the field may have.
  """

  benchmark: str | None = setting(
    None,
    "Which benchmark. Default: the checkpoint's, else shapes.",
    choices=sorted(BENCHMARKS),
  )
  data_dir: str | None = setting(
    None,
    "The benchmark's own folder of images; for pascal the one that holds JPEGImages and"
    ' SegmentationClassAug. Not needed for shapes.',
  )
  splits_dir: str | None = setting(
    None, 'Folder of the published lists, the one that holds pascal/, coco/ and fss/.'
  )
  prepared_dir: str | None = setting(
    None,
    'Folder of prepared sets (see experiments.prepare), to read images from in place of'
    ' --data_dir.',
  )
  fold: int | None = setting(
    None, "Which fold's classes are kept for testing. Default: the checkpoint's, else 0."
  )
  shots: int = setting(1, 'Support images per episode.', least=1)
  image_size: int | None = setting(
    None,
    "Images are resized to squares of this side. Default: the checkpoint's, else 400 (shapes:"
    ' 128, recipe photos: 320).',
    least=1,
  )
  support_margin: float | None = setting(
    None,
    "Cut each support to a window around its object, of the picture's own shape and wider than the"
    " object by this share on each side; -1: whole. Default: the checkpoint's, else whole, as"
    ' published (recipe photos: 0.1).',
    least=-1.0,
    most=100.0,
  )
  combine: str | None = setting(
    None,
    'How shots become one mask: by the vote of theirs, the mean of their probabilities, that mean'
    ' weighted by how far each agrees with the others, or that of the half that agrees best.'
    " Default: the checkpoint's, else vote, as published (recipe photos: mean).",
    choices=tuple(COMBINATIONS),
  )
  batch_size: int | None = setting(
    None,
    'Episodes per step, in evaluate on each device. Default: 20 (coco: 40, shapes: 10, recipe'
    ' photos: 12).',
    least=1,
  )
  backbone: str | None = setting(
    None,
    "Name of the backbone. Default: the checkpoint's, else resnet50 (shapes: tiny, recipe photos:"
    ' efficientnet_lite0).',
  )
  backbone_weights: str | None = setting(
    None,
    "File of the backbone's weights (.safetensors, .npz, .pth), or the folder of a file"
    " named after the backbone. Default: the project's own (tiny) or the Hugging Face Hub's.",
  )
  random_backbone: bool = setting(
    False, 'Random backbone weights: to try things out, not for results.'
  )
  num_workers: int = setting(
    0,
    'Processes that read images ahead; 0: two threads. One a core where decoding holds a GPU up.',
    least=0,
  )
  precision: str | None = setting(
    None,
    'What the backbone, the correlation and the 4D convolutions compute in; all else is float32.'
    " Default: the checkpoint's, else float32.",
    choices=PRECISIONS,
  )
  protocol: str = setting(
    'published',
    'published: supports of an episode may repeat each other; distinct: they may not.',
    choices=('published', 'distinct'),
  )

  def __post_init__(self) -> None:
    """Refuses what no field may be, and fields that exclude each other."""
    check(self)
    if self.random_backbone and self.backbone_weights:
      raise InputError('`random_backbone` and `backbone_weights` exclude each other; give one')

  @property
  def distinct(self) -> bool:
    """Returns whether the supports of an episode all differ."""
    return self.protocol == 'distinct'
