"""Compares the library with a peer on the same episodes, each in a process of its own, in turn."""

import contextlib
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from data_pipelines import make_benchmark
from data_pipelines.loading.loader import eval_batches
from experiments.storage.checkout import child_environment
from experiments.timing.lines import Line, spread
from experiments.timing.peer import BACKBONES
from experiments.timing.sides import Task
from hsnet_jax.backbones import get_backbone
from hsnet_jax.backbones.pixels import normalize
from hsnet_jax.errors import InputError
from hsnet_jax.model import HSNet
from hsnet_jax.models import describe_devices
from hsnet_jax.training import init_params
from hsnet_jax.weights.convert import to_torch
from hsnet_jax.weights.files import write_tensors


@dataclasses.dataclass(frozen=True)
class Compared:
  """Holds what two sides took.

  Attributes:
    seconds: a side's, one number a round: its median over the episodes.
    peak: a side's bytes above its weights, the most of those rounds; the library's without what
      compiling leaves behind.
    first: the same of the first call: by the library in a process that compiles its programs.
    programs: what the library answers to `program`.
  """

  seconds: Mapping[str, list[float]]
  peak: Mapping[str, float]
  first: Mapping[str, float]
  programs: Mapping[str, Mapping[str, float]]

  def ratios(self, first: str, second: str) -> list[float]:
    """Returns how many times longer the second side took, round by round."""
    pairs = zip(self.seconds[first], self.seconds[second], strict=True)
    return [b / a for a, b in pairs]


def load_episodes(
  data_dir: str | None,
  *,
  splits_dir: str | None,
  fold: int,
  backbone: str,
  image_size: int,
  batch_size: int,
  shots: int,
  count: int,
) -> dict[str, np.ndarray]:
  """Loads test episodes of PASCAL-5i, or of the drawn shapes where no folder is given.

  Args:
    data_dir: the photographs' folder.
    splits_dir: the lists' folder.
    fold: whose episodes.
    backbone: whose pixels images are normalized to.
    image_size: side of the images.
    batch_size: episodes a batch.
    shots: supports an episode.
    count: how many batches.

  Returns:
    What `Task.episodes` holds.
  """
  name = 'shapes' if data_dir is None else 'pascal'
  benchmark = make_benchmark(name, data_dir=data_dir, splits_dir=splits_dir)
  batches = eval_batches(
    benchmark,
    fold=fold,
    shots=shots,
    count=batch_size * count,
    image_size=image_size,
    batch_size=batch_size,
  )
  found: dict[str, list[np.ndarray]] = {}
  with contextlib.closing(iter(batches)) as loaded:
    for batch in loaded:
      for key, value in batch.items():
        found.setdefault(key, []).append(np.asarray(value))
  stacked = {key: np.stack(found[key]) for key in found}
  return {
    'query': np.asarray(normalize(stacked['query_image'], backbone)),
    'support': np.asarray(normalize(stacked['support_images'], backbone)),
    'support_mask': stacked['support_masks'],
    'query_mask': stacked['query_mask'],
  }


def compare(
  tasks: Mapping[str, Task], episodes: Mapping[str, np.ndarray], *, rounds: int
) -> Compared:
  """Runs each side's episodes in turn, round by round; the first round does not count.

  The library's programs are compiled by a process before: those that are timed read them.

  Args:
    tasks: the sides, without `weights` and `episodes`, which are made here.
    episodes: what they work on.
    rounds: how often.

  Returns:
    What they took.
  """
  count = len(episodes['query'])
  seconds: dict[str, list[float]] = {name: [] for name in tasks}
  peaks: list[dict[str, float]] = []
  first: dict[str, float] = {}
  programs: dict[str, dict[str, float]] = {}
  with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
    files = {'episodes': f'{folder}/episodes.npz', 'weights': f'{folder}/weights.safetensors'}
    np.savez(files['episodes'], allow_pickle=False, **episodes)
    write_tensors(files['weights'], random_weights(next(iter(tasks.values())).backbone))
    sides = {}
    for name, task in tasks.items():
      path = Path(folder, f'{name}.json')
      compiles = task.side == 'library'
      task = dataclasses.replace(task, **files, programs=f'{folder}/{name}' if compiles else '')
      path.write_text(json.dumps(dataclasses.asdict(task)), encoding='utf-8')
      if compiles:
        with _started(path) as side:
          first[name] = _answer(side, 0)['peak']
      sides[name] = stack.enter_context(_started(path))
      if compiles:
        programs[name] = _answer(sides[name], 'program')
    for round_ in range(rounds + 1):
      peaks.append({})
      for name, side in sides.items():
        answers = [_answer(side, number) for number in range(count)]
        peaks[-1][name] = max(answer['peak'] for answer in answers)
        if round_:
          seconds[name].append(statistics.median(answer['seconds'] for answer in answers))
  most = {name: max(peak[name] for peak in peaks[1:]) for name in tasks}
  return Compared(seconds, most, peaks[0] | first, programs)


