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

  One episode of photographs on this machine, against HSNet in PyTorch (pip install torch) and
  against XLA's own kernels:
    python -m experiments.speed --what=forward --peer=torch --backbone=resnet50 \\
      --data_dir=VOC2012 --splits_dir=splits

  The same by part, each in a program of its own, with its share of what the machine can do:
    python -m experiments.speed --what=train --by_part --backbone=resnet50

  Every form of every kernel at the network's shapes; those of one alone:
    python -m experiments.speed --what=kernels --backbone=resnet50 --image_size=400
    python -m experiments.speed --what=kernels --kernels=support_side --backbone=resnet50

  How time and memory grow with shots, batch, image and object size, or one of them:
    python -m experiments.speed --what=scaling --axis=size --backbone=resnet50

  The memory of a forward pass and of a training step, with and without what compiling takes:
    python -m experiments.speed --what=memory --peer=torch --backbone=resnet50 --json=memory.json

step prints seconds a step, median and spread over the rounds, and the ratio round by round;
throughput a step's time, its operations a second beside those of a large matrix product, and its
memory; loop what part of a step the host adds, and a checkpoint. The weights are random: they cost
the same. loader prints how long prepared sets take to open, that of PASCAL-5i and one of --records
made images written for it; the memory that an epoch takes, of --images made images and of the
prepared set; and episodes a second. forward, kshot, cached (a query against a support set that is
encoded already) and train print seconds, the ratio round by round, and memory above the weights, on
the masks of the episodes and on masks that cover the picture; the library's programs are compiled
by a process before. memory prints what a program takes by XLA's account, and what its process holds
at most; scaling prints a row for each value of what grows, on noise with a rectangle of a fifth of
the picture for the object. --by_part and kernels count the operations that Eq. 1 leaves, and divide
their rate by that of a large matrix product, measured in the same run. --json writes every figure
to a file as well.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from experiments.command import app
from experiments.command.flags import define_list
from experiments.settings.episodes import PRECISIONS
from hsnet_jax.backbones import BACKBONES
from hsnet_jax.errors import InputError

