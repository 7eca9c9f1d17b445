"""Writes what a prediction found, under names that nothing else has, and tells what was done."""

import errno
import hashlib
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_pipelines.reading.files import RESULT_ENDINGS
from experiments.evaluation.prediction.queries import LeftOut, Query, digest_of
from experiments.evaluation.prediction.segmenting import Segmented
from experiments.reporting.pictures import overlay
from experiments.storage.results import find_place, numbered, write_png
from hsnet_jax.errors import InputError
from hsnet_jax.models import Model, digest

_NAMED = 3  # So many files make a message.


def describe(
  model: Model,
  images: UInt8[np.ndarray, 'K H W 3'],
  masks: UInt8[np.ndarray, 'K H W'],
  *,
  tiles: int = 1,
  second_look: bool = False,
  combine: str = 'vote',
) -> dict[str, Any]:
  """Describes what predictions with a model and a support set are results of, for their marks."""
  supports = hashlib.sha256(images.tobytes())
  supports.update(masks.tobytes())
  presence = model.module.presence_threshold
  return {
    'command': 'predict',
    'backbone': model.backbone.name,
    'step': model.config.get('step'),
    'precision': model.config.get('precision', 'float32'),
    'mask_support': model.config.get('mask_support', True),
    'variables': digest(model.variables),
    'shots': len(images),
    'image_size': images.shape[1],
    'supports': supports.hexdigest(),
    **({'presence_threshold': presence} if presence is not None else {}),
    **({'tiles': tiles} if tiles > 1 else {}),
    **({'second_look': True} if second_look else {}),
    **({'combine': combine} if combine != 'vote' and len(images) > 1 else {}),
  }


def write_results(found: Segmented, folder: pathlib.Path, *, of: dict[str, Any]) -> pathlib.Path:
  """Writes a mask and an overlay, under names that no other result and no one else's file has.

  Args:
    found: what was found.
    folder: where results go.
    of: what they are results of, from `describe`.

  Returns:
    The mask's file: `NAME_predicted.png`, or with a number, as the overlay's. Not `NAME_mask.png`,
    which is a mask that was drawn for NAME.

  Raises:
    InputError: no file can have such a name.
  """
  of = {**of, 'query': digest_of(found.query)}
  name = folder / found.query.name

  def paths_of(number: int) -> list[pathlib.Path]:
    return [numbered(name.with_name(f'{name.name}{e}.png'), number) for e in RESULT_ENDINGS]

  mask_path, overlay_path = paths_of(find_place(paths_of, of=of))
  try:
    write_png(mask_path, Image.fromarray(found.mask * np.uint8(255)), of=of)
    write_png(overlay_path, Image.fromarray(overlay(found.image, found.mask)), of=of)
  except OSError as error:
    if error.errno != errno.ENAMETOOLONG:
      raise
    raise InputError(
      f'{found.query}: its name is too long, with what those of results end in; give it a shorter'
    ) from error
  return mask_path


class Outcome:
  """Counts what a prediction did, and tells it.

  Attributes:
    masks: the masks that were written.
  """

  def __init__(self, folder: pathlib.Path, left: LeftOut):
    """Begins with nothing done.

    Args:
      folder: where results go.
      left: what was no query.
    """
    self.masks: list[pathlib.Path] = []
    self._folder, self._left = folder, left
    self._failed: list[Query] = []
    self._renamed: list[pathlib.Path] = []
    self._empty: list[Query] = []

  def add(self, found: Segmented, path: pathlib.Path) -> None:
    """Counts a query that is done, whose mask is at a path."""
    self.masks.append(path)
    if not found.mask.any():
      self._empty.append(found.query)
    if path.name != f'{found.query.name.name}{RESULT_ENDINGS[0]}.png':
      self._renamed.append(path)

  def failed(self, query: Query, error: InputError) -> None:
    """Warns of a query that is not done, and counts it."""
    warnings.warn(f'not done: {error}', stacklevel=2)
    self._failed.append(query)

  def tell(self) -> None:
    """Prints what was done, and raises InputError if a query was not."""
    print(f'{len(self.masks)} masks and overlays are in {self._folder}')
    if self._renamed:
      print(
        f'{len(self._renamed)} of them have a number, since other results or files changed by hand'
        f' are there: {_few(self._renamed)}'
      )
    if str(self._left):
      print(f'left out: {self._left}')
    if self.masks and len(self._empty) == len(self.masks):
      warnings.warn(
        'no object was found: every mask is empty; look whether the support masks show it, and'
        ' whether `image_size` is what the checkpoint was trained with; a lower'
        ' `presence_threshold` leaves fewer masks empty',
        stacklevel=2,
      )
    elif self._empty:
      print(
        f'no object was found in {len(self._empty)}, whose masks are empty: {_few(self._empty)};'
        ' a lower --presence_threshold leaves fewer empty, -1 none'
      )
    if self._failed:
      total = len(self.masks) + len(self._failed)
      raise InputError(
        f'{len(self._failed)} of {total} queries are not done: {_few(self._failed)}; all others are'
      )


def _few(paths: Sequence[object]) -> str:
  """Names the first few of many."""
  return ', '.join(map(str, paths[:_NAMED])) + (', ...' if len(paths) > _NAMED else '')
