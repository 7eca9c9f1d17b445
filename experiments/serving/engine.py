"""Segments what has come: one thread over the network, which takes what waits together."""

import collections
import dataclasses
import hashlib
import queue
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from data_pipelines.reading.images import Encoded, read_image, read_pair
from data_pipelines.reading.masks import read_mask
from experiments.serving.segmenting import Segmented, segment
from hsnet_jax import Segmenter
from hsnet_jax.errors import InputError
from hsnet_jax.segmenter.pictures import resize_picture

_WARM = 512  # Side of the picture that compiles the programs.


class Support(NamedTuple):
  """Holds a support as it came: files of a picture and of its mask, and the name of its class."""

  image: Encoded
  mask: Encoded
  name: str


@dataclasses.dataclass(eq=False)
class _Job:
  image: Encoded
  supports: tuple[Support, ...]
  key: str  # Of the supports; '' for those that the engine has.
  done: 'Future[Segmented]'
  small: np.ndarray | None = None
  size: tuple[int, int] = (0, 0)


class Engine:
  """Takes pictures from any thread, and segments them in its own.

  Args:
    segmenter: fitted, or for requests that bring their supports.
    batch_size: so many pictures of the same supports go through the network at a time.
    mask_value: of the masks, as `data_pipelines.read_mask` takes it.
    kept: so many sets of supports stay encoded.
    count: is told how many pictures went through the network together.
  """

  def __init__(
    self,
    segmenter: Segmenter,
    *,
    batch_size: int = 1,
    mask_value: int | None = None,
    kept: int = 32,
    count: Callable[[int], None] = lambda pictures: None,
  ):
    """Starts nothing yet."""
    self._segmenter, self._rows, self._value = segmenter, batch_size, mask_value
    self._folded = segmenter  # Fitted to anything: those fitted from it share its weights.
    self._kept, self._count = kept, count
    self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
    self._encoded: collections.OrderedDict[str, Segmenter] = collections.OrderedDict()
    self._thread = threading.Thread(target=self._run, name='segmenting', daemon=True)
    self.is_ready = False

  @property
  def is_fitted(self) -> bool:
    """Says whether a request may come without supports."""
    return self._segmenter.fitted is not None

  def start(self) -> None:
    """Begins to work; what is compiled first makes `is_ready` true at its end."""
    self._thread.start()

  def stop(self) -> None:
    """Does what was submitted, and ends."""
    self._jobs.put(None)
    self._thread.join()

  def submit(self, image: Encoded, supports: Sequence[Support] = ()) -> 'Future[Segmented]':
    """Puts a picture into the queue.

    Args:
      image: the picture's file.
      supports: what to find in it; without any, what the engine's segmenter was fitted to.

    Returns:
      What will be found, or an `InputError`. One that is canceled in time is not computed.
    """
    job = _Job(image, tuple(supports), _digest(supports), Future())
    self._jobs.put(job)
    return job.done

  def _run(self) -> None:
    try:
      self._warm_up()
      self.is_ready = True
    except Exception:  # Requests are told what is wrong; it is never ready.
      traceback.print_exc()
    is_last = False
    while not is_last:
      batch, is_last = self._take()
      groups: dict[str, list[_Job]] = {}
      for job in batch:
        if job.done.set_running_or_notify_cancel() and _try([job], lambda job=job: self._read(job)):
          groups.setdefault(job.key, []).append(job)
      for jobs in groups.values():
        _try(jobs, lambda jobs=jobs: self._segment(jobs))

  def _warm_up(self) -> None:
    """Compiles what most requests need."""
    segmenter, image = self._segmenter, np.zeros((_WARM, _WARM, 3), np.uint8)
    if segmenter.fitted is None:
      mask = np.zeros((_WARM, _WARM), np.uint8)
      mask[_WARM // 4 : _WARM // 2, _WARM // 4 : _WARM // 2] = 1
      segmenter = segmenter.fit([image], [mask])
    self._folded = segmenter
    for rows in {1, self._rows}:
      segment(segmenter, self._small(image)[None], [image.shape[:2]], rows=rows)

  def _take(self) -> tuple[list[_Job], bool]:
    """Waits for a job, and takes what is there beside it; says whether no more will come."""
    batch = [self._jobs.get()]
    while batch[-1] is not None and len(batch) < self._rows:
      try:
        batch.append(self._jobs.get_nowait())
      except queue.Empty:
        break
    return [job for job in batch if job is not None], batch[-1] is None

  def _small(self, image: np.ndarray) -> np.ndarray:
    return resize_picture(image, (self._segmenter.image_size, self._segmenter.image_size))

  def _read(self, job: _Job) -> None:
    """Decodes a picture, of which only what the network sees is kept."""
    image = read_image(job.image)
    job.small, job.size = self._small(image), (image.shape[0], image.shape[1])

  def _segment(self, jobs: Sequence[_Job]) -> None:
    segmenter = self._fitted(jobs[0])
    self._count(len(jobs))
    pictures = np.stack([job.small for job in jobs if job.small is not None])
    sizes = [job.size for job in jobs]
    found = segment(segmenter, pictures, sizes, rows=1 if len(jobs) == 1 else self._rows)
    for job, one in zip(jobs, found, strict=True):
      job.done.set_result(one)

  def _fitted(self, job: _Job) -> Segmenter:
    """Returns a segmenter of a job's supports, which are encoded where they are not known."""
    if not job.supports:
      return self._segmenter
    if job.key not in self._encoded:
      pairs = [self._read_support(one) for one in job.supports]
      images, masks = zip(*pairs, strict=True)
      try:
        fitted = self._folded.fit(images, masks, [one.name for one in job.supports])
      except InputError as error:  # It names the arguments of `fit`.
        line = str(error).replace('`images`', 'support_images')
        raise InputError(line.replace('`masks`', 'support_masks')) from error
      self._encoded[job.key] = fitted
    self._encoded.move_to_end(job.key)
    while len(self._encoded) > self._kept:
      self._encoded.popitem(last=False)
    return self._encoded[job.key]

  def _read_support(self, support: Support) -> tuple[np.ndarray, np.ndarray]:
    def read(source):
      return read_mask(source, value=self._value)

    image, mask = read_pair(support.image, support.mask, upright=True, read=read)
    if not mask.any():
      raise InputError(f'{support.mask}: the mask has no foreground; draw the object in it')
    return image, mask


def _try(jobs: Sequence[_Job], work: Callable[[], None]) -> bool:
  """Works, and gives whoever waits for it what goes wrong; says whether nothing did."""
  try:
    work()
  except Exception as error:
    for job in jobs:
      if not job.done.done():
        job.done.set_exception(error)
    return False
  return True


def _digest(supports: Sequence[Support]) -> str:
  if not supports:
    return ''
  total = hashlib.sha256()
  for one in supports:
    for part in (one.image.data, one.mask.data, one.name.encode('utf-8', 'replace')):
      total.update(hashlib.sha256(part).digest())
  return total.hexdigest()
