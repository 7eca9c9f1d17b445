"""Draws episodes: masks laid over photographs, and a grid of them beside the figures.

Images are uint8 `[h, w, 3]`, masks {0, 1} `[h, w]`.
"""

import dataclasses
import functools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from hsnet_jax.whole_files import replacing

# Told apart by people of any color vision (Okabe and Ito's palette).
SUPPORT = (86, 180, 233)
PREDICTION = (230, 120, 0)
TRUTH = (0, 158, 115)
_OPEN = (200, 200, 200)
_PAPER = (255, 255, 255)
_INK = (40, 40, 40)
_STRIP = 2**20  # Pixels that are drawn on together.
_GAP = 6
_LINE = 22

Pixels = UInt8[np.ndarray, 'h w 3']
Mask = Integer[np.ndarray, 'h w']


@dataclasses.dataclass(frozen=True)
class Panel:
  """Shows one episode of a grid.

  Attributes:
    supports: the support images, each with its mask.
    query: the query image.
    prediction: the predicted mask.
    target: the true mask.
    ignore: 1 where the truth is open.
    caption: the class and the episode's IoU.
  """

  supports: Sequence[tuple[np.ndarray, np.ndarray]]
  query: np.ndarray
  prediction: np.ndarray
  target: np.ndarray
  ignore: np.ndarray
  caption: str


