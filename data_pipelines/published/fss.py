"""Reads FSS-1000, a thousand classes of ten images, straight from their folders."""

import functools
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_pipelines.benchmark import Benchmark
from data_pipelines.episodes import DrawEpisodes, published_episodes
from data_pipelines.published.lists import read_fss_list
from data_pipelines.reading import files, images
from data_pipelines.reading.arrays import Pair
from data_pipelines.reading.files import AnyPath
from data_pipelines.reading.images import Source
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

# The class_ids of each list.
_CLASSES = {'trn': range(520), 'val': range(520, 760), 'test': range(760, 1000)}
# Each class has 1.jpg to 10.jpg.
_NUMBERS = range(1, 11)
_FOREGROUND = 128


class Fss1000(Benchmark):
  """Reads FSS-1000: lists of classes to train, to validate and to test on, and no folds.

  Categories are sorted, and the names of images as text: 1, 10, 2, ... A test has every image of
  its list as a query once. A mask is foreground where its gray value is 128 or more. Six of
  the published ones are not of their photograph's size; such a label keeps its own, and is brought
  to an episode's size straight from it, as the published loaders do.

  Args:
    data_dir: holds a folder for each category, with 1.jpg and its mask 1.png to 10.jpg and 10.png.
      Like splits_dir, it may begin with `~`.
    splits_dir: holds fss/{trn,val,test}.txt.

  Attributes:
    class_names: the categories; empty for a class_id that a shortened list does not reach.

  Raises:
    InputError: a folder or a list is missing, or lists are damaged or share a category.
  """

  name = 'fss'
  num_classes = 1000
  num_folds = 1
  splits = tuple(_CLASSES)
  boundary = None
  published_count = None

  def __init__(self, data_dir: AnyPath | None, splits_dir: AnyPath):
    """Reads the lists; without `data_dir` every class has its ten images."""
    self._data = None if data_dir is None else Path(os.path.expanduser(data_dir))
    if self._data is not None and not self._data.is_dir():
      raise InputError(
        f'{self._data}: no such folder; `data_dir` must name the folder that holds one for each'
        ' class'
      )
    self._ids = _class_ids(files.lists_folder(splits_dir, self.name))
    names = [''] * self.num_classes
    for category, class_id in self._ids.items():
      names[class_id] = category
    self.class_names = tuple(names)

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """See `Benchmark.test_classes`: the classes of the list, by their sorted names."""
    self.check_split(fold, split)
    return tuple(c for c in self._ids.values() if c in _CLASSES[split])

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; raises InputError where a category has no folder or no image."""
    items = tuple(
      (f'{self.class_names[c]}/{file_name}', c)
      for c in self.test_classes(fold, name)
      for file_name in self._file_names(self.class_names[c])
    )
    return Split(f'{self.name} {name}', items, self.class_names)

  def episode_draw(self, items: Split, fold: int, split: str) -> DrawEpisodes:
    """See `Benchmark.episode_draw`; supports are drawn from 1.jpg to 10.jpg in that order.

    Of a class that lacks some, supports are drawn from the others; an image of another name is a
    query alone. The episodes are not the published ones then, as a warning says.
    """
    del fold, split
    candidates, lacking, added = {}, [], []
    for class_id, names in items.by_class.items():
      numbered = [f'{self.class_names[class_id]}/{n}.jpg' for n in _NUMBERS]
      candidates[class_id] = [name for name in numbered if name in names]
      lacking += [name for name in numbered if name not in names]
      added += [name for name in names if name not in numbered]
    for amiss, what in ((lacking, 'missing'), (added, 'added')):
      if amiss:
        more = f' (and {len(amiss) - 1} more)' if len(amiss) > 1 else ''
        warnings.warn(
          f'{items.name}: {amiss[0]}{more} {what}; a class has 1.jpg to 10.jpg, so these are not'
          ' the published episodes',
          stacklevel=3,
        )
    return functools.partial(published_episodes, candidates=candidates)

  def encoded(self, image_name: str) -> tuple[Path, Path]:
    """See `Benchmark.encoded`: the photograph and its gray mask."""
    if self._data is None:
      raise files.lists_alone(self.name)
    path = self._data / image_name
    return path, path.with_suffix('.png')

  def decode(self, image_name: str, image: Source, mask: Source) -> Pair:
    """See `Benchmark.decode`; the label has 16 bits, since classes outnumber 8."""
    category = image_name.rpartition('/')[0]
    if category not in self._ids:
      raise InputError(f'{image}: {category!r} is no category of the lists of {self.name}')
    pixels, gray = images.read_pair(image, mask, read=_read_gray, any_size=True)
    return pixels, (gray >= _FOREGROUND) * np.uint16(self._ids[category] + 1)

  def check_images(self, image_names: Iterable[str]) -> None:
    """See `Benchmark.check_images`."""
    files.check_listed(self.encoded(name) for name in image_names)

  def _file_names(self, category: str) -> list[str]:
    if self._data is None:
      return sorted(f'{n}.jpg' for n in _NUMBERS)
    folder = self._data / category
    if not os.path.isdir(folder):  # Of what can be no name too, where a path's own method raises.
      raise InputError(
        f'{folder}: no such folder of a listed category; complete `data_dir` or narrow the lists of'
        ' `splits_dir`'
      )
    # Systems leave hidden files beside the images, such as ._1.jpg.
    names = sorted(n for n in os.listdir(folder) if n.endswith('.jpg') and not n.startswith('.'))
    if not names:
      raise InputError(f'{folder}: no image of this category; it holds 1.jpg to 10.jpg')
    return names


def _class_ids(folder: Path) -> Mapping[str, int]:
  """Maps each category of all lists to its class_id, ids ascending."""
  ids: dict[str, int] = {}
  for name, classes in _CLASSES.items():
    path = folder / f'{name}.txt'
    categories = sorted(read_fss_list(path))
    if len(categories) > len(classes):
      raise InputError(
        f'{path}: {len(categories)} categories, more than the {len(classes)} of the published list;'
        ' put that back'
      )
    for class_id, category in zip(classes, categories, strict=False):
      # A class in two lists would be trained as well as tested on.
      if category in ids:
        raise InputError(f'{path}: {category} is in another list of {folder}, too; keep it in one')
      ids[category] = class_id
  return ids


def _read_gray(path: images.PathLike) -> UInt8[np.ndarray, 'h w']:
  # As published: a mask in color counts by its luminance.
  return np.asarray(Image.fromarray(images.read_image(path, upright=False)).convert('L'))
