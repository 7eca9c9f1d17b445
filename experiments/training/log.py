"""Writes what a run leaves behind: figures, curves and pictures, and what it said, in log.txt."""

import contextlib
import datetime
import json
import math
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from PIL import Image
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

from experiments.storage.figures import read_figures
from experiments.storage.results import find_place, numbered, write_png
from experiments.training.processes import is_writer
from hsnet_jax.whole_files import naming, write_text

_EVENTS: Any = event_pb2  # Made as it is imported: checkers know nothing that is in it.


# What the file of a run's folder is called that has all it said, each line with its time.
SAID = 'log.txt'


def say(run_dir: str | os.PathLike[str], line: str) -> None:
  """Prints a line, and adds it to the run's log.

  Args:
    run_dir: the run's folder.
    line: what to say.
  """
  print(line, flush=True)
  note(run_dir, line)


def note(run_dir: str | os.PathLike[str], line: str) -> None:
  """Adds a line to the run's log alone, with the time; of several processes one does."""
  if is_writer():
    path = pathlib.Path(run_dir) / SAID
    now = datetime.datetime.now().astimezone().isoformat(' ', 'seconds')
    with naming(path), open(path, 'a', encoding='utf-8') as file:
      file.write(f'{now}  {line}\n')


class Log(Protocol):
  """Takes what the loop writes: a `RunLog`, or of other processes than the writer a `SilentLog`."""

  def scalars(self, step: int, figures: Mapping[str, float]) -> None:
    """Adds figures."""

  def picture(self, name: str, step: int, image: Image.Image) -> object:
    """Keeps a picture."""

  def say(self, line: str) -> None:
    """Prints a line, and keeps it."""


class RunLog:
  """Writes the figures of a run as they come.

  `metrics.jsonl` has one JSON object per line, with `step`, `time/seconds` since the start and the
  figures; `tensorboard/` has the same as curves; `pictures/` what was drawn; `log.txt` all lines
  that were printed, each with its time, also after the run was resumed. All is written at
  once: tensorboardX's own writer is a thread, which a full disk ends unheard, and whose queue then
  blocks the run.
  """

  def __init__(
    self, run_dir: str | os.PathLike[str], *, last_step: int | None = None, unfinished: bool = False
  ):
    """Opens the log; a log already there is continued.

    Args:
      run_dir: the run's folder.
      last_step: the step that the run resumes from: what was written of later ones, before it was
        stopped, is taken out.
      unfinished: whether it resumes within an epoch: what an epoch ends with is then written anew,
        and taken out where it was of that very step.
    """
    self._folder = pathlib.Path(run_dir)
    self._curves_folder = self._folder / 'tensorboard'
    self._curves_folder.mkdir(parents=True, exist_ok=True)
    path = self._folder / 'metrics.jsonl'
    if last_step is not None and path.is_file():
      write_text(path, ''.join(_lines_up_to(path, last_step, unfinished)))
    before = path.read_bytes() if path.is_file() else b''
    self._lines = open(path, 'a', encoding='utf-8')
    if before and not before.endswith(b'\n'):
      self._lines.write('\n')  # What a crash cut short stays a line of its own.
    self._curves = EventsWriter(str(self._curves_folder / 'events'))
    if last_step is not None:
      started = _EVENTS.SessionLog(
        status=_EVENTS.SessionLog.START
      )  # TensorBoard drops what was from this step on.
      self._curves.write_event(_EVENTS.Event(step=last_step + 1, session_log=started))
    self._start = time.monotonic()

  def scalars(self, step: int, figures: Mapping[str, float]) -> None:
    """Adds a line of figures and a point to each of their curves.

    Args:
      step: how many steps the model has been trained for.
      figures: {name: value}; a curve's name is a group and a figure, such as `val/miou`. What is no
        number is null in the line, and its curve has no point.
    """
    finite = {name: float(value) for name, value in figures.items() if math.isfinite(value)}
    line = {name: finite.get(name) for name in figures}
    seconds = round(time.monotonic() - self._start, 2)
    with naming(self._folder / 'metrics.jsonl'):
      self._lines.write(json.dumps({'step': step, 'time/seconds': seconds, **line}) + '\n')
      self._lines.flush()
    self._add(step, *(summary.scalar(name, value) for name, value in finite.items()))

  def picture(self, name: str, step: int, image: Image.Image) -> pathlib.Path:
    """Keeps a picture, the newest of its name as a file, all of them in TensorBoard.

    A file that a person has changed stays, and the picture goes beside it.

    Args:
      name: of the file, without ending.
      step: how many steps the model has been trained for.
      image: what was drawn.

    Returns:
      The file.
    """
    wanted, of = self._folder / 'pictures' / f'{name}.png', {'command': 'train', 'picture': name}
    path = numbered(wanted, find_place(lambda n: [numbered(wanted, n)], of=of))
    write_png(path, image, of=of)
    self._add(step, summary.image(name, np.asarray(image), dataformats='HWC'))
    return path

  def say(self, line: str) -> None:
    """Prints a line, and adds it to log.txt with the time."""
    say(self._folder, line)

  def close(self) -> None:
    """Closes the files; a failure to write them was raised when it happened."""
    for file in (self._lines, self._curves):
      with contextlib.suppress(OSError):
        file.close()

  def _add(self, step: int, *points) -> None:
    with naming(self._curves_folder):
      for point in points:
        self._curves.write_event(
          _EVENTS.Event(step=int(step), wall_time=time.time(), summary=point)
        )
      self._curves.flush()


class SilentLog:
  """Stands for the log in a process that leaves writing to another."""

  def scalars(self, step: int, figures: Mapping[str, float]) -> None:
    """Writes nothing."""

  def picture(self, name: str, step: int, image: Image.Image) -> None:
    """Writes nothing."""

  def say(self, line: str) -> None:
    """Prints a line: a process that leaves writing to another is silent as its command has it."""
    print(line, flush=True)

  def close(self) -> None:
    """Closes nothing."""


def _lines_up_to(path: pathlib.Path, last_step: int, unfinished: bool) -> Iterator[str]:
  for line, figures in read_figures(path):
    of_epoch = unfinished and not any(name.startswith('train/running') for name in figures)
    if figures['step'] < last_step or (figures['step'] == last_step and not of_epoch):
      yield line
