"""Reads thousands of mutated files in every way that the commands do, and says what came of it."""

import multiprocessing.connection
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.recovery.config import ChaosConfig
from experiments.recovery.readers import READERS, Reader
from experiments.recovery.workers import REFUSED, VALUE, Limits, Verdict, Worker
from experiments.reporting.progress import progress_bar
from experiments.storage.results import empty_folder
from hsnet_jax.errors import InputError

_TABLE = 'experiments.recovery.readers'
_INPUTS_OF_A_WORKER = 1000  # What readers leave in memory goes with the process.
_LOOK_SECONDS = 0.02
LIMITS = Limits()


class Read(NamedTuple):
  """Says how an input was read: the reader's name, the round, the verdict."""

  name: str
  number: int
  verdict: Verdict


def read_mutated_files(config: ChaosConfig) -> bool:
  """Mutates valid files and reads them; prints a table, and what failed.

  Args:
    config: how many, from which round on, the seed, and where what fails is kept.

  Returns:
    Whether every input ended as a value or an InputError, in time and memory.

  Raises:
    InputError: a valid sample is refused, or the folder holds files already.
  """
  numbers = range(config.first, config.first + config.rounds)
  with empty_folder(config.output_dir) as folder, progress_bar(len(numbers), unit='input') as bar:
    found = []
    for read in read_rounds(READERS, numbers, seed=config.seed, folder=folder):
      found.append(read)
      bar.update()
    print_table(found)
    failed = [read for read in found if read.verdict.failed]
    for name, number, verdict in failed:
      kept = f'; kept in {_place(folder, name, number)}' if config.output_dir else ''
      print(f'round {number} of seed {config.seed}: {name}: {verdict.kind}: {verdict.detail}{kept}')
    if failed:
      number = failed[0].number
      print(f'again: --what=files --seed={config.seed} --first={number} --rounds=1')
  return not failed


def read_rounds(
  readers: Mapping[str, Reader],
  numbers: Sequence[int],
  *,
  seed: int,
  folder: Path,
  limits: Limits = LIMITS,
  module: str = _TABLE,
  processes: int | None = None,
) -> Iterator[Read]:
  """Reads the input of each round, several at once.

  Args:
    readers: the table; round n is of the n-th reader of it, begun anew after the last.
    numbers: the rounds, from 1.
    seed: of the mutations.
    folder: an empty folder for samples and inputs; what failed stays there.
    limits: what an input may take.
    module: where a process finds the table under the name READERS.
    processes: how many; as many as there are cores where None.

  Yields:
    What came of each, as it is done.

  Raises:
    InputError: a valid sample is not read.
  """
  names = list(readers)
  todo = [(names[(number - 1) % len(names)], number) for number in numbers]
  samples = folder / 'samples'
  for name in dict.fromkeys(name for name, _ in todo):
    (samples / name).mkdir(parents=True)
    readers[name].make(samples / name)
  todo.reverse()
  workers: list[Worker | None] = [None] * min(processes or os.cpu_count() or 1, len(todo))
  try:
    while todo or any(worker and worker.task for worker in workers):
      for i, worker in enumerate(workers):
        if worker is None or (not worker.task and worker.done >= _INPUTS_OF_A_WORKER):
          if worker:
            worker.end()
          worker = workers[i] = Worker(module, samples, seed) if todo else None
        if worker is None:
          continue
        if not worker.task and todo:
          name, number = todo.pop()
          if name not in worker.knows:  # Reads the valid one first: whatever is imported is then.
            todo.append((name, number))
            number = 0
          place = _place(folder, name, number) if number else folder / f'valid{i}'
          worker.ask(name, number, place)
      yield from _look(workers, readers, limits)
  finally:
    for worker in filter(None, workers):
      worker.end()
    shutil.rmtree(samples)


def _look(
  workers: list[Worker | None], readers: Mapping[str, Reader], limits: Limits
) -> Iterator[Read]:
  """Waits a moment, and gives what has ended."""
  busy = [worker.connection for worker in workers if worker and worker.task]
  multiprocessing.connection.wait(busy, _LOOK_SECONDS)
  for i, worker in enumerate(workers):
    verdict = worker.look(limits) if worker and worker.task else None
    if not (verdict and worker and worker.task):
      continue
    name, number, folder = worker.task
    worker.task = None
    if not worker.alive:
      workers[i] = None
    if number:
      yield Read(name, number, verdict)
      continue
    expected = REFUSED if needs_more(readers[name]) else VALUE
    if verdict.kind != expected:
      raise InputError(f'{folder}: the valid sample of {name}: {verdict.kind}: {verdict.detail}')
    worker.knows.add(name)


def needs_more(reader: Reader) -> bool:
  """Returns whether a reader can do nothing but refuse here."""
  if not reader.needs:
    return False
  try:
    __import__(reader.needs)
  except ImportError:
    return True
  return False


def print_table(found: Sequence[Read]) -> None:
  """Prints a row for each reader, and one for all."""
  names = dict.fromkeys(read.name for read in found)
  print(f'{"reader":<20} inputs  values refused  failed  seconds      MB')
  rows = {name: [read.verdict for read in found if read.name == name] for name in sorted(names)}
  rows['all'] = [read.verdict for read in found]
  for name, verdicts in rows.items():
    kinds = [verdict.kind for verdict in verdicts]
    failed = sum(verdict.failed for verdict in verdicts)
    seconds = max((verdict.seconds for verdict in verdicts), default=0)
    megabytes = max((verdict.megabytes for verdict in verdicts), default=0)
    counts = f'{len(kinds):7} {kinds.count(VALUE):7} {kinds.count(REFUSED):7} {failed:7}'
    print(f'{name:<20}{counts} {seconds:8.2f} {megabytes:7.0f}')


def _place(folder: Path, name: str, number: int) -> Path:
  """Returns where the input of a round is."""
  return folder / f'{number}-{name.replace(" ", "-").replace(",", "")}'
