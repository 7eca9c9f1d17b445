"""Opens a page in the browser on which a folder of pictures is labelled, with the network's help.

Needs `pip install '.[page]'`. Examples, from the checkout's folder:

  The pictures of a folder:
    python -m experiments.label pictures

  By a model of one's own, on from what an annotation tool exported:
    python -m experiments.label pictures --checkpoint=runs/mine --import_labels=cvat_export

Outline the thing in one picture: all others are segmented in the background, the least certain
first to look at. Correct one, and the others follow. What is drawn and decided is kept at once in
pictures/.hsnet/labels.sqlite; no picture is changed. The page exports masks, COCO, LabelMe, YOLO,
VOC and folders that train takes, into pictures/labels.

It listens on this machine alone, at an address with a token that is drawn at each start; pages of
other sites cannot use it. Nothing is loaded from anywhere else. Links, and what lies in folders of
the folder, are not shown.
"""

import dataclasses

from experiments.command import app
from experiments.command.cache import define_cache
from experiments.command.flags import config_from_flags, define_flags
from experiments.labelling.config import LabelConfig

define_flags(LabelConfig)
define_cache()

# The folder, beside the flags.
WORDS = 1


def main(words: list[str]) -> None:
  """Serves the page as the flags say, of the folder that a word names as well."""
  from experiments.labelling.serving import label

  config = config_from_flags(LabelConfig)
  label(dataclasses.replace(config, pictures=words[0]) if words else config)


if __name__ == '__main__':
  app.run(main, words=WORDS)
