"""Segments pictures by supports that are encoded once each, whichever of them are in use.

A support is one class of one picture. What the network computes of it is kept, so that another
outline costs its own encoding alone.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

from experiments.labelling import pictures
from experiments.labelling.database import rows
from experiments.labelling.database.rows import Picture
from experiments.labelling.database.store import Store
from experiments.labelling.labels import decode_label
from experiments.serving.segmenting import segment
from hsnet_jax import Segmenter
from hsnet_jax.errors import InputError
from hsnet_jax.segmenter.pictures import resize_picture
from hsnet_jax.segmenter.segmenter import Fitted
from hsnet_jax.segmenter.supports import Supports

# (picture, revision of what was drawn on it, class number).
Key = tuple[str, int, int]


class Answer(NamedTuple):
  """Holds what the network found in a picture.

  Attributes:
    label: class numbers.
    confidence: the mean foreground probability of what is marked; 0 where nothing is.
    presence: how probable it is that one of the classes is there at all, 0 to 1.
  """

  label: UInt8[np.ndarray, 'h w']
  confidence: float
  presence: float


class Network:
  """Keeps a network, and its supports encoded.

  Args:
    segmenter: has seen no supports yet.
    most: how many supports of a class are used at a time, the latest.
  """

  def __init__(self, segmenter: Segmenter, *, most: int):
    """Begins without supports."""
    self._segmenter, self._most = segmenter, most
    self._encoded: dict[Key, Fitted] = {}
    self._warm: set[int] = set()

  def fit(self, store: Store, folder: pathlib.Path) -> tuple['Fit | None', str | None]:
    """Encodes the supports that are new.

    Args:
      store: says which pictures are supports, and has their masks.
      folder: where the pictures lie.

    Returns:
      What segments by them, None where there are none; and why some are left out, in a line.
    """
    used = store.read(rows.supports)
    used.sort(key=lambda one: one.drawn_revision, reverse=True)
    chosen: dict[int, list[Key]] = {}
    problem = None
    for one in used:
      open_classes = [n for n in one.areas if len(chosen.get(n, ())) < self._most]
      try:
        for number in self._encode(store, folder, one, open_classes):
          chosen.setdefault(number, []).append((one.name, _version(one), number))
      except InputError as error:
        problem = f'left out as a support: {error}'
    keys = [key for number in sorted(chosen) for key in reversed(chosen[number])]
    kept = {(one.name, _version(one)) for one in used}
    self._encoded = {key: fit for key, fit in self._encoded.items() if key[:2] in kept}
    return (self._join(keys) if keys else None), problem

  def _encode(
    self, store: Store, folder: pathlib.Path, one: Picture, numbers: Sequence[int]
  ) -> list[int]:
    """Encodes classes of a picture; returns those that there are."""
    new = [n for n in numbers if (one.name, _version(one), n) not in self._encoded]
    if new:
      now, mask = store.shown(one.name)
      if mask is None or _version(now) != _version(one):
        return []  # Drawn again meanwhile: another round comes.
      image = pictures.read_picture(pictures.read_file(folder, one.name))
      label = decode_label(mask)
      if label.shape != image.shape[:2]:
        raise InputError(f'{one.name}: has another size than its mask now')
      for number in new:
        self._encoded[one.name, _version(one), number] = self._fit(image, label == number, number)
    return [n for n in numbers if (one.name, _version(one), n) in self._encoded]

  def _fit(self, image: np.ndarray, mask: np.ndarray, number: int) -> Fitted:
    """Encodes a support; from a segmenter that is fitted, with which it shares its weights."""
    self._segmenter = self._segmenter.fit([image], [mask], [_name(number)])
    assert self._segmenter.fitted is not None
    return self._segmenter.fitted

  def _join(self, keys: Sequence[Key]) -> 'Fit':
    numbers = sorted({number for _, _, number in keys})
    parts = [[self._encoded[key] for key in keys if key[2] == number] for number in numbers]
    return Fit(self._joined(parts, numbers), tuple(numbers), tuple(map(len, parts)))

  def _joined(self, parts: Sequence[Sequence[Fitted]], numbers: Sequence[int]) -> Segmenter:
    flat = [fitted for several in parts for fitted in several]
    ids = np.repeat(np.arange(len(parts)), [len(several) for several in parts])
    supports = Supports(
      tuple(map(_name, numbers)),
      np.concatenate([one.supports.images for one in flat]),
      np.concatenate([one.supports.masks for one in flat]),
      ids,
    )
    sets = tuple(
      # By NumPy: JAX would compile it for each number of supports.
      jax.device_put(jax.tree.map(lambda *x: np.concatenate(x), *[one.sets[0] for one in several]))
      for several in parts
    )
    fitted = Fitted(supports, flat[0].variables, sets)
    return dataclasses.replace(self._segmenter, fitted=fitted)

  def warm_up(self, size: tuple[int, int], *, supports: int = 1) -> None:
    """Compiles the programs for so many supports of a class, before anyone waits for them.

    Args:
      size: (height, width) of a picture, such as the folder's first.
      supports: how many.
    """
    supports = min(supports, self._most)
    if supports in self._warm:
      return
    image = np.zeros((*size, 3), np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 4 : -(size[0] // 4) or None, size[1] // 4 : -(size[1] // 4) or None] = 1
    fitted = self._fit(image, mask, 1)
    Fit(self._joined([[fitted] * supports], [1]), (1,), (supports,)).predict(image)
    self._warm.add(supports)


@dataclasses.dataclass(frozen=True)
class Fit:
  """Segments by supports.

  Attributes:
    segmenter: fitted.
    numbers: the class number of each of its classes.
    counts: how many supports of each.
  """

  segmenter: Segmenter
  numbers: tuple[int, ...]
  counts: tuple[int, ...]

  def predict(self, image: UInt8[np.ndarray, 'h w 3']) -> Answer:
    """Finds the classes in a picture.

    Masks are those of `Segmenter.predict`, by way of `serving.segmenting`, for a third of its time
    on large photographs.
    """
    segmenter, size = self.segmenter, (image.shape[0], image.shape[1])
    small = resize_picture(image, (segmenter.image_size, segmenter.image_size))
    (found,) = segment(segmenter, small[None], [size])
    table = np.array([0, *self.numbers], np.uint8)
    total = sum(one.area * one.confidence for one in found.classes)
    areas = sum(one.area for one in found.classes)
    presence = max(one.presence for one in found.classes)
    return Answer(table[found.label], total / max(areas, 1), presence)


def _version(one: Picture) -> int:
  """Returns what tells one mask of a picture from another: below 0 where the network found it."""
  return one.drawn_revision if one.state == 'drawn' else -(one.run or 0)


def _name(number: int) -> str:
  """Names a class so that names sort as numbers do."""
  return f'{number:03d}'
