"""Looks into folders of images and masks: what is in them, with few look-ups, told from others."""

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from hsnet_jax.errors import InputError

AnyPath = str | os.PathLike[str]

# Formats that photographs and masks come in, of all that Pillow opens; others are icons, documents
# and the like.
_FORMATS = (
  *('AVIF', 'BMP', 'DIB', 'GIF', 'HEIF', 'JPEG', 'JPEG2000', 'JXL', 'MPO', 'PNG', 'PPM', 'QOI'),
  *('TGA', 'TIFF', 'WEBP'),
)


def _image_endings() -> frozenset[str]:
  """Asks Pillow what names of images end in; HEIC where its plug-in, pillow-heif, is installed."""
  if importlib.util.find_spec('pillow_heif') is not None:
    importlib.import_module('pillow_heif').register_heif_opener()
  Image.init()
  extensions = Image.registered_extensions().items()
  opened = {*Image.OPEN, 'MPO'}  # Opened as the JPEG that it begins with.
  return frozenset(e for e, name in extensions if name in opened.intersection(_FORMATS))


# What the name of a photograph, or of a mask, ends in, lower case.
IMAGE_ENDINGS = _image_endings()


# What follows a picture's name in those of its predicted mask and overlay, before a number.
RESULT_ENDINGS = ('_predicted', '_overlay')
# The page that shows several of them; where others lie, with a number before its ending.
SHEET = 'contact_sheet.png'
_SHEET = re.compile(r'contact_sheet(-\d+)?\.png')
_RESULT = re.compile(rf'(.+?)(-page\d+)?({"|".join(RESULT_ENDINGS)})(-\d+)?')


def pictures_alone(paths: Iterable[Path]) -> list[Path]:
  """Passes over hidden files, other kinds, and predictions that lie beside their picture.

  Nor is their contact sheet one.

  Args:
    paths: the files of a folder.

  Returns:
    Photographs and masks, in the same order.
  """
  pictures = [p for p in paths if p.suffix.lower() in IMAGE_ENDINGS and p.name[0] != '.']
  pictures = [p for p in pictures if not _SHEET.fullmatch(p.name)]
  names = {name for path in pictures for name in (path.stem, path.name)}
  return [path for path in pictures if predicted_from(path) not in names]


def predicted_from(path: Path) -> str | None:
  """Returns the name of the picture that a file is a prediction of, if its own name says so."""
  found = _RESULT.fullmatch(path.stem) if path.suffix.lower() == '.png' else None
  return found and found[1]


def digest_of(value: object) -> str:
  """Returns the SHA-256 of a value as JSON."""
  return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def lists_folder(splits_dir: AnyPath, name: str) -> Path:
  """Finds the folder of a benchmark's published lists.

  Args:
    splits_dir: the folder of all benchmarks' lists; may begin with `~`.
    name: of the benchmark.

  Returns:
    The folder in it.

  Raises:
    InputError: there is no such folder.
  """
  folder = Path(os.path.expanduser(splits_dir)) / name
  if not folder.is_dir():
    raise InputError(
      f'{folder}: no such folder; `splits_dir` must name the folder that holds {name}/'
    )
  return folder


def lists_alone(name: str) -> InputError:
  """Returns what to raise where images are asked of a benchmark made without `data_dir`."""
  return InputError(f'benchmark {name} was opened for its lists alone; give `data_dir`')


def check_listed(pairs: Iterable[tuple[Path, ...]]) -> None:
  """Raises InputError where a listed image or its mask is missing.

  Args:
    pairs: the files of each image and of its mask, or of the image alone.

  Raises:
    InputError: names the first missing file and says how many more there are.
  """
  columns = zip(*dict.fromkeys(pairs), strict=True)
  for what, paths in zip(('image', 'mask of a listed image'), columns, strict=False):
    present: dict[Path, set[str]] = {}
    for folder in {path.parent for path in paths}:
      # A listing is quicker than thousands of look-ups.
      present[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    missing = [path for path in paths if path.name not in present[path.parent]]
    if missing:
      more = f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''
      raise InputError(
        f'{missing[0]}{more}: no such {what}; complete `data_dir` or narrow the lists of'
        ' `splits_dir`'
      )
