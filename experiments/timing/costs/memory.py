"""Measures memory by operation: what XLA says of a program, and what its process holds."""

from collections.abc import Iterator, Sequence

from experiments.timing.in_turn import Compared, check_peer, compare, load_episodes, make_tasks
from experiments.timing.lines import Line, spread
from hsnet_jax.models import describe_devices

OPERATIONS = ('forward', 'train')
PARTS = ('arguments', 'outputs', 'temporaries')  # Of XLA's account.


def memory_report(
  *,
  sides: Sequence[str],
  backbone: str,
  image_size: int,
  batch_size: int | None,
  rounds: int,
  fold: int,
  data_dir: str | None,
  splits_dir: str | None,
) -> Iterator[str]:
  """Measures the memory of a forward pass and of a training step.

  Args:
    sides: as for `in_turn_report`.
    backbone: its name; weights are random.
    image_size: side of the images.
    batch_size: episodes a batch; None for 1, and 2 in training.
    rounds: how often each side runs; the peak is that of all.
    fold: whose episodes.
    data_dir: the folder of PASCAL-5i's photographs; None for drawn shapes.
    splits_dir: the folder of its lists.

  Yields:
    Lines: a Markdown table. A process's peak is above its imports and weights: once with a program
    that is read from a cache, and how much of that the process holds before it first runs; once in
    a process that compiles it.
  """
  check_peer(sides, backbone)
  yield f'device: {describe_devices()}'
  yield f'memory: {backbone}, {image_size} x {image_size}, 1-shot, in MB'
  yield (
    '| operation | batch | side | arguments | outputs | temporaries | process, above weights'
    ' | of it, before it runs | with compiling | median s |'
  )
  yield '|---|---|---|---|---|---|---|---|---|---|'
  for kind in OPERATIONS:
    batch = batch_size or (2 if kind == 'train' else 1)
    episodes = load_episodes(
      data_dir,
      splits_dir=splits_dir,
      fold=fold,
      backbone=backbone,
      image_size=image_size,
      batch_size=batch,
      shots=1,
      count=1,
    )
    tasks = make_tasks(sides, kind, backbone)
    yield from _rows(kind, batch, compare(tasks, episodes, rounds=rounds))


def _rows(kind: str, batch: int, found: Compared) -> Iterator[Line]:
  for name, rounds in found.seconds.items():
    account = found.programs.get(name, {})
    cells = [account.get(part) for part in PARTS]
    # The peer compiles nothing.
    cells += [found.peak[name], account.get('ready'), found.first[name] if account else None]
    seconds = spread(rounds)
    shown = ' | '.join('-' if n is None else f'{n / 1e6:.0f}' for n in cells)
    yield Line(
      f'| {kind} | {batch} | {name} | {shown} | {seconds["median"]:.3f} |',
      operation=kind,
      batch=batch,
      side=name,
      bytes=dict(zip((*PARTS, 'process', 'ready', 'compiling'), cells, strict=True)),
      seconds=seconds,
    )
