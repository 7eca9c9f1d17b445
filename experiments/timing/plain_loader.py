"""Loads PASCAL episodes as PyTorch users write it, to measure ours against; no framework.

For each image: decode and resize with Pillow, convert to float32, normalize with NumPy, channels
first. Then stack. One process a core makes whole batches and hands them over in shared memory, as
PyTorch's `DataLoader` does; as there, two batches a process are under way.
"""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing import shared_memory
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


class Job(NamedTuple):
  """Names the files of a 1-shot episode and the value of its class in the labels."""

  query: tuple[Path, Path]
  support: tuple[Path, Path]
  value: int


class PlainLoader(Iterator[dict[str, np.ndarray]]):
  """Goes through batches of episodes, over and over.

  Args:
    jobs: the episodes of each batch.
    size: (height, width) of the arrays.
    processes: how many make batches.
  """

  def __init__(self, jobs: Sequence[Sequence[Job]], size: tuple[int, int], processes: int):
    """Starts the processes."""
    self._jobs = itertools.cycle(jobs)
    self._size = size
    self._pool = multiprocessing.get_context('spawn').Pool(processes)
    self._under_way = deque(self._submit() for _ in range(2 * processes))
    self._held = []

  def __next__(self) -> dict[str, np.ndarray]:
    """Returns the next batch; its arrays must be let go before the one after it."""
    made = self._under_way.popleft().get()
    self._under_way.append(self._submit())
    self._release()
    batch = {}
    for name, (where, shape, dtype) in made.items():
      memory = shared_memory.SharedMemory(where)
      self._held.append(memory)
      batch[name] = np.ndarray(shape, dtype, memory.buf)
    return batch

  def close(self) -> None:
    """Ends the processes and gives all memory back."""
    self._release()
    for result in self._under_way:
      for where, *_ in result.get().values():
        self._held.append(shared_memory.SharedMemory(where))
    self._release()
    self._pool.close()
    self._pool.join()

  def _submit(self):
    return self._pool.apply_async(_make_shared, (next(self._jobs), self._size))

  def _release(self) -> None:
    for memory in self._held:
      memory.close()
      memory.unlink()
    self._held = []


def make_batch(jobs: Sequence[Job], size: tuple[int, int]) -> dict[str, np.ndarray]:
  """Makes the arrays of a batch: images float32 [B, 3, H, W], masks uint8 [B, H, W]."""
  episodes = [_episode(job, size) for job in jobs]
  return {name: np.stack([episode[name] for episode in episodes]) for name in episodes[0]}


def _episode(job: Job, size: tuple[int, int]) -> dict[str, np.ndarray]:
  (query, query_label), (support, support_label) = (_read(*pair, size) for pair in job[:2])
  return {
    'query_image': query,
    'query_mask': (query_label == job.value).astype(np.uint8),
    'query_ignore': (query_label == 255).astype(np.uint8),
    'support_image': support,
    'support_mask': (support_label == job.value).astype(np.uint8),
  }


def _read(image_path: Path, label_path: Path, size: tuple[int, int]):
  image = (
    Image.open(image_path).convert('RGB').resize((size[1], size[0]), Image.Resampling.BILINEAR)
  )
  pixels = (np.asarray(image, np.float32) / 255 - _MEAN) / _STD
  label = np.asarray(Image.open(label_path))
  rows, columns = (_nearest(*pair) for pair in zip(label.shape, size, strict=True))
  return pixels.transpose(2, 0, 1), label[rows[:, None], columns]


def _nearest(length: int, target: int) -> np.ndarray:
  """Returns the pixels that `torch.nn.functional.interpolate` takes."""
  scale = np.float32(length) / np.float32(target)
  return np.minimum(np.floor(np.arange(target, dtype=np.float32) * scale), length - 1).astype(int)


def _make_shared(jobs: Sequence[Job], size: tuple[int, int]) -> dict[str, tuple]:
  described = {}
  for name, array in make_batch(jobs, size).items():
    memory = shared_memory.SharedMemory(create=True, size=array.nbytes)
    np.ndarray(array.shape, array.dtype, memory.buf)[...] = array
    described[name] = memory.name, array.shape, array.dtype.str
    memory.close()
  return described
