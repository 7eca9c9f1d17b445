"""Checkpoints of a run, written by a thread while it trains on."""

import pathlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from hsnet_jax import checkpoints
from hsnet_jax.training import TrainState


class Saver:
  """Writes checkpoints 'best', to be used, and 'last', to be gone on from; one at a time.

  A step waits only until its state is copied; another save, until the one before is complete.

  Attributes:
    saved: (path, step) of the newest complete checkpoint, None before the first.
  """

  def __init__(self, folder: pathlib.Path, config: Mapping[str, Any], *, writes: bool = True):
    """Writes nothing yet.

    Args:
      folder: of the checkpoints.
      config: what the run is, which each of them records.
    writes: whether to write at all; of several processes one does.
    """
    self.saved: tuple[pathlib.Path, int] | None = None
    self._folder, self._config, self._writes = folder, dict(config), writes
    self._thread = ThreadPoolExecutor(1, thread_name_prefix='saving')
    self._writing: Future | None = None
    self._backbone: Any = None  # The host's copy: it never changes.

  def save(
    self,
    names: Sequence[str],
    state: TrainState,
    *,
    step: int,
    figures: Mapping[str, float] | None,
    epoch: Mapping[str, Any] | None = None,
  ) -> None:
    """Begins to write a state.

    Args:
      names: 'best', 'last' or both, in the order to be written in.
      state: the state, which may be given away as soon as this returns.
      step: steps done.
      figures: of the last validation.
      epoch: what the epoch's steps add up to so far, where it is not done.

    Raises:
      InputError: the checkpoint before could not be written.
    """
    self.wait()
    if not self._writes:
      return
    if self._backbone is None:
      self._backbone = _copied(state.backbone)
    # To be used, the average of the parameters where there is one; to be gone on from, themselves.
    sources = {'best': state.eval_variables, 'last': state.variables}
    variables = {
      name: {'params': _copied(sources[name]['params']), 'backbone': self._backbone}
      for name in names
    }
    opt_state = _copied(state.opt_state) if 'last' in names else None
    config = {**self._config, 'figures': figures, 'epoch': epoch}

    def write():
      for name in names:
        path = self._folder / name
        optimizer = opt_state if name == 'last' else None
        checkpoints.save_checkpoint(
          path, variables[name], config=config, opt_state=optimizer, step=step
        )
        self.saved = path, step

    self._writing = self._thread.submit(write)

  def wait(self) -> None:
    """Waits until what was begun is written; raises InputError where it could not be."""
    writing, self._writing = self._writing, None
    if writing is not None:
      writing.result()


def _copied(tree: Any) -> Any:
  """On the host, in memory of its own: on a CPU the device's would be shared."""
  return jax.tree.map(np.array, jax.device_get(tree))
