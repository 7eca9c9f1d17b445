"""Segments what support images show in other images, and writes masks and overlays.

Each query is decoded once, when its turn comes, so that a folder may be larger than the memory, and
its results have their names as soon as they are made, whatever ends the work later. One that cannot
be read is named, and the others are done. Nothing is written before supports, checkpoint and
settings are known to be sound, and never over a file that another command, or a person, may want:
`experiments.storage.results` says how.
"""

import contextlib
import math
import pathlib
import statistics
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from experiments.evaluation.config import PredictConfig
from experiments.evaluation.inputs import Supports, read_supports
from experiments.evaluation.prediction.exports import export
from experiments.evaluation.prediction.queries import Query, find_queries, path_of, read_query
from experiments.evaluation.prediction.report import Outcome, describe, write_results
from experiments.evaluation.prediction.segmenting import (
  Segmented,
  Unreadable,
  images_at_once,
  predictor,
  segment_files,
)
from experiments.evaluation.prediction.summary import Result, find_done, write_sheet, write_summary
from experiments.reporting.progress import progress_bar
from experiments.settings.sources import given_margin, given_threshold
from hsnet_jax.errors import InputError
from hsnet_jax.extensions.tiles import choose_tiles, object_share, tile_windows
from hsnet_jax.models import Model, describe_devices, load_model
from hsnet_jax.whole_files import writable_folder

# A network sees objects of the size that it was trained on; further from it, it may find nothing.
_OTHER_SIZE = 1.5


def predict(config: PredictConfig) -> list[pathlib.Path]:
  """Predicts as a configuration says.

  Args:
    config: the support set, the queries, and where results go.

  Returns:
    The masks of all that is done, now or earlier, in the order of the queries.

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
  model = _load(config)
  size = config.image_size or model.config.get('image_size', 400)
  _warn_of_size(size, model.config.get('image_size'))
  margin = given_margin(config.support_margin, model.config.get('support_margin'))
  supports = read_supports(
    config.support_images,
    config.support_masks,
    size=(size, size),
    value=config.mask_value,
    class_name=config.support_class,
    margin=margin,
  )
  combine = config.combine or model.config.get('combine', 'vote')
  tiles, why = _tiles(config.tiles, supports, queries, size)
  looks: dict[str, Any] = {'tiles': tiles, 'second_look': config.second_look}
  # What is found in several windows can be averaged, votes cannot.
  combine = 'mean' if combine == 'vote' and (tiles > 1 or config.second_look) else combine
  rows = _rows(queries, (size, size), tiles=tiles)
  images, masks = supports.images, supports.masks
  del supports  # Whole masks may be large.
  predict_batch = predictor(model, images, masks, rows=rows, tiles=tiles, combine=combine)
  of = describe(model, images, masks, **looks, combine=combine)
  with _folder(path_of(config.output_dir)) as folder:
    print('device:', describe_devices())
    print(f'model: backbone {model.backbone.name}, {model.path}, {len(images)}-shot', flush=True)
    if why:
      print(f'tiles: {tiles}, since {why}', flush=True)
    outcome = Outcome(folder, left, _done(config, queries, folder, of=of))
    passed = frozenset(outcome.results)
    found = segment_files(
      predict_batch, queries, size=(size, size), rows=rows, **looks, passed=passed
    )
    with _summary(outcome, folder, of={**of, 'queries': [*config.query]}):
      _write(found, outcome, folder, of=of, count=len(queries))
    results = [outcome.results[query] for query in queries if query in outcome.results]
    _export(results, folder, config, of={**of, 'queries': [*config.query]})
    outcome.tell()
  return [result.mask for result in results]


def _load(config: PredictConfig) -> Model:
  """Loads the network, which judges the presence as the configuration says, or it itself."""
  model = load_model(config.checkpoint)
  presence = given_threshold(config.presence_threshold, model.config.get('presence_threshold'))
  return model.with_presence(presence)


def _done(
  config: PredictConfig, queries: Sequence[Query], folder: pathlib.Path, *, of: dict[str, Any]
) -> dict[Query, Result]:
  """Finds what an earlier run has done already, and tells how much that is."""
  done = {} if config.again else find_done(queries, folder, of=of)
  if done:
    print(
      f'skipped: {len(done)} of {len(queries)}, whose results are there already; --again does them'
      ' again',
      flush=True,
    )
  return done


def _export(
  results: Sequence[Result],
  folder: pathlib.Path,
  config: PredictConfig,
  *,
  of: dict[str, Any],
) -> None:
  """Shows all that is done on a page, writes it in the formats asked for, and tells where."""
  write_sheet(results, folder, most=config.contact_sheet, of=of)
  of = {**of, 'class_name': config.class_name}
  for name in dict.fromkeys(config.formats):
    if name != 'png' and results:
      options = {'class_name': config.class_name, 'polygons': config.polygons}
      print(f'{name}: {export(results, folder, name, of=of, **options)}', flush=True)


@contextlib.contextmanager
def _summary(outcome: Outcome, folder: pathlib.Path, *, of: dict[str, Any]) -> Iterator[None]:
  """Writes the summary at the end, be that an error or an interruption."""
  try:
    yield
  finally:
    write_summary([*outcome.results.values()], folder, of=of)


def _write(
  found: Iterable[Segmented | Unreadable],
  outcome: Outcome,
  folder: pathlib.Path,
  *,
  of: dict[str, Any],
  count: int,
) -> None:
  """Writes results one by one, and counts those that are done and those that are not."""
  with progress_bar(count - len(outcome.results), unit='image') as bar:
    for one in found:
      try:
        if isinstance(one, Unreadable):
          raise one.error
        outcome.add(write_results(one, folder, of=of))
      except InputError as error:
        if count == 1:
          raise
        bar.clear()
        outcome.failed(one.query, error)
      bar.update()


def _tiles(asked: str, supports: Supports, queries: Sequence[Query], size: int) -> tuple[int, str]:
  """Returns how many tiles there are along a side, and why, where they were to be chosen."""
  if asked != 'auto':
    return int(asked), ''
  pixels = statistics.median(query.pixels for query in queries)
  shrunk = math.sqrt(pixels) / size
  tiles = choose_tiles(supports.uncut, shrunk=shrunk)
  if tiles > choose_tiles(supports.uncut):
    return tiles, f'the pictures are {shrunk:.0f} times as large as what the network sees'
  return tiles, f'the object covers {100 * object_share(supports.uncut):.2g}% of its picture'


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
