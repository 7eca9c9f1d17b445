"""Writes the checkpoints of a run, by a thread while it trains on."""

import contextlib
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from experiments.training.folder import older_checkpoints
from hsnet_jax import checkpoints
from hsnet_jax.errors import InputError
from hsnet_jax.training import TrainState


class Saver:
  """Writes checkpoints 'best', to be used, and 'last', to be resumed from; one at a time.

  Those that were 'last' before may be kept: 'step_00000120' is of 120 steps.

  A step waits only until its state is copied; another save, until the one before is complete.

  Attributes:
    saved: (path, step) of the newest complete checkpoint, None before the first.
  """

  def __init__(
    self, folder: pathlib.Path, config: Mapping[str, Any], *, writes: bool = True, keep: int = 1
  ):
    """Writes nothing yet.

    Args:
      folder: of the checkpoints.
      config: what the run is, which each of them records.
      writes: whether to write at all; of several processes one does.
      keep: how many of the newest there are to be, 'last' among them.
    """
    self.saved: tuple[pathlib.Path, int] | None = None
    self._folder, self._config, self._writes, self._keep = folder, dict(config), writes, keep
    self._thread = ThreadPoolExecutor(1, thread_name_prefix='saving')
    self._writing: Future[None] | None = None
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
    # To be used, the average of the parameters where there is one; to be resumed from, themselves.
    sources = {'best': state.eval_variables, 'last': state.variables}
    variables = {
      name: {'params': _copied(sources[name]['params']), 'backbone': self._backbone}
      for name in names
    }
    opt_state = _copied(state.opt_state) if 'last' in names else None
    config = {**self._config, 'figures': figures, 'epoch': epoch}

    def write() -> None:
      for name in names:
        path, is_last = self._folder / name, name == 'last'
        checkpoints.save_checkpoint(
          path,
          variables[name],
          config=config,
          step=step,
          opt_state=opt_state if is_last else None,
          retire_to=self._retire_to(step) if is_last else None,
        )
        self.saved = path, step
      older = older_checkpoints(self._folder)
      for path in older[: max(len(older) - self._keep + 1, 0)]:
        _remove(path)
      for path in self._folder.glob('.step_*.old'):  # A process died in the middle of it.
        shutil.rmtree(path)

    self._writing = self._thread.submit(write)

  def _retire_to(self, step: int) -> pathlib.Path | None:
    """Returns where the present 'last' goes; None where it is of this step, or not to be kept."""
    if self._keep > 1:
      with contextlib.suppress(InputError, OSError):  # There is none, or it is of no use.
        of_step = checkpoints.read_config(self._folder / 'last')['step']
        path = self._folder / f'step_{of_step:08}'
        if of_step != step:
          _remove(path)  # A run that is resumed from an older one comes by the same steps again.
          return path
    return None

  def wait(self) -> None:
    """Waits until what was begun is written; raises InputError where it could not be."""
    writing, self._writing = self._writing, None
    if writing is not None:
      writing.result()


def _remove(path: pathlib.Path) -> None:
  """Removes a checkpoint, of which nothing is seen any more when the process dies meanwhile."""
  gone = path.with_name(f'.{path.name}.old')
  shutil.rmtree(gone, ignore_errors=True)
  with contextlib.suppress(FileNotFoundError):
    path.rename(gone)
    shutil.rmtree(gone)


def _copied(tree: Any) -> Any:
  """Returns a tree on the host in memory of its own: on a CPU the device's would be shared."""
  return jax.tree.map(np.array, jax.device_get(tree))
