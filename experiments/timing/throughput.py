"""Measures training by precision and batch size, and its share of what the device can do."""

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from experiments.timing.lines import Line, spread
from experiments.timing.step import random_batch
from hsnet_jax.backbones import get_backbone
from hsnet_jax.models import describe_devices, network
from hsnet_jax.training import TrainState, create_train_state, train_step

Result = TypeVar('Result')

_PRODUCTS = 10  # In a row, so that starting them costs nothing beside them.


@dataclasses.dataclass(frozen=True)
class Row:
  """Holds what training with one precision and batch size came to.

  Attributes:
    precision: of `hsnet_jax.models.PRECISIONS`.
    batch_size: episodes a step.
    seconds: a step's, one number a round.
    operations: additions and multiplications of a step.
    memory: bytes that the step takes on the device, its state and batch included; None where it
      does not fit.
  """

  precision: str
  batch_size: int
  seconds: list[float]
  operations: float
  memory: int | None


def _fitting(function: Callable[..., Result], *args: Any) -> Result | None:
  """Returns the function's result; None where the device's memory is too small."""
  try:
    return function(*args)
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' in str(error):
      return None
    raise


class TimedStep:
  """Holds a compiled training step with a state and a batch of its own.

  Attributes:
    memory: bytes that it takes on the device.
  """

  def __init__(self, backbone: str, image_size: int, batch_size: int, precision: str):
    """Compiles it."""
    state = jax.jit(lambda: _state(backbone, precision))()
    self._state, self._batch = state, jax.device_put(random_batch(batch_size, image_size))
    compiled = jax.jit(train_step, donate_argnums=0).lower(state, self._batch).compile()
    self._step, size = compiled, compiled.memory_analysis()
    assert size is not None, 'every back end that trains says what a program takes'
    self.memory = size.temp_size_in_bytes + size.argument_size_in_bytes

  def run(self, seconds: float) -> float:
    """Returns seconds a step, over as many as take so long; the device waits for no host."""
    count, start = 0, time.perf_counter()
    while True:
      self._state, metrics = self._step(self._state, self._batch)
      count += 1
      if count % 4 == 1:  # A few in flight.
        jax.block_until_ready(metrics)
        if time.perf_counter() - start >= seconds:
          return (time.perf_counter() - start) / count


def _state(backbone: str, precision: str, *, implementation: str = 'auto') -> TrainState:
  key = jax.random.key(0)
  config = {'backbone': backbone, 'precision': precision}
  model = network(config, implementation=implementation)
  return create_train_state(key, model=model, backbone=get_backbone(backbone).init(key))


def count_operations(backbone: str, image_size: int, batch_size: int) -> float:
  """Counts the additions and multiplications of a training step as the paper writes it.

  Counted by XLA in the program before it is optimized, without our own forms of convolutions: some
  of them do more, to be faster.
  """
  batch = random_batch(batch_size, image_size)
  # GPU back ends do not count.
  with jax.default_device(jax.local_devices(backend='cpu')[0]):
    state = jax.jit(lambda: _state(backbone, 'float32', implementation='plain'))()
    leaves, tree = jax.tree.flatten(state)

    def step(leaves, batch):
      return jax.tree.leaves(train_step(tree.unflatten(leaves), batch))

    cost = jax.jit(step).lower(leaves, batch).cost_analysis()
    assert cost is not None, "XLA's CPU back end counts"
    return cost['flops']


def peak(precision: str, *, size: int, rounds: int) -> float:
  """Returns operations a second of large matrix products, the ceiling; the best round."""
  dtype = network({'backbone': 'tiny', 'precision': precision}).dtype or jnp.float32
  x = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)

  @jax.jit
  def products(y):
    for _ in range(_PRODUCTS):
      y = jnp.matmul(x, y, precision='highest') / size**0.5  # As large as before.
    return y

  best = float('inf')
  for _ in range(rounds + 1):
    start = time.perf_counter()
    products(x).block_until_ready()
    best = min(best, time.perf_counter() - start)
  return _PRODUCTS * 2 * size**3 / best


