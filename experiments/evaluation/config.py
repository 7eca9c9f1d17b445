"""Configures evaluations, comparisons and predictions; each field is a flag as well."""

import dataclasses

from experiments.evaluation.methods import METHODS
from experiments.settings.episodes import EpisodeSettings
from experiments.settings.fields import check, setting
from hsnet_jax.errors import InputError
from hsnet_jax.inference.table import COMBINATIONS

PROTOCOLS = ('published', 'distinct', 'cross')
FORMATS = ('png', 'coco', 'labelme', 'yolo', 'voc')
# What annotation tools call what is no class.
_NO_CLASSES = ('', 'background', '_background_', '__ignore__', 'ignored')

_CHECKPOINT = (
  "A checkpoint's folder, its run's, a .safetensors that convert exported, or a name in the zoo."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(EpisodeSettings):
  """Names what to evaluate and on which episodes, for `evaluating.evaluate`."""

  checkpoint: str | None = setting(None, _CHECKPOINT)
  model: str = setting(
    'hsnet',
    'prototype: masked average pooling and one threshold; margin: the same less what the'
    ' surroundings give. Published ones on the same frozen features: panet; pmm, prototype'
    ' mixtures; pfenet_prior; repri. Of our own: panet_transductive, panet with the query and its'
    " prediction as one more shot. Floors: mean_foreground, where the supports' masks are; disc, a"
    ' disc in the middle; everything; nothing.',
    choices=tuple(METHODS),
  )
  episodes: int | None = setting(
    None,
    'How many test episodes. Default: 1000, as published; for fss and folder each image once.',
    least=1,
  )
  split: str = setting(
    'test', "Which list. Only fss has two; the others' is both.", choices=('val', 'test')
  )
  original_size: bool = setting(
    False,
    "Judge each query at its photograph's own size, the logits resized to it. Default: at"
    ' --image_size, as published.',
  )
  protocol: str = setting(
    'published',
    'published: supports of an episode may repeat each other; distinct: they may not; cross: as'
    ' published, on another benchmark than was trained on, without those of its classes that the'
    ' checkpoint was trained on, told by what they are called.',
    choices=PROTOCOLS,
  )
  absent: float = setting(
    0.0,
    'How many of the episodes get a query of another class, which mostly lacks the object: then it'
    ' is also told whether the method says so. 0: none, as published.',
    least=0.0,
    most=1.0,
  )
  protocols: tuple[str, ...] = setting(
    (),
    'Evaluate by several, by commas, and lay them side by side: those of --protocol, and absent'
    ' (--absent, 0.5 where it is not given).',
    choices=(*PROTOCOLS, 'absent'),
  )
  presence_threshold: float | None = setting(
    None,
    'How like the object, as a cosine, must be what is found, for anything to be marked; -1: marked'
    " always, as published. Default: -1, but with --absent the checkpoint's (photos: 0).",
    least=-1.0,
    most=1.0,
  )
  also_first: tuple[int, ...] = setting(
    (), 'Figures over the first so many episodes, too; may be given several times.', least=1
  )
  threshold_episodes: int = setting(
    300,
    'Training episodes that the threshold of prototype, margin, pmm or pfenet_prior is found on.',
    least=1,
  )
  pictures: int = setting(
    10,
    'Episodes in the picture grid, the first of each class; 0: no pictures, also not the grid of'
    ' the best, the median and the worst.',
    least=0,
  )
  output_dir: str | None = setting(
    None,
    'Where results go; beside other ones there, with -2. Default: evaluation/ in the run,'
    ' NAME-evaluation/ beside any other checkpoint, or runs/ and the model.',
  )

  def __post_init__(self) -> None:
    """Refuses what no field may be, and fields that exclude each other."""
    if (self.random_backbone or self.backbone_weights) and self.needs_checkpoint:
      raise InputError('a checkpoint brings its backbone: leave out the flags of its weights')
    super().__post_init__()
    if 'cross' in (self.protocol, *self.protocols) and not self.needs_checkpoint:
      raise InputError(
        '`protocol`=cross leaves out what a checkpoint was trained on: give `checkpoint`'
      )
    if self.protocols and self.protocol != 'published':
      raise InputError('`protocols` names them all: leave out `protocol`')
    if self.absent and self.protocols and 'absent' not in self.protocols:
      raise InputError('`absent` is of the protocol absent: name it in `protocols` as well')

  @property
  def needs_checkpoint(self) -> bool:
    """Returns whether the network is that of a checkpoint, not a bare backbone."""
    method = METHODS.get(self.model)
    return bool(self.checkpoint) or (method is not None and method.trained)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrecisionConfig(EpisodeSettings):
  """Names the network to compute in every precision, and the episodes."""

  checkpoint: str | None = setting(None, _CHECKPOINT)
  episodes: int = setting(100, 'How many test episodes.', least=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
  """Names what to segment and in which images, for `predicting.predict`.

  `tiles` may be a number, too.
  """

  checkpoint: str = setting(
    'photos',
    f'{_CHECKPOINT} photos: the model for photographs that comes with the package.',
  )
  support_images: tuple[str, ...] = setting((), 'Support images, by commas.')
  support_masks: tuple[str, ...] = setting(
    (), "Their masks, in the same order; or outlines, LabelMe's or COCO's JSON."
  )
  support_class: str | None = setting(
    None, 'The class of the outlines, where a support image shows several.'
  )
  mask_value: int | None = setting(
    None,
    'Which value of the masks is the object. Default: every value but 0; where 255 is the'
    " commonest of them, 128 and more; not PASCAL's boundary, 255 beside class numbers.",
    least=0,
    most=255,
  )
  query: tuple[str, ...] = setting((), 'Images to segment, or folders of them, by commas.')
  recursive: bool = setting(False, 'Go into folders of folders; results lie as queries do.')
  output_dir: str = setting('predictions', 'Where the masks go.')
  formats: tuple[str, ...] = setting(
    ('png',),
    'What else to write the masks as, by commas: a folder each, with the pictures, that annotation'
    ' tools and train --benchmark=folder read. coco: run lengths in one JSON file; labelme: one a'
    ' picture, to correct outlines in; yolo: polygons; voc: label PNGs. png, the masks, is always'
    ' there.',
    choices=FORMATS,
  )
  polygons: bool = setting(
    False, "COCO's outlines as polygons, for tools that read no run lengths; a hole is cut open."
  )
  class_name: str = setting('object', 'What the object is called in --formats.')
  contact_sheet: int = setting(
    60,
    'Show so many pictures in contact_sheet.png, the least certain first, with what was found in'
    ' them; 0: none.',
    least=0,
    most=1000,
  )
  again: bool = setting(
    False,
    'Segment each picture anew. Default: those whose results of the very same settings are there,'
    ' unchanged, are passed over, so that a command that was stopped goes on where it was.',
  )
  image_size: int | None = setting(
    None, "The network sees squares of this side. Default: the checkpoint's.", least=1
  )
  tiles: str = setting(
    '1',
    'Look at each picture also in 2 x 2 parts, and so on to so many along a side: for objects of a'
    ' hundredth of the picture. 2 takes 5 times as long, 3 takes 14, 4 takes 30. auto: 1 to 4, by'
    ' how much of its picture the object covers in the supports, and 2 where the queries are much'
    ' larger than what the network sees.',
    choices=('auto', *map(str, range(1, 9))),
  )
  second_look: bool = setting(
    False,
    'Look again, at a window around what was found, twice as wide, and average both. Takes up to'
    ' twice as long; where nothing was found, nothing changes.',
  )
  combine: str | None = setting(
    None,
    'How several supports make one mask: by the vote of theirs, the mean of their probabilities (as'
    ' vote, too, is with --tiles and --second_look), that mean weighted by how far each agrees with'
    " the others, or that of the half that agrees best. Default: the checkpoint's (photos: mean).",
    choices=tuple(COMBINATIONS),
  )
  support_margin: float | None = setting(
    None,
    'Cut each support to a window around its object, wider than it by this share on each side; -1:'
    " whole pictures. Default: the checkpoint's (photos: 0.1).",
    least=-1.0,
    most=100.0,
  )
  presence_threshold: float | None = setting(
    None,
    'How like the object, as a cosine, must be what is found in a picture, for anything to be'
    " marked in it: higher leaves more pictures empty; -1: none. Default: the checkpoint's (photos:"
    ' 0).',
    least=-1.0,
    most=1.0,
  )

  def __post_init__(self) -> None:
    """Refuses what no field may be."""
    if type(self.tiles) is int:
      object.__setattr__(self, 'tiles', str(self.tiles))
    check(self)
    name = self.class_name
    if not name.isprintable() or name != name.strip() or name.lower() in _NO_CLASSES:
      raise InputError(f'`class_name`={name!r}: give a name of one line, and not of the background')
