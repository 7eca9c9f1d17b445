"""Makes a benchmark, `folder`, of a user's own pictures, with the same commands as the published.

How they are laid out, `recognition` finds out: a folder of pictures and masks for each class, or
what an annotation tool exports. docs/own_pictures.md explains the layouts to their users.
"""

import functools
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Integer
from PIL import Image

from data_pipelines.benchmark import Benchmark
from data_pipelines.own_pictures.class_folders import ClassFolders, decode_mask
from data_pipelines.own_pictures.layouts import OPEN, Layout
from data_pipelines.own_pictures.recognition import open_layout
from data_pipelines.reading import images
from data_pipelines.reading.arrays import Pair
from data_pipelines.reading.files import AnyPath
from data_pipelines.reading.images import Source
from data_pipelines.splits import Split, take_turns
from hsnet_jax.errors import InputError

FOLDS = 4


class Folder(Benchmark):
  """Makes a user's own pictures a benchmark; see `data_pipelines.benchmark.Benchmark`.

  Class c is tested in fold `c % num_folds`, of which there are four or as many as classes. 'val'
  has all images of the fold's classes, 'trn' those of the others; an image that shows classes of
  both is in both, under the class of each, as in PASCAL-5i. Classes take turns in the lists, so
  that the first episodes are spread over all of them.

  Photographs are turned upright. `boundary` is 65535 where masks are the user's own, which may
  leave an outline open as PASCAL's do, and where a layout says so; else there is none.

  Args:
    data_dir: the folder; may begin with `~`.
    splits_dir: must be None: the folds are made here.

  Raises:
    InputError: the folder is in none of the layouts, or something in it is amiss.
  """

  name = 'folder'
  published_count = None

  def __init__(self, data_dir: AnyPath, splits_dir: AnyPath | None = None):
    """Looks the folder through; opens no picture."""
    if splits_dir is not None:
      raise InputError('benchmark folder makes its own folds: leave out `splits_dir`')
    layout = open_layout(Path(os.path.expanduser(data_dir)))
    self._layout: Layout | None = layout
    self._describe(layout.kind, layout.class_names, layout.items, layout.boundary)

  @classmethod
  def from_description(cls, description: Mapping[str, Any]) -> Self:
    """Makes the lists and `decode` of a folder that is not at hand.

    Args:
      description: what `description()` gave.

    Raises:
      InputError: it is no such thing.
    """
    folder = cls.__new__(cls)
    folder._layout = None
    try:
      items = [(name, class_id) for name, class_id in description['items']]
      kind = description['layout']
      # Drawn sets of version 0.2 do not say it: they had none.
      boundary = OPEN if kind == ClassFolders.kind else description.get('boundary')
      folder._describe(kind, description['class_names'], items, boundary)
    except (KeyError, TypeError, ValueError) as error:
      raise InputError(f'no description of a folder ({error!r}); prepare it again') from error
    return folder

  def description(self) -> dict[str, Any]:
    """Describes all but the pictures: layout, class names, and the images with their classes."""
    open_in_drawn = self.boundary is not None and self._kind != ClassFolders.kind
    return {
      'layout': self._kind,
      'class_names': list(self.class_names),
      'items': [list(item) for item in self._items],
      # Left out where there is none, so that sets prepared before are still those of their folder.
      **({'boundary': self.boundary} if open_in_drawn else {}),
    }

  def test_classes(self, fold: int, split: str = 'val') -> tuple[int, ...]:
    """See `Benchmark.test_classes`: every so many-th class, so that none is left out."""
    self.check_split(fold, split)
    return tuple(range(fold, self.num_classes, self.num_folds))

  def split(self, fold: int, name: str) -> Split:
    """See `Benchmark.split`; raises InputError for 'trn' where there is one class alone."""
    if name == 'trn' and self.num_classes == 1:
      raise InputError(
        f'the folder has one class alone, {self.class_names[0]!r}, and training needs others than'
        ' the one it is tested on: add a class, or give a trained network to'
        " experiments.evaluate's or experiments.predict's `checkpoint`"
      )
    self.check_split(fold, name)
    held = self.test_classes(fold)
    items = tuple(item for item in self._items if (item[1] in held) == (name == 'val'))
    return Split(f'{self.name} fold {fold} {name}', items, self.class_names)

  def encoded(self, image_name: str) -> tuple[Source, Source]:
    """See `Benchmark.encoded`: the photograph; the user's mask, or the label drawn."""
    if self._layout is None:
      raise InputError(f'{image_name}: its folder is not at hand; give `data_dir`')
    if image_name not in self._classes_of:
      raise InputError(f'folder has no image {image_name!r}; check the name')
    return self._layout.encoded(image_name)

  def decode(self, image_name: str, image: Source, mask: Source) -> Pair:
    """See `Benchmark.decode`; a label without a class that is listed is an InputError."""
    read = _read_drawn
    if self._kind == ClassFolders.kind:
      (class_id,) = self._classes_of[image_name]
      read = functools.partial(decode_mask, class_id=class_id, tell=self._tell)
    pair = images.read_pair(image, mask, upright=True, read=read)
    for class_id in self._classes_of.get(image_name, ()):
      # Else a figure would be made of an object that is not there.
      if not (pair[1] == class_id + 1).any():
        raise InputError(
          f'{mask}: does not show class {self.class_names[class_id]!r} ({class_id + 1}) that'
          f' {image_name} is listed under; draw it again or take it out'
        )
    return pair

  def _tell(self, doubt: str) -> None:
    """Warns once of a mask, however often and in however many threads it is read."""
    first = object()
    if self._told.setdefault(doubt, first) is first:
      warnings.warn(doubt, stacklevel=2)

  def _describe(
    self,
    kind: str,
    class_names: Sequence[str],
    items: Sequence[tuple[str, int]],
    boundary: int | None,
  ) -> None:
    self._kind = kind
    self._told: dict[str, object] = {}
    self.class_names = tuple(class_names)
    self.num_classes = len(self.class_names)
    self.num_folds = min(FOLDS, self.num_classes)
    self.splits = Benchmark.splits if self.num_classes > 1 else ('val',)
    self.boundary = boundary
    self._items = take_turns(items)
    self._classes_of: dict[str, list[int]] = {}
    for name, class_id in self._items:
      self._classes_of.setdefault(name, []).append(class_id)


def _read_drawn(mask: images.PathLike) -> Integer[np.ndarray, 'h w']:
  """Reads a label as it was drawn, of 8 or 16 bits."""
  if isinstance(mask, images.Encoded):
    with Image.open(io.BytesIO(mask.data)) as label:
      if label.mode == 'I;16':
        return np.asarray(label)
  return images.read_label(mask)
