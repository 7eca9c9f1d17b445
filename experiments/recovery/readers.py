"""Lists what is read of files from outside: how a valid one is made, and by what it is read.

A row for each kind of file. What reads it is the function that the commands call; a benchmark is
opened, and each of its pictures read with its label.
"""

import contextlib
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.recovery import exports, samples
from hsnet_jax.errors import InputError


class Reader(NamedTuple):
  """Describes a kind of file.

  Attributes:
    make: fills a folder with a valid sample.
    read: reads a folder like it; ends as a value or as an InputError.
    targets: patterns of the files in it that are mutated, each as often as the others.
    needs: a package without which every file is refused, in one line.
  """

  make: Callable[[Path], None]
  read: Callable[[Path], object]
  targets: Sequence[str] = ('*',)
  needs: str = ''


def _each(*reads: Callable[[], object]) -> None:
  """Reads in every way, though one refuses; raises the first InputError where all do."""
  errors: list[InputError] = []
  for read in reads:
    try:
      read()
    except InputError as error:
      errors.append(error)
  if len(errors) == len(reads):
    raise errors[0]


def _picture(folder: Path, *, name: str) -> None:
  from data_pipelines.reading import images

  path = folder / name
  _each(
    lambda: images.read_image(path),
    lambda: images.read_image(path, upright=False),
    lambda: images.read_label(path),
    lambda: images.read_mask(path),
    lambda: images.read_mask(path, value=3),
    lambda: images.mask_values(path),
    lambda: images.read_pair(path, path, upright=True, read=images.read_mask),
  )


def _own_pictures(folder: Path) -> None:
  from data_pipelines.own_pictures.folder import Folder

  _load_all(Folder(folder))


def _supports(folder: Path) -> None:
  from experiments.evaluation.inputs import read_supports

  _each(
    *(
      functools.partial(read_supports, [str(folder / image)], [str(folder / mask)], size=(32, 32))
      for image, mask in (('1.jpg', 'coco.json'), ('2.jpg', 'coco.json'), ('0.jpg', '0.json'))
    )
  )


def _load_all(benchmark: Any) -> None:
  for fold in range(benchmark.num_folds):
    for name in benchmark.splits:
      with contextlib.suppress(InputError):  # Of one class there is no training.
        benchmark.split(fold, name)
  names = benchmark.image_names()
  _each(*(functools.partial(benchmark.load, name) for name in names))


def _pascal_list(folder: Path) -> None:
  from data_pipelines.published import lists

  lists.read_pascal_list(folder / 'pascal/trn/fold0.txt')


def _coco_lists(folder: Path) -> None:
  from data_pipelines.published import lists

  _each(*(lambda p=p: lists.read_coco_list(folder / f'coco/val/fold{p}.pkl') for p in (2, 4)))


def _fss_list(folder: Path) -> None:
  from data_pipelines.published import lists

  lists.read_fss_list(folder / 'fss/trn.txt')


def _pascal_label(folder: Path) -> None:
  from data_pipelines.reading.images import read_pair

  read_pair(folder / 'JPEGImages/a.jpg', folder / 'SegmentationClassAug/a.png')


def _instances(folder: Path) -> None:
  from data_pipelines.published.coco_masks import DrawnMasks

  drawn = DrawnMasks(folder / 'instances.json')
  _each(*(functools.partial(drawn.encoded, f'{i}.jpg') for i in (1, 2, 3)))


def _fss(folder: Path) -> None:
  from data_pipelines.published.fss import Fss1000

  fss = Fss1000(folder / 'data', folder / 'splits')
  _each(*(functools.partial(fss.load, name) for name, _ in fss.split(0, 'trn').items))


def _tensors(folder: Path, *, name: str) -> None:
  from hsnet_jax.segmenter.stored import read_segmenter
  from hsnet_jax.weights.convert import load_backbone
  from hsnet_jax.weights.files import read_tensors

  path = folder / name
  # As weights of a backbone, or as a segmenter, no sample fits: it is refused by its names.
  _each(
    lambda: read_tensors(path),
    lambda: load_backbone('tiny', path=path),
    lambda: read_segmenter(path),
  )


def _checkpoint(folder: Path) -> None:
  import jax.numpy as jnp

  from hsnet_jax.checkpoints import load_checkpoint, read_config

  state = {'count': jnp.int32(0), 'mu': {'a': {'kernel': jnp.zeros((3, 4))}}}
  path = folder / 'best'
  _each(
    lambda: read_config(path),
    lambda: load_checkpoint(path, backbone='tiny'),
    lambda: load_checkpoint(path, opt_state=state),
  )


