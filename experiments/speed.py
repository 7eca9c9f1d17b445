"""Measures speed: always one thing against another, in turn, in one run.

Examples, from the checkout's folder:

  The training step as the library runs it on this machine, against the plain formulation:
    python -m experiments.speed --backbone=mobilenet_v1_075 --image_size=200 --batch_size=20

  Training on a GPU, float32 and bfloat16, batch 1 to the largest that fits:
    XLA_PYTHON_CLIENT_MEM_FRACTION=0.95 python -m experiments.speed --what=throughput \\
      --backbone=resnet50 --image_size=400

  What the training loop adds to its steps, and what a checkpoint does:
    python -m experiments.speed --what=loop --rounds=5

  The loader, from the folder of PASCAL-5i and from a prepared set, against a plain one:
    python -m experiments.speed --what=loader --data_dir=VOC2012 --splits_dir=splits \\
      --prepared_dir=prepared

step prints seconds a step, median and spread over the rounds, and the ratio round by round;
throughput a step's time, its operations a second beside those of a large matrix product, and its
memory; loop what part of a step the host adds, and a checkpoint. The weights are random: they cost
the same. loader prints how long prepared sets take to open, that of PASCAL-5i and one of --records
made images written for it; the memory that an epoch takes, of --images made images and of the
prepared set; and episodes a second.
"""

import functools
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from absl import flags

from data_pipelines import Benchmark, make_benchmark
from experiments.command import app
from experiments.timing import loader as loading
from experiments.timing.loop import SAVES, loop_table, make_loop, measure_loop
from experiments.timing.step import measure, random_batch, training_step
from experiments.timing.throughput import peak, table, throughput
from hsnet_jax.backbones import BACKBONES
from hsnet_jax.errors import InputError
from hsnet_jax.models import PRECISIONS, describe_devices

_WHAT = flags.DEFINE_enum(
  'what', 'step', ['step', 'throughput', 'loop', 'loader'], 'What to measure.'
)
_BACKBONE = flags.DEFINE_enum(
  'backbone', 'mobilenet_v1_075', list(BACKBONES), 'step, throughput, loop: the backbone.'
)
_IMAGE_SIZE = flags.DEFINE_integer(
  'image_size', None, 'Side of the images. Default: 200 (loader: 400).', lower_bound=32
)
_BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', 20, 'Episodes a batch (throughput: --batch_sizes).', lower_bound=1
)
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'How often each is measured.', lower_bound=1)
_BATCH_SIZES = flags.DEFINE_list(
  'batch_sizes', ['1', '20', '40', '80', '160'], 'throughput: episodes a batch, each of these.'
)
_PRECISIONS = flags.DEFINE_multi_enum(
  'precision', list(PRECISIONS), list(PRECISIONS), 'throughput: what to compute in.'
)
_SECONDS = flags.DEFINE_float(
  'seconds', 2.0, 'throughput: how long a round takes at least.', lower_bound=0.0
)
_PEAK_SIZE = flags.DEFINE_integer(
  'peak_size', 8192, 'throughput: side of the matrices whose product is the peak.', lower_bound=1
)
_SAVE_EVERY = flags.DEFINE_integer(
  'save_every', 5, 'loop: a checkpoint every so many steps.', lower_bound=2
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'loader: the folder that holds JPEGImages and SegmentationClassAug.'
)
_SPLITS_DIR = flags.DEFINE_string('splits_dir', None, 'loader: the folder that holds pascal/.')
_PREPARED_DIR = flags.DEFINE_string(
  'prepared_dir', None, 'loader: a folder of prepared sets, to measure that of PASCAL-5i as well.'
)
_FOLD = flags.DEFINE_integer('fold', 2, 'loader: the fold whose test episodes are loaded.')
_EPISODES = flags.DEFINE_integer(
  'episodes', 400, 'loader: how many episodes a round loads.', lower_bound=1
)
_WORKERS = flags.DEFINE_list(
  'workers', None, 'loader: numbers of workers. Default: 0,1,2,4 and one a core.'
)
_IMAGES = flags.DEFINE_integer(
  'images', 100_000, 'loader: how many made images to look at memory with.', lower_bound=1
)
_RECORDS = flags.DEFINE_integer(
  'records', 80_000, 'loader: of how many made images a set is written and opened.', lower_bound=2
)


def measure_step() -> None:
  """Measures the training step."""
  name, size, batch_size = _BACKBONE.value, _IMAGE_SIZE.value or 200, _BATCH_SIZE.value
  print('device:', describe_devices())
  print(f'training step: {name}, {size} x {size}, batch {batch_size}, 1-shot', flush=True)
  batch = random_batch(batch_size, size)
  library = training_step(name, batch)
  plain = training_step(name, batch, implementation='plain')
  seconds = measure(library, plain, _ROUNDS.value)
  print('| form | median s | least | most |\n|---|---|---|---|')
  for form, values in zip(('library', 'plain XLA'), seconds, strict=True):
    print(f'| {form} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |')
  ratios = [b / a for a, b in zip(*seconds, strict=True)]
  print(
    f'plain / library: median {statistics.median(ratios):.2f},'
    f' {min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds'
  )


def measure_throughput() -> None:
  """Measures training by batch size and precision, beside the device's peak."""
  name, size = _BACKBONE.value, _IMAGE_SIZE.value or 200
  print('device:', describe_devices())
  print(f'training step: {name}, {size} x {size}, 1-shot, {_ROUNDS.value} rounds in turn')
  sizes = whole_numbers(_BATCH_SIZES.value, flag='batch_sizes', least=1)
  peaks = {
    precision: peak(precision, size=_PEAK_SIZE.value, rounds=_ROUNDS.value)
    for precision in _PRECISIONS.value
  }
  for precision, rate in peaks.items():
    side = _PEAK_SIZE.value
    print(f'peak in {precision}: {rate / 1e12:.2f} TFLOP/s, products of {side} x {side} matrices')
  options = {'rounds': _ROUNDS.value, 'seconds': _SECONDS.value, 'precisions': _PRECISIONS.value}
  rows = throughput(name, image_size=size, batch_sizes=sizes, **options)
  for line in table(rows, peaks):
    print(line, flush=True)


