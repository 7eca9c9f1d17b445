"""Writes what a prediction found, under names that nothing else has, and tells what was done."""

import errno
import hashlib
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_pipelines.reading.files import RESULT_ENDINGS
from experiments.evaluation.prediction.queries import LeftOut, Query, digest_of
from experiments.evaluation.prediction.segmenting import Segmented
from experiments.evaluation.prediction.summary import Result, files_of
from experiments.reporting.pictures import overlay
from experiments.storage.results import write_png
from hsnet_jax.errors import InputError
from hsnet_jax.models import Model, digest

_NAMED = 3  # So many files make a message.
_MASK = f'{RESULT_ENDINGS[0]}.png'


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


def write_results(found: Segmented, folder: pathlib.Path, *, of: dict[str, Any]) -> Result:
  """Writes a mask and an overlay, under names that no other result and no one else's file has.

  Args:
    found: what was found.
    folder: where results go.
    of: what they are results of, from `describe`.

  Returns:
    What was found, and the files: `NAME_predicted.png` and `NAME_overlay.png`, or both with a
    number. Not `NAME_mask.png`, which is a mask that was drawn for NAME. The mask comes last: where
    it is, the picture is done.

  Raises:
    InputError: no file can have such a name.
  """
  of = {**of, 'query': digest_of(found.query)}
  area = np.count_nonzero(found.mask) / found.mask.size
  mask, drawn = files_of(found.query, folder, of=of)
  result = Result(found.query, mask, drawn, area, found.confidence, found.presence)
  try:
    write_png(drawn, Image.fromarray(overlay(found.image, found.mask)), of=of)
    white = Image.fromarray(found.mask * np.uint8(255))
    write_png(mask, white, of=of, found=result.figures)
  except OSError as error:
    if error.errno != errno.ENAMETOOLONG:
      raise
    raise InputError(
      f'{found.query}: its name is too long, with what those of results end in; give it a shorter'
    ) from error
  return result


class Outcome:
  """Counts what a prediction did, and tells it.

  Attributes:
    results: what was found in each picture that is done, now or by an earlier run.
  """

  def __init__(self, folder: pathlib.Path, left: LeftOut, done: Mapping[Query, Result]):
    """Begins with what an earlier run has done.

    Args:
      folder: where results go.
      left: what was no query.
      done: what is there already.
    """
    self.results: dict[Query, Result] = dict(done)
    self._folder, self._left, self._passed = folder, left, len(done)
    self._failed: list[Query] = []

  def add(self, result: Result) -> None:
    """Counts a query that is done."""
    self.results[result.query] = result

  def failed(self, query: Query, error: InputError) -> None:
    """Warns of a query that is not done, and counts it."""
    warnings.warn(f'not done: {error}', stacklevel=2)
    self._failed.append(query)

  def tell(self) -> None:
    """Prints what was done, and raises InputError if a query was not."""
    results = self.results.values()
    renamed = [r.mask for r in results if r.mask.name != f'{r.query.name.name}{_MASK}']
    empty = [r.query for r in results if not r.area]
    earlier = f', {self._passed} of them from earlier' if self._passed else ''
    print(f'{len(results)} masks and overlays are in {self._folder}{earlier}')
    if renamed:
      print(
        f'{len(renamed)} of them have a number, since other results or files changed by hand'
        f' are there: {_few(renamed)}'
      )
    if str(self._left):
      print(f'left out: {self._left}')
    if empty and len(empty) == len(results):
      warnings.warn(
        'no object was found: every mask is empty; look whether the support masks show it, and'
        ' whether `image_size` is what the checkpoint was trained with; a lower'
        ' `presence_threshold` leaves fewer masks empty',
        stacklevel=2,
      )
    elif empty:
      print(
        f'no object was found in {len(empty)}, whose masks are empty: {_few(empty)};'
        ' a lower --presence_threshold leaves fewer empty, -1 none'
      )
    if self._failed:
      total = len(results) + len(self._failed)
      raise InputError(
        f'{len(self._failed)} of {total} queries are not done: {_few(self._failed)}; all others are'
      )


def _few(paths: Sequence[object]) -> str:
  """Names the first few of many."""
  return ', '.join(map(str, paths[:_NAMED])) + (', ...' if len(paths) > _NAMED else '')
