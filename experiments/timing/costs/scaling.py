"""Measures how time and memory of a forward pass grow with shots, batch, image and object size."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.timing.costs.operations import shown
from experiments.timing.in_turn import compare, make_tasks
from experiments.timing.lines import Line, spread
from hsnet_jax.backbones import get_backbone
from hsnet_jax.models import describe_devices

# What grows, and where it is while the others do. `object` is the part of the picture it covers.
AXES: Mapping[str, Sequence[Any]] = {
  'shots': (1, 5, 10),
  'batch': (1, 2, 4),
  'size': (200, 400, 800),
  'object': (0.0, 0.05, 0.2, 0.5, 1.0),
}
USUAL: Mapping[str, Any] = {'shots': 1, 'batch': 1, 'size': 400, 'object': 0.2}


def scaling_report(
  *,
  backbone: str,
  rounds: int,
  image_size: int = USUAL['size'],
  axes: Iterable[str] = tuple(AXES),
  values: Mapping[str, Sequence[Any]] = AXES,
) -> Iterator[str]:
  """Measures forward passes that differ in one thing, each in a process of its own.

  Args:
    backbone: its name; weights are random, and pictures noise, which cost the same as any.
    rounds: how often each is measured.
    image_size: side of the images, where it is not what grows.
    axes: of `AXES`, what grows.
    values: how far; the others are as in `USUAL` meanwhile.

  Yields:
    Lines: a Markdown table, a row for each value.
  """
  usual = {**USUAL, 'size': image_size}
  yield f'device: {describe_devices()}'
  fixed = ', '.join(f'{name} {value}' for name, value in usual.items())
  yield f'forward: {backbone}, {rounds} rounds; where it does not grow: {fixed}'
  yield (
    '| what grows | to | positions shown | median s | least | most | times the first'
    ' | MB above weights | MB of temporaries |'
  )
  yield '|---|---|---|---|---|---|---|---|---|'
  for axis in axes:
    first = None
    for value in values[axis]:
      given = {**usual, axis: value}
      episodes = made_episodes(given)
      task = make_tasks(['library'], 'kshot' if given['shots'] > 1 else 'forward', backbone)
      found = compare(task, episodes, rounds=rounds)
      seconds = spread(found.seconds['library'])
      first = first or seconds['median']
      side = -(-given['size'] // get_backbone(backbone).stride)
      share = float(shown(episodes['support_mask'][0, 0], (side, side)).mean())
      peak, own = found.peak['library'], found.programs['library']['temporaries']
      yield Line(
        f'| {axis} | {value} | {share:.0%} | {seconds["median"]:.3f} | {seconds["least"]:.3f}'
        f' | {seconds["most"]:.3f} | {seconds["median"] / first:.2f} | {peak / 1e6:.0f}'
        f' | {own / 1e6:.0f} |',
        axis=axis,
        **given,
        positions_shown=share,
        seconds=seconds,
        bytes_above_weights=peak,
        bytes_of_temporaries=own,
      )


def made_episodes(given: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Makes one batch of noise, with a rectangle in the middle of each picture for the object.

  Args:
    given: a value for each of `AXES`.

  Returns:
    What `Task.episodes` holds.
  """
  rng = np.random.default_rng(0)
  size, batch, shots = given['size'], given['batch'], given['shots']
  side = round(size * math.sqrt(given['object']))
  start = (size - side) // 2
  mask = np.zeros((size, size), np.uint8)
  mask[start : start + side, start : start + side] = 1
  pictures = rng.standard_normal((batch, 1 + shots, size, size, 3), dtype=np.float32)
  return {
    'query': pictures[None, :, 0],
    'support': pictures[None, :, 1:],
    'support_mask': np.broadcast_to(mask, (1, batch, shots, size, size)).copy(),
    'query_mask': np.broadcast_to(mask, (1, batch, size, size)).copy(),
  }
