"""FSS-1000 as a prepared set."""

from data_pipelines.prepared.writer import PairBuilder


class Fss1000(PairBuilder):
  """FSS-1000: 1000 classes of ten photographs with their masks."""

  MANUAL_DOWNLOAD_INSTRUCTIONS = """\
  --data_dir names the folder of the class folders, as fewshot_data.zip of FSS-1000's authors
  unpacks: abacus/1.jpg with abacus/1.png to abacus/10.jpg with abacus/10.png, and so on, 1000
  folders of ten photographs and ten masks.
  --splits_dir names the folder that holds the published lists, fss/{trn,val,test}.txt.
  """
