"""Traces a few training steps once, for TensorBoard's profiler or Perfetto."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

from experiments.training.log import say

# The first steps of a process compile and warm up.
_FIRST, _COUNT = 3, 5


@contextlib.contextmanager
def one_trace(step: Callable[..., Any], folder: pathlib.Path) -> Iterator[Callable[..., Any]]:
  """Traces what the host and the devices do during steps 4 to 8 of this process.

  Args:
    step: a compiled training step.
    folder: a run's tensorboard/, where the trace goes, to `plugins/profile/` as TensorBoard has it.

  Yields:
    The step, to be called in its place. A run that ends before step 8 has a shorter trace.
  """
  calls, result = 0, None

  def stop() -> None:
    try:
      jax.block_until_ready(result)
    finally:
      jax.profiler.stop_trace()
    say(folder.parent, f'profile: steps {_FIRST + 1} to {calls} of this process in {folder}')

  def traced(*args: Any) -> Any:
    nonlocal calls, result
    if calls == _FIRST:
      jax.block_until_ready(result)
      jax.profiler.start_trace(folder)
    if _FIRST <= calls < _FIRST + _COUNT:
      with jax.profiler.StepTraceAnnotation('train', step_num=calls + 1):
        result = step(*args)
    else:
      result = step(*args)
    calls += 1
    if calls == _FIRST + _COUNT:
      stop()
    return result

  try:
    yield traced
  except BaseException:
    if _FIRST < calls < _FIRST + _COUNT:
      jax.profiler.stop_trace()  # The state may have been given away: nothing to wait for.
    raise
  if _FIRST < calls < _FIRST + _COUNT:
    stop()
