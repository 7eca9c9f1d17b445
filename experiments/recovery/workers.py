"""Reads mutated files in processes of their own, which end when they take too long or too much.

A reader may crash the process, hang, or ask for all memory there is; whoever watches goes on.
"""

import contextlib
import fnmatch
import gc
import importlib
import multiprocessing
import os
import random
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import psutil

from experiments.recovery.containers import structure_of
from experiments.recovery.mutations import mutate
from experiments.recovery.readers import Reader
from hsnet_jax.errors import InputError

# A folder's files, by their paths in it.
Tree = Mapping[str, bytes]

VALUE, REFUSED = 'value', 'refused'
_MEGABYTE = 1e6


class Verdict(NamedTuple):
  """Says how the reading of one input ended.

  Attributes:
    kind: 'value', 'refused', or a failure: 'traceback', 'message', 'time', 'memory', 'crash'.
    detail: of a refusal its message, of a failure what it was.
    seconds: how long it took.
    megabytes: how much memory it took, at most.
  """

  kind: str
  detail: str = ''
  seconds: float = 0.0
  megabytes: float = 0.0

  @property
  def failed(self) -> bool:
    """Returns whether it is a failure."""
    return self.kind not in (VALUE, REFUSED)


class Limits(NamedTuple):
  """Says what the reading of one input may take."""

  seconds: float = 10.0
  megabytes: float = 1000.0


def read_tree(folder: Path) -> dict[str, bytes]:
  """Reads a sample; files in an order that random names do not change."""
  files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}
  return dict(sorted(files.items(), key=lambda f: (os.path.dirname(f[0]), len(f[1]), f[0])))


def mutate_tree(tree: Tree, targets: list[list[str]], rng: random.Random) -> dict[str, bytes]:
  """Mutates one file of a sample; one in forty is missing or empty.

  Args:
    tree: the sample.
    targets: groups of its files; of one of the groups one file is taken.
    rng: all that chance decides.

  Returns:
    Another sample.
  """
  name = rng.choice(rng.choice(targets))
  if rng.random() < 0.0125:
    return {path: content for path, content in tree.items() if path != name}
  if rng.random() < 0.0125 and tree[name]:
    return {**tree, name: b''}
  return {**tree, name: mutate(tree[name], rng, structure_of(name))}


def make_input(name: str, reader: Reader, tree: Tree, *, seed: int, number: int) -> Tree:
  """Makes the input of a round; round 0 is the valid sample."""
  if not number:
    return tree
  groups = [fnmatch.filter(tree, pattern) for pattern in reader.targets]
  return mutate_tree(tree, [g for g in groups if g], random.Random(f'{seed} {name} {number}'))


def read_input(reader: Reader, content: Tree, folder: Path) -> Verdict:
  """Writes an input to a folder and reads it, in this process.

  Args:
    reader: what reads it.
    content: the files.
    folder: a free path. It stays where the reading fails.

  Returns:
    How it ended; what takes too long or too much is not stopped here.
  """
  for path, data in content.items():
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)
  before, start = _reset_peak(), time.monotonic()
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    kind, detail = _read(reader, folder)
  taken = time.monotonic() - start, max(_peak() - before, 0) / _MEGABYTE
  verdict = Verdict(kind, detail, *taken)
  if not verdict.failed:
    shutil.rmtree(folder, ignore_errors=True)
  return verdict


def _read(reader: Reader, folder: Path) -> tuple[str, str]:
  try:
    reader.read(folder)
  except InputError as error:
    message = str(error)
    if not message.strip():
      return 'message', 'says nothing'
    return REFUSED, message
  except Exception as error:
    where = traceback.extract_tb(error.__traceback__)
    own = [f for f in where if 'site-packages' not in f.filename] or where
    at = f'{Path(own[-1].filename).name}:{own[-1].lineno}' if own else ''
    return 'traceback', f'{type(error).__name__}: {str(error)[:300]} ({at})'
  return VALUE, ''