def measure_training_loop() -> None:
  """Measures what the training loop and its checkpoints add to the steps."""
  name, size, batch_size = _BACKBONE.value, _IMAGE_SIZE.value or 200, _BATCH_SIZE.value
  print('device:', describe_devices())
  steps = (SAVES + 1) * _SAVE_EVERY.value
  print(
    f'training loop: {name}, {size} x {size}, batch {batch_size}, {steps} steps, {SAVES} of which'
  )
  print('are followed by a checkpoint in the last form', flush=True)
  loop = make_loop(name, image_size=size, batch_size=batch_size, steps=steps)
  for line in loop_table(*measure_loop(loop, rounds=_ROUNDS.value)):
    print(line)


def measure_loader() -> None:
  """Measures opening, memory and throughput of the loader."""
  size, batch_size, count = _IMAGE_SIZE.value or 400, _BATCH_SIZE.value, _EPISODES.value
  folder = make_benchmark('pascal', data_dir=_DATA_DIR.value, splits_dir=_SPLITS_DIR.value)
  folder.check_fold(_FOLD.value)
  if count < batch_size:
    raise InputError(f'--episodes={count} is less than a batch; give {batch_size} or more')
  cores = os.cpu_count() or 1
  given = _WORKERS.value or [0, 1, 2, 4, cores]
  workers = sorted(set(whole_numbers(given, flag='workers', least=0)))
  sources = {'from the folder': folder}
  if _PREPARED_DIR.value is not None:
    sources['from the prepared set'] = open_set(_PREPARED_DIR.value, size)
  open_made_set(_RECORDS.value)
  # The first epoch of a process takes what its libraries take: that of made images is it.
  read = functools.partial(print_memory, workers=workers)
  made = loading.MadeImages(_IMAGES.value)
  read(made, f'{_IMAGES.value} made images', fold=0, image_size=8, batch_size=100)
  for prepared in list(sources.values())[1:]:
    given = {'fold': _FOLD.value, 'image_size': size, 'batch_size': batch_size}
    read(prepared, f'the prepared set at {size} x {size}', **given)
  found = loading.contenders(
    sources,
    folder,
    fold=_FOLD.value,
    image_size=size,
    batch_size=batch_size,
    count=count,
    workers=workers,
  )
  print(
    f'1-shot episodes at {size} x {size}, batch {batch_size}, {os.cpu_count()} cores,'
    f' {_ROUNDS.value} rounds in turn. Ours gives uint8, which the device normalises; the plain'
    ' loader gives float32, normalised. 0 workers: two threads.\n',
    flush=True,
  )
  rates = loading.measure(found, rounds=_ROUNDS.value, batches=count // batch_size)
  print('\n'.join(loading.table(found, rates, batch_size)))


def whole_numbers(given: Sequence[str | int], *, flag: str, least: int) -> list[int]:
  """The numbers that a flag lists.

  Raises:
    InputError: one is no number, or below the least.
  """
  wrong = [text for text in given if not str(text).isdecimal() or int(text) < least]
  if wrong:
    raise InputError(f'--{flag}: {", ".join(wrong)}: write whole numbers from {least}, as in 1,2')
  return list(map(int, given))


def open_set(folder: str, size: int) -> Benchmark:
  """Opens the prepared set of PASCAL-5i and says how long that took."""
  import data_pipelines.prepared.reader  # noqa: F401  Imports TFDS, which is not what is measured.

  start = time.perf_counter()
  prepared = make_benchmark('pascal', splits_dir=_SPLITS_DIR.value, prepared_dir=folder)
  seconds = time.perf_counter() - start
  prepared.check_size(size)
  print(f'a prepared set of {len(prepared)} records opened in {seconds:.2f} s', flush=True)
  return prepared


def open_made_set(records: int) -> None:
  """Writes a prepared set of made images, opens it, and says how long that took."""
  from data_pipelines.prepared.reader import Prepared

  made = loading.MadeImages(records)
  with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    loading.write_made_set(made, folder)
    written = time.perf_counter()
    prepared = Prepared(made, folder)
    opened = time.perf_counter()
    prepared.load(prepared.split(0, 'trn').items[-1][0])
    read = time.perf_counter()
  print(
    f'a made set of {len(prepared)} records written in {written - start:.2f} s, opened in'
    f' {opened - written:.2f} s, its list compared and the last record read in'
    f' {read - opened:.2f} s',
    flush=True,
  )


def print_memory(
  benchmark: Benchmark, label: str, *, workers: Sequence[int], **options: int
) -> None:
  """Prints what an epoch takes, in this process and with one worker; see `epoch_memory`."""
  for number in sorted({min(n, 1) for n in workers}):
    memory = loading.epoch_memory(benchmark, num_workers=number, **options)
    before, after, sent = (getattr(memory, n) / 2**20 for n in ('before', 'after', 'pickled'))
    print(
      f'an epoch of {label} with {number} workers: {before:.1f} MiB resident at its start,'
      f' {after:.1f} MiB at its end; a worker is sent {sent:.1f} MiB',
      flush=True,
    )


def main() -> None:
  """Measures what `--what` says."""
  {
    'step': measure_step,
    'throughput': measure_throughput,
    'loop': measure_training_loop,
    'loader': measure_loader,
  }[_WHAT.value]()


if __name__ == '__main__':
  app.run(main)
