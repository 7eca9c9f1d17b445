"""Configures the page on which a folder is labelled; each field is a flag as well."""

import dataclasses

from experiments.serving.listening import check_token
from experiments.settings.fields import check, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelConfig:
  """Names the folder and how its page is served, for `server.serve`."""

  pictures: str | None = setting(
    None, 'The folder of pictures. A word without a flag names it as well.'
  )
  checkpoint: str = setting(
    'photos',
    "What segments: a checkpoint's folder, its run's, a .safetensors, or a name in the zoo. photos:"
    ' the model for photographs that comes with the package.',
  )
  host: str = setting(
    '127.0.0.1',
    'The address to listen on. Default: this machine alone; 0.0.0.0 lets everyone in the network in'
    ' who has the address with its token.',
  )
  port: int = setting(8600, 'The port, or the next one that is free; 0: any.', least=0, most=65535)
  token: str | None = setting(
    None, 'What the address must hold to be let in. Default: drawn at random at each start.'
  )
  open_browser: bool = setting(True, 'Open the page in a browser.')
  output_dir: str | None = setting(
    None,
    'Where the page exports to. Default: labels in the folder of pictures; beside what someone'
    ' changed there, labels-2.',
  )
  import_labels: str | None = setting(
    None,
    'A folder of labels that are taken in at the start, where nothing is drawn yet: what an'
    ' annotation tool exported, folders of masks, or PNGs with the names of the pictures.',
  )
  supports: int = setting(
    8,
    'So many outlines of a class are segmented by, the latest; each takes 0.03 s a picture on two'
    ' cores.',
    least=1,
    most=100,
  )

  def __post_init__(self) -> None:
    """Refuses what no field may be."""
    check(self)
    check_token(self.token)