# One thing on real episodes, by the library and by others, each in a process of its own.
IN_TURN = ('forward', 'kshot', 'cached', 'train')
_WHAT = flags.DEFINE_enum(
  'what',
  'step',
  ['step', 'throughput', 'loop', 'loader', *IN_TURN, 'memory', 'scaling', 'kernels'],
  'What to measure.',
)
_BACKBONE = flags.DEFINE_enum(
  'backbone', 'mobilenet_v1_075', list(BACKBONES), 'All but loader: the backbone.'
)
_IMAGE_SIZE = flags.DEFINE_integer(
  'image_size',
  None,
  'Side of the images. Default: 200 (step, throughput, loop), else 400.',
  lower_bound=32,
)
_BATCH_SIZE = flags.DEFINE_integer(
  'batch_size',
  None,
  'Episodes a batch (throughput: --batch_sizes). Default: 20 (step, loop, loader); train and its'
  ' memory 2; else 1.',
  lower_bound=1,
)
_PEER = flags.DEFINE_enum(
  'peer',
  None,
  ['torch'],
  'forward, kshot, cached, train, memory: what to compare with, beside plain XLA.',
)
_BATCHES = flags.DEFINE_integer(
  'batches', 3, 'forward, kshot, cached, train: how many a round has.', lower_bound=1
)
_SHOTS = flags.DEFINE_integer('shots', 5, 'kshot: supports an episode.', lower_bound=2)
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'How often each is measured.', lower_bound=1)
_BATCH_SIZES = define_list(
  'batch_sizes', ['1', '20', '40', '80', '160'], 'throughput: episodes a batch, each of these.'
)
_PRECISIONS = flags.DEFINE_multi_enum(
  'precision', list(PRECISIONS), list(PRECISIONS), 'throughput: what to compute in.'
)
_SECONDS = flags.DEFINE_float(
  'seconds', 2.0, 'throughput: how long a round takes at least.', lower_bound=0.0
)
_PEAK_SIZE = flags.DEFINE_integer(
  'peak_size',
  None,
  'throughput, kernels, --by_part: side of the matrices whose product is the peak. Default: 8192;'
  ' but for throughput, on a CPU 2048.',
  lower_bound=1,
)
_BY_PART = flags.DEFINE_bool(
  'by_part', False, 'forward, train: measure the parts of the network, each by itself.'
)
_AXIS = flags.DEFINE_enum(
  'axis', 'all', ['all', 'shots', 'batch', 'size', 'object'], 'scaling: what grows.'
)
_KERNELS = define_list(
  'kernels', None, 'kernels: those of hsnet_jax/kernels/forms.py to measure. Default: all.'
)
_SAVE_EVERY = flags.DEFINE_integer(
  'save_every', 5, 'loop: a checkpoint every so many steps.', lower_bound=2
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir',
  None,
  'The folder that holds JPEGImages and SegmentationClassAug, for the loader; also for forward,'
  ' kshot, cached, train, which take drawn shapes without it.',
)
_SPLITS_DIR = flags.DEFINE_string('splits_dir', None, 'loader: the folder that holds pascal/.')
_PREPARED_DIR = flags.DEFINE_string(
  'prepared_dir', None, 'loader: a folder of prepared sets, to measure that of PASCAL-5i as well.'
)
_FOLD = flags.DEFINE_integer('fold', 2, 'loader: the fold whose test episodes are loaded.')
_EPISODES = flags.DEFINE_integer(
  'episodes', 400, 'loader: how many episodes a round loads.', lower_bound=1
)
_WORKERS = define_list(
  'workers', None, 'loader: numbers of workers. Default: 0,1,2,4 and one a core.'
)
_IMAGES = flags.DEFINE_integer(
  'images', 100_000, 'loader: how many made images to look at memory with.', lower_bound=1
)
_RECORDS = flags.DEFINE_integer(
  'records', 80_000, 'loader: of how many made images a set is written and opened.', lower_bound=2
)
_JSON = flags.DEFINE_string(
  'json',
  None,
  'Write the figures of every row to this new file too, with device, versions and settings.',
)


def main() -> None:
  """Measures what `--what` says."""
  from experiments.timing.lines import check_new, write_report

  if _JSON.value is not None:
    check_new(_JSON.value)
  lines = []
  for line in _REPORTS[_WHAT.value]():
    print(line, flush=True)
    lines.append(line)
  if _JSON.value is not None:
    write_report(_JSON.value, lines, settings=_settings())


def _settings() -> dict[str, Any]:
  """Returns the values of this command's own flags."""
  own = next(of for of in flags.FLAGS.flags_by_module_dict().values() if flags.FLAGS['what'] in of)
  return {flag.name: flag.value for flag in own}


def _step() -> Iterator[str]:
  from experiments.timing.step import step_report

  return step_report(
    _BACKBONE.value,
    image_size=_IMAGE_SIZE.value or 200,
    batch_size=_BATCH_SIZE.value or 20,
    rounds=_ROUNDS.value,
  )


def _throughput() -> Iterator[str]:
  from experiments.timing.throughput import throughput_report

  return throughput_report(
    _BACKBONE.value,
    image_size=_IMAGE_SIZE.value or 200,
    batch_sizes=_whole_numbers(_BATCH_SIZES.value, name='batch_sizes', least=1),
    precisions=_PRECISIONS.value,
    rounds=_ROUNDS.value,
    seconds=_SECONDS.value,
    peak_size=_PEAK_SIZE.value or 8192,
  )


def _loop() -> Iterator[str]:
  from experiments.timing.loop import loop_report

  return loop_report(
    _BACKBONE.value,
    image_size=_IMAGE_SIZE.value or 200,
    batch_size=_BATCH_SIZE.value or 20,
    rounds=_ROUNDS.value,
    save_every=_SAVE_EVERY.value,
  )


