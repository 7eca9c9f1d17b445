"""Times the training step as the library runs it, and in the plain formulation, in turn."""

import functools
import statistics
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

from experiments.timing.lines import Line, spread
from hsnet_jax.backbones import get_backbone
from hsnet_jax.model import HSNet
from hsnet_jax.models import describe_devices
from hsnet_jax.training import create_train_state, train_step


def step_report(backbone: str, *, image_size: int, batch_size: int, rounds: int) -> Iterator[str]:
  """Measures the training step in both forms.

  Args:
    backbone: its name; weights are random.
    image_size: side of the images.
    batch_size: episodes a step.
    rounds: how often each is measured.

  Yields:
    Lines: a Markdown table of seconds a step, and the ratio round by round.
  """
  yield f'device: {describe_devices()}'
  size = f'{image_size} x {image_size}'
  yield f'training step: {backbone}, {size}, batch {batch_size}, 1-shot'
  batch = random_batch(batch_size, image_size)
  library = training_step(backbone, batch)
  plain = training_step(backbone, batch, implementation='plain')
  seconds = measure(library, plain, rounds)
  yield '| form | median s | least | most |'
  yield '|---|---|---|---|'
  for form, values in zip(('library', 'plain XLA'), seconds, strict=True):
    yield Line(
      f'| {form} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |',
      form=form,
      seconds=spread(values),
    )
  ratios = [b / a for a, b in zip(*seconds, strict=True)]
  yield Line(
    f'plain / library: median {statistics.median(ratios):.2f},'
    f' {min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds',
    plain_times_as_long=spread(ratios),
  )


def random_batch(batch_size: int, image_size: int) -> dict[str, np.ndarray]:
  """Makes a 1-shot batch of noise, as the loader would give it."""
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
  """Makes a training step; returns what runs it once, on a state of its own, compiled at first.

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
  step = jax.jit(train_step)

  def run():
    jax.block_until_ready(step(state, batch))

  return run


def measure(first: Callable[[], None], second: Callable[[], None], rounds: int) -> list[list]:
  """Measures seconds of each, in turn, after one round that does not count."""
  seconds = [[], []]
  for round_ in range(rounds + 1):
    for which, function in enumerate((first, second)):
      start = time.perf_counter()
      function()
      if round_:
        seconds[which].append(time.perf_counter() - start)
  return seconds
