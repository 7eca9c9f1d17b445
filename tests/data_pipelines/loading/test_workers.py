"""Worker processes. Each takes seconds to start, so few are."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from multiprocessing import shared_memory

import numpy as np
import pytest
from absl import flags

from data_pipelines import Pascal5i
from data_pipelines.loading.loader import eval_batches, train_batches
from hsnet_jax.errors import InputError
from tests.facts import refused

OPTIONS = {'image_size': 12, 'batch_size': 7}


def assert_same(left, right):
  assert left.keys() == right.keys()
  for name in left:
    assert type(left[name]) is np.ndarray and left[name].dtype == right[name].dtype
    np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.heavy
def test_workers_and_their_number_change_nothing(voc):
  options = {**OPTIONS, 'fold': 1, 'shots': 2, 'seed': 3, 'epochs': 2}
  expected = list(train_batches(Pascal5i(*voc), num_threads=0, **options))
  assert len(expected) == 14
  # As in a notebook: nobody has parsed the flags that Grain reads, and nobody will.
  present = {name: flags.FLAGS[name].present for name in flags.FLAGS}
  flags.FLAGS.unparse_flags()
  state, taken = {'next_batch': 0}, []
  for num_workers, steps in ((2, 5), (0, 4), (1, 99)):
    iterator = iter(train_batches(Pascal5i(*voc), num_workers=num_workers, **options))
    iterator.set_state(state)
    taken += [batch for _, batch in zip(range(steps), iterator, strict=False)]
    state = iterator.get_state()
    assert state == {'next_batch': len(taken)}
    iterator.close()
    assert not multiprocessing.active_children()
  assert not flags.FLAGS.is_parsed()
  assert {name: flags.FLAGS[name].present for name in present} == present
  # Nor is a batch in shared memory left to the end of the program, which would warn of it.
  assert not [x for x in gc.get_objects() if isinstance(x, shared_memory.SharedMemory)]
  for batch, other in zip(taken, expected, strict=True):
    assert_same(batch, other)


def test_a_worker_that_is_killed_ends_the_run(voc):
  options = {**OPTIONS, 'fold': 0, 'count': 2000, 'original_size': True}
  expected = iter(eval_batches(Pascal5i(*voc), num_threads=0, **options))
  iterator = iter(eval_batches(Pascal5i(*voc), num_workers=1, **options))
  for _ in range(3):
    assert_same(next(iterator), next(expected))
  (worker,) = multiprocessing.active_children()
  for sent in (signal.SIGINT, signal.SIGTERM):  # Both are for the process that it works for.
    os.kill(worker.pid, sent)
  for _ in range(5):
    assert_same(next(iterator), next(expected))
  os.kill(worker.pid, signal.SIGKILL)
  with refused('worker process', 'killed'):
    for _ in iterator:
      pass
  assert not multiprocessing.active_children()


def test_a_damaged_image_is_named_by_the_worker_that_read_it(voc):
  path = voc[0] / 'JPEGImages' / '2007_val_010.jpg'
  path.write_bytes(path.read_bytes()[:300])
  batches = iter(eval_batches(Pascal5i(*voc), fold=0, count=15, num_workers=1, **OPTIONS))
  with pytest.raises(InputError) as caught:
    list(batches)
  assert str(caught.value).startswith(f'{path}: ') and '\n' not in str(caught.value)
  assert not multiprocessing.active_children()


STOPPED = """
import sys
from data_pipelines import Pascal5i, eval_batches
if __name__ == '__main__':
  batches = eval_batches(Pascal5i(*sys.argv[1:]), fold=0, image_size=64, num_workers=1)
  for batch in batches:
    raise KeyError(batch['query_image'].shape)
"""


def test_a_run_that_fails_leaves_nothing_behind(voc, root, tmp_path):
  script = tmp_path / 'stopped.py'
  script.write_text(STOPPED)
  command = [sys.executable, script, *voc]
  environment = {**os.environ, 'PYTHONPATH': str(root)}
  done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
  # Its own error is all that it says: nothing of shared memory, processes or threads.
  assert done.stderr.splitlines()[-1] == 'KeyError: (20, 64, 64, 3)'
