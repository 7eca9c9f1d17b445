"""Segments in the background what nobody has drawn, in a thread of its own.

All that it does is said by the database: which propagation is shown, and what it has not come to.
So nothing is lost or done twice, whatever ends the process, and a change of supports needs no more
than a new propagation and a call of `wake`. While it computes it holds no lock.
"""

import collections
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from experiments.labelling import pictures
from experiments.labelling.database import rows
from experiments.labelling.database.files import FAILED
from experiments.labelling.database.opened import is_full
from experiments.labelling.database.store import Store
from experiments.labelling.labels import areas_of, write_label
from experiments.labelling.network import Fit, Network
from hsnet_jax.errors import InputError
from hsnet_jax.whole_files import machine_error

_REMEMBERED = 20  # Times of the last pictures, to say how long the rest takes.
_WARM_AFTER = 20  # Pictures of a propagation, before the next support's program is compiled.


class Propagation:
  """Runs the thread.

  Args:
    store: of the folder.
    folder: where the pictures lie.
    make_network: makes the network, in the thread: it takes seconds.
    changed: called after each change, from the thread.
  """

  def __init__(
    self,
    store: Store,
    folder: pathlib.Path,
    make_network: Callable[[], Network],
    changed: Callable[[], None],
  ):
    """Begins to work once `start` is called."""
    self._store, self._folder = store, folder
    self._make, self._changed = make_network, changed
    self._condition = threading.Condition()
    self._woken, self._stopped = True, False
    self._first: str | None = None
    self._shown: tuple[str, ...] = ()
    self._times: collections.deque[float] = collections.deque(maxlen=_REMEMBERED)
    self._work: dict[str, Any] | None = None
    self._message: str | None = None
    self._thread = threading.Thread(target=self._run, name='propagation', daemon=True)

  def start(self) -> None:
    """Starts the thread; what an earlier process left undone it does now."""
    self._store.try_again()
    self._thread.start()

  def stop(self) -> None:
    """Ends the thread after the picture at hand."""
    with self._condition:
      self._stopped = True
      self._condition.notify_all()
    if self._thread.is_alive():
      self._thread.join()

  def wake(self, *, first: str | None = None) -> None:
    """Says that there may be something to do.

    Args:
      first: the picture that someone waits for.
    """
    with self._condition:
      self._woken, self._message = True, None
      self._first = first or self._first
      self._condition.notify_all()

  def show(self, names: Sequence[str]) -> None:
    """Says which pictures someone looks at: they come before the others."""
    self._shown = tuple(names)

  @property
  def work(self) -> dict[str, Any] | None:
    """Returns how much is done of how much, and how many seconds are left; None at rest."""
    return self._work

  @property
  def message(self) -> str | None:
    """Returns what went wrong, in a line."""
    return self._message

  def _run(self) -> None:
    network = None
    while not self._stopped:
      with self._condition:
        self._condition.wait_for(lambda: self._woken or self._stopped)
        self._woken = False
      try:
        if network is None:
          network = self._make()
        self._propagate(network)
      except Exception as error:  # The thread outlives what went wrong, and says it.
        self._tell(error)
      finally:
        self._report(None)

  def _tell(self, error: Exception) -> None:
    if is_full(error):
      self._message = 'the disk is full: make room, then start again'
    else:
      known = str(error) if isinstance(error, InputError) else machine_error(error)
      self._message = ' '.join((known or f'{type(error).__name__}: {error}').split())[:500]
      if known is None:
        logging.getLogger(__name__).exception('propagation')

  def _report(self, work: dict[str, Any] | None) -> None:
    if work != self._work:
      self._work = work
      self._changed()

  def _propagate(self, network: Network) -> None:
    """Does what is to do, through any number of changes of what is asked for."""
    fit, of, done = None, None, 0
    while not self._stopped:
      run, is_done = self._store.read(rows.shown_run)
      if run == 0 or is_done:
        break
      if of != run:
        fit, self._message = network.fit(self._store, self._folder)
        of, done = run, 0
      left = self._store.read(rows.to_do, run) if fit is not None else []
      if fit is None or not left:
        self._store.finish(run)
        self._changed()
        continue
      self._report(self._progress(run, left))
      began = time.monotonic()
      self._segment(fit, run, self._next(left))
      self._times.append(time.monotonic() - began)
      done += 1
      if done == _WARM_AFTER:
        self._warm(network, fit)
    self._report(None)
    self._warm(network, fit)

  def _warm(self, network: Network, fit: Fit | None) -> None:
    """Compiles what the next supports of a class will need, so that nobody waits for it."""
    known = self._store.read(rows.find_all)
    size = next(((one.height, one.width) for one in known if one.width), None)
    counts = set(fit.counts) if fit is not None else {0}
    for count in sorted({count + more for count in counts for more in (1, 2)}):
      if size is not None and not self._stopped and not self._woken:
        network.warm_up(size, supports=count)

  def _progress(self, run: int, left: Sequence[str]) -> dict[str, Any]:
    total = self._store.read(rows.count_due, run)
    mean = sum(self._times) / len(self._times) if self._times else None
    seconds = None if mean is None else round(mean * len(left), 1)
    return {'done': total - len(left), 'total': total, 'seconds_left': seconds}

  def _next(self, left: Sequence[str]) -> str:
    """Chooses a picture: one that someone waits for, then those that are shown, then by name."""
    there = set(left)
    with self._condition:
      first, self._first = self._first, None
    if first is not None:
      return first if first in there else next((n for n in left if n > first), left[0])
    return next((name for name in self._shown if name in there), left[0])

  def _segment(self, fit: Fit, run: int, name: str) -> None:
    try:
      seen = self._store.picture(name)
      data = pictures.read_file(self._folder, name)
      answer = fit.predict(pictures.read_picture(data))
    except Exception as error:  # One picture is no reason to leave the others undone.
      if not isinstance(error, InputError) and machine_error(error) is not None:
        raise
      self._store.note(name, problem=' '.join(f'{FAILED}: {error}'.split())[:500])
      self._changed()
      return
    self._store.keep_found(
      run,
      name,
      write_label(answer.label),
      areas=areas_of(answer.label),
      confidence=answer.confidence,
      presence=answer.presence,
      sha=pictures.digest_of(data),
      seen=seen,
    )
    self._changed()
