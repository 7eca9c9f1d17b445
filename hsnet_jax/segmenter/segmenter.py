"""Defines the one object of the library, for people with pictures; over its pure functions."""

import dataclasses
import math
import os
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hsnet_jax.backbones.backbone import Backbone
from hsnet_jax.errors import InputError
from hsnet_jax.inference import SupportSet, combination
from hsnet_jax.model import fold_backbone
from hsnet_jax.models import Model, check_image_size, load_model
from hsnet_jax.segmenter import programs, stored
from hsnet_jax.segmenter.found import Found
from hsnet_jax.segmenter.pictures import Picture, read_picture, resize_picture
from hsnet_jax.segmenter.supports import Supports, read_supports

_PUBLISHED_SIZE = 400
_ENDINGS = frozenset(
  ('.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
)


class Fitted(NamedTuple):
  """Holds what `fit` makes.

  Attributes:
    supports: as the network sees them.
    variables: the network's, to segment with (`fold_backbone`).
    sets: of each class, its supports, encoded.
  """

  supports: Supports
  variables: dict[str, Any]
  sets: tuple[SupportSet, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Segmenter:
  """Finds in pictures what supports show: `fit` takes those, `predict` a picture.

  Pictures are paths, Pillow images (both turned upright) or uint8 arrays `[h, w, 3]`; gray ones and
  those with transparency are taken as well. Nothing of a segmenter changes: `fit` returns another
  one, which shares the network. So several can be fitted with one network, each to its own objects,
  and one that is given away does not change behind anyone's back. The masks are those that
  `experiments.predict` writes for the same picture and supports.

  Attributes:
    model: the network.
    image_size: side of the squares that the network sees.
    support_margin: how far beyond its object a support is cut (`object_slices`); None: nowhere.
    combine: how several supports make one mask, of `hsnet_jax.inference.COMBINATIONS`.
    fitted: what `fit` has made; None before.
  """

  model: Model = dataclasses.field(repr=False)
  image_size: int
  support_margin: float | None
  combine: str
  fitted: Fitted | None = dataclasses.field(default=None, repr=False)

  @classmethod
  def from_pretrained(
    cls,
    model: str | os.PathLike | Model,
    *,
    image_size: int | None = None,
    support_margin: float | None = None,
    combine: str | None = None,
    presence_threshold: float | None = None,
    backbone: Backbone | None = None,
    precision: str | None = None,
  ) -> 'Segmenter':
    """Makes a segmenter of a trained network; it has seen no supports yet.

    Args:
      model: what `load_model` takes: 'photos', which comes with the package, a checkpoint's folder,
        a run's, or a `.safetensors`; or a `Model` itself.
      image_size: side of the squares that the network sees; by default what it was trained with.
      support_margin: how far beyond its object a support is cut, as a share of the object's extent;
        below 0 supports stay whole; by default as in training.
      combine: of `hsnet_jax.inference.COMBINATIONS`, as 'vote' or 'mean'; by default as the model
        says.
      presence_threshold: how like the object, as a cosine, must be what is found, for anything to
        be marked in a picture: higher leaves more pictures empty, -1 none; by default as the model
        says.
      backbone: the model's backbone, where it is one of your own and the model is a file.
      precision: 'float32' or 'bfloat16', in place of its own, where the model is a file.

    Returns:
      The segmenter.

    Raises:
      InputError: there is no such model, or an option does not fit it.
    """
    if isinstance(model, Model):
      _refuse_for_model(backbone=backbone, precision=precision)
    else:
      model = load_model(model, backbone=backbone, precision=precision)
    if presence_threshold is not None:
      model = model.with_presence(presence_threshold)
    size = image_size or model.config.get('image_size') or _PUBLISHED_SIZE
    margin = model.config.get('support_margin') if support_margin is None else support_margin
    by = combine or model.config.get('combine', 'vote')
    combination(by)
    if size < 1 or not math.isfinite(margin or 0):
      raise InputError(f'`image_size` is {size}, `support_margin` {margin}; give positive numbers')
    if size != model.config.get('image_size'):
      check_image_size(model.module, model.variables, size)
    return cls(model, size, None if margin is None or margin < 0 else float(margin), by)

  @classmethod
  def load(cls, path: str | os.PathLike, *, backbone: Backbone | None = None) -> 'Segmenter':
    """Loads a fitted segmenter that `save` wrote; it predicts the same, bit for bit.

    Args:
      path: the `.safetensors`. It is data alone: no code is in it, and none is run.
      backbone: the network's backbone, where it is one of your own.

    Returns:
      The segmenter.

    Raises:
      InputError: the file is missing, damaged, of another kind, or holds a network alone.
    """
    model, supports = stored.read_segmenter(path, backbone=backbone)
    return cls.from_pretrained(model)._fit(supports)

  @property
  def classes(self) -> tuple[str, ...]:
    """Returns the names of the classes that `fit` was given, sorted; raises before `fit`."""
    return self._fitted().supports.classes

  def fit(
    self, images: Sequence[Picture], masks: Sequence[Picture], classes: Sequence[str] | None = None
  ) -> 'Segmenter':
    """Encodes supports, once for any number of pictures.

    Everything is read and checked before anything is computed. `fit` learns no parameters, and what
    was fitted before does not count.

    Args:
      images: the supports, K pictures.
      masks: where the object is in each: paths, Pillow images, or bool or whole numbers `[h, w]`.
        Everything but 0 is the object; in files and Pillow images, whatever is shown in another
        color than black. JSON of LabelMe or COCO, PASCAL's boundaries and soft edges are for
        `experiments.predict`.
      classes: the name of each support's class; without it all are of one.

    Returns:
      A fitted segmenter.

    Raises:
      InputError: there are no supports, not as many masks or classes, a file that cannot be read, a
        mask of another size than its image's, or one without an object.
    """
    size = self.image_size, self.image_size
    return self._fit(
      read_supports(images, masks, classes=classes, size=size, margin=self.support_margin)
    )

  def predict(self, picture: Picture) -> Found:
    """Finds the classes in one picture.

    Args:
      picture: a path, a Pillow image, or uint8 `[h, w, 3]`.

    Returns:
      What was found, at the picture's own size.

    Raises:
      InputError: `fit` was not called, or the picture cannot be read.
    """
    self._fitted()
    image = read_picture(picture, name='the picture')
    return self._predict([(image, _path_of(picture))])[0]

  def predict_folder(
    self, folder: str | os.PathLike, *, recursive: bool = False, batch_size: int = 1
  ) -> Iterator[Found]:
    """Finds the classes in each picture of a folder, one after the other.

    Pictures are what is named .jpg, .png, .tif and so on, but for hidden files; masks among them
    are pictures too. A picture is read when its turn comes, so a folder may be larger than the
    memory. One that cannot be read is named in a warning, and the others are done.

    Args:
      folder: where the pictures are.
      recursive: whether to go into folders of folders.
      batch_size: how many pictures go through the network at a time. On a CPU more than one are no
        faster; on a GPU they may be, and results differ from those of `predict` by rounding.

    Returns:
      What was found in each, in the order of the paths, each with its `path`.

    Raises:
      InputError: `fit` was not called, or there is no such folder or no picture in it.
    """
    self._fitted()
    if batch_size < 1:
      raise InputError(f'`batch_size` is {batch_size}; it must be at least 1')
    return self._predict_files(_pictures_in(folder, recursive=recursive), batch_size)

  def save(self, path: str | os.PathLike) -> None:
    """Saves network and supports as one `.safetensors`, whole or not at all.

    It holds the support pictures themselves, at the size that the network sees: `4 * S * S` bytes
    each, 0.4 MB with 'photos', whose network takes 18 MB. Whoever gets the file can look at them.

    Args:
      path: the file; an existing one is replaced.

    Raises:
      InputError: `fit` was not called, or the file cannot be written.
    """
    settings = {name: getattr(self, name) for name in ('image_size', 'support_margin', 'combine')}
    stored.write_segmenter(path, self.model, self._fitted().supports, settings=settings)

  def _fitted(self) -> Fitted:
    if self.fitted is None:
      raise InputError(
        'this segmenter has seen no supports; `fit` returns one that has and leaves this as it is:'
        ' `segmenter = segmenter.fit(images, masks)`'
      )
    return self.fitted

  def _fit(self, supports: Supports) -> 'Segmenter':
    """Encodes supports that were read."""
    module = self.model.module
    if self.fitted is not None:  # Folded before: one copy for all that share the network.
      variables = self.fitted.variables
    else:
      variables = fold_backbone(self.model.variables, backbone=self.model.backbone)
    sets = []
    for class_id in range(len(supports.classes)):
      own = supports.class_ids == class_id
      given = jax.device_put((supports.images[own], supports.masks[own]))
      sets.append(programs.encode_supports(module, variables, *given))
    return dataclasses.replace(self, fitted=Fitted(supports, variables, tuple(sets)))

  def _predict(
    self,
    pictures: Sequence[tuple[np.ndarray, pathlib.Path | None]],
    *,
    rows: int = 1,
  ) -> list[Found]:
    """Finds the classes in several pictures at a time; copies fill `rows` up."""
    fitted, module = self._fitted(), self.model.module
    size = self.image_size, self.image_size
    small = [resize_picture(image, size) for image, _ in pictures]
    batch = jax.device_put(np.stack(small + small[-1:] * (rows - len(small))))
    features = programs.encode(module, fitted.variables, batch)
    logits = [programs.match(module, fitted.variables, features, one) for one in fitted.sets]
    if self.combine != 'vote':
      logits = [programs.merge(one, by=self.combine) for one in logits]
    presences = np.stack([np.asarray(programs.score_presence(one)) for one in logits], axis=1)
    return [
      _found(logits, row, image.shape[:2], fitted.supports.classes, presences[row], path)
      for row, (image, path) in enumerate(pictures)
    ]

  def _predict_files(self, paths: Sequence[pathlib.Path], batch_size: int) -> Iterator[Found]:
    for start in range(0, len(paths), batch_size):
      pictures = _readable(paths[start : start + batch_size])
      if pictures:
        yield from self._predict(pictures, rows=batch_size)


def _found(
  logits: Sequence[Any],
  row: int,
  size: tuple[int, int],
  classes: tuple[str, ...],
  presences: np.ndarray,
  path: pathlib.Path | None,
) -> Found:
  """Brings logits of each class to a picture's own size, and says which class is where."""
  inside = np.s_[: size[0], : size[1]]  # Of canvases that many sizes share.
  masks, margins, probabilities = [], [], []
  for one in logits:
    margin, probability = programs.resized_margin(one, row, size=size)
    masks.append(np.asarray(programs.resized_mask(one, row, size=size))[inside])
    margins.append(np.asarray(margin)[inside])
    probabilities.append(np.asarray(probability)[inside])
  # As arrays of their own: views would hold the canvases.
  each = np.stack(masks)
  highest = np.where(each > 0, np.stack(margins), -np.inf).argmax(axis=0)
  label = np.where(each.any(axis=0), highest + 1, 0).astype(np.uint8)
  scores = tuple(float(score) for score in presences)
  return Found(classes, label, each, np.stack(probabilities), scores, path)


def _refuse_for_model(**given: Any) -> None:
  """Refuses what is settled when a `Model` is made."""
  for name, value in given.items():
    if value is not None:
      raise InputError(
        f'`{name}` is not for a `Model`, which has its own; give it to `load_model'
        f'(path, {name}=...)`'
      )


def _path_of(picture: Picture) -> pathlib.Path | None:
  is_path = isinstance(picture, str | os.PathLike)
  return pathlib.Path(os.path.expanduser(picture)) if is_path else None


def _readable(paths: Sequence[pathlib.Path]) -> list[tuple[np.ndarray, pathlib.Path | None]]:
  """Reads pictures, and warns of those that cannot be."""
  read = []
  for path in paths:
    try:
      read.append((read_picture(path, name=str(path)), path))
    except InputError as error:
      warnings.warn(f'left out: {error}', stacklevel=3)
  return read


def _pictures_in(folder: str | os.PathLike, *, recursive: bool) -> list[pathlib.Path]:
  """Lists the pictures of a folder, sorted by their paths."""
  top = pathlib.Path(os.path.expanduser(folder))
  if not top.is_dir():
    raise InputError(f'{top}: there is no such folder')
  found = []
  for at, folders, files in os.walk(top):
    folders[:] = [name for name in folders if recursive and not name.startswith('.')]
    paths = [pathlib.Path(at, name) for name in files if not name.startswith('.')]
    found += [path for path in paths if path.suffix.lower() in _ENDINGS]
  if not found:
    raise InputError(
      f'{top}: no picture in this folder' + ('' if recursive else ', subfolders aside')
    )
  return sorted(found)
