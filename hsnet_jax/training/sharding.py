"""Divides the rows of a batch over a mesh of devices, and takes the same step on all.

`train_step` stays the one function: under `jit` XLA divides its rows by the mesh and adds what
crosses devices; under `pmap` it is told the axis and averages the gradients itself. Both give one
device's figures to rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from hsnet_jax.errors import InputError

AXIS = 'data'

State = TypeVar('State')


def data_mesh(*, devices: Sequence[Any] | None = None) -> Mesh:
  """Makes a mesh of one axis, 'data'.

  Args:
    devices: the `jax.Device`s to use; all of all processes by default.

  Returns:
    The mesh. Its axis is `Auto`: XLA decides what of a program is divided and how.
  """
  devices = jax.devices() if devices is None else list(devices)
  return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Divides rows, the first axis of every array of a batch, evenly and in order."""
  return NamedSharding(mesh, PartitionSpec(AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
  """Puts a whole copy on every device."""
  return NamedSharding(mesh, PartitionSpec())


def place(tree: State, sharding: NamedSharding) -> State:
  """Puts arrays that every process has whole where a sharding says.

  Args:
    tree: arrays of the host, or of a device of this process.
    sharding: over a mesh that may span several processes; rows are picked from what is given.

  Returns:
    The tree on the devices, in memory of its own.
  """

  def put(x):
    x = np.array(x)  # A copy: on a CPU a device would use the very memory.
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

  # Asked for in so many words, which a guard against transfers does not see in it.
  with jax.transfer_guard('allow'):
    return jax.tree.map(put, tree)


def check_batch_size(batch_size: int, mesh: Mesh, *, accumulate: int = 1) -> None:
  """Makes sure that devices get equally many rows.

  Args:
    batch_size: rows of a batch, over all processes.
    mesh: the devices.
    accumulate: in how many parts each device takes its rows.

  Raises:
    InputError: the devices, or their parts, do not divide the batch.
  """
  devices = mesh.devices.size
  count = devices * accumulate
  if batch_size % count:
    among = f'{devices} device{"s" if devices > 1 else ""}'
    among += f' and {accumulate} parts each' if accumulate > 1 else ''
    raise InputError(
      f'a batch of {batch_size} cannot be divided evenly among {among}; give a multiple of {count},'
      f' such as `batch_size`={max(batch_size // count, 1) * count}'
    )


def jit_step(
  step: Callable[..., tuple[State, Mapping[str, Any]]], mesh: Mesh
) -> Callable[[State, Mapping[str, Any]], tuple[State, Mapping[str, Any]]]:
  """Compiles a training step for a mesh, as one program over all its rows.

  Args:
    step: such as `train_step`.
    mesh: the devices.

  Returns:
    `(state, batch) -> (state, metrics)`. The state is `replicated` and given away; the batch is
    divided as `batch_sharding` says; the metrics, of all rows, are on every device.
  """

  return jax.jit(
    step,
    donate_argnums=0,
    in_shardings=(replicated(mesh), batch_sharding(mesh)),
    out_shardings=replicated(mesh),
  )


def pmap_step(
  step: Callable[..., tuple[State, Mapping[str, Any]]], mesh: Mesh
) -> Callable[[State, Mapping[str, Any]], tuple[State, Mapping[str, Any]]]:
  """Compiles it by `jax.pmap`: every device runs the step on its rows and averages gradients.

  Args:
    step: such as `train_step`; takes `axis_name`.
    mesh: devices of this process.

  Returns:
    As `jit_step`, but the state is not given away: the batch goes in, and the metrics come out, as
    rows without an axis of devices.
  """
  devices = list(mesh.devices.flat)
  mapped = jax.pmap(
    lambda state, batch: step(state, batch, axis_name=AXIS),
    axis_name=AXIS,
    in_axes=(None, 0),
    out_axes=(None, 0),
    devices=devices,
  )

  def run(state, batch):
    shares = {name: _by_device(value, len(devices)) for name, value in batch.items()}
    state, metrics = mapped(state, shares)
    return state, _in_rows(metrics)

  return run


def _by_device(x: Any, count: int) -> Any:
  return x.reshape(count, x.shape[0] // count, *x.shape[1:])


@jax.jit
def _in_rows(metrics: Mapping[str, Any]) -> dict[str, jax.Array]:
  # A number, such as the loss, is the whole batch's and on every device the same.
  return {k: x[0] if x.ndim == 1 else x.reshape(-1, *x.shape[2:]) for k, x in metrics.items()}
