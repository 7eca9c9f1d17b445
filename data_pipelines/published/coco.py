"""Reads COCO-20i, 80 classes in four folds, straight from a COCO 2014 folder."""

import functools
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from data_pipelines.benchmark import Benchmark
from data_pipelines.episodes import DrawEpisodes, class_first_episodes
from data_pipelines.published.coco_masks import DrawnMasks
from data_pipelines.published.lists import read_coco_list
from data_pipelines.reading import files
from data_pipelines.reading.files import AnyPath
from data_pipelines.reading.images import Source
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

ANNOTATIONS = 'annotations'
SUBSETS = ('train2014', 'val2014')


class Coco20i(Benchmark):
  """Reads COCO-20i (FWB's folds of COCO 2014): fold f tests on the classes f, f + 4, f + 8 ...

  The lists of training leave out the fold's own classes; their images are of train2014, those of
  the test of val2014. Training draws a class, then a query of it, as the published training does:
  a third of the list shows a person.

  Masks are the published PNG files, class_id + 1 on a class and 0 elsewhere. Where a user has only
  COCO's own `instances_*.json`, they are drawn from it, and then differ a little from the published
  ones: the objects of an image are drawn from the largest to the smallest, so that of two that
  overlap the smaller one stays whole, and regions of a crowd count as their class, under every
  single object. A warning names the subsets, and so does `drawn_masks`. Reading the JSON of
  train2014 takes a minute and some GB of memory in every process; a prepared set does it once.

  Args:
    data_dir: holds train2014/*.jpg and val2014/*.jpg, and in annotations either the folders
      train2014/*.png and val2014/*.png or instances_train2014.json and instances_val2014.json.
      Like splits_dir, it may begin with `~`.
    splits_dir: holds coco/{trn,val}/fold{0,1,2,3}.pkl.

  Raises:
    InputError: a folder is missing.
  """

  name = 'coco'
  num_classes = 80
  num_folds = 4
  boundary = None
  class_names = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat',
    'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog',
    'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella',
    'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite',
    'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange',
    'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant',
    'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone',
    'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase', 'scissors',
    'teddy bear', 'hair drier', 'toothbrush',
  )  # fmt: skip

  def __init__(self, data_dir: AnyPath | None, splits_dir: AnyPath):
    """Checks that the folders are there; without `data_dir` there are lists alone."""
    self._data = None if data_dir is None else Path(os.path.expanduser(data_dir))
    self._drawn = {} if self._data is None else _drawn_masks(self._data)
    self.drawn_masks = tuple(self._drawn)
    self._lists = files.lists_folder(splits_dir, self.name)

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """See `Benchmark.test_classes`: every fourth class."""
    self.check_split(fold, split)
    return tuple(range(fold, self.num_classes, self.num_folds))

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; raises InputError where a list is missing, damaged or misplaced."""
    self.check_split(fold, name)
    path = self._lists / name / f'fold{fold}.pkl'
    lists = read_coco_list(path, num_classes=self.num_classes)
    held = self.test_classes(fold)
    for class_id in lists:
      # A list in the wrong place would put classes of the test into the training.
      if (class_id in held) != (name == 'val'):
        raise InputError(
          f'{path}: class {class_id} is {"not " if name == "val" else ""}one that fold {fold} tests'
          f' on ({held[0]}, {held[1]} ... {held[-1]}); put the published list back'
        )
    items = tuple((image_name, c) for c, names in lists.items() for image_name in names)
    return Split(f'{self.name} fold {fold} {name}', items, self.class_names, class_first=True)

  def episode_draw(self, items: Split, fold: int, split: str) -> DrawEpisodes:
    """See `Benchmark.episode_draw`; the draws are those of `class_first_episodes`."""
    # A training list, which the published protocol draws no test from, has the other classes.
    classes = self.test_classes(fold) if split == 'val' else tuple(items.by_class)
    return functools.partial(class_first_episodes, classes=classes)

  def encoded(self, image_name: str) -> tuple[Path, Source]:
    """See `Benchmark.encoded`: the photograph, and the mask's file or the mask drawn."""
    if self._data is None:
      raise files.lists_alone(self.name)
    image = self._data / image_name
    drawn = self._drawn.get(image.parent.name)
    if drawn is not None:
      return image, drawn.encoded(image.name)
    return image, self._mask(image_name)

  def check_images(self, image_names: Iterable[str]) -> None:
    """See `Benchmark.check_images`."""
    if self._data is None:
      raise files.lists_alone(self.name)
    names = list(dict.fromkeys(image_names))
    files.check_listed((self._data / name,) for name in names)
    for subset, masks in self._drawn.items():
      masks.check(Path(name).name for name in names if Path(name).parent.name == subset)
    # A mask that is drawn is no file.
    kept = [name for name in names if Path(name).parent.name not in self._drawn]
    files.check_listed((self._data / name, self._mask(name)) for name in kept)

  def _mask(self, image_name: str) -> Path:
    """Returns where the published mask of an image is."""
    if self._data is None:
      raise files.lists_alone(self.name)
    return (self._data / ANNOTATIONS / image_name).with_suffix('.png')


def _drawn_masks(data: Path) -> dict[str, DrawnMasks]:
  """Finds the subsets whose masks are no files, and says so once."""
  folder = data / ANNOTATIONS
  if not folder.is_dir():
    raise InputError(
      f'{folder}: no such folder; `data_dir` must name the folder that holds'
      f' {", ".join(SUBSETS)} and {ANNOTATIONS}'
    )
  drawn = {}
  for subset in SUBSETS:
    path = folder / f'instances_{subset}.json'
    if not (folder / subset).is_dir() and path.is_file():
      drawn[subset] = DrawnMasks(path)
  if drawn:
    warnings.warn(
      f'{folder}: no mask files of {" and ".join(drawn)}, so these masks are drawn from'
      ' instances_*.json; at crowd regions, figures differ from published ones',
      stacklevel=3,
    )
  return drawn
