"""Segments what support images show in other images, and writes masks and overlays.

Each query is decoded once, when its turn comes, so that a folder may be larger than the memory; yet
nothing is written unless all inputs can be read. So results are made in a hidden folder within the
output folder and get their names together at the end, unless a query turned out to be unreadable.
Whatever else ends the work, such as Ctrl-C, what is finished by then gets its name; the folder of a
process that was killed goes with the next that writes to the same place.
"""

import contextlib
import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from data_pipelines.reading.arrays import resize_image
from data_pipelines.reading.images import read_image
from experiments.evaluation.config import PredictConfig
from experiments.evaluation.inputs import find_queries, read_supports, result_paths
from experiments.reporting.pictures import overlay, save_image
from experiments.reporting.progress import progress_bar
from experiments.storage.locks import own_folder
from hsnet_jax.backbones import normalize
from hsnet_jax.errors import InputError
from hsnet_jax.inference import combine_shots, encode_support, match_shots
from hsnet_jax.models import Model, check_image_size, describe_devices, load_model
from hsnet_jax.resize import resize_bilinear
from hsnet_jax.whole_files import writable_folder

Size = tuple[int, int]

# Of the images that go through the network at a time, so that what it needs for them is the same
# whatever their size: 8 images at the published one.
_PIXELS_AT_ONCE = 8 * 400 * 400
_MOST_AT_ONCE = 32
# Of the photographs that are held at their own size until their overlays are drawn: 100 MB, twice.
_PHOTOGRAPH_PIXELS_AT_ONCE = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class Segmented:
  """Holds a photograph and what was found in it.

  Attributes:
    path: the photograph's file.
    image: the photograph, uint8 `[h, w, 3]`.
    mask: {0, 1} of its size, uint8 `[h, w]`.
  """

  path: pathlib.Path
  image: np.ndarray
  mask: np.ndarray


def predict(config: PredictConfig) -> list[pathlib.Path]:
  """Predicts as a configuration says.

  Args:
    config: the support set, the queries, and where results go.

  Returns:
    The masks that were written, in the order of the queries.

  Raises:
    InputError: an input is missing or cannot be read, or a value does not fit; nothing is written.
  """
  queries = find_queries(
    config.query,
    output_dir=config.output_dir,
    supports=[*config.support_images, *config.support_masks],
  )
  largest = max(_pixels(path) for path in queries)
  model = load_model(config.checkpoint)
  size = config.image_size or model.config.get('image_size', 400)
  check_image_size(model.module, model.variables, size)
  images, masks = read_supports(
    config.support_images, config.support_masks, size=(size, size), value=config.mask_value
  )
  with _held_back(pathlib.Path(config.output_dir).expanduser()) as (folder, part):
    print('device:', describe_devices())
    print(f'model: backbone {model.backbone.name}, {model.path}, {len(images)}-shot', flush=True)
    with progress_bar(len(queries), unit='image') as bar:
      rows = images_at_once(len(queries), (size, size), largest=largest)
      predict_batch = predictor(model, images, masks)
      for found in segment_files(predict_batch, queries, size=(size, size), rows=rows):
        mask_path, overlay_path = result_paths(found.path, part)
        save_image(mask_path, found.mask * np.uint8(255))
        save_image(overlay_path, overlay(found.image, found.mask))
        bar.update()
  print(f'{len(queries)} masks and overlays are in {folder}')
  return [result_paths(path, folder)[0] for path in queries]


