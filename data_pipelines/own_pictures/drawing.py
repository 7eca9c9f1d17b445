"""Draws the labels of a user's own pictures, in one way whatever tool the outlines are from."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from data_pipelines.own_pictures.layouts import OPEN
from data_pipelines.reading.images import Encoded, png_bytes
from data_pipelines.reading.outlines import Object, drawn_dtype, over, paint
from hsnet_jax.errors import InputError

# LabelMe's own names of what is no class, by the values in a label.
NO_CLASS: Mapping[int, str] = {0: '_background_', OPEN: '__ignore__'}


def no_class(name: str) -> int | None:
  """Returns the value in a label of what bears a name that is no class; None for a class."""
  return next((value for value, known in NO_CLASS.items() if known == name), None)


def draw_label(
  where: str, objects: Iterable[Object], *, size: tuple[int, int], class_names: Sequence[str]
) -> Encoded:
  """Draws the label of one picture, which shows every class that is drawn in it.

  Args:
    where: the file and the picture in it, for messages.
    objects: all of the picture's; 0 for what is background, class_id + 1, or `OPEN` for what
      figures leave out.
    size: (height, width).
    class_names: the name of each class_id.

  Returns:
    The label as PNG.

  Raises:
    InputError: a class is drawn that no pixel is left of.
  """
  objects = list(objects)
  is_open = any(o.value == OPEN for o in objects)
  dtype = np.uint16 if is_open else drawn_dtype(len(class_names))
  label = paint(objects, size=size, dtype=dtype)
  for value in sorted({o.value for o in objects}.difference(NO_CLASS)):
    if not (label == value).any():
      hidden = _by_what(over(label, [o for o in objects if o.value == value]), class_names)
      raise InputError(
        f'{where}: no pixel is left of {class_names[value - 1]!r}, {hidden}; draw it again or take'
        ' it out'
      )
  return png_bytes(label, name=f'{where}: label')


def _by_what(found: np.ndarray, class_names: Sequence[str]) -> str:
  """Says what lies where a class was drawn, the most of it first."""
  if not found.size:
    return 'whose outline holds none'
  values, counts = np.unique(found, return_counts=True)
  named = [NO_CLASS.get(v) or class_names[v - 1] for v in values[np.argsort(-counts)].tolist()]
  return f'which {" and ".join(map(repr, named))} covers'
