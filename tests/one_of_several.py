"""What one of several processes computes in `training/test_processes.py`, which starts them.

    python -m tests.one_of_several HOST:PORT PROCESSES PROCESS FILE PART...

Each process has its rows of each batch; process 0 writes what came out.
"""

import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import eval_batches
from data_pipelines.catalog import make_benchmark
from experiments.training.config import RunConfig
from experiments.training.session import make_hooks
from hsnet_jax.training import TrainState, train_step
from hsnet_jax.training.sharding import batch_sharding, data_mesh, jit_step, place, replicated
from tests import made
from tests.hsnet_jax.training.test_sharding import MODEL, make_batch, sgd_or_adam

STEPS, ROWS = 5, 4
RUN = RunConfig(fold=1, backbone='tiny')


def trained(mesh):
  """Losses, the first gradients and the last parameters of five steps of SGD, and five of Adam."""
  step, tx = jit_step(train_step, mesh), sgd_or_adam(both=True)
  params, backbone = jax.device_get([made.variables('tiny')[k] for k in ('params', 'backbone')])
  index, count, found = jax.process_index(), jax.process_count(), {}
  for adam in (False, True):
    opt_state = tx.init(params) | {'adam': np.array(adam)}
    state = TrainState(jnp.int32(0), params, opt_state, backbone, MODEL, tx)
    state, losses = place(state, replicated(mesh)), []
    for seed in range(STEPS):
      batch = make_batch(valid=(1,) * ROWS, seed=seed)
      rows = {name: np.split(x, count)[index] for name, x in batch.items()}
      placed = jax.make_array_from_process_local_data(batch_sharding(mesh), rows)
      state, metrics = step(state, placed)
      losses.append(float(metrics['loss']))
    first = joined(state.opt_state['first'])
    kept = {'losses': losses, 'gradients': first, 'params': joined(state.params)}
    found |= {f'{"adam" if adam else "sgd"} {name}': value for name, value in kept.items()}
  return found


def joined(tree):
  """All numbers of a tree as one vector."""
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(jax.device_get(tree))])


def apart(vector):
  """The tensors that `joined` joined."""
  sizes = [x.size for x in jax.tree.leaves(made.variables('tiny')['params'])]
  return np.split(vector, np.cumsum(sizes)[:-1])


def validated(mesh):
  """A validation whose last batch is not full: what it counts, as JSON, and its pictures."""
  benchmark = make_benchmark('shapes')
  own = {'process_index': jax.process_index(), 'process_count': jax.process_count()}
  sizes = {'image_size': 32, 'batch_size': 4, 'count': 10}
  val = eval_batches(benchmark, fold=1, **sizes, **own)
  params, backbone = (made.variables('tiny')[k] for k in ('params', 'backbone'))
  state = TrainState(jnp.int32(0), params, (), backbone, MODEL, sgd_or_adam(both=False))
  found = make_hooks(benchmark, RUN, val, pathlib.Path(), mesh=mesh).validate(state)
  counted = found.columns, found.episodes, found.empty_supports
  return {'counted': json.dumps(counted), 'pictures': [panel.caption for panel in found.panels]}


PARTS = {'train': trained, 'validate': validated}


def main(address, count, index, path, *parts):
  """Meets the others, computes, and writes the file if this is process 0."""
  jax.distributed.initialize(address, int(count), int(index))
  found = {}
  for part in parts:
    found |= PARTS[part](data_mesh())
  if jax.process_index() == 0:
    np.savez(path, **found)


if __name__ == '__main__':
  main(*sys.argv[1:])
