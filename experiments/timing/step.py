"""The training step as the library runs it, and in the plain formulation, to be timed in turn."""

import functools
import time
from collections.abc import Callable

import jax
import numpy as np

from hsnet_jax.backbones import get_backbone
from hsnet_jax.model import HSNet
from hsnet_jax.training import create_train_state, train_step


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


def training_step(
  name: str, batch: dict[str, np.ndarray], *, implementation: str = 'auto'
) -> Callable[[], None]:
  """Compiles a training step; returns what runs it once, on a state of its own.

  Args:
    name: the backbone.
    batch: to train on.
    implementation: of the network's kernels; 'plain' for XLA's own convolutions alone.
  """
  key = jax.random.key(0)
  weights = get_backbone(name).init(key)
  model = HSNet(name, implementation=implementation)
  state = create_train_state(key, model=model, backbone=weights)
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