def _loader() -> Iterator[str]:
  from experiments.timing.loader_report import loader_report

  workers = _WORKERS.value
  return loader_report(
    data_dir=_DATA_DIR.value,
    splits_dir=_SPLITS_DIR.value,
    prepared_dir=_PREPARED_DIR.value,
    fold=_FOLD.value,
    image_size=_IMAGE_SIZE.value or 400,
    batch_size=_BATCH_SIZE.value or 20,
    episodes=_EPISODES.value,
    workers=None if workers is None else _whole_numbers(workers, name='workers', least=0),
    images=_IMAGES.value,
    records=_RECORDS.value,
    rounds=_ROUNDS.value,
  )


def _in_turn(kind: str) -> Iterator[str]:
  if _BY_PART.value:
    return _parts(kind)
  from experiments.timing.in_turn import in_turn_report

  return in_turn_report(
    kind,
    sides=_sides(),
    backbone=_BACKBONE.value,
    image_size=_IMAGE_SIZE.value or 400,
    batch_size=_BATCH_SIZE.value or (2 if kind == 'train' else 1),
    shots=_SHOTS.value if kind == 'kshot' else 1,
    rounds=_ROUNDS.value,
    count=_BATCHES.value,
    fold=_FOLD.value,
    data_dir=_DATA_DIR.value,
    splits_dir=_SPLITS_DIR.value,
  )


def _parts(kind: str) -> Iterator[str]:
  from experiments.timing.costs.parts import parts_report

  if kind not in ('forward', 'train'):
    raise InputError(f'`by_part` is for `what`=forward or train, not {kind}')
  return parts_report(
    train=kind == 'train',
    backbone=_BACKBONE.value,
    image_size=_IMAGE_SIZE.value or 400,
    batch_size=_BATCH_SIZE.value or (2 if kind == 'train' else 1),
    rounds=_ROUNDS.value,
    peak_size=_PEAK_SIZE.value,
    fold=_FOLD.value,
    data_dir=_DATA_DIR.value,
    splits_dir=_SPLITS_DIR.value,
  )


def _kernels() -> Iterator[str]:
  from experiments.timing.costs.kernels import kernels_report

  return kernels_report(
    backbone=_BACKBONE.value,
    image_size=_IMAGE_SIZE.value or 400,
    batch_size=_BATCH_SIZE.value or 1,
    rounds=_ROUNDS.value,
    peak_size=_PEAK_SIZE.value,
    kernels=_KERNELS.value,
  )


def _scaling() -> Iterator[str]:
  from experiments.timing.costs.scaling import AXES, scaling_report

  return scaling_report(
    backbone=_BACKBONE.value,
    image_size=_IMAGE_SIZE.value or 400,
    rounds=_ROUNDS.value,
    axes=AXES if _AXIS.value == 'all' else [_AXIS.value],
  )


def _memory() -> Iterator[str]:
  from experiments.timing.costs.memory import memory_report

  return memory_report(
    sides=_sides(),
    backbone=_BACKBONE.value,
    image_size=_IMAGE_SIZE.value or 400,
    batch_size=_BATCH_SIZE.value,
    rounds=_ROUNDS.value,
    fold=_FOLD.value,
    data_dir=_DATA_DIR.value,
    splits_dir=_SPLITS_DIR.value,
  )


def _sides() -> tuple[str, ...]:
  return ('library', 'plain', *([_PEER.value] if _PEER.value else []))


_REPORTS = {
  'step': _step,
  'throughput': _throughput,
  'loop': _loop,
  'loader': _loader,
  'memory': _memory,
  'scaling': _scaling,
  'kernels': _kernels,
  **{kind: functools.partial(_in_turn, kind) for kind in IN_TURN},
}


def _whole_numbers(given: Sequence[str], *, name: str, least: int) -> list[int]:
  """Returns the numbers of a list; raises InputError where one is none, or below the least."""
  wrong = [text for text in given if not text.isdecimal() or int(text) < least]
  if wrong:
    raise InputError(f'`{name}`: {", ".join(wrong)}: write whole numbers from {least}, as in 1,2')
  return list(map(int, given))


if __name__ == '__main__':
  app.run(main)