def _model(folder: Path) -> None:
  from experiments.evaluation import EvaluateConfig
  from experiments.settings.sources import image_size, open_benchmark
  from hsnet_jax.models import load_model

  model = load_model(folder / 'run')
  hash(model.module)  # Compiling needs it.
  settings = EvaluateConfig(checkpoint='run')
  benchmark, _ = open_benchmark(settings, model.config)
  image_size(settings, benchmark.name, model.config)


def _evaluation(folder: Path) -> None:
  from experiments.reporting.page.layout import episode_table, whole_tables
  from experiments.reporting.page.reading import read_all

  results, _ = read_all([str(folder)], mix=False)
  whole_tables(results[0])
  episode_table(results)


def _run_log(folder: Path) -> None:
  from experiments.training.folder import check_run_folder, read_validations, step_of_last

  _each(
    lambda: read_validations(folder),
    lambda: read_validations(folder, last_step=6, metric='train/loss'),
    lambda: check_run_folder(folder, resume=None, overwrite=False),
    lambda: step_of_last(folder),
  )


def _run_log_resumed(folder: Path) -> None:
  from experiments.training.log import RunLog

  RunLog(folder, last_step=6, unfinished=True).close()


def _results(folder: Path) -> None:
  from experiments.storage import results

  for path in (folder / 'a_mask.png', folder / 'results.json'):
    results.find_mark(path)
    results.may_write(path, of=samples.RESULT_OF)


def _prepared(folder: Path) -> None:
  from data_pipelines import make_benchmark

  _load_all(make_benchmark('folder', prepared_dir=folder / 'sets'))


def _journal(folder: Path) -> None:
  from data_pipelines import make_benchmark
  from data_pipelines.prepared.checks import check_images

  own = make_benchmark('folder', data_dir=folder / 'own')
  listed = {name: [class_id] for name, class_id in own.split(0, 'val').items}
  check_images(own, listed, journal=folder / 'checked.jsonl')


def _space(folder: Path) -> None:
  from experiments.sweeps.space import check_space, draw, read_space

  space = read_space(folder / 'space.toml')
  check_space(space)
  for number in range(1, 4):
    json.dumps(draw(space, seed=0, number=number))
  json.dumps(space.record())


def _sweep(folder: Path) -> None:
  from experiments.sweeps.folder import check_sweep_folder, read_trials

  described = {'space': {'train': {'fold': 0}}, 'seed': 3}
  _each(
    lambda: check_sweep_folder(folder / 'sweep', described, overwrite=False),
    lambda: [trial.best for trial in read_trials(folder / 'sweep', metric='val/miou').values()],
  )


def _make_zoo(folder: Path) -> None:
  from experiments.model_zoo import Entry
  from experiments.model_zoo.entry import to_text
  from experiments.model_zoo.store import keep, staging
  from hsnet_jax.weights.zoo import sha256

  figures = {'miou': 60.5, 'miou_interval': [58.0, 62.5], 'class_iou': {'cup': 61.0, 'key': 60.0}}
  with staging(folder) as file:
    file.write_bytes(b'stands for a network')
    entry = Entry(
      name='dogs',
      backbone='tiny',
      fold=1,
      config={'backbone': 'tiny', 'seed': 3},
      evaluations=({'benchmark': 'shapes', 'episodes': 250, 'figures': figures},),
      source='made',
      checksum=sha256(file),
      size=file.stat().st_size,
    )
    keep(folder, entry, file)
  samples.write(folder / 'zoo.json', to_text(entry))


def _zoo(folder: Path) -> None:
  from experiments.model_zoo import find_model, list_models
  from experiments.model_zoo.listing import list_text, show_text
  from hsnet_jax.weights.zoo import find_stored

  _each(
    lambda: list_text(list_models(folder)),
    lambda: show_text(find_model(folder, 'dogs'), folder),
    lambda: find_stored('dogs', folder=folder),
  )


def _entry(folder: Path) -> None:
  from experiments.model_zoo import model_card
  from experiments.model_zoo.entry import read_entry
  from experiments.model_zoo.listing import list_text

  entry = read_entry(folder / 'zoo.json', source='zoo.json')
  list_text([entry.summary])
  model_card(entry, repo='user/dogs')


def _of_picture(name: str, make: Callable[[Path], None]) -> Reader:
  return Reader(make, functools.partial(_picture, name=name))