def overlay(
  image: Pixels,
  mask: Mask,
  *,
  color: tuple[int, int, int] = PREDICTION,
  strength: float = 0.5,
  dim: float = 0.0,
) -> Pixels:
  """Tints the foreground of an image, and draws its outline at full strength.

  Args:
    image: the image.
    mask: its mask.
    color: of the tint.
    strength: 0 leaves the foreground as it is, 1 covers it.
    dim: 0 leaves the background as it is, 1 blackens it.

  Returns:
    A new image.
  """
  # What becomes of each value of each channel: outside, on the outline, and inside of it.
  values, shade = np.arange(256.0), np.asarray(color, np.float64)[:, None]
  kinds = ((0.0, 1.0 - dim), (strength + (1.0 - strength), 1.0), (strength, 1.0))
  mixed = [light * (values + weight * (shade - values)) for weight, light in kinds]
  # By channel, then by kind and value.
  tables = np.rint(mixed).astype(np.uint8).swapaxes(0, 1).reshape(3, -1)
  drawn = np.empty_like(image)
  height, width = mask.shape
  rows = max(1, _STRIP // max(width, 1))
  for top in range(0, height, rows):
    part = slice(top, min(top + rows, height))
    kind = _kinds(mask, part.start, part.stop) * np.uint16(256)
    for channel, table in enumerate(tables):
      drawn[part, :, channel] = table[kind + image[part, :, channel]]
  return drawn


def _kinds(mask: np.ndarray, top: int, bottom: int) -> np.ndarray:
  """Returns of some rows of a mask what is outside, 0, on the outline, 1, and inside of it, 2."""
  above, below = max(top - 1, 0), min(bottom + 1, len(mask))
  missing = (1 - (top - above), 1 - (below - bottom))
  padded = np.pad(mask[above:below].astype(bool), (missing, (1, 1)), mode='edge')
  inside = padded[1:-1, 1:-1]
  core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
  return inside.astype(np.uint8) + (inside & core)


def save_image(path: str | os.PathLike, image: np.ndarray | Image.Image) -> None:
  """Writes an image, whole or not at all; arrays are uint8 `[h, w]` or `[h, w, 3]`."""
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  with replacing(path) as part:
    image.save(part)


def draw_grid(
  panels: Sequence[Panel], *, title: str, across: int = 2, cell: int = 176
) -> Image.Image:
  """Draws episodes as panels of three: support with mask, prediction, ground truth.

  Args:
    panels: the episodes, at least one.
    title: a line above them.
    across: panels side by side.
    cell: side of the squares that images are fitted into, pixels.

  Returns:
    The page.
  """
  across = min(across, len(panels))
  down = math.ceil(len(panels) / across)
  wide, high = 3 * cell + 3 * _GAP + 2 * _GAP, cell + _LINE + _GAP
  page = Image.new('RGB', (across * wide + _GAP, 2 * _LINE + 2 * _GAP + down * high), _PAPER)
  draw = ImageDraw.Draw(page)
  draw.text((_GAP, _GAP), title, fill=_INK, font=ImageFont.load_default(15))
  small = ImageFont.load_default(13)
  heads = (('support', SUPPORT), ('prediction', PREDICTION), ('ground truth', TRUTH))
  for column in range(across):
    for i, (head, color) in enumerate(heads):
      x = column * wide + _GAP + i * (cell + _GAP)
      draw.text((x, _LINE + _GAP), head, fill=color, font=small)
  for number, panel in enumerate(panels):
    x = number % across * wide + _GAP
    y = number // across * high + 2 * _LINE + _GAP
    for i, image in enumerate(_cells(panel, cell)):
      page.paste(image, (x + i * (cell + _GAP), y))
    draw.text((x, y + cell + 2), panel.caption, fill=_INK, font=small)
  return page


def read_shown(image: str | os.PathLike, mask: str | os.PathLike) -> list[np.ndarray]:
  """Reads an image, uint8 `[h, w, 3]`, and a mask, 1 where that is not black, to draw."""
  with Image.open(image) as pixels, Image.open(mask) as drawn:
    return [
      np.asarray(pixels.convert('RGB')),
      (np.asarray(drawn.convert('L')) > 0).astype(np.uint8),
    ]


def draw_predictions(
  rows: Sequence[tuple[Sequence[np.ndarray], Sequence[Sequence[np.ndarray]]]],
  *,
  title: str,
  cell: int = 240,
) -> Image.Image:
  """Draws supports and what was found by each, a line each.

  Args:
    rows: of each line the support's image and mask, and images and predicted masks.
    title: a line above them.
    cell: side of the squares that images are fitted into, pixels.

  Returns:
    The page.
  """
  look = functools.partial(overlay, strength=0.4, dim=0.5)
  lines = [
    [_fit(look(*support, color=SUPPORT), cell), *(_fit(look(*one), cell) for one in found)]
    for support, found in rows
  ]
  heights = [max(_height(one[0], cell) for one in (support, *found)) for support, found in rows]
  step, top = cell + _GAP, 2 * _LINE
  width = max(map(len, lines)) * step + _GAP
  page = Image.new('RGB', (width, top + sum(heights) + len(rows) * _GAP), _PAPER)
  draw = ImageDraw.Draw(page)
  draw.text((_GAP, _GAP), title, fill=_INK, font=ImageFont.load_default(15))
  small = ImageFont.load_default(13)
  for i, (head, color) in enumerate((('support', SUPPORT), ('prediction', PREDICTION))):
    draw.text((_GAP + i * step, _LINE + _GAP), head, fill=color, font=small)
  for line, height in zip(lines, heights, strict=True):
    for i, image in enumerate(line):
      page.paste(image.crop((0, 0, cell, height)), (_GAP + i * step, top))
    top += height + _GAP
  return page


def draw_sheet(
  thumbnails: Sequence[tuple[Image.Image, str]], *, title: str, across: int = 6, cell: int = 176
) -> Image.Image:
  """Draws pictures side by side, each with a line under it.

  Args:
    thumbnails: pictures no larger than `cell`, at least one, each with its line.
    title: a line above them.
    across: pictures side by side.
    cell: side of the squares that pictures lie in, pixels.

  Returns:
    The page.
  """
  across = min(across, len(thumbnails))
  wide, high = cell + _GAP, cell + _LINE + _GAP
  down = math.ceil(len(thumbnails) / across)
  page = Image.new('RGB', (across * wide + _GAP, _LINE + 2 * _GAP + down * high), _PAPER)
  draw = ImageDraw.Draw(page)
  draw.text((_GAP, _GAP), title, fill=_INK, font=ImageFont.load_default(15))
  small = ImageFont.load_default(13)
  for number, (image, line) in enumerate(thumbnails):
    x = number % across * wide + _GAP
    y = number // across * high + _LINE + 2 * _GAP
    page.paste(image, (x + (cell - image.width) // 2, y + (cell - image.height) // 2))
    draw.text((x, y + cell + 2), _cut(line, cell, small), fill=_INK, font=small)
  return page


def _cut(line: str, width: int, font: Any) -> str:
  """Cuts a line's beginning off where it is too long."""
  length = font.getlength(line)
  if length <= width:
    return line
  # About so many letters are too many: to try them all takes long.
  first = int(len(line) * (1 - width / length))
  shorter = (f'...{line[at:]}' for at in range(first, len(line)))
  return next((text for text in shorter if font.getlength(text) <= width), '')


def _cells(panel: Panel, cell: int) -> list[Image.Image]:
  look = functools.partial(overlay, strength=0.4, dim=0.5)
  truth = look(panel.query, panel.target, color=TRUTH)
  truth = overlay(truth, panel.ignore, color=_OPEN, strength=0.7)
  supports = [look(image, mask, color=SUPPORT) for image, mask in panel.supports]
  return [
    _mosaic(supports, cell),
    _fit(look(panel.query, panel.prediction), cell),
    _fit(truth, cell),
  ]


def _mosaic(images: Sequence[np.ndarray], cell: int) -> Image.Image:
  """Puts all supports of an episode into one cell, in as few rows as hold them."""
  side = math.ceil(math.sqrt(len(images)))
  part = cell // side
  page = Image.new('RGB', (cell, cell), _PAPER)
  for i, image in enumerate(images):
    page.paste(_fit(image, part - (side > 1)), (i % side * part, i // side * part))
  return page


def _fit(image: np.ndarray, cell: int) -> Image.Image:
  """Scales to a square cell, keeping the aspect."""
  scale = cell / max(image.shape[:2])
  width, height = (max(1, round(scale * n)) for n in (image.shape[1], image.shape[0]))
  page = Image.new('RGB', (cell, cell), _PAPER)
  page.paste(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
  return page


def _height(image: np.ndarray, cell: int) -> int:
  """Returns how many rows of its square cell an image takes."""
  return max(1, round(cell / max(image.shape[:2]) * image.shape[0]))