def throughput_report(
  backbone: str,
  *,
  image_size: int,
  batch_sizes: Sequence[int],
  precisions: Sequence[str],
  rounds: int,
  seconds: float,
  peak_size: int,
) -> Iterator[str]:
  """Measures training by batch size and precision, beside the device's peak.

  Args:
    backbone: as for `throughput`, and so are the others.
    image_size: side of the images.
    batch_sizes: episodes a step.
    precisions: what to compute in.
    rounds: how often each is measured.
    seconds: how long a round takes at least.
    peak_size: side of the matrices whose product is the peak.

  Yields:
    Lines: the peaks, and a Markdown table.
  """
  yield f'device: {describe_devices()}'
  size = f'{image_size} x {image_size}'
  yield f'training step: {backbone}, {size}, 1-shot, {rounds} rounds in turn'
  peaks = {precision: peak(precision, size=peak_size, rounds=rounds) for precision in precisions}
  for precision, rate in peaks.items():
    side = f'{peak_size} x {peak_size}'
    yield f'peak in {precision}: {rate / 1e12:.2f} TFLOP/s, products of {side} matrices'
  rows = throughput(
    backbone,
    image_size=image_size,
    batch_sizes=batch_sizes,
    precisions=precisions,
    rounds=rounds,
    seconds=seconds,
  )
  yield from table(rows, peaks)


def throughput(
  backbone: str,
  *,
  image_size: int,
  batch_sizes: Sequence[int],
  precisions: Sequence[str],
  rounds: int,
  seconds: float,
  make_step: Callable[[str, int, int, str], TimedStep] = TimedStep,
  operations_of: Callable[[str, int, int], float] = count_operations,
) -> Iterator[Row]:
  """Measures training steps, the precisions of a batch size in turn.

  Args:
    backbone: its name; weights are random, which cost the same.
    image_size: side of the images.
    batch_sizes: episodes a step, in the order to take them; where one does not fit, a precision
      takes none as large any more.
    precisions: of `hsnet_jax.models.PRECISIONS`.
    rounds: how often each is measured.
    seconds: how long a round takes at least.
    make_step: compiles a step: `(backbone, image_size, batch_size, precision)`.
    operations_of: counts a step's operations: `(backbone, image_size, batch_size)`.

  Yields:
    A row for each precision and batch size.
  """
  limits = dict.fromkeys(precisions, float('inf'))
  for batch_size in batch_sizes:
    operations = operations_of(backbone, image_size, batch_size)
    build = functools.partial(_fitting, make_step, backbone, image_size, batch_size)
    tried = [precision for precision in precisions if batch_size < limits[precision]]
    with ThreadPoolExecutor() as pool:  # Side by side: a GPU's compiler tries out for minutes.
      steps = dict(zip(tried, pool.map(build, tried), strict=True))
    taken = {precision: [] for precision in precisions}
    for round_ in range(rounds + 1):
      for precision in tried:
        step = steps[precision]
        one = step and _fitting(step.run, seconds)
        if one is None:
          limits[precision], steps[precision] = batch_size, None
        elif round_:  # The first does not count.
          taken[precision].append(one)
    for precision in precisions:
      step = steps.get(precision)
      yield Row(precision, batch_size, taken[precision], operations, step and step.memory)


def table(rows: Iterable[Row], peaks: dict[str, float]) -> Iterator[str]:
  """Yields the lines of a Markdown table.

  Args:
    rows: of `throughput`.
    peaks: of `peak`, by precision.
  """
  yield '| precision | batch | s/step (least to most) | episodes/s | TFLOP/s | of peak | GiB |'
  yield '|---|---|---|---|---|---|---|'
  for row in rows:
    start = f'| {row.precision} | {row.batch_size} |'
    if row.memory is None:
      yield Line(
        f'{start} does not fit | | | | |', precision=row.precision, batch=row.batch_size, fits=False
      )
      continue
    median = statistics.median(row.seconds)
    rate = row.operations / median
    yield Line(
      f'{start} {median:.4f} ({min(row.seconds):.4f} to {max(row.seconds):.4f})'
      f' | {row.batch_size / median:.1f} | {rate / 1e12:.3g} | {rate / peaks[row.precision]:.0%}'
      f' | {row.memory / 2**30:.1f} |',
      precision=row.precision,
      batch=row.batch_size,
      fits=True,
      seconds=spread(row.seconds),
      operations=row.operations,
      peak_rate=peaks[row.precision],
      bytes=row.memory,
    )