def _drawn(image: Callable[[], Any], name: str) -> Reader:
  return _of_picture(name, samples.picture(image, name))


_MOSTLY_JSON = ('*.json', '*.json', '*.json', '*.jpg')
_PHOTO, _MASK, _PALETTE = samples.photograph, samples.mask, samples.palette

READERS: dict[str, Reader] = {
  'jpeg': _of_picture('picture.jpg', samples.jpeg),
  'jpeg of four inks': _of_picture('picture.jpg', samples.cmyk_jpeg),
  'png': _drawn(_PHOTO, 'picture.png'),
  'png of 16 bits': _drawn(samples.deep, 'picture.png'),
  'png with a palette': _drawn(_PALETTE, 'picture.png'),
  'png with alpha': _drawn(samples.transparent, 'picture.png'),
  'png mask': _drawn(_MASK, 'picture.png'),
  'gif': _drawn(_PALETTE, 'picture.gif'),
  'moving gif': _of_picture('picture.gif', samples.moving_gif),
  'tiff': _drawn(_PHOTO, 'picture.tif'),
  'tiff of strips': _of_picture('picture.tif', samples.strips),
  'tiff of fractions': _of_picture('picture.tif', samples.packed_fractions),
  'webp': _drawn(_PHOTO, 'picture.webp'),
  'avif': _drawn(_PHOTO, 'picture.avif'),
  'bmp': _drawn(_PALETTE, 'picture.bmp'),
  'ppm': _drawn(_PHOTO, 'picture.ppm'),
  'class folders': Reader(samples.class_folders, _own_pictures),
  'coco': Reader(samples.coco, _own_pictures, _MOSTLY_JSON),
  'labelme': Reader(exports.labelme, _own_pictures, _MOSTLY_JSON),
  'coco in subsets': Reader(exports.coco_subsets, _own_pictures, _MOSTLY_JSON),
  'labelme xml': Reader(exports.labelme_xml, _own_pictures, ('*.xml', '*.xml', '*.png', '*.jpg')),
  'outlines of supports': Reader(exports.outlined, _supports, ('*.json',)),
  'supervisely': Reader(exports.supervisely, _own_pictures, _MOSTLY_JSON),
  'via': Reader(exports.via, _own_pictures, _MOSTLY_JSON),
  'voc masks of colors': Reader(exports.voc, _own_pictures, ('*.txt', '*.png', '*.jpg')),
  'voc masks of numbers': Reader(exports.voc_numbers, _own_pictures, ('*.txt', '*.png')),
  'yolo': Reader(exports.yolo, _own_pictures, ('*.yaml', 'labels/*', 'labels/*', '*.jpg')),
  'pascal list': Reader(samples.lists, _pascal_list, ('pascal/*',)),
  'coco list': Reader(samples.lists, _coco_lists, ('coco/*',)),
  'fss list': Reader(samples.lists, _fss_list, ('fss/*',)),
  'pascal label': Reader(samples.pascal, _pascal_label, ('*.png', '*.jpg')),
  'coco instances': Reader(samples.instances, _instances),
  'fss': Reader(samples.fss, _fss),
  'npz': Reader(samples.npz, functools.partial(_tensors, name='weights.npz')),
  'safetensors': Reader(
    samples.safetensors, functools.partial(_tensors, name='weights.safetensors')
  ),
  'pt': Reader(samples.torch_zip, functools.partial(_tensors, name='weights.pt'), needs='torch'),
  'old pt': Reader(
    samples.torch_old, functools.partial(_tensors, name='weights.pt'), needs='torch'
  ),
  'checkpoint': Reader(samples.checkpoint, _checkpoint),
  'model': Reader(samples.model, _model, ('*/metadata', '*')),
  'evaluation': Reader(samples.evaluation, _evaluation),
  'run log': Reader(samples.run_log, _run_log),
  'run log, resumed': Reader(samples.run_log, _run_log_resumed),
  'marked results': Reader(samples.results, _results),
  'prepared set': Reader(samples.prepared, _prepared, ('sets/*',)),
  'journal of checks': Reader(samples.journal, _journal, ('*.jsonl',)),
  'space of a sweep': Reader(samples.sweep, _space, ('*.toml',)),
  'zoo': Reader(_make_zoo, _zoo, ('*.sqlite',)),
  'entry of a model': Reader(_make_zoo, _entry, ('zoo.json',)),
  'sweep': Reader(samples.sweep, _sweep, ('sweep/*',)),
}
