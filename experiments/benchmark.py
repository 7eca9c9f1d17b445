"""Measures speed: always one thing against another, in turn, in one run.

Examples, from the checkout's folder:

  The training step as the library runs it on this machine, against the plain formulation:
    python -m experiments.benchmark --backbone=mobilenet_v1_075 --image_size=200 --batch_size=20

Prints seconds a step, median and spread over the rounds, and the ratio round by round. The weights
are random: they cost the same.
"""

import contextlib
import functools
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import jax
import numpy as np
from absl import flags

from experiments import app
from experiments.models import describe_devices
from hsnet_jax import convolution
from hsnet_jax.backbones import BACKBONES, get_backbone
from hsnet_jax.model import HSNet
from hsnet_jax.training import create_train_state, train_step

_WHAT = flags.DEFINE_enum('what', 'step', ['step'], 'What to measure.')
_BACKBONE = flags.DEFINE_enum('backbone', 'mobilenet_v1_075', list(BACKBONES), 'The backbone.')
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 200, 'Side of the images.', lower_bound=32)
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 20, 'Episodes a step.', lower_bound=1)
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'How often both are measured.', lower_bound=1)


def random_batch(batch_size: int, image_size: int) -> dict[str, np.ndarray]:
  """A 1-shot batch of noise, as the loader would give it."""
  rng = np.random.default_rng(0)
  side = (image_size, image_size)
  mask = functools.partial(rng.integers, 0, 2, dtype=np.uint8)
  pixels = functools.partial(rng.integers, 0, 256, dtype=np.uint8)
  return {
    'query_image': pixels(size=(batch_size, *side, 3)),
    'query_mask': mask(size=(batch_size, *side)),
    'query_ignore': np.zeros((batch_size, *side), np.uint8),
    'support_images': pixels(size=(batch_size, 1, *side, 3)),
    'support_masks': mask(size=(batch_size, 1, *side)),
    'class_id': np.zeros(batch_size, np.int32),
    'index': np.arange(batch_size, dtype=np.int32),
    'valid': np.ones(batch_size, bool),
  }


@contextlib.contextmanager
def plain_xla() -> Iterator[None]:
  """What is traced inside takes XLA's own convolutions, as on an accelerator."""
  on_cpu = convolution.on_cpu
  convolution.on_cpu = lambda: False
  try:
    yield
  finally:
    convolution.on_cpu = on_cpu


def training_step(name: str, batch: dict[str, np.ndarray]) -> Callable[[], None]:
  """Compiles a training step; returns what runs it once, on a state of its own."""
  key = jax.random.key(0)
  weights = get_backbone(name).init(key)
  state = create_train_state(key, model=HSNet(name), backbone=weights)
  batch = jax.device_put(batch)
  step = jax.jit(train_step).lower(state, batch).compile()

  def run():
    jax.block_until_ready(step(state, batch))

  return run


def measure(first: Callable[[], None], second: Callable[[], None], rounds: int) -> list[list]:
  """Seconds of each, in turn, after one round that does not count."""
  seconds = [[], []]
  for round_ in range(rounds + 1):
    for which, function in enumerate((first, second)):
      start = time.perf_counter()
      function()
      if round_:
        seconds[which].append(time.perf_counter() - start)
  return seconds


def main() -> None:
  """Measures the training step."""
  print('device:', describe_devices())
  name, size, batch_size = _BACKBONE.value, _IMAGE_SIZE.value, _BATCH_SIZE.value
  print(f'training step: {name}, {size} x {size}, batch {batch_size}, 1-shot', flush=True)
  batch = random_batch(batch_size, size)
  library = training_step(name, batch)
  with plain_xla():
    plain = training_step(name, batch)
  seconds = measure(library, plain, _ROUNDS.value)
  print('| form | median s | least | most |\n|---|---|---|---|')
  for form, values in zip(('library', 'plain XLA'), seconds, strict=True):
    print(f'| {form} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |')
  ratios = [b / a for a, b in zip(*seconds, strict=True)]
  print(
    f'plain / library: median {statistics.median(ratios):.2f},'
    f' {min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds'
  )


if __name__ == '__main__':
  app.run(main)
