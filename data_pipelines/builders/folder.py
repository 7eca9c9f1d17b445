"""A folder of one's own as a prepared set."""

from data_pipelines.prepared.writer import PairBuilder


class Folder(PairBuilder):
  """A user's own images and masks."""

  MANUAL_DOWNLOAD_INSTRUCTIONS = """\
  --data_dir names a folder of your own: class_name/name.jpg with its mask class_name/name.png
  beside it, or images with COCO-style or LabelMe JSON labels.
  """
