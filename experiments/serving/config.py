"""Configures the service; each field is a flag as well."""

import dataclasses

from experiments.serving.listening import check_token
from experiments.settings.fields import check, setting
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeConfig:
  """Names what is served and how, for `starting.serve`."""

  segmenter: str | None = setting(
    None, 'A file that `Segmenter.save` wrote: a network and its supports.'
  )
  checkpoint: str = setting(
    'photos',
    "Without --segmenter, the network: a checkpoint's folder, its run's, a .safetensors, or a name"
    ' in the zoo. photos: the model for photographs that comes with the package.',
  )
  support_images: tuple[str, ...] = setting(
    (),
    'Support images, by commas, for the requests that bring none. Default: every request must bring'
    ' its own.',
  )
  support_masks: tuple[str, ...] = setting(
    (), "Their masks, in the same order; or outlines, LabelMe's or COCO's JSON."
  )
  support_class: str | None = setting(
    None, 'The class of the outlines, where a support image shows several.'
  )
  mask_value: int | None = setting(
    None,
    'Which value of the masks is the object, those of requests too. Default: as predict has it.',
    least=0,
    most=255,
  )
  host: str = setting(
    '127.0.0.1',
    'The address to listen on. Default: this machine alone; 0.0.0.0 lets everyone in the network in'
    ' who has the token.',
  )
  port: int = setting(8700, 'The port, or the next one that is free; 0: any.', least=0, most=65535)
  names: tuple[str, ...] = setting(
    (),
    "Names by which others reach it, by commas, with the port where it is not the scheme's own:"
    ' segment.example, hsnet:8700. Under other names, which any web page could bear, nothing is'
    ' answered.',
  )
  token: str | None = setting(
    None, 'What a request must have. Default: drawn at random at each start, and printed.'
  )
  notoken: bool = setting(False, 'Let everyone in who reaches the port.')
  queue: int = setting(
    32,
    'So many requests are taken at a time; others are answered 503, with when to try again.',
    least=1,
    most=10_000,
  )
  batch_size: int | None = setting(
    None,
    'So many pictures of the same supports go through the network at a time, of those that wait.'
    ' Default: 1 on a CPU, where more are no faster, and 8 elsewhere; masks of a batch may differ'
    ' by rounding.',
    least=1,
    most=256,
  )
  timeout: int = setting(
    30,
    'Seconds in which a request must have come, and again in which it must be answered.',
    least=1,
    most=3600,
  )
  max_body: int = setting(32, 'Megabytes that a request may have.', least=1, most=1024)
  max_side: int = setting(
    8192,
    'Pixels that the longer side of a picture may have. One of 8192 x 8192 takes 1 GB while it is'
    ' segmented.',
    least=1,
    most=20_000,
  )
  kept_supports: int = setting(
    32,
    'Sets of supports, of those that requests bring, that stay encoded, the latest; with photos one'
    ' takes 2 MB a support.',
    least=1,
    most=10_000,
  )

  def __post_init__(self) -> None:
    """Refuses what no field may be, and fields that exclude each other."""
    check(self)
    if self.segmenter and (self.support_images or self.support_masks):
      raise InputError('`segmenter` has its supports: leave out `support_images`')
    check_token(self.token)
    if self.token is not None and self.notoken:
      raise InputError('`token` and `notoken` exclude each other')