def random_weights(backbone: str) -> dict[str, np.ndarray]:
  """Returns random weights of a network under their published names: they cost as much as any."""
  key = jax.random.key(0)
  variables = {
    'params': init_params(key, HSNet(backbone)),
    'backbone': get_backbone(backbone).init(key),
  }
  return {name: np.asarray(value) for name, value in to_torch(variables, backbone=backbone).items()}


@contextlib.contextmanager
def _started(task: Path) -> Iterator[subprocess.Popen[str]]:
  """Starts a side, which ends with its input."""
  command = [sys.executable, '-m', 'experiments.timing.sides', str(task)]
  pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
  with subprocess.Popen(command, env=child_environment(os.environ), **pipes) as process:
    try:
      yield process
    finally:
      process.kill()


def _answer(side: subprocess.Popen[str], question: int | str) -> dict[str, float]:
  assert side.stdin is not None and side.stdout is not None
  print(question, file=side.stdin, flush=True)
  line = side.stdout.readline()
  if not line:
    raise InputError('a side of the comparison ended; what it said is above')
  return json.loads(line)


def in_turn_report(
  kind: str,
  *,
  sides: Sequence[str],
  backbone: str,
  image_size: int,
  batch_size: int,
  shots: int,
  rounds: int,
  count: int,
  fold: int,
  data_dir: str | None,
  splits_dir: str | None,
) -> Iterator[str]:
  """Compares sides on real masks, and on masks that cover the whole picture.

  Args:
    kind: of `experiments.timing.sides.KINDS`.
    sides: 'library', 'plain' (the library with XLA's own kernels) or 'torch'; the first is what
      the others are compared with.
    backbone: its name; weights are random.
    image_size: side of the images.
    batch_size: episodes a batch.
    shots: supports an episode.
    rounds: how often each side runs.
    count: how many batches a round has.
    fold: whose episodes.
    data_dir: the folder of PASCAL-5i's photographs; None for drawn shapes.
    splits_dir: the folder of its lists.

  Yields:
    Lines: a Markdown table.
  """
  check_peer(sides, backbone)
  yield f'device: {describe_devices()}'
  side = f'{image_size} x {image_size}'
  yield f'{kind}: {backbone}, {side}, batch {batch_size}, {shots}-shot, {count} batches a round'
  episodes = load_episodes(
    data_dir,
    splits_dir=splits_dir,
    fold=fold,
    backbone=backbone,
    image_size=image_size,
    batch_size=batch_size,
    shots=shots,
    count=count,
  )
  yield from table(make_tasks(sides, kind, backbone), episodes, rounds=rounds)


def check_peer(sides: Sequence[str], backbone: str) -> None:
  """Raises InputError where the peer is among the sides, and has no such backbone."""
  if 'torch' in sides and backbone not in BACKBONES:
    raise InputError(f'`peer`=torch has {", ".join(BACKBONES)}, not `backbone`={backbone}')


def make_tasks(sides: Sequence[str], kind: str, backbone: str) -> dict[str, Task]:
  """Makes the tasks of sides for `compare`, all the same but for who does it."""
  levels = get_backbone(backbone).levels
  make = functools.partial(Task, kind=kind, backbone=backbone, levels=tuple(levels))
  return {
    name: make(
      side='torch' if name == 'torch' else 'library',
      implementation='plain' if name == 'plain' else 'auto',
    )
    for name in sides
  }


def table(
  tasks: Mapping[str, Task], episodes: Mapping[str, np.ndarray], *, rounds: int
) -> Iterator[str]:
  """Yields the lines of a Markdown table: real masks, then masks that cover the whole picture.

  Args:
    tasks: the sides; the first is what the others are compared with.
    episodes: what they work on.
    rounds: how often.
  """
  yield (
    '| masks | side | median s | least | most | times as long | its spread | MB above weights'
    ' | MB, first call |'
  )
  yield '|---|---|---|---|---|---|---|---|---|'
  first = next(iter(tasks))
  full = {**episodes, 'support_mask': np.ones_like(episodes['support_mask'])}
  for masks, given in (('real', episodes), ('full', full)):
    found = compare(tasks, given, rounds=rounds)
    for name, seconds in found.seconds.items():
      ratios = found.ratios(first, name)
      yield Line(
        f'| {masks} | {name} | {statistics.median(seconds):.3f} | {min(seconds):.3f}'
        f' | {max(seconds):.3f} | {statistics.median(ratios):.2f}'
        f' | {min(ratios):.2f} to {max(ratios):.2f} | {found.peak[name] / 1e6:.0f}'
        f' | {found.first[name] / 1e6:.0f} |',
        masks=masks,
        side=name,
        seconds=spread(seconds),
        times_as_long=spread(ratios),
        bytes_above_weights=found.peak[name],
        bytes_first_call=found.first[name],
      )
