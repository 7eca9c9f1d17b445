"""Pictures and masks of every kind, as a user of experiments.predict gives them."""

import numpy as np
from PIL import Image

from hsnet_jax.segmenter.programs import Judged

BESIDE = ('summary', 'contact_sheet', '.hsnet-results')
RNG = np.random.default_rng(0)


def picture(path, *, size=(60, 45), mode='RGB', orientation=None):
  image = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), np.uint8))
  exif = Image.Exif()
  if orientation:
    exif[0x0112] = orientation
  if mode == 'I;16':
    image = Image.fromarray(RNG.integers(0, 2**16, (size[1], size[0])).astype(np.uint16))
  elif mode != 'RGB':
    image = image.convert(mode)
  image.save(path, exif=exif)
  return path


def mask(path, *, size=(60, 45), value=255, box=(10, 10, 40, 30)):
  array = np.zeros((size[1], size[0]), np.uint8)
  array[box[1] : box[3], box[0] : box[2]] = value
  Image.fromarray(array).save(path)
  return path


def size_of(path):
  with Image.open(path) as image:
    return image.size


def judged(mask, confidence=0.75, presence=0.875):
  """What a predictor finds in a photograph, whose mask this is."""
  return Judged(mask, np.float32(confidence), np.float32(presence))


def contents(folder):
  """{name: bytes} of all files below a folder, but for what is of all pictures together."""
  return {
    str(p.relative_to(folder)): p.read_bytes()
    for p in folder.rglob('*')
    if not p.is_dir() and not p.name.startswith(BESIDE)
  }