def predictor(
  model: Model, images: UInt8[np.ndarray, 'K H W 3'], masks: UInt8[np.ndarray, 'K H W']
) -> Callable[[np.ndarray, Sequence[Size]], list[Array]]:
  """Encodes a support set, once, to segment any number of photographs with.

  The network is compiled for the one size it sees; only the last resize, from the decoder's logits
  straight to the photograph, is compiled anew for photographs of another size.

  Args:
    model: a trained model.
    images: the support images.
    masks: their masks in {0, 1}.

  Returns:
    `(images uint8 [B, H, W, 3], sizes (height, width)) -> masks uint8 {0, 1} [height, width]`, one
    mask a size, of the first images; on the device, perhaps not computed yet.
  """
  module, variables = model.module, model.variables
  encode = jax.jit(lambda v, x, m: encode_support(module, v, normalize(x, module.backbone), m))
  support_set = encode(variables, images, masks)

  @jax.jit
  def logits(variables, images, support_set) -> Float[Array, 'K B h w 2']:
    pixels = normalize(images, module.backbone)
    features: Any = module.apply(variables, pixels, method='encode')
    return match_shots(module, variables, features, support_set)

  @functools.partial(jax.jit, static_argnames='size')
  def finish(logits, row, *, size: Size):
    one = jax.lax.dynamic_slice_in_dim(logits, row, 1, axis=1)
    resized = jax.vmap(lambda x: resize_bilinear(x, size))(one)
    return combine_shots(resized).mask[0]

  def predict_batch(images: np.ndarray, sizes: Sequence[Size]) -> list[Array]:
    found = logits(variables, images, support_set)
    return [finish(found, row, size=tuple(size)) for row, size in enumerate(sizes)]

  return predict_batch


def segment_files(
  predict_batch: Callable[[np.ndarray, Sequence[Size]], list[Array]],
  paths: Sequence[pathlib.Path],
  *,
  size: Size,
  rows: int,
) -> Iterator[Segmented]:
  """Segments photographs, several at a time; each is decoded once, when its turn comes.

  Args:
    predict_batch: of `predictor`.
    paths: the photographs' files.
    size: (height, width) that the network sees.
    rows: how many go through it at a time, as `images_at_once` says.

  Yields:
    What was found, in order, while the device works on the next few already.

  Raises:
    InputError: a file cannot be read.
  """
  waiting: list[tuple[pathlib.Path, np.ndarray, Array]] = []
  for start in range(0, len(paths), rows):
    batch = paths[start : start + rows]
    photographs = [read_image(path) for path in batch]
    small = [resize_image(image, size) for image in photographs]
    # Copies fill the last batch up: one shape is compiled once.
    stacked = np.stack(small + small[-1:] * (rows - len(small)))
    masks = predict_batch(stacked, [image.shape[:2] for image in photographs])
    yield from (Segmented(p, image, np.asarray(mask)) for p, image, mask in waiting)
    waiting = list(zip(batch, photographs, masks, strict=True))
  yield from (Segmented(p, image, np.asarray(mask)) for p, image, mask in waiting)


def images_at_once(count: int, size: Size, *, largest: int = 0) -> int:
  """Says how many photographs go through the network at a time, so that memory stays bounded.

  Args:
    count: how many there are.
    size: (height, width) that the network sees.
    largest: pixels of the largest photograph at its own size.

  Returns:
    How many, evenly: of 33 that fit by 32, 17.
  """
  most = min(_PIXELS_AT_ONCE // (size[0] * size[1]), _MOST_AT_ONCE)
  most = max(1, min(most, _PHOTOGRAPH_PIXELS_AT_ONCE // max(largest, 1)))
  return math.ceil(count / math.ceil(count / most))


def _pixels(path: pathlib.Path) -> int:
  """Returns an image's number of pixels, from its header; raises InputError for what is no image.

  A damaged one has a header, and is met when it is decoded.
  """
  try:
    with Image.open(path) as image:
      return image.width * image.height
  except Exception:  # Pillow raises nearly anything; this says it in words.
    height, width, _ = read_image(path).shape
    return height * width


@contextlib.contextmanager
def _held_back(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
  """Holds results back until it is clear that all inputs can be read.

  Args:
    folder: where they belong.

  Yields:
    The folder, which can be written to, and the hidden one inside it to write to.
  """
  new = [path for path in (folder, *folder.parents) if not path.exists()]
  folder = writable_folder(folder, argument='output_dir')
  try:
    with own_folder(folder, prefix='.unfinished-') as part:
      readable = True
      try:
        yield folder, part
      except InputError:
        readable = False
        raise
      finally:
        for path in sorted(part.iterdir()) if readable else ():
          os.replace(path, folder / path.name)
  except InputError:
    for path in new:
      with contextlib.suppress(OSError):
        path.rmdir()
    raise
