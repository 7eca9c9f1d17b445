"""COCO-20i as a prepared set."""

from data_pipelines.prepared.downloads import Archive
from data_pipelines.prepared.writer import PairBuilder

_HOST = 'http://images.cocodataset.org'


class Coco20i(PairBuilder):
  """COCO-20i: MS COCO 2014, 80 classes in four folds."""

  ARCHIVES = (
    Archive(f'{_HOST}/zips/train2014.zip', 'train2014'),
    Archive(f'{_HOST}/zips/val2014.zip', 'val2014'),
    Archive(f'{_HOST}/annotations/annotations_trainval2014.zip', 'annotations'),
  )
  MANUAL_DOWNLOAD_INSTRUCTIONS = """\
  --data_dir names a folder that holds
    train2014/COCO_train2014_000000000009.jpg ...  82,783 photographs, from train2014.zip
    val2014/COCO_val2014_000000000042.jpg ...      40,504 photographs, from val2014.zip
                                                   (--download fetches both)
    annotations/train2014/, annotations/val2014/   the published masks, one PNG a photograph, of the
                                                   same name; or instead of them
    annotations/instances_train2014.json and instances_val2014.json, from
                                                   annotations_trainval2014.zip (--download fetches
                                                   it), from which masks are drawn
  --splits_dir names the folder that holds the published lists, coco/{trn,val}/fold{0,1,2,3}.pkl.
  """
