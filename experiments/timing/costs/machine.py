"""Measures what a machine can do, and programs in turn."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.timing.throughput import peak

_COPIED = 2**28  # Bytes, of which no cache holds much.


class Machine(NamedTuple):
  """Holds what a machine can do.

  Attributes:
    products: operations a second of large float32 matrix products.
    copies: bytes a second that are read and written by a pass over a large array.
  """

  products: float
  copies: float

  def __str__(self) -> str:
    """Says it in a line."""
    return f'products: {self.products / 1e9:.0f} GFLOP/s; a copy: {self.copies / 1e9:.1f} GB/s'


def measure_machine(*, size: int | None, rounds: int) -> Machine:
  """Measures the machine.

  Args:
    size: side of the matrices; None for 2048 on a CPU, 8192 elsewhere.
    rounds: how often; the best counts.

  Returns:
    The `Machine`.
  """
  if size is None:
    size = 2048 if jax.default_backend() == 'cpu' else 8192
  x = jnp.zeros(_COPIED // 4, jnp.float32)
  copy = jax.jit(lambda x: x + 1)
  seconds = in_turn([lambda: copy(x)], rounds=rounds)[0]
  return Machine(peak('float32', size=size, rounds=rounds), 2 * _COPIED / min(seconds))


def in_turn(functions: Sequence[Callable[[], Any]], *, rounds: int) -> list[list[float]]:
  """Measures seconds of each function in turn, after one round that does not count.

  Args:
    functions: each computes something on the device.
    rounds: how often.

  Returns:
    Of each function, a number a round.
  """
  seconds: list[list[float]] = [[] for _ in functions]
  for round_ in range(rounds + 1):
    for function, taken in zip(functions, seconds, strict=True):
      start = time.perf_counter()
      jax.block_until_ready(function())
      if round_:
        taken.append(time.perf_counter() - start)
  return seconds