def _reset_peak() -> int:
  """Begins to measure anew what the process holds at most; returns what it holds now, bytes."""
  with contextlib.suppress(OSError):
    Path('/proc/self/clear_refs').write_text('5')
  return psutil.Process().memory_info().rss


def _peak() -> int:
  """Returns what the process has held at most, bytes."""
  with contextlib.suppress(OSError, StopIteration):
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith('VmHWM')).split()[1])
  unit = 1 if sys.platform == 'darwin' else 1024
  return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def serve(connection: Connection, module: str, samples: str, seed: int) -> None:
  """Does in a process of its own what is asked: (reader's name, number, folder) to a Verdict.

  Args:
    connection: to whoever asks; None ends it.
    module: that has the table `READERS`.
    samples: the folder of the valid samples, each in a folder of its reader's name.
    seed: of the mutations.
  """
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  readers: Mapping[str, Reader] = importlib.import_module(module).READERS
  trees: dict[str, Tree] = {}
  silent = os.open(os.devnull, os.O_WRONLY)
  for stream in (1, 2):  # Libraries in C complain of what they read.
    os.dup2(silent, stream)
  while (task := connection.recv()) is not None:
    name, number, folder = task
    reader = readers[name]
    if name not in trees:
      trees[name] = read_tree(Path(samples, name))
    content = make_input(name, reader, trees[name], seed=seed, number=number)
    connection.send(None)  # From now on it is the reader that takes time and memory.
    verdict = read_input(reader, content, Path(folder))
    if verdict.megabytes > 100:
      gc.collect()
    connection.send(verdict)


class Worker:
  """Holds a process that reads, and what it is at."""

  def __init__(self, module: str, samples: Path, seed: int):
    """Starts it."""
    context = multiprocessing.get_context('spawn')
    self.connection, theirs = context.Pipe()
    self._process = context.Process(
      target=serve, args=(theirs, module, str(samples), seed), daemon=True
    )
    self._process.start()
    theirs.close()
    self._watched = psutil.Process(self._process.pid)
    self.knows: set[str] = set()
    self.done = 0
    self.task: tuple[str, int, Path] | None = None

  def ask(self, name: str, number: int, folder: Path) -> None:
    """Gives it an input to read."""
    self.task = name, number, folder
    self._since, self._before = time.monotonic(), self._held()
    self.connection.send((name, number, str(folder)))

  def look(self, limits: Limits) -> Verdict | None:
    """Returns how the reading ended; ends the process where it takes more than it may.

    Args:
      limits: what it may take. A valid sample, which the libraries are imported for, may take more.

    Returns:
      The verdict; None while it is under way.
    """
    valid = self.task is not None and self.task[1] == 0
    try:
      if self.connection.poll():
        verdict = self.connection.recv()
        if verdict is None:
          self._since, self._before = time.monotonic(), self._held()
          return None
        self.done += 1
        over = verdict.megabytes > limits.megabytes and not valid
        return verdict._replace(kind='memory', detail='too much') if over else verdict
    except (EOFError, OSError):
      self._process.join()
      return Verdict('crash', f'exit code {self._process.exitcode}', self._seconds())
    if valid:
      limits = Limits(limits.seconds + 300, limits.megabytes + 4000)
    held = (self._held() - self._before) / _MEGABYTE
    if self._seconds() > limits.seconds:
      self.end()
      return Verdict('time', f'{limits.seconds:.0f} s', self._seconds(), held)
    if held > 1.2 * limits.megabytes:
      self.end()
      return Verdict('memory', f'{held:.0f} MB and more', self._seconds(), held)
    return None

  @property
  def alive(self) -> bool:
    """Returns whether it can be asked again."""
    return self._process.is_alive()

  def end(self) -> None:
    """Ends the process."""
    self._process.kill()
    self._process.join()

  def _seconds(self) -> float:
    return time.monotonic() - self._since

  def _held(self) -> int:
    with contextlib.suppress(psutil.Error):
      return self._watched.memory_info().rss
    return 0
