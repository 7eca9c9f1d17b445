"""Segments what support images show in other images, and writes masks and overlays.

Each query is decoded once, when its turn comes, so that a folder may be larger than the memory, and
its results have their names as soon as they are made, whatever ends the work later. One that cannot
be read is named, and the others are done. Nothing is written before supports, checkpoint and
settings are known to be sound, and never over a file that another command, or a person, may want:
`experiments.storage.results` says how.
"""

import contextlib
import dataclasses
import pathlib
import warnings
from collections.abc import Iterator, Sequence

from experiments.evaluation.config import PredictConfig
from experiments.evaluation.inputs import read_supports
from experiments.evaluation.prediction.queries import Query, find_queries, path_of, read_query
from experiments.evaluation.prediction.report import Outcome, describe, write_results
from experiments.evaluation.prediction.segmenting import (
  Unreadable,
  images_at_once,
  predictor,
  segment_files,
)
from experiments.reporting.progress import progress_bar
from experiments.settings.sources import given_margin, given_threshold
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.tiles import tile_windows
from hsnet_jax.models import describe_devices, load_model
from hsnet_jax.whole_files import writable_folder

# A network sees objects of the size that it was trained on; further from it, it may find nothing.
_OTHER_SIZE = 1.5


def predict(config: PredictConfig) -> list[pathlib.Path]:
  """Predicts as a configuration says.

  Args:
    config: the support set, the queries, and where results go.

  Returns:
    The masks that were written, in the order of the queries.

  Raises:
    InputError: an input is missing or a value does not fit, and nothing is written; or some
      queries could not be read, once the others are done.
  """
  queries, left = find_queries(
    config.query,
    output_dir=config.output_dir,
    masks=config.support_masks,
    recursive=config.recursive,
  )
  if len(queries) == 1 and not queries[0].pixels:
    read_query(queries[0])  # Says what is wrong with it, if anything is.
  model = load_model(config.checkpoint)
  presence = given_threshold(config.presence_threshold, model.config.get('presence_threshold'))
  model = dataclasses.replace(model, module=model.module.clone(presence_threshold=presence))
  size = config.image_size or model.config.get('image_size', 400)
  _warn_of_size(size, model.config.get('image_size'))
  margin = given_margin(config.support_margin, model.config.get('support_margin'))
  images, masks = read_supports(
    config.support_images,
    config.support_masks,
    size=(size, size),
    value=config.mask_value,
    class_name=config.support_class,
    margin=margin,
  )
  combine = config.combine or model.config.get('combine', 'vote')
  combine = combine if config.tiles == 1 else 'mean'
  rows = _rows(queries, (size, size), tiles=config.tiles)
  predict_batch = predictor(model, images, masks, rows=rows, tiles=config.tiles, combine=combine)
  of = describe(model, images, masks, tiles=config.tiles, combine=combine)
  with _folder(path_of(config.output_dir)) as folder:
    print('device:', describe_devices())
    print(f'model: backbone {model.backbone.name}, {model.path}, {len(images)}-shot', flush=True)
    outcome = Outcome(folder, left)
    with progress_bar(len(queries), unit='image') as bar:
      for found in segment_files(
        predict_batch, queries, size=(size, size), rows=rows, tiles=config.tiles
      ):
        try:
          if isinstance(found, Unreadable):
            raise found.error
          outcome.add(found, write_results(found, folder, of=of))
        except InputError as error:
          if len(queries) == 1:
            raise
          bar.clear()
          outcome.failed(found.query, error)
        bar.update()
    outcome.tell()
  return outcome.masks


def _rows(queries: Sequence[Query], size: tuple[int, int], *, tiles: int) -> int:
  """Returns how many images go through the network at a time."""
  if tiles > 1:  # Photographs go one by one, each as many windows.
    return images_at_once(sum(map(len, tile_windows(tiles))), size)
  return images_at_once(len(queries), size, largest=max(query.pixels for query in queries))


def _warn_of_size(size: int, trained: int | None) -> None:
  """Warns of an image size far from the one that the network was trained on."""
  if trained and max(size / trained, trained / size) >= _OTHER_SIZE:
    warnings.warn(
      f'`image_size` is {size}, but the checkpoint was trained with {trained}: it may find nothing;'
      ' leave the flag out to use its own',
      stacklevel=3,
    )


@contextlib.contextmanager
def _folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """Makes the folder of results, and takes it back if the only query could not be read."""
  new = [path for path in (folder, *folder.parents) if not path.exists()]
  try:
    yield writable_folder(folder, argument='output_dir')
  except InputError:
    for path in new:
      with contextlib.suppress(OSError):
        path.rmdir()
    raise
